//! The call to the mesh's authority: `istio.v1.auth.IstioCertificateService/CreateCertificate` over TLS. The caller
//! proves itself with a token, read again from its file each time, and with its present certificate while that is
//! valid.

use super::{
    csr::{CsrError, Request},
    rotate::Fetch,
};
use crate::{
    clock::WallClock,
    snapshot,
    tls::{
        client::{ClientTls, Simple},
        grpc::{self, Connector},
        material::{CaBundle, Identity},
    },
};
use futures_util::FutureExt;
use mesh_config::wire::proto::istio::v1::auth::{
    IstioCertificateRequest, istio_certificate_service_client::IstioCertificateServiceClient,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
    transport::Endpoint,
};

/// Longest answer that is accepted, in bytes.
const ANSWER_LIMIT: usize = 1 << 20;

/// Who the authority proves to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// Its certificate is valid for this DNS name.
    Host(Arc<str>),
    /// Its certificate carries one of these SPIFFE URIs; the name is only sent as server name.
    Spiffe {
        /// Sent as server name.
        sni: Arc<str>,
        /// What it may be.
        uris: Vec<Arc<str>>,
    },
}

/// Where the authority is and how to speak with it.
#[derive(Debug, Clone)]
pub struct CaClient {
    /// `host:port`.
    pub address: Arc<str>,
    /// Who it must be.
    pub authority: Authority,
    /// Who vouches for it, at each call.
    pub roots: snapshot::Reader<CaBundle>,
    /// A file of roots that vouch for it too, read again at each call: the authority may get another root while we run,
    /// and one in the place of a root that has ended nobody else can tell us.
    pub root_file: Option<PathBuf>,
    /// The file of the bearer token; without it only a valid certificate proves who we are.
    pub token: Option<PathBuf>,
    /// The lifetime that is asked for; the authority may give less.
    pub lifetime: Duration,
    /// For the whole call.
    pub timeout: Duration,
    /// Whether our certificate is still valid is asked of this clock.
    pub wall: WallClock,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// Nothing to prove ourselves with.
    #[error("there is neither a token file nor a valid certificate to prove who we are")]
    NoProof,
    /// The token cannot be read.
    #[error("the token {path} cannot be used: {reason}")]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The address is none.
    #[error("{address:?} is not host:port: {reason}")]
    Address {
        /// As given.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The authority cannot be reached, or says no.
    #[error("the authority at {address} issues no certificate: {code}: {message}")]
    Refused {
        /// Where.
        address: String,
        /// The gRPC status.
        code: tonic::Code,
        /// What it said, with causes.
        message: String,
    },
    /// Request or answer.
    #[error(transparent)]
    Csr(#[from] CsrError),
}

impl CaClient {
    /// As a source for [`super::rotate::Rotation`].
    pub fn into_fetch(self) -> Fetch<CaError> {
        let client = Arc::new(self);
        Arc::new(move |current| {
            let client = client.clone();
            async move { client.create(current).await }.boxed()
        })
    }

    /// Makes a new key and has it certified. The present identity is shown while it is valid; if the authority then
    /// gives nothing and there is a token, the token is tried alone: the authority's roots may have changed.
    ///
    /// # Errors
    /// [`CaError`].
    pub async fn create(&self, current: Option<Arc<Identity>>) -> Result<Identity, CaError> {
        let shown = current.filter(|identity| identity.material.not_after > self.wall.now());
        if self.token.is_none() && shown.is_none() {
            return Err(CaError::NoProof);
        }
        if let Some(identity) = shown {
            match self.call(Some(&identity)).await {
                Err(error @ CaError::Refused { .. }) if self.token.is_some() => {
                    tracing::debug!(%error, "renewal by certificate failed; trying the token alone");
                }
                done => return done,
            }
        }
        self.call(None).await
    }

    async fn call(&self, shown: Option<&Identity>) -> Result<Identity, CaError> {
        let request = Request::new()?;
        let message = IstioCertificateRequest {
            csr: request.pem().to_owned(),
            validity_duration: i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX),
            metadata: None,
        };
        let mut call = tonic::Request::new(message);
        if let Some(token) = self.read_token().await? {
            call.metadata_mut().insert("authorization", token);
        }
        let roots = self.vouching().await;
        let channel = self.endpoint()?.connect_with_connector_lazy(self.connector(roots, shown));
        let mut client = IstioCertificateServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT);
        let answer = tokio::time::timeout(self.timeout, client.create_certificate(call)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        let chain = answer.map_err(|status| self.refused(&status))?.into_inner().cert_chain;
        Ok(request.complete(&chain, self.wall.now())?)
    }

    fn endpoint(&self) -> Result<Endpoint, CaError> {
        let (Authority::Host(name) | Authority::Spiffe { sni: name, .. }) = &self.authority;
        let wrong = |reason: String| CaError::Address { address: self.address.to_string(), reason };
        let origin = format!("https://{name}").parse().map_err(|e: http::uri::InvalidUri| wrong(e.to_string()))?;
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).map_err(|e| wrong(e.to_string()))?;
        Ok(endpoint.origin(origin))
    }

    fn connector(&self, roots: Arc<CaBundle>, shown: Option<&Identity>) -> Connector {
        let (sni, names) = match &self.authority {
            Authority::Host(name) => (name, vec![name.clone()]),
            Authority::Spiffe { sni, uris } => (sni, uris.clone()),
        };
        let simple = Simple {
            roots: Some(roots),
            names,
            insecure_skip_verify: false,
            certificate: shown.map(|identity| identity.material.certificate().clone()),
        };
        let tls = Arc::new(ClientTls::anonymous().with_clock(self.wall.clone()));
        Connector::plain(self.address.clone()).secured(tls, sni.clone(), simple, self.timeout)
    }

    /// Who vouches for the authority now. A file that cannot be read leaves those that are known.
    async fn vouching(&self) -> Arc<CaBundle> {
        let known = self.roots.get();
        let Some(path) = &self.root_file else { return known };
        let text = tokio::fs::read(path).await.map_err(|error| error.to_string());
        match text.and_then(|text| CaBundle::from_pem(&text).map_err(|error| error.to_string())) {
            Ok(read) => Arc::new(known.and(&read)),
            Err(error) => {
                tracing::warn!(error, path = %path.display(), "roots that vouch for the authority cannot be read");
                known
            }
        }
    }

    async fn read_token(&self) -> Result<Option<MetadataValue<Ascii>>, CaError> {
        let Some(path) = &self.token else { return Ok(None) };
        let wrong = |reason: String| CaError::Token { path: path.clone(), reason };
        let text = tokio::fs::read_to_string(path).await.map_err(|e| wrong(e.to_string()))?;
        Ok(Some(grpc::bearer(&text).map_err(|reason| wrong(reason.to_owned()))?))
    }

    fn refused(&self, status: &Status) -> CaError {
        let mut message = status.message().to_owned();
        let mut cause = std::error::Error::source(status);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        CaError::Refused { address: self.address.to_string(), code: status.code(), message }
    }
}

#[cfg(test)]
mod tests;
