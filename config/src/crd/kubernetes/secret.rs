//! Secret: key pairs and CA certificates for proxies. Values never reach a message or a log.

use crate::{
    crd::{
        Object,
        reader::{Fields, Item},
    },
    model::Credential,
    name::NamespacedName,
};
use base64::Engine;
use bytes::Bytes;
use std::{collections::BTreeMap, fmt};

/// A Kubernetes Secret that holds something for TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The object's name.
    pub name: NamespacedName,
    /// PEM of the certificate chain, leaf first; empty: none.
    pub chain_pem: Bytes,
    /// PEM of the key; empty: none.
    pub key_pem: Bytes,
    /// PEM of CA certificates; empty: none.
    pub ca_pem: Bytes,
}

impl Secret {
    /// What proxies get of it: half a key pair is none.
    pub fn credential(&self) -> Credential {
        let mut credential = Credential { ca_pem: self.ca_pem.clone(), ..Credential::nothing(self.name.clone()) };
        if !self.chain_pem.is_empty() && !self.key_pem.is_empty() {
            credential.chain_pem = self.chain_pem.clone();
            credential.key_pem = self.key_pem.clone();
        }
        credential
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The keys of each thing: those of generic secrets, then those of `kubernetes.io/tls`. The first that is there counts.
const CHAIN: [&str; 2] = ["cert", "tls.crt"];
const KEY: [&str; 2] = ["key", "tls.key"];
const CA: [&str; 2] = ["cacert", "ca.crt"];

pub(super) fn parse(object: &Object, f: &mut Fields<'_>) -> Option<Secret> {
    let of_interest = |key: &str| [CHAIN, KEY, CA].concat().contains(&key);
    let mut values: BTreeMap<&str, Bytes> = BTreeMap::new();
    values.extend(f.map("data", |key, item| of_interest(key).then(|| Some((key, decoded(&item)?))).flatten()));
    // As in the API server, what is given as text wins.
    values.extend(f.map("stringData", |key, item| of_interest(key).then(|| Some((key, plain(&item)?))).flatten()));
    let value = |keys: [&str; 2]| keys.iter().find_map(|key| values.get(key)).cloned().unwrap_or_default();
    let secret = Secret { name: object.name(), chain_pem: value(CHAIN), key_pem: value(KEY), ca_pem: value(CA) };
    if secret.chain_pem.is_empty() != secret.key_pem.is_empty() && f.errors() == 0 {
        let missing = if secret.key_pem.is_empty() { "a certificate but no key" } else { "a key but no certificate" };
        f.warn("incomplete-secret", format!("holds {missing}; proxies cannot use it"));
    }
    let is_empty = secret.chain_pem.is_empty() && secret.key_pem.is_empty() && secret.ca_pem.is_empty();
    (!is_empty).then_some(secret)
}

fn decoded(item: &Item<'_>) -> Option<Bytes> {
    let text: String = text(item)?.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    match base64::engine::general_purpose::STANDARD.decode(text) {
        Ok(bytes) => Some(bytes.into()),
        Err(_) => item.invalid("is not base64; plain text goes under stringData"),
    }
}

fn plain(item: &Item<'_>) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text(item)?.as_bytes()))
}

/// Not the usual getter, whose messages may show the value.
fn text<'a>(item: &Item<'a>) -> Option<&'a str> {
    item.node().as_str().or_else(|| item.invalid("must be a string"))
}
