//! From a pod to the injected pod: templates rendered and laid over it, what the user said over that, and what can only
//! be known at the end.

use super::{
    Injector,
    annotations::{self, PROXY_CONFIG, STATUS_PORT},
    data::{self, Workload},
    merge::merge,
    mesh::status_port,
    overrides, probes, prometheus,
    text::{CONTAINERS, PROXY, STATUS, annotation, at, label, list, list_mut, map_mut, name},
};
use mesh_config::go::boolean;
use mesh_template::{Template, Value as Data, structure, to_value, yaml};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const NETWORK: &str = "topology.istio.io/network";
/// User and group of the proxy.
const PROXY_ID: u64 = 1337;

/// A pod that may be injected.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The pod, as whoever made it sent it.
    pub pod: &'a Value,
    /// Its namespace, or that of the request.
    pub namespace: &'a str,
    /// What it is of, where that is known better than from its owner.
    pub workload: Option<Workload>,
    /// Environment of the proxy, from the path of the request: cluster and network of a pod of another cluster.
    pub environment: &'a BTreeMap<String, String>,
}

/// The injected pod.
pub(super) fn render(question: &Question<'_>, injector: &Injector) -> Result<Value, String> {
    let mesh = &injector.mesh;
    annotations::check(question.pod, mesh).map_err(failed)?;
    let mut config = mesh.proxy_config(annotation(question.pod, PROXY_CONFIG)).map_err(failed)?;
    if let Some(port) = annotation(question.pod, STATUS_PORT).and_then(|port| port.trim().parse::<u16>().ok()) {
        config["statusPort"] = port.into();
    }
    let mut pod = question.pod.clone();
    overrides::forget_default_policy(&mut pod);
    let mut original = overrides::original(&pod, status_port(&config)).map_err(failed)?;
    let templates = injector.settings.templates(annotation(&pod, "inject.istio.io/templates")).map_err(failed)?;
    let parts = |original: &Value| {
        let data = template_data(question, original, &config, injector);
        templates.iter().map(|template| part(template, &data)).collect::<Result<Vec<_>, _>>().map_err(failed)
    };
    let mut laid = parts(&original)?;
    overrides::place_proxy(&mut pod, &together(&laid));
    if overrides::place_proxy(&mut original, &together(&laid)) {
        // Templates see the application's containers without it.
        laid = parts(&original)?;
    }
    let mut result = pod;
    laid.iter().for_each(|part| merge(&mut result, part));
    let rendered = together(&laid);
    overrides::reapply(&mut result, &original, &rendered);
    transparent(&mut result, &config);
    finish(&mut result, &rendered, question, &config, injector)?;
    Ok(result)
}

fn failed(error: String) -> String {
    format!("failed to run injection template: {error}")
}

/// What one template makes.
fn part(template: &Template, data: &Data) -> Result<Value, String> {
    let text = template.render(data).map_err(|error| error.to_string())?;
    match yaml::read(&text) {
        Ok(part) if part.is_object() => Ok(part),
        Ok(_) => Err(format!("template {} renders no part of a pod", template.name())),
        Err(error) => Err(format!("template {} renders no YAML: {error}", template.name())),
    }
}

/// What all templates make together.
fn together(parts: &[Value]) -> Value {
    let mut all = json!({});
    parts.iter().for_each(|part| merge(&mut all, part));
    all
}

