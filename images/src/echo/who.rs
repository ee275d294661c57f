//! Who answers, from the environment, and what it says of a request.

use serde::Serialize;
use std::{collections::BTreeMap, env, net::SocketAddr};

/// The pod, as its environment tells it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Who {
    /// `POD_NAME`, else `HOSTNAME`, which is the pod's name unless it says otherwise.
    pub(super) pod: String,
    /// `POD_NAMESPACE`, else `NAMESPACE`.
    pub(super) namespace: String,
    /// `NODE_NAME`
    pub(super) node: String,
    /// `SERVICE_NAME`
    pub(super) service: String,
    /// `VERSION`
    pub(super) version: String,
}

impl Who {
    pub(super) fn from_environment() -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| env::var(name).ok()).unwrap_or_default();
        Who {
            pod: first(&["POD_NAME", "HOSTNAME"]),
            namespace: first(&["POD_NAMESPACE", "NAMESPACE"]),
            node: first(&["NODE_NAME"]),
            service: first(&["SERVICE_NAME"]),
            version: first(&["VERSION"]),
        }
    }
}

/// Both ends of a connection, and what TLS says of it where the port has TLS.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Over {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Tls>,
}

/// What TLS says of a connection.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tls {
    pub(super) version: String,
    pub(super) server_name: String,
    pub(super) negotiated_protocol: String,
    pub(super) client_certificate: bool,
}

/// The answer to a request.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) path: &'a str,
    pub(super) host: &'a str,
    pub(super) method: &'a str,
    pub(super) proto: &'a str,
    pub(super) headers: BTreeMap<&'a str, Vec<String>>,
    /// Bytes of the request's body.
    pub(super) bytes: usize,
    #[serde(flatten)]
    pub(super) who: &'a Who,
    #[serde(flatten)]
    pub(super) over: &'a Over,
}

/// Who answered what is no request: TCP and UDP.
#[derive(Debug, Serialize)]
pub(super) struct Signature<'a> {
    pub(super) proto: &'a str,
    #[serde(flatten)]
    pub(super) who: &'a Who,
    #[serde(flatten)]
    pub(super) over: &'a Over,
}

/// A line of JSON.
pub(super) fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("maps with text keys are JSON");
    text.push('\n');
    text
}
