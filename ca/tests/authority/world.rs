//! A whole authority in this process: root in memory, a token key, the service as its callers see it, and a clock that
//! stands still until it is moved.

#![allow(clippy::allow_attributes, dead_code, reason = "each test file uses its part")]

use mesh_ca::{
    Authority, Lifetimes,
    authn::{
        Authenticator,
        token::{AUDIENCE, KeyVerifier},
    },
    metrics::Metrics,
    root::Root,
    server::CertificateService,
    store::memory::MemoryStore,
    token::{SigningKey, mint},
};
use mesh_config::{
    identity::TrustDomain,
    wire::proto::istio::v1::auth::{
        IstioCertificateRequest, istio_certificate_service_server::IstioCertificateService,
    },
};
use mesh_runtime::{
    clock::WallClock,
    telemetry::{
        metrics::Registry,
        repeated::{Repeated, SILENT_FOR},
    },
    tls::{grpc, material::certificates, server::Accepted, verify::PeerCertificate},
};
use rustls_pki_types::CertificateDer;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tonic::Status;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct World {
    pub(crate) authority: Arc<Authority>,
    pub(crate) service: CertificateService,
    pub(crate) tokens: SigningKey,
    pub(crate) clock: WallClock,
    pub(crate) registry: Registry,
}

/// What a caller shows.
#[derive(Default)]
pub(crate) struct Shown<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) certificate: Option<&'a CertificateDer<'static>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let trust_domain = TrustDomain::default();
        let root = Root::open_or_create(&MemoryStore::default(), &trust_domain, midday()).unwrap();
        World::with_root(root)
    }

    pub(crate) fn with_root(root: Root) -> Self {
        let clock = WallClock::manual(midday());
        let trust_domain = TrustDomain::default();
        let authority = Arc::new(Authority::new(trust_domain.clone(), root, Lifetimes::default()));
        let tokens = SigningKey::generate().unwrap();
        let verifier = KeyVerifier::from_pem(tokens.public_pem(), AUDIENCE).unwrap();
        let authenticator = Arc::new(Authenticator::new(trust_domain, Arc::new(verifier)));
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let lines = Repeated::new(SILENT_FOR, &registry).unwrap();
        let service = CertificateService::new(authority.clone(), authenticator, metrics, clock.clone(), lines);
        World { authority, service, tokens, clock, registry }
    }

    /// A good token of `shop/cart`.
    pub(crate) fn token(&self) -> String {
        mint(&self.tokens, "shop", "cart", AUDIENCE, HOUR, self.clock.now()).unwrap()
    }

    pub(crate) async fn ask(&self, shown: Shown<'_>, call: IstioCertificateRequest) -> Result<Vec<String>, Status> {
        let mut request = tonic::Request::new(call);
        if let Some(token) = shown.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        if let Some(der) = shown.certificate {
            request.extensions_mut().insert(connection(der));
        }
        Ok(self.service.create_certificate(request).await?.into_inner().cert_chain)
    }

    /// A chain for `shop/cart`, proved by a token.
    pub(crate) async fn issued(&self, call: IstioCertificateRequest) -> Vec<String> {
        self.ask(Shown { token: Some(&self.token()), ..Shown::default() }, call).await.unwrap()
    }
}

/// A request as old workloads' agents make them: they may ask for anything.
pub(crate) fn call(csr: &str) -> IstioCertificateRequest {
    IstioCertificateRequest { csr: csr.to_owned(), ..IstioCertificateRequest::default() }
}

pub(crate) fn plain_csr() -> String {
    mesh_runtime::identity::csr::Request::new().unwrap().pem().to_owned()
}

pub(crate) fn leaf(chain: &[String]) -> CertificateDer<'static> {
    certificates(chain[0].as_bytes(), "leaf").unwrap().remove(0)
}

pub(crate) fn parsed(chain: &[String]) -> PeerCertificate {
    PeerCertificate::parse(&leaf(chain)).unwrap()
}

/// A whole second, so that what certificates say can be compared.
pub(crate) fn midday() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)
}

/// What the TLS acceptor says about a connection whose client has shown this certificate.
fn connection(der: &CertificateDer<'static>) -> grpc::Caller {
    let accepted = Accepted {
        peer: Some(Arc::new(PeerCertificate::parse(der).unwrap())),
        alpn: None,
        sni: None,
        offered_alpn: Vec::new(),
        resumed: false,
        local_uri: None,
    };
    grpc::Caller::new(Some(Arc::new(accepted)), ([127, 0, 0, 1], 1).into())
}
