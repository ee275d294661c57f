//! The facts of a connection that decisions look at, borrowed from wherever they stand.

use crate::snapshot::listener::DestinationKey;
use mesh_config::{identity::PeerIdentity, name::Port};
use std::net::{IpAddr, SocketAddr};

/// Where a connection comes from, and so which half of the path it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From a peer to the application.
    Inbound,
    /// From the application to the mesh.
    Outbound,
    /// From a client at the edge to the mesh.
    Gateway,
}

impl Direction {
    /// Whether this proxy stands on the client's side: it chooses endpoints.
    pub fn is_client_side(self) -> bool {
        self != Direction::Inbound
    }
}

/// Who calls, over what kind of connection, and which port.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Which half of the path.
    pub direction: Direction,
    /// Which rules hold.
    pub key: &'a DestinationKey,
    /// The port that rules know.
    pub port: Port,
    /// TLS was terminated here.
    pub secured: bool,
    /// The identity that the peer proved.
    pub peer: Option<&'a PeerIdentity>,
    /// The identity that this side showed, where the handshake was the mesh's own; `None`: it was not, or that is not
    /// known.
    pub own: Option<&'a str>,
    /// The peer's address.
    pub source: Option<IpAddr>,
    /// The address that was called.
    pub destination: Option<IpAddr>,
    /// The server name in the client's hello.
    pub sni: Option<&'a str>,
}

impl Caller<'_> {
    /// The address and port to which the client itself wanted to go, where that is known.
    pub fn wanted(&self) -> Option<SocketAddr> {
        self.key.wanted(SocketAddr::new(self.destination?, self.port.get()))
    }
}
