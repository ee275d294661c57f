//! The index: every name and address in a proxy's scope. It says what exists, not what it is.

use super::service::{Resolution, Service, ServiceKey, ServicePort};
use ipnet::IpNet;

/// What an indexed name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexKind {
    /// A service; its details are the part of kind `Service` with the same name.
    Service,
    /// A host that only VirtualServices name; it has no endpoints of its own, its routes are asked for by the same
    /// name. Sidecars serve it on port 80 only.
    VirtualHost,
}

/// One name in scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexEntry {
    /// Namespace and host.
    pub key: ServiceKey,
    /// What it is.
    pub kind: IndexKind,
    /// Virtual addresses.
    pub addresses: Vec<IpNet>,
    /// Ports, so that a captured connection's protocol is known before the details are.
    pub ports: Vec<ServicePort>,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// A Kubernetes service without a cluster address.
    pub headless: bool,
}

impl From<&Service> for IndexEntry {
    fn from(service: &Service) -> Self {
        IndexEntry {
            key: service.key.clone(),
            kind: IndexKind::Service,
            addresses: service.addresses.clone(),
            ports: service.ports.clone(),
            resolution: service.resolution,
            headless: service.headless,
        }
    }
}

impl IndexEntry {
    /// Of a host that only VirtualServices name.
    pub fn virtual_host(key: ServiceKey) -> Self {
        IndexEntry {
            key,
            kind: IndexKind::VirtualHost,
            addresses: Vec::new(),
            ports: Vec::new(),
            resolution: Resolution::Static,
            headless: false,
        }
    }
}
