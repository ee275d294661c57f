//! A service: a name with ports, and how its endpoints are found.

use crate::name::{Host, NameError, Namespace, Port};
use ipnet::IpNet;
use std::{fmt, str::FromStr, sync::Arc};

/// `namespace/host`: two services may share a host in different namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// The namespace of the object that defines it.
    pub namespace: Namespace,
    /// Fully qualified name, or a wildcard from a ServiceEntry.
    pub host: Host,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.host)
    }
}

impl FromStr for ServiceKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, host) =
            text.split_once('/').ok_or_else(|| NameError(format!("{text:?} is not of the form namespace/host")))?;
        Ok(ServiceKey { namespace: namespace.into(), host: host.parse()? })
    }
}

/// What is spoken on a port, as declared by port name, `appProtocol` or a ServiceEntry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1 to the server, whatever the client speaks.
    Http,
    /// HTTP/2 to the server.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// The application's own TLS, routed by SNI.
    Https,
    /// As [`Protocol::Https`].
    Tls,
    /// Opaque bytes.
    Tcp,
    /// Not declared: detected from the first bytes.
    Auto,
    /// Not proxied.
    Udp,
}

impl Protocol {
    /// Requests are seen.
    pub fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// Clients speak TLS themselves.
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Tls)
    }

    /// The server is spoken to in HTTP/2 whatever the client speaks.
    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb)
    }
}

/// How endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Endpoint parts with addresses (cluster IP services, STATIC service entries, workload selectors).
    Static,
    /// To the address that the client asked for (headless services, service entries with resolution NONE).
    Passthrough,
    /// Endpoint parts with host names, each resolved; all addresses are used.
    Dns,
    /// As [`Resolution::Dns`], one address at a time.
    DnsRoundRobin,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// As clients dial it.
    pub number: Port,
    /// May be empty.
    pub name: Arc<str>,
    /// What is spoken.
    pub protocol: Protocol,
}

/// A service in detail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// Namespace and host.
    pub key: ServiceKey,
    /// Short name: the Kubernetes service's name, or the host of a ServiceEntry (metric label
    /// `destination_service_name`).
    pub name: Arc<str>,
    /// Virtual addresses; a ServiceEntry may have whole blocks.
    pub addresses: Vec<IpNet>,
    /// In the order of the object.
    pub ports: Vec<ServicePort>,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Outside the mesh (MESH_EXTERNAL): no mutual TLS unless a DestinationRule says so.
    pub external: bool,
    /// A Kubernetes service without a cluster address: names of its pods reach it too.
    pub headless: bool,
    /// Names that the servers' certificates may carry besides the endpoints' identities.
    pub subject_alt_names: Vec<Arc<str>>,
}

impl Service {
    /// The port with this number.
    pub fn port(&self, number: Port) -> Option<&ServicePort> {
        self.ports.iter().find(|p| p.number == number)
    }
}
