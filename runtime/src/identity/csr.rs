//! A new key and the request that asks for a certificate for it. The request names nobody: the authority decides who
//! the caller is from the proof it shows.

use crate::tls::material::{CaBundle, Certificate, Identity, Material, MaterialError, Roots, certificates};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::PrivateKeyDer;
use std::{sync::Arc, time::SystemTime};

/// Why there is no request, or the answer to it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    /// The key or the request could not be made.
    #[error("a key and certificate request cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The answer has too few parts.
    #[error("the authority's answer contains no certificate besides its root")]
    Incomplete,
    /// The answer is not usable.
    #[error("the authority's answer cannot be used: {0}")]
    Answer(#[from] MaterialError),
}

/// An ECDSA P-256 key with its request. The key never leaves this process, but for [`super::file::save`].
pub struct Request {
    key: KeyPair,
    pem: String,
}

impl Request {
    /// A new key and request.
    ///
    /// # Errors
    /// [`CsrError::Make`].
    pub fn new() -> Result<Self, CsrError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let pem = params.serialize_request(&key)?.pem()?;
        Ok(Request { key, pem })
    }

    /// The request in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Joins the key with the authority's answer: texts in PEM, leaf first, the last one holding the root or roots of
    /// the leaf's trust domain. The chain is not verified: the authority was, when it was called.
    ///
    /// # Errors
    /// [`CsrError::Incomplete`], [`CsrError::Answer`].
    pub fn complete(self, answer: &[String], now: SystemTime) -> Result<Identity, CsrError> {
        let (roots, chain) = answer.split_last().filter(|(_, chain)| !chain.is_empty()).ok_or(CsrError::Incomplete)?;
        let chain = certificates(chain.join("\n").as_bytes(), "certificate chain")?;
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let material = Material::new(Certificate::new(chain, key)?, now)?;
        let roots = Arc::new(CaBundle::from_pem(roots.as_bytes())?);
        let roots = Roots::new([(material.identity.trust_domain.clone(), roots)]);
        Ok(Identity { material: Arc::new(material), roots: Arc::new(roots) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::testing::TestCa;
    use std::time::Duration;

    #[test]
    fn a_signed_request_becomes_an_identity() {
        let ca = TestCa::new("cluster.local");
        let id = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
        let request = Request::new().unwrap();
        let answer = ca.sign_csr(request.pem(), &id, Duration::from_secs(3600));
        let identity = request.complete(&answer, clock::system_now()).unwrap();
        assert_eq!((&identity.material.identity, &identity.roots), (&id, &ca.roots()));
    }

    #[test]
    fn an_answer_for_another_key_or_without_root_is_refused() {
        let ca = TestCa::new("cluster.local");
        let id = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
        let answer = ca.sign_csr(Request::new().unwrap().pem(), &id, Duration::from_secs(3600));
        let mixed = Request::new().unwrap().complete(&answer, clock::system_now());
        assert!(matches!(mixed, Err(CsrError::Answer(MaterialError::KeyMismatch { .. }))));
        let short = Request::new().unwrap().complete(&answer[..1], clock::system_now());
        assert!(matches!(short, Err(CsrError::Incomplete)));
    }
}
