//! What is asked for a report, and in which file the answer stands.

use super::choose::Choice;
use crate::{
    cli::BugReportArgs,
    cluster::{Cluster, target::PodName},
    command::install::write,
    dataplane,
    install::kind,
};
use anyhow::Result;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, ListParams},
};
use std::collections::BTreeSet;

/// Most proxies that are looked into.
const MOST: usize = 500;
/// On a pod that was injected.
const STATUS: &str = "sidecar.istio.io/status";
/// Port of pilot's pages, and those that need no more than their name.
const PILOT: u16 = 15014;
const OF_PILOT: [(&str, &str); 16] = [
    ("/metrics", "metrics.txt"),
    ("/version", "version.txt"),
    ("/log-level", "log-level.txt"),
    ("/debug/adsz", "debug/adsz.json"),
    ("/debug/authorizationz", "debug/authorizationz.json"),
    ("/debug/clients", "debug/clients.json"),
    ("/debug/clusterz", "debug/clusterz.json"),
    ("/debug/endpointz", "debug/endpointz.json"),
    ("/debug/mesh", "debug/mesh.txt"),
    ("/debug/networkz", "debug/networkz.json"),
    ("/debug/objects", "debug/objects.json"),
    ("/debug/registryz", "debug/registryz.json"),
    ("/debug/resourcesz", "debug/resourcesz.json"),
    ("/debug/syncz", "debug/syncz.json"),
    ("/debug/telemetryz", "debug/telemetryz.json"),
    (FINDINGS, "debug/diagnostics.json"),
];
const FINDINGS: &str = "/debug/diagnostics";
const OF_PROXY: [(&str, &str); 4] = [
    ("/debug/config_dump", "config_dump.json"),
    ("/server_info", "server_info.json"),
    ("/stats/prometheus", "stats.txt"),
    ("/log-level", "log-level.txt"),
];
/// Kinds of Kubernetes that say what the mesh is made of; those of the charts come besides.
const OF_CLUSTER: [(&str, &str, &str, &str); 3] = [
    ("", "v1", "Service", "services"),
    ("", "v1", "Node", "nodes"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
];

/// A question, and the file of its answer.
pub(super) struct Question {
    pub(super) file: String,
    pub(super) what: What,
}

/// What is asked.
pub(super) enum What {
    /// All objects of a kind.
    Kind(ApiResource),
    /// Objects of the charts.
    Installed,
    /// Names of the Secrets of the control plane's namespace; their data is not asked for.
    SecretNames,
    Pods,
    Events(String),
    Page {
        pod: PodName,
        port: u16,
        path: &'static str,
    },
    Log {
        pod: PodName,
        container: String,
        previous: bool,
    },
}

/// All questions.
///
/// # Errors
/// When pods cannot be listed: then there is nothing to begin with.
pub(super) async fn questions(args: &BugReportArgs, chosen: &Choice, cluster: &Cluster) -> Result<Vec<Question>> {
    let api: Api<Pod> = Api::all(cluster.client.clone());
    let pods = cluster.list(&api, ListParams::default(), "pods").await?;
    let is_pilot = |pod: &&Pod| {
        pod.namespace().as_deref() == Some(&cluster.mesh_namespace)
            && pod.labels().get("app").is_some_and(|app| app == "istiod")
    };
    let mut questions = Vec::new();
    for pod in pods.iter().filter(is_pilot) {
        of_pod(pod, "pilot", PILOT, &OF_PILOT, &mut questions);
    }
    if args.skip_analyze {
        questions.retain(|question| !matches!(question.what, What::Page { path: FINDINGS, .. }));
    }
    let mut namespaces = BTreeSet::from([cluster.mesh_namespace.clone()]);
    let meshed = pods.iter().filter(|pod| pod.annotations().contains_key(STATUS));
    for pod in meshed.filter(|pod| chosen.has(pod, &dataplane::workload(pod))).take(MOST) {
        namespaces.extend(pod.namespace());
        let pages: &[_] = if args.skip_proxy_debug { &[] } else { &OF_PROXY };
        of_pod(pod, "proxies", args.proxy_admin_port, pages, &mut questions);
    }
    if !args.skip_cluster_dump {
        of_cluster(namespaces, cluster, &mut questions).await;
    }
    Ok(questions)
}

async fn of_cluster(namespaces: BTreeSet<String>, cluster: &Cluster, questions: &mut Vec<Question>) {
    let mut ask = |file: String, what: What| questions.push(Question { file: format!("cluster/{file}"), what });
    ask("installed.yaml".to_owned(), What::Installed);
    ask("pods.yaml".to_owned(), What::Pods);
    ask("secret-names.yaml".to_owned(), What::SecretNames);
    for (group, version, kind, plural) in OF_CLUSTER {
        ask(format!("{plural}.yaml"), What::Kind(resource(group, version, kind, plural)));
    }
    for word in ["Namespace", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        if let Some(kind) = kind::Kind::of(word) {
            ask(format!("{}.yaml", kind.plural), What::Kind(kind.resource()));
        }
    }
    // That none can be listed is said where definitions are asked for among what is installed.
    for definition in write::of_kind(cluster, "CustomResourceDefinition", "").await.unwrap_or_default() {
        let spec = &definition.0["spec"];
        let group = spec["group"].as_str().unwrap_or_default();
        let is_of_mesh = group.ends_with(".istio.io") || group == "gateway.networking.k8s.io";
        let mut versions = spec["versions"].as_array().into_iter().flatten();
        let stored = versions.find(|version| version["storage"] == true && version["served"] == true);
        let names = [&spec["names"]["kind"], &spec["names"]["plural"]].map(|name| name.as_str().unwrap_or_default());
        if let Some(version) = stored.and_then(|version| version["name"].as_str()).filter(|_| is_of_mesh) {
            ask(format!("{}.{group}.yaml", names[1]), What::Kind(resource(group, version, names[0], names[1])));
        }
    }
    for namespace in namespaces {
        ask(format!("events/{namespace}.yaml"), What::Events(namespace));
    }
}

/// Pages of a pod's process, and logs of its container of ours.
fn of_pod(pod: &Pod, folder: &str, port: u16, pages: &[(&'static str, &str)], questions: &mut Vec<Question>) {
    let name = PodName { namespace: pod.namespace().unwrap_or_default(), name: pod.name_any() };
    let folder = format!("{folder}/{}/{}", name.namespace, name.name);
    let is_running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    for (path, file) in pages.iter().filter(|_| is_running) {
        questions
            .push(Question { file: format!("{folder}/{file}"), what: What::Page { pod: name.clone(), port, path } });
    }
    let containers =
        pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    for container in containers.filter(|container| is_ours(&container.name)) {
        for previous in [false, true] {
            let file = format!("{folder}/{}{}.log", container.name, if previous { ".previous" } else { "" });
            let (pod, container) = (name.clone(), container.name.clone());
            questions.push(Question { file, what: What::Log { pod, container, previous } });
        }
    }
}

/// Containers that the mesh puts into pods, and pilot's own.
pub(super) fn is_ours(container: &str) -> bool {
    matches!(container, "istio-proxy" | "istio-init" | "istio-validation" | "discovery")
}

/// Events are their own kind in a client.
pub(super) fn events(cluster: &Cluster, namespace: &str) -> Api<Event> {
    Api::namespaced(cluster.client.clone(), namespace)
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let [group, version, kind, plural] = [group, version, kind, plural].map(str::to_owned);
    ApiResource { group, version, api_version, kind, plural }
}
