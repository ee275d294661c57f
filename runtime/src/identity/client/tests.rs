use super::*;
use crate::{
    drain, snapshot,
    telemetry::metrics::Registry,
    testing::TestCa,
    tls::{
        grpc::{self, Bounds, Caller, Limits, Security},
        server::{ClientAuth, ServerProfile, ServerTls, Serving},
    },
};
use mesh_config::{
    identity::SpiffeId,
    wire::proto::istio::v1::auth::{
        IstioCertificateResponse,
        istio_certificate_service_server::{IstioCertificateService, IstioCertificateServiceServer},
    },
};
use std::net::SocketAddr;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::Response;

/// Certifies `shop/cart` for who has the token, and whoever shows a certificate for what that says.
struct Authorities(TestCa);

#[tonic::async_trait]
impl IstioCertificateService for Authorities {
    async fn create_certificate(
        &self,
        request: tonic::Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let caller = request.extensions().get::<Caller>().expect("every connection has one");
        let by_certificate = caller
            .accepted
            .as_ref()
            .and_then(|accepted| accepted.peer.clone())
            .and_then(|peer| peer.uri.as_ref()?.spiffe().cloned());
        let token = request.metadata().get("authorization").map(|value| value.as_bytes().to_vec());
        let by_token = (token.as_deref() == Some(b"Bearer open sesame".as_slice()))
            .then(|| SpiffeId::new(self.0.domain().clone(), "shop", "cart"));
        let id = by_certificate.or(by_token).ok_or_else(|| Status::unauthenticated("who are you?"))?;
        let csr = request.into_inner().csr;
        Ok(Response::new(IstioCertificateResponse {
            cert_chain: self.0.sign_csr(&csr, &id, Duration::from_secs(3600)),
        }))
    }
}

/// Serves an authority until the set is dropped.
async fn serve(ca: TestCa) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), serve_on(listener, ca))
}

fn serve_on(listener: TcpListener, ca: TestCa) -> JoinSet<()> {
    let serving = Serving {
        certificates: vec![ca.server_certificate(&["ca.mesh.svc"])],
        client_ca: Some(ca.bundle()),
        ..Serving::default()
    };
    let tls = Arc::new(ServerTls::with_certificates(snapshot::Reader::fixed(Arc::new(serving))));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (_signal, watch) = drain::channel();
        let profile = ServerProfile::new([b"h2".as_slice()], ClientAuth::Optional);
        let limits = Limits::new(Bounds::default(), &Registry::new()).unwrap();
        let incoming = grpc::incoming(listener, Security::Tls(tls, profile), limits, watch);
        let service = IstioCertificateServiceServer::new(Authorities(ca));
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    tasks
}

fn client(address: SocketAddr, roots: Arc<CaBundle>, token: Option<PathBuf>) -> CaClient {
    CaClient {
        address: address.to_string().into(),
        authority: Authority::Host("ca.mesh.svc".into()),
        roots: snapshot::Reader::fixed(roots),
        root_file: None,
        token,
        lifetime: Duration::from_secs(3600),
        timeout: Duration::from_secs(30),
        wall: WallClock::system(),
    }
}

#[tokio::test]
async fn a_token_obtains_and_the_certificate_alone_renews() {
    let ca = TestCa::new("cluster.local");
    let (bundle, roots) = (ca.bundle(), ca.roots());
    let (address, _tasks) = serve(ca).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "open sesame\n").unwrap();

    let with_token = client(address, bundle.clone(), Some(token.path().to_owned()));
    let first = Arc::new(with_token.create(None).await.unwrap());
    assert_eq!((&**first.material.uri(), &first.roots), ("spiffe://cluster.local/ns/shop/sa/cart", &roots));

    let with_certificate = client(address, bundle, None);
    let second = with_certificate.create(Some(first.clone())).await.unwrap();
    assert_eq!(second.material.identity, first.material.identity);
    assert_ne!(second.material.serial, first.material.serial);
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_the_authoritys_words() {
    let ca = TestCa::new("cluster.local");
    let bundle = ca.bundle();
    let (address, _tasks) = serve(ca).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "guess").unwrap();
    let error = client(address, bundle, Some(token.path().to_owned())).create(None).await.unwrap_err();
    assert!(matches!(error, CaError::Refused { code: tonic::Code::Unauthenticated, .. }), "{error}");
    assert!(error.to_string().contains("who are you?"), "{error}");
}

