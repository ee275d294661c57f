//! What a decision looks at, borrowed from wherever it stands.

pub use crate::lookup::HeaderLookup;
use mesh_config::identity::PeerIdentity;
use std::net::IpAddr;

/// What is known about a call that comes in.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    /// The request; `None`: opaque TCP, for which other rules hold.
    pub http: Option<HttpAttributes<'a>>,
    /// The identity that the peer proved by mutual TLS.
    pub peer: Option<&'a PeerIdentity>,
    /// The peer's address.
    pub source_ip: Option<IpAddr>,
    /// The original client's address; on TCP the peer's.
    pub remote_ip: Option<IpAddr>,
    /// The address that was called.
    pub destination_ip: Option<IpAddr>,
    /// The workload's port that was called.
    pub destination_port: u16,
    /// The server name in the client's hello.
    pub sni: Option<&'a str>,
    /// What earlier filters found, by filter name; claims of a validated token are under
    /// `envoy.filters.http.jwt_authn`, `payload`.
    pub metadata: Option<&'a serde_json::Value>,
}

/// What is known about a request. Bytes, as they may be odder than any type allows.
#[derive(Clone, Copy)]
pub struct HttpAttributes<'a> {
    pub method: &'a [u8],
    /// The normalised path, with or without its query.
    pub path: &'a [u8],
    /// Host or authority as sent; `None` when the request had none.
    pub authority: Option<&'a [u8]>,
    pub headers: &'a dyn HeaderLookup,
}
