//! What the cluster and its pilots say of the mesh.

use super::{Facts, Injected, PilotPod, Proxy, Webhook};
use crate::{
    cluster::{self, Cluster},
    command::ca::told::{Certificate, Pilot},
    context::Context,
    dataplane, remote,
};
use anyhow::Result;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{ConfigMap, Namespace, Pod},
};
use kube::{Api, ResourceExt, api::ListParams};
use mesh_config::name::of_revision;
use mesh_pilot::inject::{CONFIG_MAP, Environment, Injector};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// On a pod that was injected.
const STATUS: &str = "sidecar.istio.io/status";

pub(super) async fn facts(context: &Context) -> Result<Facts> {
    let cluster = Cluster::open(&context.kube).await?;
    let mut facts = Facts { namespace: cluster.mesh_namespace.clone(), ..Facts::default() };
    facts.pilots = pilots(&cluster).await?;
    let hooks = cluster.injecting().await?;
    facts.webhooks = hooks.iter().map(webhook).collect();
    let injectors = injectors(&cluster, &hooks).await?;
    let mut asking = cluster.asking().await?;
    asking.retain(|(namespace, _)| context.only_namespace().is_none_or(|only| only == namespace.name_any()));
    let others = revisions_of_others(&hooks, &cluster.mesh_namespace);
    pods(&cluster, &asking, &injectors, &others, &mut facts).await?;
    if facts.pilots.iter().any(|pilot| pilot.ready) {
        if let Err(error) = proxies(&cluster, &mut facts).await {
            facts.unasked.push(format!("the control plane cannot be asked for its proxies: {error:#}"));
        }
        match remote::authorities_in(&cluster).await {
            Ok(said) => facts.certificates = certificates(said),
            Err(error) => facts.unasked.push(format!("the control plane cannot be asked for its root: {error:#}")),
        }
        if let Err(error) = findings(&cluster, &mut facts).await {
            facts.unasked.push(format!("the control plane cannot be asked for its findings: {error:#}"));
        }
    }
    Ok(facts)
}

async fn pilots(cluster: &Cluster) -> Result<Vec<PilotPod>> {
    let namespace = &cluster.mesh_namespace;
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let what = format!("pods in namespace {namespace}");
    let list = cluster.list(&api, ListParams::default().labels("app=istiod"), &what).await?;
    let of_pod = |pod: Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions.and_then(|list| list.iter().find(|condition| condition.type_ == "Ready"));
        PilotPod {
            name: pod.name_any(),
            ready: ready.is_some_and(|condition| condition.status == "True"),
            reason: ready.and_then(|condition| condition.message.clone()).unwrap_or_default(),
        }
    };
    Ok(staying(list).map(of_pod).collect())
}

/// Those that nobody has removed: what is on its way out is nothing to mend.
fn staying(pods: Vec<Pod>) -> impl Iterator<Item = Pod> {
    pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none())
}

fn webhook(hook: &MutatingWebhookConfiguration) -> Webhook {
    let entries = hook.webhooks.as_deref().unwrap_or_default();
    let trusted =
        entries.iter().all(|entry| entry.client_config.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty()));
    Webhook { name: hook.name_any(), trusted }
}

/// Who decides over pods, by revision and by tag.
type Injectors = BTreeMap<String, Decides>;

enum Decides {
    /// We.
    We(Box<Injector>),
    /// We, by what cannot be used; why.
    Unusable(String),
    /// Another control plane, whose namespaces are not ours to judge.
    Another,
}

async fn injectors(cluster: &Cluster, hooks: &[MutatingWebhookConfiguration]) -> Result<Injectors> {
    let namespace = &cluster.mesh_namespace;
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let what = format!("ConfigMaps in namespace {namespace}");
    let maps = cluster.list(&api, ListParams::default(), &what).await?;
    let of = |revision: &str| {
        let name = of_revision(CONFIG_MAP, revision);
        let map = maps.iter().find(|map| map.name_any() == name);
        match injector(map) {
            Ok(injector) => Decides::We(injector.into()),
            Err(error) => Decides::Unusable(format!("ConfigMap {namespace}/{name} {error}")),
        }
    };
    let mut injectors = Injectors::new();
    for hook in hooks {
        let revision = cluster::revision(hook);
        let asked = hook.labels().get("istio.io/tag").unwrap_or(&revision).clone();
        if cluster::is_of_another(hook, namespace) {
            injectors.entry(asked).or_insert(Decides::Another);
        } else {
            injectors.insert(asked, of(&revision));
        }
    }
    Ok(injectors)
}

fn injector(map: Option<&ConfigMap>) -> Result<Injector, String> {
    let data = map.and_then(|map| map.data.as_ref()).ok_or("is not there")?;
    let key = |name: &str| data.get(name).map(String::as_str).ok_or_else(|| format!("has no key {name}"));
    Injector::new(key("config")?, key("values")?, "", Environment::default())
        .map_err(|error| format!("cannot be used: {error}"))
}

