//! The tag `default` answers for the namespaces of the revision without a name, and for objects that name no revision. So where it
//! is set, that revision's own webhooks match nothing, and the check of those objects is the tag's revision's; where it is
//! removed, both are as they were.

use super::{DEFAULT, Hooks, made};
use crate::{
    chart::{Chart, Release, object::Object},
    cluster::Cluster,
    command::install::{
        ask,
        owner::{self, Owner},
        write::{self, Found},
    },
};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The check of objects that name no revision; its label says whose it is.
const VALIDATOR: &str = "istiod-default-validator";

/// The revision that the tag `default` of this namespace is of, if it is set.
pub(crate) async fn revision(cluster: &Cluster) -> Result<Option<String>> {
    let hooks = write::of_kind(cluster, "MutatingWebhookConfiguration", &format!("istio.io/tag={DEFAULT}")).await?;
    let here =
        hooks.iter().find(|hook| made::served_from(hook).is_none_or(|namespace| namespace == cluster.mesh_namespace));
    Ok(here.map(|hook| made::revision(hook).to_owned()))
}

/// Whether an object is the tag's own.
pub(crate) fn is_it(object: &Object) -> bool {
    object.kind() == "MutatingWebhookConfiguration" && made::tag(object) == Some(DEFAULT)
}

/// Gives the tag's revision what is its, where an installation has made the tag.
pub(crate) async fn settle(cluster: &Cluster) -> Result<()> {
    let hooks = Hooks::read(cluster).await?;
    match revision(cluster).await? {
        Some(revision) => hand_over(&revision, &hooks, cluster).await,
        None => Ok(()),
    }
}

/// Takes every request from an object's webhooks, where they are those of the revision without a name.
pub(crate) fn silence(hook: &mut Object) {
    if hook.kind() != "MutatingWebhookConfiguration" || made::tag(hook).is_some() || made::revision(hook) != DEFAULT {
        return;
    }
    for entry in hook.0["webhooks"].as_array_mut().into_iter().flatten() {
        for selector in ["namespaceSelector", "objectSelector"] {
            entry[selector] = json!({ "matchLabels": { "istio.io/deactivated": "never-match" } });
        }
    }
}

/// Whether an object is the check that another revision has by its tag.
pub(crate) fn is_of_tag(object: &Object, tagged: Option<&str>, revision: &str) -> bool {
    object.kind() == "ValidatingWebhookConfiguration"
        && object.name() == VALIDATOR
        && tagged.is_some_and(|tagged| tagged != owner::name(revision))
}

/// Whether it may be set, where webhooks of other control planes answer for the same namespaces.
pub(super) fn agreed(hooks: &Hooks, yes: bool) -> Result<bool> {
    let answers = |hook: &&Object| {
        let enabled = json!({ "key": "istio-injection", "operator": "In", "values": ["enabled"] });
        let expressions = |entry: &Value| {
            entry["namespaceSelector"]["matchExpressions"].as_array().is_some_and(|all| all.contains(&enabled))
        };
        made::entries(hook).iter().any(expressions)
    };
    let is_other = |hook: &&Object| made::served_from(hook).is_some_and(|namespace| namespace != hooks.namespace);
    let others: Vec<String> = hooks.all.iter().filter(is_other).filter(answers).map(Object::title).collect();
    match others.is_empty() {
        true => Ok(true),
        false => ask::agreed(
            &format!(
                "{} of another control plane answers for namespaces with istio-injection=enabled too: their pods would be injected twice.",
                others.join(", ")
            ),
            yes,
        ),
    }
}

/// Gives the tag's revision what was that of the one without a name.
pub(super) async fn hand_over(revision: &str, hooks: &Hooks, cluster: &Cluster) -> Result<()> {
    if let Some(hook) = of_none(hooks) {
        let mut silent = hook.clone();
        silence(&mut silent);
        replace(cluster, hook, &silent).await?;
        if let Owner::Helm { release, .. } = Owner::of(&hook.0) {
            ask::say(&format!(
                "{} is of the Helm release {release}: after each upgrade of it, which makes it answer again, set the tag once more\n",
                hook.title()
            ));
        }
    }
    validate(revision, hooks, cluster).await
}

/// Gives it back.
pub(super) async fn take_back(hooks: &Hooks, cluster: &Cluster) -> Result<()> {
    let Some(hook) = of_none(hooks) else {
        ask::say(
            "Nothing answers for namespaces with istio-injection=enabled now: meshctl tag set default --revision NAME says who does\n",
        );
        return Ok(());
    };
    let made = made::of_default(hook, &hooks.namespace)?;
    replace(cluster, hook, &made).await?;
    validate(DEFAULT, hooks, cluster).await
}

/// The webhooks of the revision without a name.
fn of_none(hooks: &Hooks) -> Option<&Object> {
    hooks.of_revision(DEFAULT).ok()
}

/// Puts in other selectors, unless somebody else has written in between.
async fn replace(cluster: &Cluster, there: &Object, made: &Object) -> Result<()> {
    let mut entries = there.0["webhooks"].clone();
    for entry in entries.as_array_mut().into_iter().flatten() {
        let Some(wanted) = made::entries(made).iter().find(|wanted| wanted["name"] == entry["name"]) else { continue };
        for selector in ["namespaceSelector", "objectSelector"] {
            entry[selector] = wanted[selector].clone();
        }
    }
    let version = &there.0["metadata"]["resourceVersion"];
    write::merge(cluster, there, &json!({ "metadata": { "resourceVersion": version }, "webhooks": entries })).await
}

/// Has a revision check objects that name none.
async fn validate(revision: &str, hooks: &Hooks, cluster: &Cluster) -> Result<()> {
    let there = write::one(cluster, "ValidatingWebhookConfiguration", None, VALIDATOR).await?;
    let release = Release { name: "istio-base", namespace: &hooks.namespace, is_upgrade: there.is_some() };
    let made = Chart::Base.render(&release, &json!({ "defaultRevision": revision }))?;
    let mut made = made.into_iter().find(|object| object.name() == VALIDATOR).context("the chart makes the check")?;
    let (mut component, mut of) = (owner::TAGS.to_owned(), made::unnamed(revision).to_owned());
    match there.as_ref().map(|there| Found::There(Owner::of(&there.0))) {
        None => {}
        Some(Found::There(Owner::Command)) => {
            // What an installation wrote stays part of it.
            if let Some((its, revision)) =
                there.as_ref().and_then(|there| owner::part(&there.0)).filter(|(its, _)| *its != owner::TAGS)
            {
                (component, of) = (its.to_owned(), revision.to_owned());
            }
        }
        Some(_) => {
            let owner = there.map_or(Owner::Other, |there| Owner::of(&there.0));
            ask::say(&format!(
                "{} is of {owner} and stays: objects without a revision are checked by the one that it names (value defaultRevision of chart base)\n",
                made.title()
            ));
            return Ok(());
        }
    }
    owner::labels(&component, &of).iter().for_each(|(key, value)| made.label(key, value));
    write::apply(cluster, &made).await
}
