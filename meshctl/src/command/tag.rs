//! Tags: names that namespaces can bear instead of a revision's, and that move from one revision to the next. A tag is a webhook
//! and a Service, which the control plane's chart makes too (`revisionTags`); both ways make the same objects.
//!
//! [`made`]: the objects of a tag. [`default`]: what follows from the tag `default` for the revision without a name.

pub(crate) mod default;
mod list;
mod made;

use super::{
    install::{
        ask,
        owner::{self, Owner},
        write::{self, Found},
    },
    manifest,
};
use crate::{
    chart::object::Object,
    cli::{TagArgs, TagCommand},
    cluster::Cluster,
    context::{Context, format},
    remote,
};
use anyhow::{Result, bail};
use std::time::Duration;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The tag that needs no label of a revision.
pub(crate) const DEFAULT: &str = "default";

/// Carries it out.
///
/// # Errors
/// What stands against it.
pub(crate) fn run(what: &TagCommand, context: &Context) -> Result<()> {
    match what {
        TagCommand::List { output } => {
            let format = format(output, "table")?;
            remote::carried_out(LIMIT, list::report(context))?.print(format)
        }
        TagCommand::Generate(args) => remote::carried_out(LIMIT, generate(args, context)),
        // Whoever is asked has time.
        TagCommand::Set(args) => remote::carried_out(LIMIT * 60, set(args, context)),
        TagCommand::Remove { tag, yes } => remote::carried_out(LIMIT * 60, remove(tag, *yes, context)),
    }
}

/// What there is of tags and revisions.
struct Hooks {
    /// The control plane's namespace.
    namespace: String,
    all: Vec<Object>,
}

impl Hooks {
    async fn read(cluster: &Cluster) -> Result<Self> {
        let mut all = write::of_kind(cluster, "MutatingWebhookConfiguration", "").await?;
        all.retain(made::injects);
        Ok(Hooks { namespace: cluster.mesh_namespace.clone(), all })
    }

    /// The webhooks of a revision in the control plane's namespace.
    fn of_revision(&self, revision: &str) -> Result<&Object> {
        let is_it = |hook: &&Object| made::tag(hook).is_none() && made::revision(hook) == revision;
        let is_here = |hook: &&Object| made::served_from(hook).is_none_or(|namespace| namespace == self.namespace);
        match self.all.iter().filter(is_it).find(is_here) {
            Some(hook)
                if Owner::of(&hook.0) == Owner::Other
                    || matches!(Owner::of(&hook.0), Owner::Helm { is_ours: false, .. }) =>
            {
                bail!(
                    "revision {revision:?} is of another control plane ({}): its own command makes tags of it",
                    hook.title()
                )
            }
            Some(hook) => Ok(hook),
            None => bail!(
                "no control plane of revision {revision:?} injects from namespace {}: {}",
                self.namespace,
                self.known()
            ),
        }
    }

    fn known(&self) -> String {
        let mut known: Vec<&str> =
            self.all.iter().filter(|hook| made::tag(hook).is_none()).map(made::revision).collect();
        known.sort_unstable();
        known.dedup();
        match known.is_empty() {
            true => "there is none at all".to_owned(),
            false => format!("there are {}", known.join(", ")),
        }
    }

    fn of_tag<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Object> {
        self.all.iter().filter(move |hook| made::tag(hook) == Some(tag))
    }
}

/// The objects of a tag as they would be written.
///
/// # Errors
/// When there is no such revision, or the name is taken.
async fn objects(args: &TagArgs, hooks: &Hooks, cluster: &Cluster) -> Result<Vec<Object>> {
    let (tag, revision) = (&*args.tag, &*args.revision);
    if !made::is_label(tag) {
        bail!("{tag:?} is no name of a tag: small letters, digits and dashes, at most 40");
    }
    let hook = hooks.of_revision(revision)?;
    if tag != DEFAULT && hooks.all.iter().any(|hook| made::tag(hook).is_none() && made::revision(hook) == tag) {
        bail!("there is a revision {tag:?}: a tag of the same name would answer for the same namespaces");
    }
    let service = mesh_config::name::of_revision("istiod", made::unnamed(revision));
    let service = write::one(cluster, "Service", Some(&hooks.namespace), &service).await?;
    made::objects(args, hook, service.as_ref(), &hooks.namespace)
}

