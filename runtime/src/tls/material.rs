//! Keys, chains and roots as immutable values, parsed and checked once. What a process publishes about itself is one
//! [`Identity`]: its certificate together with the roots it believes, so that no reader sees half of a rotation.

mod roots;

pub use roots::{CaBundle, Fingerprint, Roots};

use super::{provider, verify::PeerCertificate};
use base64::{Engine, engine::general_purpose::STANDARD};
use mesh_config::identity::SpiffeId;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
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
    #[error("the {0} contains no certificate")]
    NoCertificate(&'static str),
    /// No private key in the text.
    #[error("the key file contains no private key in PKCS#8, PKCS#1 or SEC1 form")]
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

    /// The identity as the text in the certificate.
    pub fn uri(&self) -> &Arc<str> {
        &self.uri
    }

    /// Chain and key.
    pub fn certificate(&self) -> &Arc<Certificate> {
        &self.certificate
    }
}

/// Who we are and whom we trust: what is published at each rotation.
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
