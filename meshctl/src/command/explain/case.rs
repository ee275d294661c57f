//! A case of `explain --cases` as it appears in the file: everything may be left out, texts may be anything.

use mesh_config::kind::Role;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::net::IpAddr;

/// One world, one proxy, and calls that the proxy decides on.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    /// Handed back as it is.
    #[serde(default)]
    pub(super) id: Value,
    /// YAML text; also a list of objects.
    #[serde(default)]
    objects: Value,
    /// YAML text; also the object itself.
    #[serde(default)]
    mesh_config: Value,
    /// The proxy that decides.
    #[serde(default)]
    pub(super) workload: CaseWorkload,
    /// Read one by one, so that an odd one spoils only itself.
    #[serde(default)]
    pub(super) calls: Vec<Value>,
}

impl Case {
    /// The objects as one text of YAML documents.
    pub(super) fn objects(&self) -> String {
        match &self.objects {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(list) => list.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n"),
            other => other.to_string(),
        }
    }

    /// MeshConfig as YAML text.
    pub(super) fn mesh_config(&self) -> Option<String> {
        match &self.mesh_config {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// The proxy that decides.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct CaseWorkload {
    /// sidecar, router, waypoint, ztunnel.
    #[serde(rename = "type", deserialize_with = "text")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) namespace: Option<String>,
    #[serde(deserialize_with = "pairs")]
    pub(super) labels: Vec<(String, String)>,
    #[serde(deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) service_account: Option<String>,
    #[serde(deserialize_with = "addresses")]
    pub(super) ips: Vec<IpAddr>,
}

impl CaseWorkload {
    /// What the proxy is; a sidecar where the case does not say.
    pub(super) fn role(&self) -> Result<Role, String> {
        let word = self.kind.as_deref().unwrap_or(Role::Sidecar.word());
        let role = Role::from_word(word).ok_or_else(|| format!("there is no proxy of type {word:?}"))?;
        role.served().map_err(|error| error.to_string())
    }
}

/// Which side of the proxy a call comes in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the application.
    Outbound,
    /// From a peer.
    Inbound,
    /// From outside, at a gateway.
    Gateway,
}

impl Direction {
    /// By its name; `None` for a text that is no direction.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "outbound" => Some(Direction::Outbound),
            "inbound" => Some(Direction::Inbound),
            "gateway" => Some(Direction::Gateway),
            _ => None,
        }
    }
}

/// What the bytes of the connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum CallTls {
    /// Plain text.
    #[default]
    Plaintext,
    /// TLS of some other kind than the mesh's.
    Tls,
    /// The mesh's mutual TLS.
    Mtls,
}

/// A call, as given. What is not text where text belongs counts as left out.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct Call {
    #[serde(deserialize_with = "text")]
    pub(super) direction: Option<String>,
    #[serde(deserialize_with = "address")]
    pub(super) address: Option<IpAddr>,
    #[serde(deserialize_with = "number")]
    pub(super) port: Option<u64>,
    #[serde(deserialize_with = "text")]
    pub(super) protocol: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) tls: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) sni: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) alpn: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) method: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) host: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) path: Option<String>,
    #[serde(deserialize_with = "pairs")]
    pub(super) headers: Vec<(String, String)>,
    /// What earlier filters found, by filter name.
    pub(super) metadata: Option<Value>,
    pub(super) source: Option<Source>,
    #[serde(deserialize_with = "address")]
    pub(super) destination_ip: Option<IpAddr>,
}

/// Who calls.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct Source {
    #[serde(deserialize_with = "text")]
    pub(super) principal: Option<String>,
    #[serde(deserialize_with = "address")]
    pub(super) ip: Option<IpAddr>,
    #[serde(deserialize_with = "address")]
    pub(super) remote_ip: Option<IpAddr>,
}

impl Call {
    /// From JSON: an object.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        match value.is_object() {
            true => Call::deserialize(value).map_err(|reason| reason.to_string()),
            false => Err("no JSON object".to_owned()),
        }
    }

    /// Requests rather than a stream of bytes.
    pub(super) fn is_http(&self) -> bool {
        self.protocol.as_deref().is_none_or(|p| {
            let p = p.to_ascii_lowercase();
            p.starts_with("http") || p.starts_with("grpc")
        })
    }

    /// The identity that the caller proves.
    pub(super) fn principal(&self) -> Option<&str> {
        self.source.as_ref()?.principal.as_deref().filter(|p| !p.is_empty())
    }

    /// What earlier filters found; `None`: nothing.
    pub(super) fn metadata(&self) -> Option<&Value> {
        self.metadata.as_ref().filter(|metadata| !metadata.is_null())
    }

    /// The connection's security; without a word on it, a caller with an identity comes by mutual TLS.
    pub(super) fn tls(&self) -> CallTls {
        match self.tls.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("mtls" | "mutual") => CallTls::Mtls,
            Some("tls" | "simple") => CallTls::Tls,
            Some(_) => CallTls::Plaintext,
            None if self.principal().is_some() => CallTls::Mtls,
            None => CallTls::Plaintext,
        }
    }
}

/// Text; numbers and truth values are taken as what they look like.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?))
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?).and_then(|t| t.parse().ok()))
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    Ok(list.iter().filter_map(|v| v.as_str()?.parse().ok()).collect())
}

/// A map from name to one value or a list of values, or a list of pairs.
fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    let mut pairs = Vec::new();
    match Value::deserialize(deserializer)? {
        Value::Object(map) => {
            for (name, value) in map {
                match &value {
                    Value::Array(values) => {
                        pairs.extend(values.iter().filter_map(as_text).map(|v| (name.clone(), v)));
                    }
                    one => pairs.extend(as_text(one).map(|v| (name.clone(), v))),
                }
            }
        }
        Value::Array(list) => pairs.extend(list.iter().filter_map(|pair| match pair.as_array()?.as_slice() {
            [name, value] => Some((as_text(name)?, as_text(value)?)),
            _ => None,
        })),
        _ => {}
    }
    Ok(pairs)
}
