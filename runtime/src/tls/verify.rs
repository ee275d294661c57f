//! Whom we believe. One [`Check`] holds the rule for a kind of peer; it authenticates a chain during a full handshake
//! and looks again at the kept chain after a resumed one. What a certificate says is parsed once and remembered.

mod handshake;
mod peer;

pub(super) use handshake::{ClientVerifier, ServerVerifier};
pub use peer::{PeerCache, PeerCertificate};

use super::material::{CaBundle, Fingerprint, Roots};
use mesh_config::identity::TrustDomain;
use rustls::{
    CertificateError, OtherError,
    pki_types::{CertificateDer, TrustAnchor, UnixTime},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Why a peer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// None was shown.
    #[error("it showed no certificate")]
    NoCertificate,
    /// Not an X.509 certificate, or one with broken names.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// Its time is over.
    #[error("it has expired {ago:?} ago")]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// No signature chain leads to a root.
    #[error("no chain leads from it to a trusted root: {0}")]
    Chain(String),
    /// No URI at all.
    #[error("it has no URI among its alternative names, so it is not a mesh certificate")]
    NoUri,
    /// Two identities at once.
    #[error("it has more than one SPIFFE URI")]
    SeveralUris,
    /// A trust domain that we do not accept.
    #[error("{uri:?} is not of an accepted trust domain")]
    TrustDomain {
        /// The URI it carries.
        uri: String,
    },
    /// Not the peer that we wanted.
    #[error("it names {got:?}, not one of {expected:?}")]
    Unexpected {
        /// The names it carries.
        got: Vec<String>,
        /// The names that would do.
        expected: Vec<String>,
    },
    /// The session was made under other roots or another policy.
    #[error("the session it resumes was made under other roots")]
    RootsChanged,
}

impl Refusal {
    /// The refusal that a verifier of ours handed to rustls.
    pub(super) fn inside(error: &rustls::Error) -> Option<Refusal> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                inner.downcast_ref::<Refusal>().cloned()
            }
            rustls::Error::NoCertificatesPresented => Some(Refusal::NoCertificate),
            _ => None,
        }
    }

    fn into_rustls(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }
}

/// Who the peer must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ExpectedPeer {
    /// One of these names; [`PeerCertificate::is_named`] says how they are compared. None given: any peer that the
    /// roots vouch for.
    AnyOf(Arc<[Arc<str>]>),
}

impl ExpectedPeer {
    /// Any peer of our trust domains.
    pub fn any() -> Self {
        ExpectedPeer::AnyOf(Arc::new([]))
    }

    /// One of these names.
    pub fn any_of<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        ExpectedPeer::AnyOf(names.into_iter().map(|name| Arc::from(name.as_ref())).collect())
    }

    fn names(&self) -> &[Arc<str>] {
        let ExpectedPeer::AnyOf(names) = self;
        names
    }

    fn check(&self, peer: &PeerCertificate) -> Result<(), Refusal> {
        let names = self.names();
        if names.is_empty() || names.iter().any(|name| peer.is_named(name)) {
            return Ok(());
        }
        Err(Refusal::Unexpected {
            got: peer.names().collect(),
            expected: names.iter().map(ToString::to_string).collect(),
        })
    }
}

/// The rule for a kind of peer.
#[derive(Debug, Clone)]
pub enum Rule {
    /// A workload of a mesh: chain to the roots of the trust domain that its URI names.
    Mesh {
        /// Roots by trust domain.
        roots: Arc<Roots>,
        /// Our own trust domain: its roots also vouch for accepted domains without roots of their own (aliases).
        home: TrustDomain,
        /// Trust domains that are accepted.
        accepted: Vec<TrustDomain>,
        /// Who it must be.
        expected: ExpectedPeer,
    },
    /// Whoever the bundle vouches for.
    Bundle {
        /// The roots.
        roots: Arc<CaBundle>,
        /// Who it must be.
        expected: ExpectedPeer,
    },
    /// Anybody.
    Unchecked,
}

/// Which end the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It called us.
    Client,
    /// We called it.
    Server,
}

/// A rule together with what has been parsed before.
#[derive(Debug)]
pub struct Check {
    rule: Rule,
    role: Role,
    peers: Arc<PeerCache>,
}

impl Check {
    /// A check of peers that are at the end `role`.
    pub fn new(rule: Rule, role: Role, peers: Arc<PeerCache>) -> Self {
        Check { rule, role, peers }
    }

