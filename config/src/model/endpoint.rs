//! Membership of a workload in a service port: the part that changes most, one part each.

use super::{
    Labels, ServiceKey,
    workload::{Locality, WorkloadInfo},
};
use crate::{identity::SpiffeId, name::Port};
use std::{fmt, net::IpAddr, sync::Arc};

/// Service, port and an id that is unique among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    /// The service.
    pub service: ServiceKey,
    /// The service's port number.
    pub port: Port,
    /// The workload's uid, or the address where there is no workload.
    pub id: Arc<str>,
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.service, self.port, self.id)
    }
}

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// An address.
    Ip(IpAddr),
    /// A name that the proxy resolves.
    Name(Arc<str>),
    /// A unix socket: an absolute path, or `@name` in the abstract namespace. The port does not count.
    Unix(Arc<str>),
}

/// Whether it should be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// Ready.
    Healthy,
    /// Terminating but still serving: finishes what it has, gets nothing new while others are healthy.
    Draining,
    /// Not ready.
    Unhealthy,
}

/// Membership of a workload in a service port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Service, port, id.
    pub key: EndpointKey,
    /// Where it listens.
    pub address: EndpointAddress,
    /// The port it listens on.
    pub target_port: u16,
    /// Its labels, for subsets.
    pub labels: Labels,
    /// Whether it should be chosen.
    pub health: Health,
    /// Relative weight, at least 1.
    pub weight: u32,
    /// Where it runs.
    pub locality: Locality,
    /// Whether its proxy accepts the mesh's mutual TLS on this port (label `security.istio.io/tlsMode: istio`,
    /// unless PeerAuthentication disables it): the default of clients without TLS settings of their own.
    pub mutual_tls: bool,
    /// Who must answer; `None` outside the mesh.
    pub identity: Option<SpiffeId>,
    /// What telemetry says about it.
    pub workload: Option<Arc<WorkloadInfo>>,
}
