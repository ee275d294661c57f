//! Who a workload is: trust domains and SPIFFE identities.
//!
//! [`SpiffeId`] is Istio's form `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. A peer may carry
//! any URI in its certificate, so what was seen on a connection is a [`PeerIdentity`]: the text as it is, and the
//! parsed form where there is one.

use crate::name::NameError;
use std::{fmt, str::FromStr, sync::Arc};

/// The root of trust's name, e.g. `cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > 255 || !text.bytes().all(fine) {
            return Err(NameError(format!(
                "trust domain {text:.60?} must be 1 to 255 letters, digits, dots, dashes or underscores"
            )));
        }
        Ok(TrustDomain(text.to_ascii_lowercase().into()))
    }
}

impl Default for TrustDomain {
    fn default() -> Self {
        TrustDomain("cluster.local".into())
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The workload's namespace.
    pub namespace: Arc<str>,
    /// The workload's service account.
    pub service_account: Arc<str>,
}

impl SpiffeId {
    /// From its parts, taken as they are.
    pub fn new(trust_domain: TrustDomain, namespace: &str, service_account: &str) -> Self {
        SpiffeId { trust_domain, namespace: namespace.into(), service_account: service_account.into() }
    }

    /// The whole URI as it appears in a certificate.
    pub fn uri(&self) -> String {
        self.to_string()
    }
}

impl FromStr for SpiffeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong =
            || NameError(format!("{text:.120?} is not of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT"));
        let rest = text.strip_prefix("spiffe://").ok_or_else(wrong)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [td, "ns", ns, "sa", sa] = parts[..] else { return Err(wrong()) };
        if ns.is_empty() || sa.is_empty() {
            return Err(wrong());
        }
        Ok(SpiffeId::new(td.parse()?, ns, sa))
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

/// The URI subject alternative name that a peer proved with its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    uri: Arc<str>,
    spiffe: Option<SpiffeId>,
}

impl PeerIdentity {
    /// Keeps the text as it is.
    pub fn new(uri: &str) -> Self {
        PeerIdentity { uri: uri.into(), spiffe: uri.parse().ok() }
    }

    /// The URI as it appears in the certificate.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The parsed form, where the URI is of Istio's form.
    pub fn spiffe(&self) -> Option<&SpiffeId> {
        self.spiffe.as_ref()
    }

    /// The trust domain of a URI `spiffe://<trust domain>/…`, of whatever form the rest is.
    pub fn trust_domain(&self) -> Option<&str> {
        self.uri.strip_prefix("spiffe://").and_then(|rest| rest.split('/').next()).filter(|td| !td.is_empty())
    }
}

impl From<SpiffeId> for PeerIdentity {
    fn from(id: SpiffeId) -> Self {
        PeerIdentity { uri: id.uri().into(), spiffe: Some(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_is_read_and_written_back() {
        let text = "spiffe://cluster.local/ns/shop/sa/cart";
        let id: SpiffeId = text.parse().unwrap();
        assert_eq!((id.uri().as_str(), &*id.namespace, &*id.service_account), (text, "shop", "cart"));
    }

    #[test]
    fn other_uris_are_kept_but_are_no_spiffe_id() {
        for odd in ["spiffe://td/x", "https://a/ns/b/sa/c", "spiffe://td/ns//sa/x", "spiffe://td/ns/a/sa/b/c", ""] {
            let peer = PeerIdentity::new(odd);
            assert_eq!((peer.uri(), peer.spiffe()), (odd, None));
        }
        assert_eq!(PeerIdentity::new("spiffe://td/x").trust_domain(), Some("td"));
    }
}
