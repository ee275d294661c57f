//! Keys, chains and roots as immutable values, parsed and checked once. What a process publishes about itself is one
//! [`Identity`]: its certificate together with the roots it believes, so that no reader sees half of a rotation.

use super::{provider, verify::PeerCertificate};
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use mesh_config::identity::{SpiffeId, TrustDomain};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    path::Path,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

/// Certificates in one PEM text, above which it is refused: a bundle of all public authorities has some 150.
const MAX_CERTIFICATES: usize = 1000;

/// Why key material cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// Not PEM, or PEM that does not end.
    #[error("the {what} is not valid PEM: {reason}")]
    Pem {
        /// Which text.
        what: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// No certificate in the text.
    #[error("the {0} holds no certificate")]
    NoCertificate(&'static str),
    /// No private key in the text.
    #[error("the key file holds no private key in PKCS#8, PKCS#1 or SEC1 form")]
    NoKey,
    /// A key of a kind we cannot use.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate {serial}")]
    KeyMismatch {
        /// Serial number of the certificate.
        serial: String,
    },
    /// A certificate that cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// The leaf carries no identity.
    #[error("the certificate has no URI spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT among its alternative names")]
    NoSpiffeUri,
    /// The leaf's time is over.
    #[error("the certificate {serial} has expired at {at} (seconds since 1970)")]
    Expired {
        /// Serial number of the certificate.
        serial: String,
        /// Its end.
        at: u64,
    },
    /// The leaf's time has not come.
    #[error("the certificate {serial} is valid only from {at} (seconds since 1970); check this machine's clock")]
    NotYetValid {
        /// Serial number of the certificate.
        serial: String,
        /// Its beginning.
        at: u64,
    },
}

/// A chain with its private key, of whatever names: a gateway's server certificate, a client certificate for an
/// external service. Equal when the chains are.
pub struct Certificate {
    key: Arc<CertifiedKey>,
    key_der: PrivateKeyDer<'static>,
    leaf: PeerCertificate,
}

impl Certificate {
    /// Parses chain and key. Time is not checked: an expired gateway certificate is served, as its users are told.
    ///
    /// # Errors
    /// See [`MaterialError`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, MaterialError> {
        let chain = certificates(chain, "certificate chain")?;
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(rustls::pki_types::pem::Error::NoItemsFound) => return Err(MaterialError::NoKey),
            Err(e) => return Err(MaterialError::Pem { what: "private key", reason: e.to_string() }),
        };
        Certificate::new(chain, key)
    }

    /// As [`Certificate::from_pem`], from DER; the leaf comes first.
    ///
    /// # Errors
    /// See [`MaterialError`].
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, MaterialError> {
        let leaf = chain.first().ok_or(MaterialError::NoCertificate("certificate chain"))?;
        let leaf = PeerCertificate::parse(leaf).map_err(|e| MaterialError::Certificate(e.to_string()))?;
        let signer = provider::get().key_provider.load_private_key(key.clone_key());
        let certified = CertifiedKey::new(chain, signer.map_err(|e| MaterialError::Key(e.to_string()))?);
        match certified.keys_match() {
            Ok(()) => {}
            Err(_) => return Err(MaterialError::KeyMismatch { serial: leaf.serial }),
        }
        Ok(Certificate { key: Arc::new(certified), key_der: key, leaf })
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// What the leaf says.
    pub fn leaf(&self) -> &PeerCertificate {
        &self.leaf
    }

    /// The chain as PEM, leaf first.
    pub fn chain_pem(&self) -> String {
        self.chain().iter().map(|der| pem("CERTIFICATE", der)).collect()
    }

    /// The private key as PEM: for saving it, nothing else.
    pub fn key_pem(&self) -> String {
        let label = match self.key_der {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem(label, self.key_der.secret_der())
    }

    pub(super) fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.chain() == other.chain()
    }
}

impl Eq for Certificate {}

impl Hash for Certificate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.leaf.hash.hash(state);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("serial", &self.leaf.serial).finish_non_exhaustive()
    }
}

/// A mesh certificate with its key.
#[derive(Debug, PartialEq, Eq)]
pub struct Material {
    /// Who it makes us.
    pub identity: SpiffeId,
    /// Begin of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// Serial number, lower-case hex.
    pub serial: String,
    uri: Arc<str>,
    certificate: Arc<Certificate>,
}

impl Material {
    /// Parses chain and key, and checks that they are of a workload and valid at `now`.
    ///
    /// # Errors
    /// See [`MaterialError`].
    pub fn from_pem(chain: &[u8], key: &[u8], now: SystemTime) -> Result<Self, MaterialError> {
        Material::new(Certificate::from_pem(chain, key)?, now)
    }

    /// As [`Material::from_pem`], from parsed parts.
    ///
    /// # Errors
    /// See [`MaterialError`].
    pub fn new(certificate: Certificate, now: SystemTime) -> Result<Self, MaterialError> {
        let leaf = certificate.leaf();
        let (serial, not_before, not_after) = (leaf.serial.clone(), leaf.not_before, leaf.not_after);
        let identity = leaf.uri.as_ref().and_then(|uri| uri.spiffe()).cloned().ok_or(MaterialError::NoSpiffeUri)?;
        if now > not_after {
            return Err(MaterialError::Expired { serial, at: unix(not_after) });
        }
        if now < not_before {
            return Err(MaterialError::NotYetValid { serial, at: unix(not_before) });
        }
        let uri = identity.uri().into();
        Ok(Material { identity, not_before, not_after, serial, uri, certificate: Arc::new(certificate) })
    }

