//! What the cluster and its pilots say of the mesh.

use super::{Facts, Injected, PilotPod, Proxy, Webhook};
use crate::{
    cluster::{self, Cluster},
    context::Context,
    remote,
};
use anyhow::Result;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{Namespace, Pod},
};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::Value;
use std::collections::BTreeSet;

/// Most objects of a kind that are looked at.
const MOST: u32 = 5000;
/// On a pod that was injected.
const STATUS: &str = "sidecar.istio.io/status";

pub(super) async fn facts(context: &Context) -> Result<Facts> {
    let cluster = Cluster::open(&context.kube).await?;
    let mut facts = Facts { namespace: cluster.mesh_namespace.clone(), ..Facts::default() };
    facts.pilots = pilots(&cluster).await?;
    facts.webhooks = webhooks(&cluster).await?;
    let asking = namespaces(&cluster, context.only_namespace()).await?;
    pods(&cluster, &asking, &mut facts).await?;
    if facts.pilots.iter().any(|pilot| pilot.ready) {
        if let Err(error) = proxies(&cluster, &mut facts).await {
            facts.unasked.push(format!("the control plane cannot be asked for its proxies: {error:#}"));
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
    let list = api.list(&ListParams::default().labels("app=istiod").limit(MOST)).await;
    let list = list.map_err(|error| cluster.told(error, &format!("list pods in namespace {namespace}")))?;
    let of_pod = |pod: Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions.and_then(|list| list.iter().find(|condition| condition.type_ == "Ready"));
        PilotPod {
            name: pod.name_any(),
            ready: ready.is_some_and(|condition| condition.status == "True"),
            reason: ready.and_then(|condition| condition.message.clone()).unwrap_or_default(),
        }
    };
    Ok(list.items.into_iter().map(of_pod).collect())
}

async fn webhooks(cluster: &Cluster) -> Result<Vec<Webhook>> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let list = api.list(&ListParams::default().limit(MOST)).await;
    let list = list.map_err(|error| cluster.told(error, "list MutatingWebhookConfigurations"))?;
    let is_trusted = |hook: &MutatingWebhookConfiguration| {
        let entries = hook.webhooks.as_deref().unwrap_or_default();
        entries.iter().all(|entry| entry.client_config.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty()))
    };
    let hooks = list.items.iter().filter(|hook| cluster::injects(hook));
    Ok(hooks.map(|hook| Webhook { name: hook.name_any(), trusted: is_trusted(hook) }).collect())
}

/// Namespaces that ask for injection.
async fn namespaces(cluster: &Cluster, only: Option<&str>) -> Result<BTreeSet<String>> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let list = api.list(&ListParams::default().limit(MOST)).await;
    let list = list.map_err(|error| cluster.told(error, "list namespaces"))?;
    let asks = |namespace: &&Namespace| {
        let labels = namespace.labels();
        let word = labels.get("istio-injection").map(String::as_str);
        word == Some("enabled") || (word.is_none() && labels.contains_key("istio.io/rev"))
    };
    let names = list.items.iter().filter(asks).map(ResourceExt::name_any);
    Ok(names.filter(|name| only.is_none_or(|only| only == name)).collect())
}

async fn pods(cluster: &Cluster, asking: &BTreeSet<String>, facts: &mut Facts) -> Result<()> {
    let api: Api<Pod> = Api::all(cluster.client.clone());
    let list = api.list(&ListParams::default().fields("status.phase=Running").limit(MOST)).await;
    let list = list.map_err(|error| cluster.told(error, "list pods"))?;
    facts.namespaces = asking.iter().map(|name| Injected { name: name.clone(), ..Injected::default() }).collect();
    for pod in &list.items {
        let namespace = pod.namespace().unwrap_or_default();
        let has_sidecar = pod.annotations().contains_key(STATUS);
        if has_sidecar {
            facts.meshed.insert(format!("{}.{namespace}", pod.name_any()));
        }
        if let Some(injected) = facts.namespaces.iter_mut().find(|injected| injected.name == namespace) {
            if has_sidecar {
                injected.pods += 1;
            } else if wants_sidecar(pod) {
                injected.pods += 1;
                injected.without.push(pod.name_any());
            }
        }
    }
    Ok(())
}

/// Whether nothing about the pod itself keeps it out of the mesh.
fn wants_sidecar(pod: &Pod) -> bool {
    let refuses = |map: &std::collections::BTreeMap<String, String>| {
        map.get("sidecar.istio.io/inject").is_some_and(|word| matches!(&**word, "false" | "n" | "no" | "off"))
    };
    let on_host = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    !(on_host || refuses(pod.labels()) || refuses(pod.annotations()))
}

async fn proxies(cluster: &Cluster, facts: &mut Facts) -> Result<()> {
    for answer in remote::clients_in(cluster).await? {
        facts.version = facts.version.take().or(answer.version);
        facts.proxies.extend(answer.value.as_array().into_iter().flatten().map(proxy));
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
