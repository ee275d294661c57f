//! What pilot knows about the very workload whose proxy asks: the source of the proxy's own labels and of its
//! inbound ports. Labels come from here, never from what the proxy says about itself.

use super::{ServiceKey, Workload, destination::ConnectionPool, service::Protocol};
use crate::name::Port;

/// A port of the workload that belongs to a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InboundPort {
    /// The port that the application listens on.
    pub target_port: Port,
    /// The service.
    pub service: ServiceKey,
    /// Short name of the service.
    pub service_name: std::sync::Arc<str>,
    /// The service's port.
    pub service_port: Port,
    /// What is spoken.
    pub protocol: Protocol,
    /// Server-side limits from the DestinationRule that targets the service, where there are any.
    pub connection_pool: Option<ConnectionPool>,
}

/// The workload and its inbound ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The workload.
    pub workload: Workload,
    /// Ordered by target port; a port of several services appears once, for the oldest.
    pub ports: Vec<InboundPort>,
}
