//! What a decision looks at, borrowed from wherever it stands.

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
    /// The method.
    pub method: &'a [u8],
    /// The normalised path, with or without its query.
    pub path: &'a [u8],
    /// Host or authority as sent; `None` when the request had none.
    pub authority: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a dyn HeaderLookup,
}

/// Headers by name.
pub trait HeaderLookup {
    /// Hands each value of the header `name` (lower-case) to `f`, in order, until `f` returns false.
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool);
}

/// No headers.
impl HeaderLookup for () {
    fn values(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) {}
}

/// Name and value pairs; names are compared without case.
impl<N: AsRef<str>, V: AsRef<[u8]>> HeaderLookup for [(N, V)] {
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool) {
        for (_, value) in self.iter().filter(|(n, _)| n.as_ref().eq_ignore_ascii_case(name)) {
            if !f(value.as_ref()) {
                return;
            }
        }
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> HeaderLookup for Vec<(N, V)> {
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool) {
        self.as_slice().values(name, f);
    }
}

#[cfg(feature = "serve")]
impl HeaderLookup for http::HeaderMap {
    fn values(&self, name: &str, f: &mut dyn FnMut(&[u8]) -> bool) {
        for value in self.get_all(name) {
            if !f(value.as_bytes()) {
                return;
            }
        }
    }
}
