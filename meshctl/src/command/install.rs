//! Writes the mesh into a cluster, one component after the other, and waits until each is ready. [`write`]: how one object is
//! written. Whose an object is decides whether it may be: one that is not of this command stays as it is.

pub(crate) mod ask;
pub(crate) mod owner;
mod wait;
pub(crate) mod write;

use crate::{
    chart::object::Object,
    cli::InstallArgs,
    cluster::Cluster,
    command::manifest,
    context::Context,
    install::{Component, Plan},
};
use anyhow::{Context as _, Result, bail};
use ask::Progress;
use owner::Owner;
use std::{collections::BTreeSet, fmt::Write as _, time::Duration};
use write::Found;

/// How long anything but waiting for pods may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Installs.
///
/// # Errors
/// What cannot be installed, what is somebody else's, and what is not ready in time.
pub(crate) fn run(args: &InstallArgs, context: &Context) -> Result<()> {
    let plan = manifest::plan(&args.spec, context)?;
    ask::say(&manifest::notes(&plan));
    let limit = LIMIT + args.readiness_timeout * u32::try_from(plan.components.len()).unwrap_or(u32::MAX);
    crate::remote::carried_out(limit, async { install(args, &plan, &Cluster::open(&context.kube).await?).await })
}

async fn install(args: &InstallArgs, plan: &Plan, cluster: &Cluster) -> Result<()> {
    let mut components = Vec::new();
    for component in &plan.components {
        components.push(Ready::new(component, plan, cluster).await?);
    }
    if components.is_empty() {
        bail!("nothing is to be installed: no component is enabled");
    }
    if args.dry_run {
        return crate::report::write(&components.iter().map(Ready::told).collect::<String>());
    }
    let names: Vec<&str> = plan.components.iter().map(|component| component.release.as_str()).collect();
    let question =
        format!("This installs {} into the cluster, control plane in namespace {}.", names.join(", "), plan.namespace);
    ask::confirm(&question, args.yes)?;
    for component in &components {
        let progress = Progress::begin(component.name);
        component.write(cluster).await?;
        wait::ready(cluster, &component.objects, args.readiness_timeout)
            .await
            .with_context(|| format!("{} encountered an error: failed to wait for resource", component.name))?;
        component.prune(plan, cluster).await?;
        progress.end("installed");
    }
    ask::tell("✔ Installation complete\n");
    Ok(())
}

/// A component with what was found of it in the cluster.
struct Ready<'a> {
    name: &'a str,
    namespace: &'a str,
    objects: Vec<Object>,
    found: Vec<Found>,
}

impl<'a> Ready<'a> {
    /// # Errors
    /// Where an object is somebody else's.
    async fn new(component: &'a Component, plan: &Plan, cluster: &Cluster) -> Result<Self> {
        let labels = owner::labels(component, &plan.revision);
        let (mut objects, mut found) = (Vec::new(), Vec::new());
        // What an upgrade leaves to pilot is said of this kind alone.
        let selector = owner::of_component(&component.release, &plan.revision);
        let is_upgrade = !write::of_kind(cluster, "ValidatingWebhookConfiguration", &selector).await?.is_empty();
        for mut object in component.objects(is_upgrade)? {
            found.push(match write::find(cluster, &object).await? {
                Found::There(owner) if owner != Owner::Command => match object.kind() {
                    // A definition serves whoever uses it: the one that is there does.
                    "CustomResourceDefinition" => Found::Left(owner),
                    _ => bail!("{} is there already and of {owner}: {}", object.title(), owner.mend()),
                },
                there => there,
            });
            labels.iter().for_each(|(key, value)| object.label(key, value));
            objects.push(object);
        }
        Ok(Ready { name: &component.release, namespace: &component.namespace, objects, found })
    }

    fn told(&self) -> String {
        let pairs = self.objects.iter().zip(&self.found);
        pairs.fold(String::new(), |mut text, (object, found)| {
            let verb = match found {
                Found::Absent => "create",
                Found::There(_) => "update",
                Found::Left(_) => "leave ",
            };
            let _ = writeln!(text, "{verb} {}", object.title());
            text
        })
    }

    async fn write(&self, cluster: &Cluster) -> Result<()> {
        write::namespace(cluster, self.namespace).await?;
        for (object, found) in self.objects.iter().zip(&self.found) {
            if !matches!(found, Found::Left(_)) {
                write::apply(cluster, object).await?;
            }
        }
        Ok(())
    }

    /// Removes what an earlier version or other settings wrote of this component, and these do not.
    async fn prune(&self, plan: &Plan, cluster: &Cluster) -> Result<()> {
        let wanted: BTreeSet<String> = self.objects.iter().map(Object::title).collect();
        let selector = owner::of_component(self.name, &plan.revision);
        for object in write::listed(cluster, &selector).await? {
            if object.kind() != "CustomResourceDefinition" && !wanted.contains(&object.title()) {
                write::delete(cluster, &object).await?;
            }
        }
        Ok(())
    }
}
