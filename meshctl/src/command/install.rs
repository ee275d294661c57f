//! Writes the mesh into a cluster, one component after the other, and waits until each is ready: `install`, and `upgrade` of what is
//! there. Whose an object is decides whether it may be written: one that is not of this command stays as it is, unless it is
//! adopted.
//!
//! [`installed`] and [`version`]: what is there, and whether it may go to this version. [`ready`]: a component against the cluster.
//! [`write`]: how one object is written. [`release`]: what Helm has on record.

pub(crate) mod ask;
mod change;
mod installed;
pub(crate) mod owner;
mod ready;
mod release;
mod version;
mod wait;
pub(crate) mod write;

use super::tag;
use crate::{
    cli::InstallArgs,
    cluster::Cluster,
    command::manifest,
    context::Context,
    dataplane::{self, Running},
    install::Plan,
};
use anyhow::{Context as _, Result, bail};
use ask::Progress;
use installed::Installed;
use kube::{Api, ResourceExt as _, api::ListParams};
use ready::Ready;
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// How long anything but waiting for pods may take.
const LIMIT: Duration = Duration::from_secs(600);

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// The mesh, whether it is there or not.
    Install,
    /// Another version or other settings of what is there, or a revision beside it.
    Upgrade,
}

/// Installs, or upgrades.
///
/// # Errors
/// What cannot be installed, what is somebody else's, and what is not ready in time.
pub(crate) fn run(intent: Intent, args: &InstallArgs, context: &Context) -> Result<()> {
    let plan = manifest::plan(&args.spec, context)?;
    ask::say(&manifest::notes(&plan));
    let limit = LIMIT + args.readiness_timeout * u32::try_from(plan.components.len()).unwrap_or(u32::MAX);
    crate::remote::carried_out(limit, async {
        install(intent, args, &plan, &Cluster::open(&context.kube).await?).await
    })
}

async fn install(intent: Intent, args: &InstallArgs, plan: &Plan, cluster: &Cluster) -> Result<()> {
    let there = installed::all(cluster).await?;
    if intent == Intent::Upgrade {
        upgradable(&there, plan)?;
    }
    let mut told = installed::check(&there, plan, args.spec.force)?;
    let terms = ready::Terms { plan, adopt: args.adopt, tagged: tag::default::revision(cluster).await? };
    let mut components = Vec::new();
    for component in &plan.components {
        components.push(Ready::new(component, &terms, cluster).await?);
    }
    if components.is_empty() {
        bail!("nothing is to be installed: no component is enabled");
    }
    if args.dry_run {
        components.iter().for_each(|component| told.push_str(&component.told()));
        return crate::report::write(&told);
    }
    let names: Vec<&str> = plan.components.iter().map(|component| component.release.as_str()).collect();
    let _ = writeln!(
        told,
        "This installs {} into the cluster, control plane in namespace {}.",
        names.join(", "),
        plan.namespace
    );
    components.iter().for_each(|component| told.push_str(&component.summed_up()));
    ask::confirm(told.trim_end(), args.yes)?;
    // Proxies say their version to the pilot that goes; the next one hears it when they have come over.
    let proxies = match there.is_empty() {
        true => Ok(Vec::new()),
        false => dataplane::proxies(cluster).await,
    };
    for component in &components {
        let progress = Progress::begin(component.name);
        component.write(cluster).await?;
        wait::ready(cluster, &component.objects, args.readiness_timeout)
            .await
            .with_context(|| format!("{} encountered an error: failed to wait for resource", component.name))?;
        component.finish(&terms, cluster).await?;
        progress.end("installed");
    }
    ask::tell("✔ Installation complete\n");
    crate::report::write(&afterwards(&there, plan, proxies, cluster).await)
}

/// Refuses to upgrade what is not there; a revision that is not there may come beside another.
fn upgradable(there: &[Installed], plan: &Plan) -> Result<()> {
    let beside = !plan.revision.is_empty() && !there.is_empty();
    if beside || there.iter().any(|one| one.is_of(plan)) {
        return Ok(());
    }
    let (revision, namespace) = (owner::name(&plan.revision), &plan.namespace);
    let known: Vec<String> = there.iter().map(|one| format!("{} in {}", one.revision, one.namespace)).collect();
    match known.is_empty() {
        true => bail!("no control plane is installed: meshctl install installs one"),
        false => bail!(
            "no control plane of revision {revision} is in namespace {namespace}; there is {}: say which with --revision and -i, or install it with meshctl install",
            known.join(", ")
        ),
    }
}

/// What is left to do for whoever upgraded. What cannot be asked is said, and is no failure: everything is written.
async fn afterwards(there: &[Installed], plan: &Plan, proxies: Result<Vec<Running>>, cluster: &Cluster) -> String {
    let mut text = String::new();
    if there.is_empty() {
        return text;
    }
    if !there.iter().any(|one| one.is_of(plan)) {
        let revision = owner::name(&plan.revision);
        let _ = writeln!(
            text,
            "Revision {revision} stands beside what was there. Namespaces come to it one by one:\n  \
             kubectl label namespace NAME istio-injection- istio.io/rev={revision} --overwrite && kubectl -n NAME rollout restart deployment\n\
             or all those of a tag at once: meshctl tag set TAG --revision {revision} --overwrite"
        );
        return text;
    }
    let behind = async {
        let workloads = workloads(plan, cluster).await?;
        let this = installed::this()?.to_string();
        // Of what was there before, what is still there was not made anew.
        let still = proxies?;
        let still = still.iter().filter(|proxy| workloads.contains_key(&proxy.name));
        Ok::<_, anyhow::Error>(dataplane::behind(
            still.map(|proxy| (&*proxy.name, &*proxy.version, &*this)),
            &workloads,
        ))
    };
    match behind.await {
        Ok(behind) => {
            for group in behind {
                let _ = writeln!(text, "{}\n  {}", group.what(), group.mend());
            }
        }
        Err(error) => ask::say(&format!(
            "Which proxies are of another version is not known: {error:#}; meshctl status says it when they have connected\n"
        )),
    }
    text
}

/// What the pods of a revision are of, by `NAME.NAMESPACE`.
async fn workloads(plan: &Plan, cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let api: Api<k8s_openapi::api::core::v1::Pod> = Api::all(cluster.client.clone());
    let running = ListParams::default().fields("status.phase=Running");
    let revision = running.labels(&format!("istio.io/rev={}", owner::name(&plan.revision)));
    let pods = cluster.list(&api, revision, "pods").await?;
    let staying = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let named = |pod: &k8s_openapi::api::core::v1::Pod| {
        (format!("{}.{}", pod.name_any(), pod.namespace().unwrap_or_default()), dataplane::workload(pod))
    };
    Ok(staying.map(named).collect())
}
