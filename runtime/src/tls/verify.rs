//! Whom we believe. One [`Check`] holds the rule for a kind of peer; it authenticates a chain during a full handshake
//! and looks again at the kept chain after a resumed one. What a certificate says is parsed once and remembered.

use super::material::{CaBundle, Fingerprint, Roots, hex};
use aws_lc_rs::digest;
use mesh_config::identity::{PeerIdentity, TrustDomain};
use parking_lot::Mutex;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use x509_parser::{
    extensions::GeneralName,
    objects::{oid_registry, oid2abbrev},
    x509::X509Name,
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
    #[error("{uri} is not of an accepted trust domain")]
    TrustDomain {
        /// The URI it carries.
        uri: String,
    },
    /// Not the peer that we wanted.
    #[error("it is {got:?} but expected is one of {expected:?}")]
    Unexpected {
        /// The names it carries.
        got: Vec<String>,
        /// The names that would do.
        expected: Vec<String>,
    },
    /// Not valid for the host.
    #[error("it is not valid for the name {0}")]
    Name(String),
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

/// What a leaf certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The first URI among the alternative names; always there for a mesh peer.
    pub uri: Option<PeerIdentity>,
    /// All URIs, as they stand.
    pub uris: Vec<String>,
    /// All DNS names, as they stand.
    pub dns: Vec<String>,
    /// All addresses.
    pub ips: Vec<IpAddr>,
    /// The subject in RFC 2253 form; empty for a mesh certificate.
    pub subject: String,
    /// SHA-256 of the certificate, lower-case hex.
    pub hash: String,
    /// Serial number, lower-case hex without leading zero bytes.
    pub serial: String,
    /// Begin of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// The certificate itself.
    pub der: CertificateDer<'static>,
}

