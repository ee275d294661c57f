//! What templates read: the pod, its workload, and the mesh, by the names that they have in Go.

use super::text::{at, label, list, name};
use mesh_template::{Value, structure, to_value};
use serde_json::{Value as Json, json};

/// What a pod is of: a Deployment, a Job; its own pod where nothing owns it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workload {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The workload of a pod, from the owner that it names.
pub(super) fn workload(pod: &Json, namespace: &str) -> Workload {
    let mut workload = Workload {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: at(pod, "/metadata/name").to_owned(),
        namespace: namespace.to_owned(),
    };
    let generated = !at(pod, "/metadata/generateName").is_empty();
    let owner = list(&pod["metadata"], "ownerReferences").iter().find(|owner| owner["controller"] == true);
    if let (true, Some(owner)) = (generated, owner) {
        owner_of_owner(pod, owner, &mut workload);
    }
    if workload.name.is_empty() {
        at(pod, "/metadata/name").clone_into(&mut workload.name);
    }
    workload
}

/// What stands behind the owner that Kubernetes names, told from names and labels.
fn owner_of_owner(pod: &Json, owner: &Json, workload: &mut Workload) {
    let (kind, name) = (at(owner, "/kind"), at(owner, "/name"));
    let mut set = |api_version: &str, kind: &str, name: &str| {
        *workload = Workload {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: std::mem::take(&mut workload.namespace),
        };
    };
    let api_version = at(owner, "/apiVersion");
    let without_hash = |key| name.strip_suffix(label(pod, key)?)?.strip_suffix('-');
    match kind {
        "ReplicaSet" => match (without_hash("pod-template-hash"), without_hash("rollouts-pod-template-hash")) {
            (_, Some(rollout)) => set("v1alpha1", "Rollout", rollout),
            (Some(deployment), None) => set(api_version, "Deployment", deployment),
            (None, None) => set(api_version, kind, name),
        },
        "ReplicationController" => match label(pod, "deploymentconfig") {
            Some(config) => set(api_version, "DeploymentConfig", config),
            None => set(api_version, kind, name),
        },
        "Job" => match name.rsplit_once('-') {
            Some((cron_job, time)) if (8..=10).contains(&time.len()) && time.bytes().all(|c| c.is_ascii_digit()) => {
                set("batch/v1", "CronJob", cron_job);
            }
            _ => set(api_version, kind, name),
        },
        _ => set(api_version, kind, name),
    }
}

/// The image of a container: hub, name, tag and variant.
pub(super) fn image(global: &Json, name: &str, default: &str, variant: &str) -> String {
    let (hub, mut tag) = (at(global, "/hub"), tag(global));
    let name = if name.is_empty() { default } else { name };
    if !variant.is_empty() {
        for old in ["-distroless", "-debug"] {
            if let Some(plain) = tag.strip_suffix(old) {
                tag = plain.to_owned();
            }
        }
        if variant != "default" {
            tag = format!("{tag}-{variant}");
        }
    }
    if hub.is_empty() { format!("{name}:{tag}") } else { format!("{hub}/{name}:{tag}") }
}

/// A tag may look like a number.
fn tag(global: &Json) -> String {
    match &global["tag"] {
        Json::String(tag) => tag.clone(),
        Json::Number(tag) => tag.to_string(),
        _ => "latest".to_owned(),
    }
}

/// Fields whose keys are the user's, not a struct's.
const MAPS: [&str; 10] = [
    "labels",
    "annotations",
    "nodeSelector",
    "limits",
    "requests",
    "matchLabels",
    "proxyMetadata",
    "runtimeValues",
    "overhead",
    "customTags",
];

/// A struct of Go: its fields by Go's names, and written by its own.
pub(super) fn go_struct(json: &Json) -> Value {
    match json {
        Json::Object(map) => {
            let fields = map.iter().map(|(key, value)| {
                let value = if MAPS.contains(&key.as_str()) { to_value(value) } else { go_struct(value) };
                (go_name(key), value)
            });
            structure(fields, json)
        }
        Json::Array(list) => list.iter().map(go_struct).collect::<Vec<_>>().into(),
        other => to_value(other),
    }
}

/// Go's name of a field.
fn go_name(key: &str) -> String {
    for (ours, gos) in [
        ("uid", "UID"),
        ("hostIPC", "HostIPC"),
        ("fsGroup", "FSGroup"),
        ("fsGroupChangePolicy", "FSGroupChangePolicy"),
        ("dnsPolicy", "DNSPolicy"),
        ("dnsConfig", "DNSConfig"),
        ("ip", "IP"),
        ("grpc", "GRPC"),
        ("httpGet", "HTTPGet"),
        ("httpHeaders", "HTTPHeaders"),
        ("tcpSocket", "TCPSocket"),
        ("tty", "TTY"),
        ("seLinuxOptions", "SELinuxOptions"),
        ("apiVersion", "APIVersion"),
        ("csi", "CSI"),
        ("nfs", "NFS"),
    ] {
        if key == ours {
            return gos.to_owned();
        }
    }
    let mut letters = key.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// ProxyConfig: what is a wrapped value in protobuf has its accessor.
pub(super) fn proxy_config(config: &Json) -> Value {
    let mut config = config.clone();
    if !config["proxyMetadata"].is_object() {
        config["proxyMetadata"] = json!({});
    }
    let mut fields: Vec<_> = match &config {
        Json::Object(map) => map.keys().map(|key| (go_name(key), go_field(key, &config[key]))).collect(),
        _ => Vec::new(),
    };
    for wrapped in ["holdApplicationUntilProxyStarts", "concurrency"] {
        let value = to_value(config.get(wrapped).unwrap_or(&Json::Null));
        let value = match (wrapped, value) {
            ("concurrency", Value::Nil) => Value::Int(0),
            (_, Value::Nil) => Value::Bool(false),
            (_, value) => value,
        };
        fields.retain(|(name, _)| *name != go_name(wrapped));
        let accessors = ["GetValue", "Value"].map(|accessor| (accessor.to_owned(), value.clone()));
        fields.push((go_name(wrapped), structure(accessors, config.get(wrapped).unwrap_or(&Json::Null))));
    }
    structure(fields, &config)
}

fn go_field(key: &str, value: &Json) -> Value {
    if MAPS.contains(&key) { to_value(value) } else { go_struct(value) }
}

/// Names of the containers of a list.
pub(super) fn names(list: &[Json]) -> Json {
    if list.is_empty() { Json::Null } else { list.iter().map(|element| name(element).to_owned()).collect() }
}
