//! Probes and hooks that the kubelet sends to the application go to the proxy, which carries them on: it can tell the
//! kubelet from a peer, and the kubelet has no certificate.

use super::text::{CONTAINERS, PROXY, list, name};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Probes by field and the last part of their path.
const PROBES: [(&str, &str); 3] =
    [("readinessProbe", "readyz"), ("livenessProbe", "livez"), ("startupProbe", "startupz")];
const HOOKS: [(&str, &str); 2] = [("preStop", "prestopz"), ("postStart", "poststartz")];

/// Rewrites all probes of a pod's applications, to `port`; a probe that has it already was rewritten before. Returns what the
/// proxy does for each path.
pub(super) fn rewrite(pod: &mut Value, port: u64) -> BTreeMap<String, Value> {
    let mut probers = BTreeMap::new();
    let containers = CONTAINERS
        .into_iter()
        .flat_map(|field| pod["spec"].get(field).and_then(Value::as_array).is_some().then_some(field));
    for field in containers.collect::<Vec<_>>() {
        let list = pod["spec"][field].as_array_mut().expect("seen to be one above");
        for container in list.iter_mut().filter(|container| name(container) != PROXY) {
            rewrite_container(container, port, &mut probers);
        }
    }
    probers
}

fn rewrite_container(container: &mut Value, port: u64, probers: &mut BTreeMap<String, Value>) {
    let (owner, ports) = (name(container).to_owned(), list(container, "ports").to_vec());
    let mut one = |handler: &mut Value, path: String, timed: bool| {
        let done = handler["httpGet"]["port"].as_u64() == Some(port);
        let Some((prober, rewritten)) = rewritten(handler, &ports, &path, port) else { return };
        if let (Some(mut prober), false) = (prober, done) {
            if let (true, Some(seconds @ 1..)) = (timed, handler["timeoutSeconds"].as_u64()) {
                prober["timeoutSeconds"] = json!(seconds);
            }
            probers.insert(path, prober);
        }
        let handler = handler.as_object_mut().expect("it holds what was rewritten");
        handler.retain(|key, _| !matches!(key.as_str(), "httpGet" | "tcpSocket" | "grpc"));
        handler.insert("httpGet".to_owned(), rewritten);
    };
    for (field, last) in PROBES {
        if let Some(probe) = container.get_mut(field) {
            one(probe, format!("/app-health/{owner}/{last}"), true);
        }
    }
    for (field, last) in HOOKS {
        if let Some(hook) = container.get_mut("lifecycle").and_then(|hooks| hooks.get_mut(field)) {
            one(hook, format!("/app-lifecycle/{owner}/{last}"), false);
        }
    }
}

/// What the proxy does, if that can be said, and what the kubelet asks instead. `None`: nothing that goes over the network.
fn rewritten(handler: &Value, ports: &[Value], path: &str, port: u64) -> Option<(Option<Value>, Value)> {
    let plain = json!({"path": path, "port": port});
    if let Some(get) = handler.get("httpGet").and_then(Value::as_object) {
        let prober = with_number(get, ports, &["path", "port", "host", "scheme", "httpHeaders"]);
        let mut get = get.clone();
        get.insert("path".to_owned(), path.into());
        get.insert("port".to_owned(), port.into());
        if get.get("scheme") == Some(&json!("HTTPS")) {
            get.insert("scheme".to_owned(), "HTTP".into());
        }
        return Some((prober.map(|map| json!({"httpGet": map})), Value::Object(get)));
    }
    if let Some(socket) = handler.get("tcpSocket").and_then(Value::as_object) {
        let prober = with_number(socket, ports, &["port", "host"]);
        return Some((prober.map(|map| json!({"tcpSocket": map})), plain));
    }
    let call = handler.get("grpc").and_then(Value::as_object)?;
    let service = call.get("service").cloned().unwrap_or(Value::Null);
    Some((Some(json!({"grpc": {"port": call.get("port"), "service": service}})), plain))
}

/// The fields that count, with the port as a number. `None`: no port of the container has its name.
fn with_number(handler: &Map<String, Value>, ports: &[Value], fields: &[&str]) -> Option<Map<String, Value>> {
    let said = handler.get("port")?;
    let port = match said.as_str().map(str::parse::<u16>) {
        None => said.clone(),
        Some(Ok(number)) => json!(number),
        Some(Err(_)) => ports.iter().find(|port| port.get("name") == Some(said))?.get("containerPort")?.clone(),
    };
    let mut kept = Map::new();
    for field in fields {
        if let Some(value) = handler.get(*field) {
            kept.insert((*field).to_owned(), if *field == "port" { port.clone() } else { value.clone() });
        }
    }
    Some(kept)
}
