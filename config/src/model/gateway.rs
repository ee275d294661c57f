//! Listeners of gateway proxies: one Istio `Gateway`.

use super::{Labels, Precedence};
use crate::name::{Host, Namespace, NamespacedName, Port};
use std::{net::IpAddr, sync::Arc};

/// One Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The object's name.
    pub name: NamespacedName,
    /// Which gateway workloads, in all namespaces; empty: every gateway.
    pub selector: Labels,
    /// Which wins where two want one port.
    pub precedence: Precedence,
    /// In order.
    pub servers: Vec<Server>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The port; a Kubernetes service in front of the gateway may map it to another.
    pub port: Port,
    /// Unique within the Gateway.
    pub port_name: Arc<str>,
    /// What is served.
    pub protocol: ServerProtocol,
    /// Address to bind; otherwise every address that the proxy has.
    pub bind: Option<IpAddr>,
    /// Which routes may bind: namespace (`None`: any) and host.
    pub hosts: Vec<ServerHost>,
    /// Answer plain-text requests with a redirect to https.
    pub https_redirect: bool,
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerProtocol {
    /// HTTP, HTTP2, GRPC in plain text.
    Http,
    /// HTTPS, terminated here.
    Https(ServerTls),
}

/// TLS of a gateway server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Name of the Secret, in the gateway workload's namespace.
    pub credential_name: Arc<str>,
    /// A client certificate signed by the credential's CA is required (MUTUAL).
    pub require_client_certificate: bool,
}

/// An entry of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHost {
    /// Routes of this namespace only.
    pub namespace: Option<Namespace>,
    /// Names that may be served.
    pub host: Host,
}
