//! Who calls: from a request to a [`Caller`]. Tried in order: the client certificate of the connection, then the
//! bearer token. The first that does wins, unless the other says somebody else; all failing says why each failed.

pub mod mtls;
pub mod token;

use crate::error::{Error, Refusal, TokenProblem};
use mesh_config::identity::{SpiffeId, TrustDomain};
use mesh_runtime::tls::{grpc, verify::PeerCertificate};
use std::{fmt, sync::Arc, time::SystemTime};
use token::TokenVerifier;

/// Somebody who has proved to be a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub identity: SpiffeId,
    /// How it was proved.
    pub proof: Proof,
    /// When what proved it comes to its end.
    pub until: SystemTime,
}

/// How an identity was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A client certificate of our root.
    Certificate,
    /// A service-account token.
    Token,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proof::Certificate => "certificate",
            Proof::Token => "token",
        })
    }
}

/// What a caller shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// The certificate of the connection, verified against our roots during the handshake.
    pub certificate: Option<&'a PeerCertificate>,
    /// The bearer token.
    pub token: Option<&'a str>,
}

impl<'a> Evidence<'a> {
    /// What came with a request: the verified certificate that [`grpc::incoming`] put among its extensions, and
    /// `authorization: Bearer …` in its metadata.
    pub fn of<T>(request: &'a tonic::Request<T>) -> Self {
        let certificate = request.extensions().get::<grpc::Caller>().and_then(|c| c.accepted.as_ref()?.peer.as_deref());
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        Evidence { certificate, token }
    }
}

/// Decides who calls.
pub struct Authenticator {
    trust_domain: TrustDomain,
    tokens: Arc<dyn TokenVerifier>,
}

impl Authenticator {
    /// For callers of a trust domain, whose tokens this verifier knows.
    pub fn new(trust_domain: TrustDomain, tokens: Arc<dyn TokenVerifier>) -> Self {
        Authenticator { trust_domain, tokens }
    }

    /// Who shows this.
    ///
    /// # Errors
    /// [`Refusal`] when nothing does, [`crate::Failure`] when tokens cannot be verified now.
    pub async fn authenticate(&self, evidence: Evidence<'_>, now: SystemTime) -> Result<Caller, Error> {
        let certificate = match evidence.certificate.map(|c| (c, mtls::identity(c, &self.trust_domain, now))) {
            Some((shown, Ok(identity))) => {
                disagree(&identity, evidence.token)?;
                return Ok(Caller { identity, proof: Proof::Certificate, until: shown.not_after });
            }
            Some((_, Err(problem))) => Some(problem),
            None => None,
        };
        let token: Option<TokenProblem> = match evidence.token {
            Some(text) => match self.tokens.verify(text, now).await {
                Ok(account) => {
                    let identity = SpiffeId::new(self.trust_domain.clone(), &account.namespace, &account.name);
                    // The verifier vouches for the whole text, so also for what it says of its end.
                    return Ok(Caller { identity, proof: Proof::Token, until: token::end(text).unwrap_or(now) });
                }
                Err(token::VerifyError::Refused(problem)) => Some(problem),
                Err(token::VerifyError::Failed(failure)) => return Err(Error::Failed(failure)),
            },
            None => None,
        };
        Err(Error::Refused(match (certificate, token) {
            (None, None) => Refusal::NoProof,
            (Some(certificate), None) => Refusal::Certificate(certificate),
            (None, Some(token)) => Refusal::Token(token),
            (Some(certificate), Some(token)) => Refusal::Both { certificate, token },
        }))
    }
}

/// Who shows a certificate and a token that speaks of another account means one of the two, and we would choose.
fn disagree(identity: &SpiffeId, token: Option<&str>) -> Result<(), Refusal> {
    let Some(account) = token.and_then(token::claimed) else { return Ok(()) };
    match *account.namespace == *identity.namespace && *account.name == *identity.service_account {
        true => Ok(()),
        false => Err(Refusal::Disagree {
            certificate: identity.uri(),
            token: format!("{}/{}", account.namespace, account.name),
        }),
    }
}