fn template_data(question: &Question<'_>, pod: &Value, config: &Value, injector: &Injector) -> Data {
    let workload = question.workload.clone().unwrap_or_else(|| data::workload(pod, question.namespace));
    let (values, mesh) = (&injector.settings.values, &injector.mesh.config);
    let global = &values["global"];
    let mut meta = pod["metadata"].clone();
    for key in ["labels", "annotations"] {
        map_mut(&mut meta, key);
    }
    let variant = annotation(pod, "sidecar.istio.io/proxyImageType")
        .or_else(|| config["image"]["imageType"].as_str())
        .filter(|variant| !variant.is_empty())
        .unwrap_or_else(|| at(global, "/variant"));
    let (image, init) = (at(global, "/proxy/image"), at(global, "/proxy_init/image"));
    let localhost = mesh["inboundTrafficPolicy"]["mode"] == "LOCALHOST";
    let (user, group) = proxy_ids(pod);
    let revision = Some(injector.environment.revision.as_str()).filter(|revision| *revision != "default");
    let text = |text: &str| Data::from(text);
    let number = |n: u64| Data::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let fields = [
        ("TypeMeta", go(&json!({"kind": workload.kind, "apiVersion": workload.api_version}))),
        ("DeploymentMeta", go(&json!({"name": workload.name, "namespace": workload.namespace}))),
        ("ObjectMeta", go(&meta)),
        ("Spec", go(&pod["spec"])),
        ("ProxyConfig", data::proxy_config(config)),
        ("MeshConfig", go(mesh)),
        ("Values", to_value(values)),
        ("Revision", text(revision.unwrap_or_default())),
        ("NativeSidecars", Data::Bool(injector.environment.native_sidecars)),
        ("ProxyImage", data::image(global, image, "proxy", variant).into()),
        ("ProxyInitImage", data::image(global, init, "proxy-init", at(global, "/variant")).into()),
        ("ProxyUID", number(user)),
        ("ProxyGID", number(group)),
        ("InboundTrafficPolicyMode", text(if localhost { "localhost" } else { "passthrough" })),
        ("CompliancePolicy", text(&injector.environment.compliance_policy)),
    ];
    structure(fields.map(|(name, value)| (name.to_owned(), value)), &Value::Null)
}

fn go(json: &Value) -> Data {
    data::go_struct(json)
}

/// User and group that the proxy runs as: capture lets pass what they send.
fn proxy_ids(pod: &Value) -> (u64, u64) {
    let context = overrides::of_user(pod, PROXY).map(|container| &container["securityContext"]);
    let id = |key: &str| context.and_then(|context| context[key].as_u64()).filter(|id| *id != 0).unwrap_or(PROXY_ID);
    (id("runAsUser"), id("runAsGroup"))
}

/// A proxy that is handed connections with their addresses needs to be root, whoever asked for another user.
fn transparent(pod: &mut Value, config: &Value) {
    let own = annotation(pod, "sidecar.istio.io/interceptionMode").filter(|mode| !mode.is_empty());
    if own.or(config["interceptionMode"].as_str()) == Some("TPROXY")
        && let Some(proxy) = proxy_mut(pod)
        && proxy["securityContext"]["runAsUser"].is_number()
    {
        proxy["securityContext"]["runAsUser"] = json!(0);
    }
}

/// What can only be known when all containers are there.
fn finish(
    pod: &mut Value,
    rendered: &Value,
    question: &Question<'_>,
    config: &Value,
    injector: &Injector,
) -> Result<(), String> {
    let settings = &injector.settings;
    let network = cluster_environment(pod, question, injector);
    map_mut(pod, "metadata");
    let annotations = map_mut(&mut pod["metadata"], "annotations");
    let by_mesh = injector.mesh.prometheus_merge();
    if let Some(merged) = prometheus::merge(annotations, by_mesh, status_port(config)).map_err(failed)? {
        set_variable(pod, "ISTIO_PROMETHEUS_ANNOTATIONS", &merged.to_string());
    }
    secure_port(pod);
    rewrite_probes(pod, config, injector);
    if let Some(network) = network {
        map_mut(&mut pod["metadata"], "labels").entry(NETWORK).or_insert_with(|| network.into());
    }
    let status = status(rendered, &injector.environment.revision);
    let annotations = map_mut(&mut pod["metadata"], "annotations");
    annotations.insert(STATUS.to_owned(), status.into());
    for (name, value) in &settings.injected_annotations {
        annotations.insert(name.clone(), value.as_str().into());
    }
    let hold = config["holdApplicationUntilProxyStarts"] == true
        || settings.values["global"]["proxy"]["holdApplicationUntilProxyStarts"] == true;
    reorder(pod, hold);
    Ok(())
}

