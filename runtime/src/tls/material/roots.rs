//! Whom we believe: sets of root certificates, and which of them vouch for which trust domain.

use super::{MaterialError, certificates, hex, pem};
use aws_lc_rs::digest;
use mesh_config::identity::TrustDomain;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    path::Path,
    sync::{Arc, OnceLock},
};

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
    pub(in crate::tls) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
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

    /// Those of both.
    #[must_use]
    pub fn and(&self, other: &CaBundle) -> Self {
        let all = self.certificates.iter().zip(&self.anchors).chain(other.certificates.iter().zip(&other.anchors));
        let all: BTreeMap<&[u8], _> = all.map(|pair| (pair.0.as_ref(), pair)).collect();
        let fingerprint = Fingerprint::of(all.keys().copied());
        let (certificates, anchors) = all.into_values().map(|(der, anchor)| (der.clone(), anchor.clone())).unzip();
        CaBundle { certificates, anchors, fingerprint }
    }

    /// The authorities that this machine's administrator believes: `SSL_CERT_FILE`, or where distributions keep
    /// them. Read once a process; certificates that cannot be used are skipped.
    ///
    /// # Errors
    /// When no such file can be read.
    pub fn system() -> Result<Arc<CaBundle>, MaterialError> {
        SYSTEM.get_or_init(|| read_system().map(Arc::new)).clone()
    }

    /// What [`CaBundle::system`] gave before; none: it was never asked.
    pub(in crate::tls) fn system_if_read() -> Option<Result<Arc<CaBundle>, MaterialError>> {
        SYSTEM.get().cloned()
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

    pub(in crate::tls) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

static SYSTEM: OnceLock<Result<Arc<CaBundle>, MaterialError>> = OnceLock::new();

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