    /// The identity as the text that stands in the certificate.
    pub fn uri(&self) -> &Arc<str> {
        &self.uri
    }

    /// Chain and key.
    pub fn certificate(&self) -> &Arc<Certificate> {
        &self.certificate
    }
}

/// A set of certificates that are believed. Order and repetition do not matter; equal by value.
pub struct CaBundle {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    fingerprint: Fingerprint,
}

/// SHA-256 over the certificates of a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of these parts, each with its length, so that parts cannot run into each other.
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Fingerprint(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl CaBundle {
    /// Parses certificates in PEM.
    ///
    /// # Errors
    /// When there is none, or one cannot be used as a root.
    pub fn from_pem(text: &[u8]) -> Result<Self, MaterialError> {
        CaBundle::new(certificates(text, "root certificates")?)
    }

    /// From DER.
    ///
    /// # Errors
    /// When one cannot be used as a root.
    pub fn new(mut certificates: Vec<CertificateDer<'static>>) -> Result<Self, MaterialError> {
        certificates.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        certificates.dedup();
        let anchors = certificates.iter().map(|der| {
            let anchor = webpki::anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned());
            anchor.map_err(|e| MaterialError::Certificate(format!("not usable as a root: {e}")))
        });
        let anchors = anchors.collect::<Result<_, _>>()?;
        let fingerprint = Fingerprint::of(certificates.iter().map(|der| der.as_ref()));
        Ok(CaBundle { certificates, anchors, fingerprint })
    }

    /// The authorities that this machine's administrator believes: `SSL_CERT_FILE`, or where distributions keep
    /// them. Read once a process; certificates that cannot be used are skipped.
    ///
    /// # Errors
    /// When no such file can be read.
    pub fn system() -> Result<Arc<CaBundle>, MaterialError> {
        static SYSTEM: OnceLock<Result<Arc<CaBundle>, MaterialError>> = OnceLock::new();
        SYSTEM.get_or_init(|| read_system().map(Arc::new)).clone()
    }

    /// The certificates, sorted.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// All certificates as PEM.
    pub fn pem(&self) -> String {
        self.certificates.iter().map(|der| pem("CERTIFICATE", der)).collect()
    }

    /// Names the set.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

fn read_system() -> Result<CaBundle, MaterialError> {
    let places = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let named = std::env::var("SSL_CERT_FILE").ok();
    let read = named.iter().map(String::as_str).chain(places).find_map(|path| std::fs::read(Path::new(path)).ok());
    let text = read.ok_or(MaterialError::NoCertificate("system's certificate store"))?;
    let usable = certificates(&text, "system's certificate store")?
        .into_iter()
        .filter(|der| webpki::anchor_from_trusted_cert(der).is_ok())
        .collect();
    CaBundle::new(usable)
}

impl PartialEq for CaBundle {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for CaBundle {}

impl Hash for CaBundle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaBundle").field("count", &self.certificates.len()).field("sha256", &self.fingerprint).finish()
    }
}

/// Which roots vouch for which trust domain. Equal by value.
#[derive(Debug, Clone)]
pub struct Roots {
    domains: BTreeMap<TrustDomain, Arc<CaBundle>>,
    fingerprint: Fingerprint,
}

impl Roots {
    /// The roots of each trust domain.
    pub fn new(domains: impl IntoIterator<Item = (TrustDomain, Arc<CaBundle>)>) -> Self {
        let domains: BTreeMap<_, _> = domains.into_iter().collect();
        let parts = domains.iter().flat_map(|(td, roots)| [td.as_str().as_bytes(), roots.fingerprint.as_bytes()]);
        let fingerprint = Fingerprint::of(parts);
        Roots { domains, fingerprint }
    }

    /// The roots of one trust domain, in PEM.
    ///
    /// # Errors
    /// As [`CaBundle::from_pem`].
    pub fn from_pem(domain: TrustDomain, text: &[u8]) -> Result<Self, MaterialError> {
        Ok(Roots::new([(domain, Arc::new(CaBundle::from_pem(text)?))]))
    }

    /// These roots with those of one more (or instead of one) trust domain.
    pub fn with(&self, domain: TrustDomain, roots: Arc<CaBundle>) -> Self {
        Roots::new(self.domains.clone().into_iter().chain([(domain, roots)]))
    }

    /// The roots of a trust domain.
    pub fn get(&self, domain: &TrustDomain) -> Option<&Arc<CaBundle>> {
        self.domains.get(domain)
    }

    /// The trust domains that have roots.
    pub fn domains(&self) -> impl Iterator<Item = (&TrustDomain, &Arc<CaBundle>)> {
        self.domains.iter()
    }

    /// Names the whole.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Roots {}

/// Who we are and whom we believe: what is published at each rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Our certificate.
    pub material: Arc<Material>,
    /// The roots that we believe.
    pub roots: Arc<Roots>,
}

/// One PEM section with lines of 64 characters.
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        out.extend(line.iter().map(|&b| char::from(b)));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// All certificates in a PEM text, in order; other sections are skipped.
///
/// # Errors
/// When there is none, too many, or the text is not PEM.
pub fn certificates(text: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).take(MAX_CERTIFICATES + 1).collect();
    let parsed = parsed.map_err(|e| MaterialError::Pem { what, reason: e.to_string() })?;
    match parsed.len() {
        0 => Err(MaterialError::NoCertificate(what)),
        n if n > MAX_CERTIFICATES => {
            Err(MaterialError::Pem { what, reason: format!("more than {MAX_CERTIFICATES} certificates") })
        }
        _ => Ok(parsed),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