async fn pods(
    cluster: &Cluster,
    asking: &[(Namespace, String)],
    injectors: &Injectors,
    others: &BTreeSet<String>,
    facts: &mut Facts,
) -> Result<()> {
    let api: Api<Pod> = Api::all(cluster.client.clone());
    let list = cluster.list(&api, ListParams::default().fields("status.phase=Running"), "pods").await?;
    let mut by_namespace: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
    for pod in staying(list) {
        if is_ours(&pod, others) {
            let name = format!("{}.{}", pod.name_any(), pod.namespace().unwrap_or_default());
            facts.meshed.insert(name, dataplane::workload(&pod));
        }
        by_namespace.entry(pod.namespace().unwrap_or_default()).or_default().push(pod);
    }
    for (namespace, revision) in asking {
        let name = namespace.name_any();
        let pods = by_namespace.get(&name).map(Vec::as_slice).unwrap_or_default();
        facts.namespaces.push(match injectors.get(revision) {
            Some(Decides::Another) => continue,
            Some(Decides::We(injector)) => injected(&name, pods, injector),
            Some(Decides::Unusable(error)) => {
                let why = format!("it is not known which pods of namespace {name} get a sidecar: {error}");
                facts.undecided.push(why);
                Injected { name, ..Injected::default() }
            }
            None => {
                // That nothing injects at all is told once.
                if !facts.webhooks.is_empty() {
                    let why = format!("namespace {name} asks for revision {revision}, and no webhook is of it");
                    facts.undecided.push(why);
                }
                Injected { name, ..Injected::default() }
            }
        });
    }
    Ok(())
}

/// Revisions that only control planes of other namespaces have.
pub(super) fn revisions_of_others(hooks: &[MutatingWebhookConfiguration], namespace: &str) -> BTreeSet<String> {
    let (theirs, ours): (Vec<_>, Vec<_>) = hooks.iter().partition(|hook| cluster::is_of_another(hook, namespace));
    let ours: BTreeSet<String> = ours.into_iter().map(cluster::revision).collect();
    theirs.into_iter().map(cluster::revision).filter(|revision| !ours.contains(revision)).collect()
}

/// Whether a pod's proxy was injected, and not by another control plane beside ours.
pub(super) fn is_ours(pod: &Pod, others: &BTreeSet<String>) -> bool {
    let revision = pod.labels().get("istio.io/rev").map_or("default", String::as_str);
    pod.annotations().contains_key(STATUS) && !others.contains(revision)
}

/// The pods of a namespace that have a sidecar, or would if they were made now.
pub(super) fn injected(name: &str, pods: &[Pod], injector: &Injector) -> Injected {
    let mut injected = Injected { name: name.to_owned(), ..Injected::default() };
    for pod in pods {
        let has_sidecar = pod.annotations().contains_key(STATUS);
        if has_sidecar || injector.decide(&serde_json::to_value(pod).unwrap_or_default(), name).inject {
            injected.pods += 1;
            if !has_sidecar {
                injected.without.push(pod.name_any());
            }
        }
    }
    injected
}

async fn proxies(cluster: &Cluster, facts: &mut Facts) -> Result<()> {
    for answer in remote::clients_in(cluster).await? {
        let clients = answer.value.as_array().into_iter().flatten();
        facts.proxies.extend(clients.map(|client| Proxy { pilot: answer.version.clone(), ..proxy(client) }));
        facts.versions.extend(answer.version);
    }
    facts.proxies.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

fn proxy(client: &Value) -> Proxy {
    let text = |name: &str| client[name].as_str().unwrap_or_default().to_owned();
    let mut proxy = Proxy { name: text("proxy"), version: text("version"), ..Proxy::default() };
    for (kind, state) in client["kinds"].as_object().into_iter().flatten() {
        if state["status"] == "stale" {
            proxy.stale.push(kind.clone());
        }
        proxy
            .refused
            .extend(state["refused"].as_object().into_iter().flatten().map(|(name, _)| format!("{kind} {name}")));
    }
    proxy
}

/// From the first pilot that says it: all sign with one root.
fn certificates(said: Vec<(String, Result<Value, String>)>) -> Vec<Certificate> {
    let mut said = said.into_iter().filter_map(|(name, said)| Pilot::of(name, said).said.ok());
    said.next().map(|said| said.certificates).unwrap_or_default()
}

/// From the first pilot: all of them read the same objects.
async fn findings(cluster: &Cluster, facts: &mut Facts) -> Result<()> {
    let Some(pilot) = facts.pilots.iter().find(|pilot| pilot.ready) else { return Ok(()) };
    let told = remote::get_json(cluster, &cluster.mesh_namespace, &pilot.name, 15014, "/debug/diagnostics").await?;
    for finding in told["diagnostics"].as_array().into_iter().flatten() {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        let severity = text("severity").to_ascii_lowercase();
        if severity == "info" {
            continue;
        }
        let object = format!("{} {}/{}", text("kind"), text("namespace"), text("name"));
        facts.findings.push((severity, object, text("message").to_owned()));
    }
    Ok(())
}
