//! A component against the cluster: what is there of it, whose that is, what writing would change; then the writing.

use super::{
    change,
    owner::{self, Owner, Release},
    release, write,
};
use crate::{
    chart::{Chart, object::Object},
    cluster::Cluster,
    command::tag,
    install::{Component, Plan},
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write as _};

/// On which terms everything is installed.
pub(super) struct Terms<'a> {
    pub(super) plan: &'a Plan,
    /// What is of Helm, or of whoever applied these charts, is taken over.
    pub(super) adopt: bool,
    /// The revision that the tag `default` is of.
    pub(super) tagged: Option<String>,
}

/// What becomes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Made,
    /// With the fields that change; none: it is as it should be.
    Changed(Vec<String>),
    /// The same of one that was somebody else's.
    Adopted(Vec<String>),
    /// It stays as it is, and why.
    Left(String),
}

/// A component with what was found of it in the cluster.
pub(super) struct Ready<'a> {
    pub(super) name: &'a str,
    namespace: &'a str,
    chart: Chart,
    pub(super) objects: Vec<Object>,
    fates: Vec<Fate>,
    /// What Helm is to forget.
    releases: BTreeSet<Release>,
}

impl<'a> Ready<'a> {
    /// # Errors
    /// Where an object is somebody else's.
    pub(super) async fn new(component: &'a Component, terms: &Terms<'_>, cluster: &Cluster) -> Result<Self> {
        let plan = terms.plan;
        let labels = owner::labels(&component.release, &plan.revision);
        let mut ready = Ready {
            name: &component.release,
            namespace: &component.namespace,
            chart: component.chart,
            objects: Vec::new(),
            fates: Vec::new(),
            releases: BTreeSet::new(),
        };
        ready.look_up_release(terms, cluster).await?;
        // What an upgrade leaves to pilot is said of this kind alone.
        let selector = owner::of_component(&component.release, &plan.revision);
        let is_upgrade = !write::of_kind(cluster, "ValidatingWebhookConfiguration", &selector).await?.is_empty();
        for mut object in component.objects(is_upgrade)? {
            // A definition serves every revision, and is of none.
            let of_one = |key: &str| object.kind() == "CustomResourceDefinition" && key == owner::REVISION;
            let labels: Vec<_> = labels.iter().filter(|(key, _)| !of_one(key)).collect();
            labels.iter().for_each(|(key, value)| object.label(key, value));
            if terms.tagged.is_some() {
                tag::default::silence(&mut object);
            }
            let fate = ready.fate(&object, terms, cluster).await?;
            ready.objects.push(object);
            ready.fates.push(fate);
        }
        for release in &ready.releases {
            release::check(cluster, release).await?;
        }
        Ok(ready)
    }

    /// A release of the component's name is Helm's, also where none of its objects is left. Definitions serve several.
    async fn look_up_release(&mut self, terms: &Terms<'_>, cluster: &Cluster) -> Result<()> {
        let release = Release { namespace: self.namespace.to_owned(), name: self.name.to_owned() };
        if self.chart == Chart::Base || !release::is_there(cluster, &release).await? {
            return Ok(());
        }
        let owner = Owner::Helm { release: release.clone(), is_ours: true };
        if !terms.adopt {
            bail!("{} is installed by {owner}: {}", self.name, owner.mend());
        }
        self.releases.insert(release);
        Ok(())
    }

    async fn fate(&mut self, object: &Object, terms: &Terms<'_>, cluster: &Cluster) -> Result<Fate> {
        let there = write::one(cluster, object.kind(), object.namespace(), object.name()).await?;
        let Some(there) = there else { return Ok(Fate::Made) };
        let revision = &terms.plan.revision;
        if tag::default::is_of_tag(object, terms.tagged.as_deref(), revision) {
            return Ok(Fate::Left("the tag default gave it to another revision".to_owned()));
        }
        let owner = Owner::of(&there.0);
        if owner == Owner::Command {
            is_of_another_tag(&there, revision)?;
            return changed(object, &there, cluster).await.map(Fate::Changed);
        }
        if terms.adopt && owner.can_be_adopted() {
            if let Owner::Helm { release, .. } = owner {
                self.releases.insert(release);
            }
            return changed(object, &there, cluster).await.map(Fate::Adopted);
        }
        match object.kind() {
            // A definition serves whoever uses it: the one that is there does.
            "CustomResourceDefinition" => Ok(Fate::Left(format!("it is of {owner}"))),
            _ => bail!("{} is there already and of {owner}: {}", object.title(), owner.mend()),
        }
    }

