//! MeshConfig and ProxyConfig as injection reads them: JSON with the defaults filled in.

use ::mesh_config::{crd::mesh_config::parse_text, diagnostic::Severity};
use mesh_template::yaml;
use serde_json::{Map, Value, json};

/// MeshConfig.
#[derive(Debug)]
pub(super) struct Mesh {
    /// All of it, with defaults.
    pub(super) config: Value,
}

impl Mesh {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let given = yaml::read(text).map_err(|error| format!("mesh config: {error}"))?;
        if !given.is_object() && !given.is_null() {
            return Err("mesh config: must be a map".to_owned());
        }
        check(text).map_err(|error| format!("mesh config: {error}"))?;
        let mut config = json!({
            "proxyListenPort": 15001,
            "proxyInboundListenPort": 15006,
            "rootNamespace": "istio-system",
            "trustDomain": "cluster.local",
            "enablePrometheusMerge": true,
            "defaultConfig": default_proxy_config(),
        });
        overlay(&mut config, &given);
        Ok(Mesh { config })
    }

    /// `defaultConfig`, with what a pod's annotation says over it.
    pub(super) fn proxy_config(&self, annotation: Option<&str>) -> Result<Value, String> {
        let mut config = self.config["defaultConfig"].clone();
        if let Some(text) = annotation {
            let given = yaml::read(text)?;
            if !given.is_object() && !given.is_null() {
                return Err("it must be a map".to_owned());
            }
            check(&json!({ "defaultConfig": given }).to_string())?;
            overlay(&mut config, &given);
        }
        Ok(config)
    }

    pub(super) fn prometheus_merge(&self) -> bool {
        self.config["enablePrometheusMerge"] != false
    }
}

/// The port of readiness, probes and merged metrics, of a pod's ProxyConfig.
pub(super) fn status_port(config: &Value) -> u16 {
    config["statusPort"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(15020)
}

/// What is wrong in a MeshConfig.
fn check(text: &str) -> Result<(), String> {
    let (_, findings) = parse_text(text, &"istio-system".into());
    let errors: Vec<_> = findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(|f| format!("{}: {}", f.field, f.message))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

/// The ProxyConfig of a mesh that says nothing.
pub(super) fn default_proxy_config() -> Value {
    json!({
        "configPath": "./etc/istio/proxy",
        "binaryPath": "/usr/local/bin/envoy",
        "serviceCluster": "istio-proxy",
        "drainDuration": "45s",
        "terminationDrainDuration": "5s",
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "proxyAdminPort": 15000,
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "statNameLength": 189,
        "statusPort": 15020,
        "interceptionMode": "REDIRECT",
        "proxyMetadata": {},
    })
}

/// A ProxyConfig without what it would have anyway.
pub(super) fn without_defaults(config: &Value) -> Value {
    let defaults = default_proxy_config();
    let said = |(key, value): &(&String, &Value)| {
        defaults.get(key.as_str()) != Some(value)
            && !value.is_null()
            && value.as_object().is_none_or(|map| !map.is_empty())
    };
    let said = config.as_object().into_iter().flatten().filter(said);
    Value::Object(said.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Lays a message over another: fields of messages and keys of maps one by one, all else as a whole.
fn overlay(base: &mut Value, over: &Value) {
    let Value::Object(over) = over else { return };
    let Some(base) = base.as_object_mut() else { return };
    for (key, value) in over {
        let key = camel_case(key);
        match (base.get_mut(&key), value) {
            (_, Value::Null) => {}
            (Some(inner @ Value::Object(_)), Value::Object(map)) if is_map(&key) => {
                let inner = inner.as_object_mut().expect("matched as one");
                inner.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            (Some(inner @ Value::Object(_)), Value::Object(_)) => overlay(inner, value),
            (_, Value::Object(map)) if !is_map(&key) => {
                let mut inner = Value::Object(Map::new());
                overlay(&mut inner, &Value::Object(map.clone()));
                base.insert(key, inner);
            }
            _ => {
                base.insert(key, value.clone());
            }
        }
    }
}

/// Fields whose keys are the user's.
fn is_map(key: &str) -> bool {
    matches!(key, "proxyMetadata" | "runtimeValues" | "customTags" | "labels")
}

/// Protobuf reads both forms of a name.
fn camel_case(key: &str) -> String {
    let mut parts = key.split('_');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.extend(letters);
    }
    name
}
