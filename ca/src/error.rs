//! What is the caller's fault ([`Refusal`]) apart from what is ours ([`Failure`]): the first is answered with its
//! reason, the second with as little as possible, and logged in full.

#![warn(clippy::wildcard_enum_match_arm)]

use crate::{issue::RequestProblem, store::StoreError};
use mesh_runtime::{telemetry::metrics::RegisterError, tls::material::MaterialError};
use std::{
    io,
    time::{Duration, SystemTime},
};
use tonic::{Code, Status};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Ours.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The caller does not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither certificate nor token was shown.
    #[error("no proof of identity: show a bearer token or a client certificate")]
    NoProof,
    /// A token was shown and does not do.
    #[error("the token is refused: {0}")]
    Token(#[from] TokenProblem),
    /// A certificate was shown and does not do.
    #[error("the client certificate is refused: {0}")]
    Certificate(#[from] CertificateProblem),
    /// Both were shown and neither does.
    #[error("the client certificate is refused: {certificate}; the token is refused: {token}")]
    Both {
        /// What is wrong with the certificate.
        certificate: CertificateProblem,
        /// What is wrong with the token.
        token: TokenProblem,
    },
    /// Both were shown, and they are about two accounts.
    #[error("the client certificate is {certificate}'s, the token is about account {token}: show one of them")]
    Disagree {
        /// Whose the certificate is.
        certificate: String,
        /// Namespace and account of which the token speaks; it was not verified.
        token: String,
    },
    /// An identity of somebody else.
    #[error("{caller} may not have a certificate for {wanted}")]
    Identity {
        /// Who calls.
        caller: String,
        /// Whom it wants to be.
        wanted: String,
    },
    /// The certificate request cannot be used.
    #[error("the certificate request is refused: {0}")]
    Request(#[from] RequestProblem),
}

impl Refusal {
    /// A word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NoProof => "no_proof",
            Refusal::Token(_) => "token",
            Refusal::Certificate(_) => "certificate",
            Refusal::Both { .. } => "certificate_and_token",
            Refusal::Disagree { .. } => "two_accounts",
            Refusal::Identity { .. } => "identity",
            Refusal::Request(_) => "request",
        }
    }

    /// The status of the answer.
    pub(crate) fn code(&self) -> Code {
        match self {
            Refusal::NoProof
            | Refusal::Token(_)
            | Refusal::Certificate(_)
            | Refusal::Both { .. }
            | Refusal::Disagree { .. } => Code::Unauthenticated,
            Refusal::Identity { .. } => Code::PermissionDenied,
            Refusal::Request(_) => Code::InvalidArgument,
        }
    }
}

/// What is wrong with a token. Never holds any of it but names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// Longer than any real one.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// Not a token, or one without what it must say, or signed in a way that is not accepted.
    #[error("it is not a service-account token signed with ES256 or RS256: {0}")]
    Malformed(String),
    /// Signed by nobody we know.
    #[error("it is not signed by a key that is configured here")]
    Signature,
    /// Its time is over.
    #[error("it has expired {ago:?} ago")]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// Its time has not come.
    #[error("it is not valid yet; check the clocks")]
    NotYetValid,
    /// For somebody else's eyes.
    #[error("it is not meant for audience {wanted:?}")]
    Audience {
        /// Ours.
        wanted: String,
    },
    /// The API server, asked about it, does not know it as anybody's.
    #[error("the API server does not take it for a service account's: {0}")]
    Unknown(String),
    /// The parts that name the service account disagree, or are no names.
    #[error("its subject is not of the form system:serviceaccount:NAMESPACE:NAME, or its claims say otherwise")]
    Subject,
}

/// What is wrong with a client certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// Expired since the handshake.
    #[error("it has expired {ago:?} ago")]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// It names no workload, or several.
    #[error("it does not carry exactly one URI of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT")]
    NoIdentity,
    /// Of another trust domain: not of our root.
    #[error("it is of trust domain {0}, which is not ours")]
    TrustDomain(String),
}

/// We cannot do what we are for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Signing or making a key failed.
    #[error("a certificate or key cannot be made: {0}")]
    Crypto(#[from] rcgen::Error),
    /// The random generator gives nothing.
    #[error("the system provides no random numbers")]
    Random,
    /// Nothing we sign would be valid.
    #[error("the signing certificate expires at {0:?}: replace the authority's certificate")]
    Expired(SystemTime),
    /// The key material cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no key material.
    #[error("{0} contains no ca-cert.pem")]
    NoRoot(String),
    /// The key material does not do.
    #[error("the authority's key material cannot be used: {0}")]
    Root(String),
    /// A certificate of ours cannot be used by ourselves.
    #[error("our own certificate cannot be used: {0}")]
    Own(#[from] mesh_runtime::identity::csr::CsrError),
    /// A name that cannot be put into a certificate.
    #[error("{0:?} cannot be put into a certificate")]
    Name(String),
    /// No key to verify tokens with.
    #[error("the public keys for tokens cannot be used: {0}")]
    TokenKeys(String),
    /// Who could tell whose a token is cannot be asked.
    #[error("tokens cannot be verified now: {0}")]
    Review(String),
    /// A token cannot be signed.
    #[error("a token cannot be signed: {0}")]
    TokenSigning(#[from] jsonwebtoken::errors::Error),
    /// A metric's name is taken.
    #[error(transparent)]
    Metrics(#[from] RegisterError),
    /// A socket cannot be used.
    #[error("{what}: {error}")]
    Io {
        /// Which one.
        what: String,
        /// What happened.
        error: io::Error,
    },
    /// The server ended.
    #[error("the certificate service failed: {0}")]
    Serve(#[from] tonic::transport::Error),
}

impl From<MaterialError> for Failure {
    fn from(error: MaterialError) -> Self {
        Failure::Root(error.to_string())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Status::new(refusal.code(), refusal.to_string()),
            // It passes, and whoever tries again is served.
            Error::Failed(Failure::Review(_)) => {
                Status::unavailable("the API server cannot be asked about the token now; try again")
            }
            Error::Failed(_) => Status::internal("the authority cannot issue certificates now; its log says why"),
        }
    }
}