    /// One line an object.
    pub(super) fn told(&self) -> String {
        let pairs = self.objects.iter().zip(&self.fates);
        pairs.fold(String::new(), |mut text, (object, fate)| {
            let title = object.title();
            let _ = match fate {
                Fate::Made => writeln!(text, "create {title}"),
                Fate::Changed(fields) if fields.is_empty() => writeln!(text, "same   {title}"),
                Fate::Changed(fields) => writeln!(text, "update {title}: {}", change::told(fields)),
                Fate::Adopted(fields) if fields.is_empty() => writeln!(text, "adopt  {title}"),
                Fate::Adopted(fields) => writeln!(text, "adopt  {title}: {}", change::told(fields)),
                Fate::Left(why) => writeln!(text, "leave  {title}: {why}"),
            };
            text
        })
    }

    /// One line for all.
    pub(super) fn summed_up(&self) -> String {
        let count = |is: fn(&Fate) -> bool| self.fates.iter().filter(|fate| is(fate)).count();
        let counts = [
            (count(|fate| *fate == Fate::Made), "made"),
            (count(|fate| matches!(fate, Fate::Changed(fields) if !fields.is_empty())), "changed"),
            (count(|fate| matches!(fate, Fate::Changed(fields) if fields.is_empty())), "as they should be"),
            (count(|fate| matches!(fate, Fate::Adopted(_))), "taken over"),
            (count(|fate| matches!(fate, Fate::Left(_))), "left as they are"),
        ];
        let said: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let forgotten: Vec<String> =
            self.releases.iter().map(|release| format!("; Helm forgets the release {release}")).collect();
        format!("  {}: of {} objects {}{}\n", self.name, self.objects.len(), said.join(", "), forgotten.concat())
    }

    pub(super) async fn write(&self, cluster: &Cluster) -> Result<()> {
        write::namespace(cluster, self.namespace).await?;
        for (object, fate) in self.objects.iter().zip(&self.fates) {
            match fate {
                Fate::Left(_) => continue,
                // What nobody says any more, nobody takes away.
                Fate::Adopted(_) => write::merge(cluster, object, &not_of_helm()).await?,
                Fate::Made | Fate::Changed(_) => {}
            }
            write::apply(cluster, object).await?;
        }
        Ok(())
    }

    /// When it is ready: removes what an earlier version or other settings wrote of it, and these do not; has Helm forget what it
    /// no longer has.
    pub(super) async fn finish(&self, terms: &Terms<'_>, cluster: &Cluster) -> Result<()> {
        let wanted: BTreeSet<String> = self.objects.iter().map(Object::title).collect();
        let mut old = write::listed(cluster, &owner::of_component(self.name, &terms.plan.revision)).await?;
        if !self.releases.is_empty() {
            let is_of_them = |object: &Object| matches!(Owner::of(&object.0), Owner::Helm { release, .. } if self.releases.contains(&release));
            old.extend(write::listed(cluster, &owner::of_all()).await?.into_iter().filter(is_of_them));
        }
        for object in old {
            if object.kind() != "CustomResourceDefinition" && !wanted.contains(&object.title()) {
                write::delete(cluster, &object).await?;
            }
        }
        for release in &self.releases {
            release::forget(cluster, release).await?;
        }
        match self.objects.iter().any(tag::default::is_it) {
            true => tag::default::settle(cluster).await,
            false => Ok(()),
        }
    }
}

/// Fields that writing would change.
async fn changed(object: &Object, there: &Object, cluster: &Cluster) -> Result<Vec<String>> {
    let after = write::tried(cluster, object).await?;
    Ok(change::fields(&there.0, &after.0))
}

/// Takes the annotations by which Helm knows an object.
fn not_of_helm() -> Value {
    json!({ "metadata": { "annotations": { (owner::RELEASE_NAME): null, (owner::RELEASE_NAMESPACE): null } } })
}

/// Refuses to move a tag to this revision on the way.
fn is_of_another_tag(there: &Object, revision: &str) -> Result<()> {
    let labels = &there.0["metadata"]["labels"];
    let Some((tag, (_, its))) = labels["istio.io/tag"].as_str().zip(owner::part(&there.0)) else { return Ok(()) };
    match its == owner::name(revision) {
        true => Ok(()),
        false => bail!(
            "the tag {tag:?} is of revision {its}: meshctl tag set {tag} --revision {} --overwrite moves it; else leave it out of value revisionTags",
            owner::name(revision)
        ),
    }
}
