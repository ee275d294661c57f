//! Listeners of gateway proxies: one Istio `Gateway`.

use super::{Labels, Precedence};
use crate::kind::ObjectKind;
use crate::name::{Host, Namespace, NamespacedName, Port};
use std::{net::IpAddr, sync::Arc};

/// One Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Kind of the object that it comes from.
    pub object: ObjectKind,
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
    /// Opaque bytes.
    Tcp,
    /// Opaque bytes in TLS, which ends here.
    Tls(ServerTls),
    /// TLS that is carried on as it is; the name in the client's hello chooses where to.
    Passthrough,
}

impl ServerProtocol {
    /// The first bytes are a client's hello, and the name in it chooses.
    pub fn speaks_tls(&self) -> bool {
        matches!(self, ServerProtocol::Https(_) | ServerProtocol::Tls(_) | ServerProtocol::Passthrough)
    }

    /// How TLS ends here, if it does.
    pub fn terminates(&self) -> Option<&ServerTls> {
        match self {
            ServerProtocol::Https(tls) | ServerProtocol::Tls(tls) => Some(tls),
            ServerProtocol::Http | ServerProtocol::Tcp | ServerProtocol::Passthrough => None,
        }
    }

    /// The Secret that it needs.
    pub fn secret(&self) -> Option<&Arc<str>> {
        match self.terminates()? {
            ServerTls::Secret { name, .. } => Some(name),
            ServerTls::Mesh => None,
        }
    }
}

/// TLS of a gateway server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTls {
    /// With a key pair of the user's.
    Secret {
        /// Name of the Secret, in the gateway workload's namespace.
        name: Arc<str>,
        /// A client certificate signed by the credential's CA is required (MUTUAL).
        require_client_certificate: bool,
    },
    /// With the mesh's own identity, which clients must have too (ISTIO_MUTUAL).
    Mesh,
}

impl ServerTls {
    /// Whether clients must show a certificate; others are not asked for one, and what they claim proves nothing.
    pub fn asks_for_certificate(&self) -> bool {
        match self {
            ServerTls::Mesh => true,
            ServerTls::Secret { require_client_certificate, .. } => *require_client_certificate,
        }
    }
}

/// An entry of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHost {
    /// Routes of this namespace only.
    pub namespace: Option<Namespace>,
    /// Names that may be served.
    pub host: Host,
}
