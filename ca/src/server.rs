//! One call: authenticate, authorise, issue, audit. The protocol is Istio's, so that its agents and others that speak
//! it are served as well.

use crate::{
    audit,
    authn::{Authenticator, Caller, Evidence},
    authority::{Authority, Issued},
    authz,
    error::{Error, Refusal},
    issue::{MAX_REQUEST, RequestProblem, SubjectKey},
    metrics::Metrics,
};
use mesh_config::wire::proto::istio::v1::auth::{
    IstioCertificateRequest, IstioCertificateResponse,
    istio_certificate_service_server::{IstioCertificateService, IstioCertificateServiceServer},
};
use mesh_runtime::{clock::WallClock, telemetry::repeated::Repeated, tls::grpc};
use prost_types::value::Kind;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tonic::{Request, Response, Status};

/// The metadata key under which a node agent names the workload that it asks for.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// Largest call: a request and some metadata.
const MAX_CALL: usize = 4 * MAX_REQUEST;

/// The certificate service.
#[derive(Clone)]
pub struct CertificateService {
    authority: Arc<Authority>,
    authenticator: Arc<Authenticator>,
    metrics: Metrics,
    clock: WallClock,
    lines: Repeated,
}

impl CertificateService {
    /// Issues to those whom the authenticator accepts.
    pub fn new(
        authority: Arc<Authority>,
        authenticator: Arc<Authenticator>,
        metrics: Metrics,
        clock: WallClock,
        lines: Repeated,
    ) -> Self {
        metrics.in_force(&authority);
        CertificateService { authority, authenticator, metrics, clock, lines }
    }

    /// As a gRPC server, with bounds on what a call may carry.
    pub fn into_server(self) -> IstioCertificateServiceServer<Self> {
        IstioCertificateServiceServer::new(self).max_decoding_message_size(MAX_CALL)
    }

    fn issue(&self, caller: &Caller, request: &IstioCertificateRequest, now: SystemTime) -> Result<Issued, Error> {
        let identity = authz::permitted(caller, impersonated(request))?;
        let key = SubjectKey::from_request(&request.csr).map_err(Refusal::Request)?;
        let wish = match u64::try_from(request.validity_duration) {
            Ok(0) => None,
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => return Err(Refusal::Request(RequestProblem::Validity).into()),
        };
        Ok(self.authority.issue(identity, &key, wish, now)?)
    }
}

#[tonic::async_trait]
impl IstioCertificateService for CertificateService {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let now = self.clock.now();
        let connection = request.extensions().get::<grpc::Caller>();
        let source = connection.map(|connection| connection.address.ip());
        let authenticated = self.authenticator.authenticate(Evidence::of(&request), now).await;
        let (caller, outcome) = match authenticated {
            Ok(caller) => {
                let _held = connection.map(grpc::Caller::hold);
                let outcome = self.issue(&caller, request.get_ref(), now);
                (Some(caller), outcome)
            }
            Err(error) => (None, Err(error)),
        };
        audit::decision(caller.as_ref(), source, &outcome, now, &self.lines);
        self.metrics.decision(&outcome);
        Ok(Response::new(IstioCertificateResponse { cert_chain: outcome?.chain }))
    }
}

fn impersonated(request: &IstioCertificateRequest) -> Option<&str> {
    let value = request.metadata.as_ref()?.fields.get(IMPERSONATED)?;
    match &value.kind {
        Some(Kind::StringValue(text)) => Some(text.as_str()).filter(|text| !text.is_empty()),
        // Something else than a name was asked for: nobody's name, so nobody may have it.
        _ => Some("(not a text)"),
    }
}
