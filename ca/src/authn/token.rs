//! Tokens of the form of a Kubernetes service-account token. In a cluster the API server is asked about them; on one
//! machine they are checked against public keys that are configured.

use crate::error::{Failure, TokenProblem};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use std::{
    pin::Pin,
    time::{Duration, SystemTime},
};

/// The audience that workloads' tokens are for.
pub const AUDIENCE: &str = "istio-ca";

/// Longest token, in bytes: an API server's has about 1.2 KiB.
pub const MAX_TOKEN: usize = 16 << 10;

/// Most public keys that are tried.
const MAX_KEYS: usize = 16;

/// A service account that a token has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The Kubernetes namespace it lives in.
    pub namespace: String,
    /// Its name, unique within the namespace.
    pub name: String,
}

/// Why a token proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not a good one.
    #[error(transparent)]
    Refused(#[from] TokenProblem),
    /// It cannot be told now.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Says whose a token is. On one machine that is a matter of keys, in a cluster of asking its API server, hence the
/// future.
pub trait TokenVerifier: Send + Sync {
    /// The service account that the token was made for.
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: SystemTime,
    ) -> Pin<Box<dyn Future<Output = Result<ServiceAccount, VerifyError>> + Send + 'a>>;
}

/// Checks signatures against public keys.
pub struct KeyVerifier {
    keys: Vec<(Algorithm, DecodingKey)>,
    audience: String,
}

/// What a service-account token says.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: KubernetesClaims,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct KubernetesClaims {
    namespace: String,
    serviceaccount: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl KeyVerifier {
    /// With one or more public keys in PEM, ECDSA P-256 or RSA; several while keys are exchanged.
    ///
    /// # Errors
    /// When there is none, there are too many, or one is of another kind.
    pub fn from_pem(text: &str, audience: &str) -> Result<Self, Failure> {
        let begins = |(at, _): (usize, &str)| at;
        let starts: Vec<usize> = text.match_indices("-----BEGIN ").map(begins).collect();
        if starts.is_empty() || starts.len() > MAX_KEYS {
            return Err(Failure::TokenKeys(format!("{} keys, but 1 to {MAX_KEYS} are needed", starts.len())));
        }
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let keys = starts.iter().zip(ends).map(|(begin, end)| public_key(&text.as_bytes()[*begin..end]));
        Ok(KeyVerifier { keys: keys.collect::<Result<_, _>>()?, audience: audience.to_owned() })
    }

    /// As [`TokenVerifier::verify`].
    ///
    /// # Errors
    /// When the token is not a good one.
    pub fn check(&self, token: &str, now: SystemTime) -> Result<ServiceAccount, TokenProblem> {
        if token.len() > MAX_TOKEN {
            return Err(TokenProblem::TooLong(MAX_TOKEN));
        }
        let claims = self.signed_claims(token)?;
        claims.hold(&self.audience, now)?;
        account(&claims)
    }

    fn signed_claims(&self, token: &str) -> Result<Claims, TokenProblem> {
        // The header only chooses among keys that are ours; it never brings an algorithm of its own.
        let malformed = |e: jsonwebtoken::errors::Error| TokenProblem::Malformed(e.to_string());
        let header = decode_header(token).map_err(malformed)?;
        // Extensions without which it must not be understood (RFC 7515, 4.1.11): there is none that we do.
        if header.crit.is_some() {
            return Err(TokenProblem::Malformed("its header names extensions as critical".to_owned()));
        }
        let algorithm = header.alg;
        if !matches!(algorithm, Algorithm::ES256 | Algorithm::RS256) {
            return Err(TokenProblem::Malformed(format!("{algorithm:?}")));
        }
        for (_, key) in self.keys.iter().filter(|(kind, _)| *kind == algorithm) {
            // Time and audience are checked by us: time is an argument here.
            let mut validation = Validation::new(algorithm);
            validation.required_spec_claims.clear();
            (validation.validate_exp, validation.validate_aud) = (false, false);
            match decode::<Claims>(token, key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(e) if matches!(e.kind(), ErrorKind::InvalidSignature) => {}
                Err(e) => return Err(malformed(e)),
            }
        }
        Err(TokenProblem::Signature)
    }
}

impl Claims {
    /// That it is the token's time, and that it is meant for us.
    fn hold(&self, wanted: &str, now: SystemTime) -> Result<(), TokenProblem> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.exp <= now {
            return Err(TokenProblem::Expired { ago: Duration::from_secs(now - self.exp) });
        }
        // A token made a moment ago on a machine whose clock is a little ahead.
        if self.nbf > now.saturating_add(60) {
            return Err(TokenProblem::NotYetValid);
        }
        let meant = match &self.aud {
            Audience::One(audience) => audience == wanted,
            Audience::Several(audiences) => audiences.iter().any(|audience| audience == wanted),
        };
        if meant { Ok(()) } else { Err(TokenProblem::Audience { wanted: wanted.to_owned() }) }
    }
}

/// Refuses what no key could make good: a text that is no token of a service account, one for another audience, one
/// whose time is over. For whoever asks somebody else about the signature, and need not then. It proves nothing.
///
/// # Errors
/// What is wrong with it.
pub fn plausible(token: &str, audience: &str, now: SystemTime) -> Result<(), TokenProblem> {
    if token.len() > MAX_TOKEN {
        return Err(TokenProblem::TooLong(MAX_TOKEN));
    }
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token);
    claims.map_err(|e| TokenProblem::Malformed(e.to_string()))?.hold(audience, now)
}

/// Whom a token is about, by what it says; `None`: it is none of a service account. It proves nothing.
pub(super) fn claimed(token: &str) -> Option<ServiceAccount> {
    let token = Some(token).filter(|token| token.len() <= MAX_TOKEN)?;
    account(&jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token).ok()?).ok()
}

/// When a token that was verified comes to its end; `None`: it is none of a service account.
pub fn end(token: &str) -> Option<SystemTime> {
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}

/// The account that a user of Kubernetes is, by a name of the form `system:serviceaccount:NAMESPACE:NAME`.
///
/// # Errors
/// When it is another user, or the names could be no part of an identity.
pub fn account_of_user(user: &str) -> Result<ServiceAccount, TokenProblem> {
    let named = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let (namespace, name) = named.ok_or(TokenProblem::Subject)?;
    // The names become parts of a URI: nothing that could end one part and begin another.
    if !is_name(namespace, 63) || !is_name(name, 253) {
        return Err(TokenProblem::Subject);
    }
    Ok(ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// The account, named the same by subject and claims.
fn account(claims: &Claims) -> Result<ServiceAccount, TokenProblem> {
    let account = account_of_user(&claims.sub)?;
    let said = &claims.kubernetes;
    let agree = account.namespace == said.namespace && account.name == said.serviceaccount.name;
    if agree { Ok(account) } else { Err(TokenProblem::Subject) }
}

impl TokenVerifier for KeyVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: SystemTime,
    ) -> Pin<Box<dyn Future<Output = Result<ServiceAccount, VerifyError>> + Send + 'a>> {
        Box::pin(std::future::ready(self.check(token, now).map_err(VerifyError::Refused)))
    }
}

fn public_key(pem: &[u8]) -> Result<(Algorithm, DecodingKey), Failure> {
    let ec = DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
    ec.or_else(|_| DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key)))
        .map_err(|e| Failure::TokenKeys(format!("neither an ECDSA P-256 nor an RSA public key in PEM: {e}")))
}

/// As Kubernetes names objects.
pub(crate) fn is_name(text: &str, longest: usize) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !text.is_empty() && text.len() <= longest && text.bytes().all(fine) && !text.starts_with(['-', '.'])
}
