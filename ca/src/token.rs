//! Tokens for machines without a cluster: a signing key, and tokens of the form that Kubernetes gives to pods. In a
//! cluster nothing here is used.

use crate::{
    authn::token::is_name,
    error::Failure,
    store::{
        KeyPem,
        file::{read, write_private},
    },
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde::Serialize;
use std::{
    path::Path,
    time::{Duration, SystemTime},
};

/// Who such tokens say to be from.
pub const ISSUER: &str = "mesh-local";

/// The private key within a directory.
pub const PRIVATE_KEY: &str = "token-key.pem";
/// The public key within a directory.
pub const PUBLIC_KEY: &str = "token-key.pub.pem";

/// An ECDSA P-256 key that signs tokens.
pub struct SigningKey {
    pem: KeyPem,
    public_pem: String,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: [&'a str; 1],
    iat: u64,
    nbf: u64,
    exp: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: KubernetesClaims<'a>,
}

#[derive(Serialize)]
struct KubernetesClaims<'a> {
    namespace: &'a str,
    serviceaccount: Named<'a>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// When none can be made.
    pub fn generate() -> Result<Self, Failure> {
        SigningKey::from_pem(KeyPair::generate()?.serialize_pem())
    }

    /// From a private key in PEM, PKCS#8.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn from_pem(pem: String) -> Result<Self, Failure> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| Failure::TokenKeys(e.to_string()))?;
        let pair = KeyPair::try_from(&der)?;
        if pair.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(Failure::TokenKeys("tokens are signed with an ECDSA P-256 key".to_owned()));
        }
        let key = EncodingKey::from_ec_pem(pem.as_bytes())?;
        Ok(SigningKey { public_pem: pair.public_key_pem(), pem: pem.into(), key })
    }

    /// The key of a directory; made and saved (mode 0600) when there is none. The public half is saved beside it.
    ///
    /// # Errors
    /// When files cannot be read or written, or hold no such key.
    pub fn load_or_create(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(PRIVATE_KEY);
        if path.exists() {
            return SigningKey::from_pem(read(&path)?);
        }
        let key = SigningKey::generate()?;
        std::fs::create_dir_all(dir)
            .map_err(|error| Failure::Io { what: format!("cannot make {}", dir.display()), error })?;
        write_private(&dir.join(PUBLIC_KEY), key.public_pem())?;
        write_private(&path, key.pem.text())?;
        Ok(key)
    }

    /// What verifies its tokens, in PEM.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The key itself, for saving it.
    pub fn private_pem(&self) -> &KeyPem {
        &self.pem
    }
}

/// A token for a service account.
///
/// # Errors
/// When the names are no names, or signing fails.
pub fn mint(
    key: &SigningKey,
    namespace: &str,
    service_account: &str,
    audience: &str,
    ttl: Duration,
    now: SystemTime,
) -> Result<String, Failure> {
    for (name, longest) in [(namespace, 63), (service_account, 253)] {
        if !is_name(name, longest) {
            return Err(Failure::Name(name.to_owned()));
        }
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims {
        iss: ISSUER,
        sub: format!("system:serviceaccount:{namespace}:{service_account}"),
        aud: [audience],
        iat: now,
        nbf: now,
        exp: now.saturating_add(ttl.as_secs()),
        kubernetes: KubernetesClaims { namespace, serviceaccount: Named { name: service_account } },
    };
    Ok(encode(&Header::new(Algorithm::ES256), &claims, &key.key)?)
}