#[tokio::test]
async fn a_false_authority_learns_nothing() {
    let (address, _tasks) = serve(TestCa::new("cluster.local")).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "open sesame").unwrap();
    let other = TestCa::new("cluster.local").bundle();
    let error = client(address, other, Some(token.path().to_owned())).create(None).await.unwrap_err();
    assert!(error.to_string().contains("no chain leads from it to a trusted root"), "{error}");
}

#[tokio::test]
async fn an_authority_with_another_root_is_known_by_the_file_as_it_is_now() {
    let (old, new) = (TestCa::new("cluster.local"), TestCa::new("cluster.local"));
    let (old, root) = (old.bundle(), new.root_pem());
    let (address, _tasks) = serve(new).await;
    let (token, file) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(token.path(), "open sesame").unwrap();
    std::fs::write(file.path(), old.pem()).unwrap();
    let client = client(address, old, Some(token.path().to_owned()));
    let client = CaClient { root_file: Some(file.path().to_owned()), ..client };
    let error = client.create(None).await.unwrap_err();
    assert!(error.to_string().contains("no chain leads from it to a trusted root"), "{error}");
    std::fs::write(file.path(), root).unwrap();
    client.create(None).await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_read_leaves_the_roots_that_are_known() {
    let ca = TestCa::new("cluster.local");
    let bundle = ca.bundle();
    let (address, _tasks) = serve(ca).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "open sesame").unwrap();
    let client = client(address, bundle, Some(token.path().to_owned()));
    CaClient { root_file: Some("/nonexistent/root-cert.pem".into()), ..client }.create(None).await.unwrap();
}

/// Who has a token that ends while the authority is away keeps the certificate that it has, and has another as soon as the authority is
/// back, with the token that is in the file by then.
#[tokio::test]
async fn a_token_that_ends_while_the_authority_is_away_is_read_anew_when_it_is_back() {
    let ca = TestCa::new("cluster.local");
    let bundle = ca.bundle();
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "ended long ago").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // It has ended, and so has the token.
    let wall = WallClock::manual(crate::clock::system_now());
    let (begin, end) = (wall.now() - Duration::from_secs(7200), wall.now() - Duration::from_secs(3600));
    let id = SpiffeId::new(ca.domain().clone(), "shop", "cart");
    let before = Arc::new(Identity { material: ca.material_valid(&id, begin, end), roots: ca.roots() });
    let (publisher, reader) = snapshot::publisher(before.clone());
    let client = CaClient { wall: wall.clone(), ..client(address, bundle, Some(token.path().to_owned())) };
    let registry = Registry::new();
    let rotation = super::super::rotate::Rotation {
        fetch: client.into_fetch(),
        metrics: super::super::rotate::Metrics::new(&registry).unwrap(),
        wall,
        state_dir: None,
        early: Arc::default(),
    };
    drop(listener);
    let (_signal, watch) = drain::channel();
    let _renewal = tokio::spawn(rotation.run(publisher, watch));
    let failed = |count: u32| {
        let line = format!("mesh_certificate_renewals_total{{result=\"failure\"}} {count}");
        let registry = &registry;
        move || registry.render().contains(&line)
    };
    crate::testing::eventually(Duration::from_secs(20), failed(1)).await;
    assert_eq!(*reader.get(), *before);
    let _tasks = serve_on(TcpListener::bind(address).await.unwrap(), ca);
    crate::testing::eventually(Duration::from_secs(20), failed(2)).await;
    assert_eq!(*reader.get(), *before);
    std::fs::write(token.path(), "open sesame").unwrap();
    crate::testing::eventually(Duration::from_secs(20), || reader.version() == 2).await;
}

#[tokio::test]
async fn without_any_proof_nothing_is_asked() {
    let bundle = TestCa::new("cluster.local").bundle();
    let nobody = client(([127, 0, 0, 1], 1).into(), bundle, None);
    assert!(matches!(nobody.create(None).await, Err(CaError::NoProof)));
}

#[tokio::test]
async fn silent_and_slow_connections_keep_nobody_out() {
    let ca = TestCa::new("cluster.local");
    let bundle = ca.bundle();
    let (address, _tasks) = serve(ca).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "open sesame").unwrap();
    let mut crowd = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            // A handshake record that says it will be long.
            stream.write_all(&[22, 3, 1, 8, 0]).await.unwrap();
        }
        crowd.push(stream);
    }
    // Far less than what a silent connection is given.
    let honest =
        CaClient { timeout: Duration::from_secs(10), ..client(address, bundle, Some(token.path().to_owned())) };
    honest.create(None).await.unwrap();
    drop(crowd);
}