    /// Names what a session under this rule depends on: sessions of another basis are not resumed.
    pub fn basis(&self) -> Fingerprint {
        match &self.rule {
            Rule::Mesh { roots, home, accepted, .. } => {
                let domains = [home].into_iter().chain(accepted).map(|td| td.as_str().as_bytes());
                Fingerprint::of([roots.fingerprint().as_bytes().as_slice()].into_iter().chain(domains))
            }
            Rule::Bundle { roots, expected, .. } => {
                let names = expected.names().iter().map(|name| name.as_bytes());
                Fingerprint::of([roots.fingerprint().as_bytes().as_slice()].into_iter().chain(names))
            }
            Rule::Unchecked => Fingerprint::of([]),
        }
    }

    /// The whole check of a chain that was just shown: signatures, time, trust domain, name.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn authenticate(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Arc<PeerCertificate>, Refusal> {
        let peer = self.peers.get(leaf)?;
        // The chain first: until it holds, what the leaf says of itself is anybody's word, and not for our logs.
        if let Some(anchors) = self.anchors(&peer)? {
            verify_chain(leaf, intermediates, anchors, now, self.role)?;
        }
        self.judge_names(&peer)?;
        Ok(peer)
    }

    /// The check of a resumed peer, from the chain that its session kept: time of every certificate, trust domain,
    /// name, and that the session was made under the same roots. `session_basis` is what the session remembers of
    /// [`Check::basis`]; `None` where sessions cannot outlive this check.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_resumed(
        &self,
        chain: &[CertificateDer<'_>],
        session_basis: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<Arc<PeerCertificate>, Refusal> {
        if session_basis.is_some_and(|basis| basis != self.basis().as_bytes()) {
            return Err(Refusal::RootsChanged);
        }
        let (leaf, intermediates) = chain.split_first().ok_or(Refusal::NoCertificate)?;
        let peer = self.peers.get(leaf)?;
        let chained = self.anchors(&peer)?.is_some();
        self.judge_names(&peer)?;
        if chained {
            peer.check_time(now)?;
            intermediates.iter().try_for_each(|der| self.peers.get(der)?.check_time(now))?;
        }
        Ok(peer)
    }

    /// The parsed form of a certificate, from the cache.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn peer(&self, der: &CertificateDer<'_>) -> Result<Arc<PeerCertificate>, Refusal> {
        self.peers.get(der)
    }

    /// The anchors that the leaf's chain must lead to; `None`: it need not lead anywhere.
    fn anchors(&self, peer: &PeerCertificate) -> Result<Option<&[TrustAnchor<'static>]>, Refusal> {
        match &self.rule {
            Rule::Mesh { roots, home, accepted, .. } => {
                let uri = peer.uri.as_ref().ok_or(Refusal::NoUri)?;
                let foreign = || Refusal::TrustDomain { uri: uri.uri().to_owned() };
                let domain: TrustDomain = uri
                    .trust_domain()
                    // As it is written: policies compare it so, and none would match another spelling.
                    .and_then(|written| written.parse().ok().filter(|td: &TrustDomain| td.as_str() == written))
                    .filter(|td| accepted.contains(td))
                    .ok_or_else(foreign)?;
                let bundle = roots.get(&domain).or_else(|| roots.get(home)).ok_or_else(foreign)?;
                Ok(Some(bundle.anchors()))
            }
            Rule::Bundle { roots, .. } => Ok(Some(roots.anchors())),
            Rule::Unchecked => Ok(None),
        }
    }

    /// Judges what the leaf says of itself.
    fn judge_names(&self, peer: &PeerCertificate) -> Result<(), Refusal> {
        match &self.rule {
            Rule::Mesh { expected, .. } => {
                if peer.uris.iter().filter(|uri| uri.starts_with("spiffe://")).count() > 1 {
                    return Err(Refusal::SeveralUris);
                }
                expected.check(peer)
            }
            Rule::Bundle { expected, .. } => expected.check(peer),
            Rule::Unchecked => Ok(()),
        }
    }
}

/// Verifies that signatures lead from `leaf` to one of `anchors` and that everything between is valid at `now` for
/// the role. Names are not looked at.
///
/// # Errors
/// [`Refusal::Malformed`], [`Refusal::Expired`] or [`Refusal::Chain`].
pub fn verify_chain(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: SystemTime,
    role: Role,
) -> Result<(), Refusal> {
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|e| Refusal::Malformed(e.to_string()))?;
    let time = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let usage = match role {
        Role::Client => webpki::KeyUsage::client_auth(),
        Role::Server => webpki::KeyUsage::server_auth(),
    };
    let verified =
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, anchors, intermediates, time, usage, None, None);
    match verified {
        Ok(_) => Ok(()),
        Err(webpki::Error::CertExpired { time, not_after }) => {
            Err(Refusal::Expired { ago: Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs())) })
        }
        Err(error) => Err(Refusal::Chain(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
