//! A gateway's key pair. The key's bytes never reach a log: there is no way to print them.

use crate::name::NamespacedName;
use bytes::Bytes;
use std::fmt;

/// One Kubernetes Secret with a key pair, for gateways of its namespace.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The Secret's name.
    pub name: NamespacedName,
    /// PEM, leaf first.
    pub chain_pem: Bytes,
    /// PEM.
    pub key_pem: Bytes,
    /// PEM of the CA that client certificates must be signed by; empty: none.
    pub ca_pem: Bytes,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("name", &self.name).finish_non_exhaustive()
    }
}