/// Cluster and network of the proxy, and what else the path of the request says. Returns the network, if one is known.
fn cluster_environment(pod: &mut Value, question: &Question<'_>, injector: &Injector) -> Option<String> {
    let global = &injector.settings.values["global"];
    let mut environment = BTreeMap::new();
    for (name, pointer) in [("ISTIO_META_CLUSTER_ID", "/multiCluster/clusterName"), ("ISTIO_META_NETWORK", "/network")]
    {
        let value = at(global, pointer);
        if !value.is_empty() {
            environment.insert(name.to_owned(), value.to_owned());
        }
    }
    environment.extend(question.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    if let Some(own) = label(pod, NETWORK).filter(|own| !own.is_empty()) {
        environment.insert("ISTIO_META_NETWORK".to_owned(), own.to_owned());
    }
    let network = environment.get("ISTIO_META_NETWORK").cloned();
    for (name, value) in &environment {
        set_variable(pod, name, value);
    }
    network
}

/// The proxy's container, in either list.
fn proxy_mut(pod: &mut Value) -> Option<&mut Value> {
    let field = CONTAINERS.into_iter().find(|field| list(&pod["spec"], field).iter().any(|c| name(c) == PROXY))?;
    pod["spec"][field].as_array_mut()?.iter_mut().find(|container| name(container) == PROXY)
}

/// Puts a variable at the end of the proxy's environment, in the place of another of its name.
fn set_variable(pod: &mut Value, variable: &str, value: &str) {
    if let Some(proxy) = proxy_mut(pod) {
        let environment = list_mut(proxy, "env");
        environment.retain(|known| name(known) != variable);
        environment.push(json!({"name": variable, "value": value}));
    }
}

fn variable<'a>(pod: &'a Value, wanted: &str) -> Option<&'a str> {
    let containers = CONTAINERS.into_iter().flat_map(|field| list(&pod["spec"], field));
    let proxy = containers.into_iter().find(|container| name(container) == PROXY)?;
    list(proxy, "env").iter().find(|known| name(known) == wanted)?["value"].as_str()
}

fn secure_port(pod: &mut Value) {
    let port = variable(pod, "ENVOY_SECURE_MERGED_METRICS_PORT").filter(|port| !matches!(*port, "" | "0"));
    if let Some(port) = port.map(str::to_owned) {
        let annotations = map_mut(&mut pod["metadata"], "annotations");
        annotations.entry("prometheus.istio.io/secure-port").or_insert_with(|| port.into());
    }
}

fn rewrite_probes(pod: &mut Value, config: &Value, injector: &Injector) {
    let by_values = injector.settings.values["sidecarInjectorWebhook"]["rewriteAppHTTPProbe"] == true;
    let said = annotation(pod, "sidecar.istio.io/rewriteAppHTTPProbers").and_then(boolean);
    if !said.unwrap_or(by_values) || proxy_mut(pod).is_none() {
        return;
    }
    let port = u64::from(status_port(config));
    let mut probers: Map<String, Value> = probes::rewrite(pod, port).into_iter().collect();
    // What an earlier injection found is not there to be found again.
    let before = variable(pod, PROBERS).and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    probers.extend(before.unwrap_or_default());
    if !probers.is_empty() {
        let sorted: BTreeMap<_, _> = probers.into_iter().collect();
        set_variable(pod, PROBERS, &json!(sorted).to_string());
    }
}

const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";

/// What the templates brought, as JSON: the names.
fn status(rendered: &Value, revision: &str) -> String {
    let names = |field| data::names(list(&rendered["spec"], field));
    json!({
        "initContainers": names("initContainers"),
        "containers": names("containers"),
        "volumes": names("volumes"),
        "imagePullSecrets": names("imagePullSecrets"),
        "revision": if revision.is_empty() { "default" } else { revision },
    })
    .to_string()
}

/// Capture comes first, then the proxy where it is an init container. Else it is last, so that its logs are not those that
/// are shown by default; or first where the application waits for it.
fn reorder(pod: &mut Value, hold: bool) {
    let spec = &mut pod["spec"];
    if let Some(containers) = spec.get_mut("containers").and_then(Value::as_array_mut) {
        containers.sort_by_key(|container| (name(container) == PROXY) != hold);
    }
    if let Some(containers) = spec.get_mut("initContainers").and_then(Value::as_array_mut) {
        let native = containers.iter().any(|container| name(container) == PROXY);
        containers.sort_by_key(|container| match (name(container), native) {
            ("istio-init", true) | ("istio-validation", false) => 0,
            ("istio-validation", true) => 1,
            (PROXY, true) => 2,
            ("enable-core-dump", true) => 3,
            (other, false) if other != "istio-init" && other != "enable-core-dump" => 4,
            ("istio-init", false) => 5,
            ("enable-core-dump", false) => 6,
            _ => 7,
        });
    }
}