impl PeerCertificate {
    /// Parses a certificate; nothing is verified.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, Refusal> {
        let malformed = |what: String| Refusal::Malformed(what);
        let (rest, cert) = x509_parser::parse_x509_certificate(der).map_err(|e| malformed(e.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow the certificate".to_owned()));
        }
        let time = |t: x509_parser::time::ASN1Time| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(t.timestamp()).unwrap_or(0))
        };
        let serial = cert.raw_serial();
        let serial = &serial[serial.iter().take_while(|b| **b == 0).count()..];
        let mut parsed = PeerCertificate {
            uri: None,
            uris: Vec::new(),
            dns: Vec::new(),
            ips: Vec::new(),
            subject: rfc2253(cert.subject()),
            hash: hex(digest::digest(&digest::SHA256, der).as_ref()),
            serial: hex(serial),
            not_before: time(cert.validity().not_before),
            not_after: time(cert.validity().not_after),
            der: der.clone().into_owned(),
        };
        let names = cert.subject_alternative_name().map_err(|e| malformed(e.to_string()))?;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::URI(uri) => parsed.uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => parsed.dns.push((*dns).to_owned()),
                GeneralName::IPAddress(bytes) => parsed.ips.extend(address(bytes)),
                GeneralName::Invalid(..) => return Err(malformed("an alternative name is broken".to_owned())),
                _ => {}
            }
        }
        parsed.uri = parsed.uris.first().map(|uri| PeerIdentity::new(uri));
        Ok(parsed)
    }

    /// Whether one of its URIs or DNS names is exactly `name`. A `spiffe://` name is looked for among URIs only.
    pub fn is_named(&self, name: &str) -> bool {
        let uri = self.uris.iter().any(|uri| uri == name);
        uri || (!name.starts_with("spiffe://") && self.dns.iter().any(|dns| dns.eq_ignore_ascii_case(name)))
    }

    fn check_time(&self, now: SystemTime) -> Result<(), Refusal> {
        match now.duration_since(self.not_after) {
            Ok(ago) if !ago.is_zero() => Err(Refusal::Expired { ago }),
            _ => Ok(()),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The last part first, short names, and the characters escaped that RFC 2253 names.
fn rfc2253(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let values: Vec<String> = rdn
                .iter()
                .map(|pair| {
                    let oid = pair.attr_type();
                    let short = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
                    let value = pair.as_str().map_or_else(|_| format!("#{}", hex(pair.as_slice())), escape2253);
                    format!("{short}={value}")
                })
                .collect();
            values.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn escape2253(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        if special || (index == 0 && c == '#') || (c == ' ' && (index == 0 || index == last)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Parsed certificates by SHA-256, in two generations of bounded size: the older one is forgotten when the younger
/// is full, so a peer that shows ever new certificates costs a bounded amount and does not push out the busy ones.
#[derive(Debug, Default)]
pub struct PeerCache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<[u8; 32], Arc<PeerCertificate>>,
    old: HashMap<[u8; 32], Arc<PeerCertificate>>,
}

const GENERATION: usize = 512;

impl PeerCache {
    /// The parsed form of a certificate.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]; not remembered.
    pub fn get(&self, der: &CertificateDer<'_>) -> Result<Arc<PeerCertificate>, Refusal> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        if let Some(known) = self.generations.lock().find(&hash) {
            return Ok(known);
        }
        let parsed = Arc::new(PeerCertificate::parse(der)?);
        self.generations.lock().insert(hash, parsed.clone());
        Ok(parsed)
    }
}

impl Generations {
    fn find(&mut self, hash: &[u8; 32]) -> Option<Arc<PeerCertificate>> {
        if let Some(known) = self.young.get(hash) {
            return Some(known.clone());
        }
        let known = self.old.remove(hash)?;
        self.insert(*hash, known.clone());
        Some(known)
    }

    fn insert(&mut self, hash: [u8; 32], parsed: Arc<PeerCertificate>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, parsed);
    }
}

/// Who the peer must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ExpectedPeer {
    /// One of these names, exactly as it stands among the URIs (or, for names that are no SPIFFE URI, DNS names) of
    /// the certificate. None given: any peer of the trust domains that we have roots for.
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
            got: peer.uris.iter().chain(&peer.dns).cloned().collect(),
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
        /// The host it must be valid for.
        host: Option<ServerName<'static>>,
        /// Names of which it must carry one, instead of the host's.
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
        if let Some(anchors) = self.judge_names(&peer)? {
            verify_chain(leaf, intermediates, anchors, now, self.role)?;
        }
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
        if self.judge_names(&peer)?.is_some() {
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

    /// Judges what the leaf says of itself; gives the anchors that its chain must lead to, `None` if none need be.
    fn judge_names(&self, peer: &PeerCertificate) -> Result<Option<&[TrustAnchor<'static>]>, Refusal> {
        match &self.rule {
            Rule::Mesh { roots, home, accepted, expected } => {
                let uri = peer.uri.as_ref().ok_or(Refusal::NoUri)?;
                if peer.uris.iter().filter(|uri| uri.starts_with("spiffe://")).count() > 1 {
                    return Err(Refusal::SeveralUris);
                }
                let foreign = || Refusal::TrustDomain { uri: uri.uri().to_owned() };
                let domain: TrustDomain = uri
                    .trust_domain()
                    .and_then(|td| td.parse().ok())
                    .filter(|td| accepted.contains(td))
                    .ok_or_else(foreign)?;
                expected.check(peer)?;
                let bundle = roots.get(&domain).or_else(|| roots.get(home)).ok_or_else(foreign)?;
                Ok(Some(bundle.anchors()))
            }
            Rule::Bundle { roots, host, expected } => {
                expected.check(peer)?;
                if let Some(host) = host.as_ref().filter(|_| expected.names().is_empty()) {
                    let leaf =
                        webpki::EndEntityCert::try_from(&peer.der).map_err(|e| Refusal::Malformed(e.to_string()))?;
                    let named = leaf.verify_is_valid_for_subject_name(host);
                    named.map_err(|_| Refusal::Name(host.to_str().into_owned()))?;
                }
                Ok(Some(roots.anchors()))
            }
            Rule::Unchecked => Ok(None),
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

fn system_time(time: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

/// Hands a [`Check`] to rustls for the peers that call us.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) check: Arc<Check>,
    pub(super) mandatory: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let checked = self.check.authenticate(end_entity, intermediates, system_time(now));
        checked.map(|_| ClientCertVerified::assertion()).map_err(Refusal::into_rustls)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &super::provider::get().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &super::provider::get().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        super::provider::get().signature_verification_algorithms.supported_schemes()
    }
}

/// Hands a [`Check`] to rustls for the peers that we call, and tells the session store how long they are valid.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    pub(super) check: Arc<Check>,
    pub(super) sessions: Arc<super::sessions::Sessions>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = self.check.authenticate(end_entity, intermediates, system_time(now));
        let mut not_after = checked.map_err(Refusal::into_rustls)?.not_after;
        for der in intermediates {
            not_after = not_after.min(self.check.peer(der).map_err(Refusal::into_rustls)?.not_after);
        }
        self.sessions.verified_until(not_after);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &super::provider::get().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &super::provider::get().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        super::provider::get().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
