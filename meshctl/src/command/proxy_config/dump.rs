//! A proxy's configuration as its admin port shows it (`docs/reference/proxy-config.md`). Read with tolerance: what a
//! proxy of another version leaves out is empty here.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Everything.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Dump {
    pub(super) listeners: Vec<Listener>,
    pub(super) routes: Vec<Route>,
    pub(super) clusters: Vec<Cluster>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) secrets: Vec<Secret>,
}

/// One way through one socket.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Listener {
    pub(super) name: String,
    /// Without port.
    pub(super) address: String,
    pub(super) port: u16,
    /// `outbound`, `inbound`, `gateway`; or what passes: HTTP, TCP, HTTP+TCP, UNKNOWN.
    pub(super) kind: String,
    #[serde(rename = "match")]
    pub(super) matches: String,
    pub(super) destination: String,
}

/// One route.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Route {
    /// Of the route configuration.
    pub(super) name: String,
    pub(super) virtual_host: String,
    pub(super) domains: Vec<String>,
    #[serde(rename = "match")]
    pub(super) matches: String,
    /// Name of the rule.
    pub(super) route: String,
    /// Names of clusters, with commas.
    pub(super) destination: String,
    /// `NAMESPACE/NAME` of the VirtualService.
    pub(super) object: String,
}

/// One cluster.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) fqdn: String,
    /// 0 where there is none.
    pub(super) port: u16,
    pub(super) subset: String,
    pub(super) direction: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// `NAMESPACE/NAME` of the DestinationRule.
    pub(super) destination_rule: String,
}

/// One endpoint of one cluster.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Endpoint {
    pub(super) address: String,
    /// 0 for sockets of the file system, and for workloads that are called by their address.
    pub(super) port: u16,
    pub(super) status: String,
    pub(super) outlier: String,
    pub(super) cluster: String,
    /// Who must answer; empty outside the mesh.
    pub(super) identity: String,
    /// Whether its proxy accepts mutual TLS.
    pub(super) mutual_tls: bool,
}

/// One certificate.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Secret {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) valid: bool,
    /// Hexadecimal.
    pub(super) serial: String,
    pub(super) not_after: String,
    pub(super) not_before: String,
    pub(super) trust_domain: String,
}

impl Dump {
    /// From JSON; `None` when it has none of the sections. An entry of another form than known is left out.
    pub(super) fn read(value: &Value) -> Option<Dump> {
        let sections = ["listeners", "routes", "clusters", "endpoints", "secrets"];
        sections.iter().any(|name| value.get(name).is_some_and(Value::is_array)).then(|| Dump {
            listeners: section(value, "listeners"),
            routes: section(value, "routes"),
            clusters: section(value, "clusters"),
            endpoints: section(value, "endpoints"),
            secrets: section(value, "secrets"),
        })
    }
}

fn section<T: DeserializeOwned>(value: &Value, name: &str) -> Vec<T> {
    let list = value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter()
        .filter_map(|entry| {
            // A field that is null is one that is left out.
            let known: Value = match entry {
                Value::Object(map) => {
                    map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
                }
                other => other.clone(),
            };
            serde_json::from_value(known).ok()
        })
        .collect()
}
