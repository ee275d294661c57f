//! What to listen on besides the captured ports, and the key that a connection carries.

use mesh_config::{
    model::{Protocol, ServiceKey, sidecar::EgressHost},
    name::Port,
};
use std::{net::SocketAddr, sync::Arc};

/// Which rules a connection's requests are held against. A connection keeps the key, not its meaning: what it means
/// is looked up in each request's own snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DestinationKey {
    /// An outbound port that carries HTTP services: the host chooses.
    HttpPort(Port),
    /// One service's port, chosen by address or by a listener with a single TCP service.
    Service(ServiceKey, Port),
    /// A `Sidecar` egress listener that binds by itself: position in [`super::Snapshot::listeners`] by name.
    Egress(Arc<str>),
    /// A gateway's port that speaks plain text.
    Gateway(Port),
    /// A gateway's server that terminates TLS, chosen by the name in the client's hello.
    GatewayTls {
        /// The gateway's port.
        port: Port,
        /// The server's route configuration: `https.<port>.<port name>.<gateway>.<namespace>`.
        server: Arc<str>,
    },
    /// A port of the application.
    Inbound(Port),
    /// Nothing in the index: to where the client wanted (or refused, as the outbound policy says).
    Unknown(SocketAddr),
}

impl DestinationKey {
    /// Where the client itself wanted to go, where that is known: `local` is our end of its connection.
    pub fn wanted(&self, local: SocketAddr) -> Option<SocketAddr> {
        match self {
            DestinationKey::Egress(_) | DestinationKey::Gateway(_) | DestinationKey::GatewayTls { .. } => None,
            DestinationKey::HttpPort(_) | DestinationKey::Service(..) | DestinationKey::Inbound(_) => Some(local),
            DestinationKey::Unknown(address) => Some(*address),
        }
    }
}

/// One socket to bind.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerSpec {
    /// As users know it: `10.0.0.5_9080`.
    pub name: Arc<str>,
    /// Where.
    pub address: SocketAddr,
    /// What comes in.
    pub kind: ListenerKind,
}

/// What comes in.
#[derive(Debug, Clone, PartialEq)]
pub enum ListenerKind {
    /// Connections of the application (`Sidecar` egress with `bind`).
    Egress {
        /// The listener's port number as rules see it.
        port: Port,
        /// Declared.
        protocol: Protocol,
        /// What can be reached through it.
        hosts: Arc<[EgressHost]>,
    },
    /// Connections of peers (`Sidecar` ingress with `bind`).
    Ingress {
        /// The inbound port that policies name.
        port: Port,
    },
    /// Connections of clients outside (Gateway).
    Gateway {
        /// The Gateway's port number.
        port: Port,
        /// TLS is terminated with the credentials of the servers, by SNI.
        tls: bool,
    },
}
