//! A proxy's key pair for TLS with others than the mesh. The key's bytes never reach a log: there is no way to print them.

use crate::name::NamespacedName;
use bytes::Bytes;
use std::fmt;

/// One Kubernetes Secret, for proxies of its namespace: a key pair, authorities, or both.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The Secret's name.
    pub name: NamespacedName,
    /// PEM, leaf first; empty: none.
    pub chain_pem: Bytes,
    /// PEM; empty: none.
    pub key_pem: Bytes,
    /// PEM of the CA that the peer's certificate must be signed by; empty: none.
    pub ca_pem: Bytes,
}

impl Credential {
    /// With nothing in it.
    pub fn nothing(name: NamespacedName) -> Self {
        Credential { name, chain_pem: Bytes::new(), key_pem: Bytes::new(), ca_pem: Bytes::new() }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("name", &self.name).finish_non_exhaustive()
    }
}