async fn generate(args: &TagArgs, context: &Context) -> Result<()> {
    let cluster = Cluster::open(&context.kube).await?;
    let hooks = Hooks::read(&cluster).await?;
    let objects = objects(args, &hooks, &cluster).await?;
    if args.tag == DEFAULT {
        ask::say(
            "Where these are applied, the webhooks of the revision without a name have to stop answering: meshctl tag set default does both\n",
        );
    }
    crate::report::write(&manifest::text(&objects)?)
}

async fn set(args: &TagArgs, context: &Context) -> Result<()> {
    let cluster = Cluster::open(&context.kube).await?;
    let hooks = Hooks::read(&cluster).await?;
    let (tag, revision) = (&args.tag, &args.revision);
    let objects = objects(args, &hooks, &cluster).await?;
    for there in hooks.of_tag(tag) {
        if made::served_from(there).is_some_and(|namespace| namespace != hooks.namespace) {
            bail!(
                "{} of another control plane has the tag {tag:?}: two webhooks would answer for the same namespaces",
                there.title()
            );
        }
        if !args.overwrite {
            bail!("there is a tag {tag:?}, of revision {}: --overwrite moves it", made::revision(there));
        }
        if !objects.iter().any(|object| object.title() == there.title()) {
            bail!(
                "{} has the tag {tag:?} already: give its name with --webhook-name, or remove the tag first",
                there.title()
            );
        }
    }
    for object in &objects {
        if let Found::There(owner) = write::find(&cluster, object).await?
            && owner != Owner::Command
        {
            bail!("{} is of {owner}: {}", object.title(), mend(&owner));
        }
    }
    if tag == DEFAULT && !default::agreed(&hooks, args.yes)? {
        ask::say("Nothing was done\n");
        return Ok(());
    }
    for object in &objects {
        write::apply(&cluster, object).await?;
    }
    if tag == DEFAULT {
        default::hand_over(revision, &hooks, &cluster).await?;
    }
    crate::report::write(&format!(
        "Tag {tag:?} is a name of revision {revision:?} now. Namespaces use it by the label {}\n",
        if tag == DEFAULT { "istio-injection=enabled".to_owned() } else { format!("istio.io/rev={tag}") }
    ))
}

fn mend(owner: &Owner) -> String {
    match owner {
        Owner::Helm { release, .. } => {
            format!(
                "set its value revisionTags (helm upgrade {} -n {} --reuse-values)",
                release.name, release.namespace
            )
        }
        _ => "change it there, or remove it".to_owned(),
    }
}

async fn remove(tag: &str, yes: bool, context: &Context) -> Result<()> {
    let cluster = Cluster::open(&context.kube).await?;
    let hooks = Hooks::read(&cluster).await?;
    let mut objects: Vec<Object> = hooks
        .of_tag(tag)
        .filter(|hook| made::served_from(hook).is_none_or(|from| from == hooks.namespace))
        .cloned()
        .collect();
    let services = write::of_kind(&cluster, "Service", &format!("istio.io/tag={tag}")).await?;
    objects.extend(services.into_iter().filter(|service| service.namespace() == Some(&hooks.namespace)));
    if objects.is_empty() {
        bail!("there is no tag {tag:?}; meshctl tag list shows those that there are");
    }
    for object in &objects {
        let owner = Owner::of(&object.0);
        if owner != Owner::Command {
            bail!("{} is of {owner}: {}", object.title(), mend(&owner));
        }
    }
    let users = list::users(tag, &cluster).await?;
    if !users.is_empty() {
        let question = format!(
            "{} use the tag {tag:?}: {}. Without it none of their new pods gets a sidecar.",
            if users.len() == 1 { "1 namespace".to_owned() } else { format!("{} namespaces", users.len()) },
            users.join(", ")
        );
        if !ask::agreed(&question, yes)? {
            ask::say("Nothing was done\n");
            return Ok(());
        }
    }
    for object in &objects {
        write::delete(&cluster, object).await?;
    }
    if tag == DEFAULT {
        default::take_back(&hooks, &cluster).await?;
    }
    crate::report::write(&format!("Tag {tag:?} is removed\n"))
}
