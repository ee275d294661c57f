//! What a caller who has proved to be a workload gets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "authority/world.rs"]
mod world;

use mesh_ca::{
    root::Root,
    store::{file::FileStore, memory::MemoryStore},
};
use mesh_config::{
    identity::{SpiffeId, TrustDomain},
    wire::proto::istio::v1::auth::IstioCertificateRequest,
};
use mesh_runtime::{
    clock, drain,
    identity::client::{Authority as Peer, CaClient},
    snapshot,
    telemetry::metrics::Registry,
    tls::{
        grpc::{self, Bounds, Limits, Security},
        material::{CaBundle, certificates},
        server::{ClientAuth, ServerProfile, ServerTls, TrustPolicy},
        verify::{Role, verify_chain},
    },
};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls_pki_types::CertificateDer;
use std::{path::Path, sync::Arc, time::Duration};
use world::{HOUR, Shown, World, call, leaf, midday, parsed, plain_csr};
use x509_parser::extensions::{GeneralName, ParsedExtension};

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

/// The leaf is believed by whoever has the roots and what stands between.
fn believed(chain: &[String], roots: &CaBundle, role: Role) {
    let [_, intermediates @ .., _] = chain else { panic!("a leaf and roots") };
    let intermediates: Vec<CertificateDer<'static>> =
        intermediates.iter().flat_map(|pem| certificates(pem.as_bytes(), "chain").unwrap()).collect();
    let anchors: Vec<_> =
        roots.certificates().iter().map(|der| webpki::anchor_from_trusted_cert(der).unwrap()).collect();
    verify_chain(&leaf(chain), &intermediates, &anchors, midday(), role).unwrap();
}

#[tokio::test]
async fn a_leaf_says_who_the_caller_is_and_nothing_else() {
    let world = World::new();
    let chain = world.issued(call(&plain_csr())).await;
    let der = leaf(&chain);
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(certificate.subject().iter().count(), 0);
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical);
    assert_eq!(names.value.general_names, [GeneralName::URI(CART)]);
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    assert!(!certificate.is_ca());
    let identified = |e: &x509_parser::extensions::X509Extension<'_>| {
        matches!(e.parsed_extension(), ParsedExtension::AuthorityKeyIdentifier(_))
    };
    assert!(certificate.iter_extensions().any(identified));
    assert!(certificate.raw_serial().len() >= 14, "a random serial of 128 bits: {:?}", certificate.raw_serial());
}

#[tokio::test]
async fn a_chain_ends_in_the_root_and_is_believed_in_both_roles() {
    let world = World::new();
    let chain = world.issued(call(&plain_csr())).await;
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1], world.authority.roots().pem());
    believed(&chain, &world.authority.roots(), Role::Client);
    believed(&chain, &world.authority.roots(), Role::Server);
}

#[tokio::test]
async fn what_the_request_asks_for_is_ignored() {
    let mut params = CertificateParams::new(vec!["admin.example".to_owned()]).unwrap();
    let other = "spiffe://cluster.local/ns/istio-system/sa/istiod".to_owned().try_into().unwrap();
    params.subject_alt_names.push(SanType::URI(other));
    params.distinguished_name.push(DnType::CommonName, "admin");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let world = World::new();
    let chain = world.issued(call(&csr)).await;
    let certificate = parsed(&chain);
    assert_eq!(
        (certificate.uris, certificate.dns, certificate.subject),
        (vec![CART.to_owned()], vec![], String::new())
    );
    assert!(!x509_parser::parse_x509_certificate(&leaf(&chain)).unwrap().1.is_ca());
}

#[tokio::test]
async fn leaves_live_a_day_or_as_wished_but_not_beyond_the_bound() {
    let world = World::new();
    let check = async |wish: i64, want: Duration| {
        let asked = IstioCertificateRequest { validity_duration: wish, ..call(&plain_csr()) };
        let leaf = parsed(&world.issued(asked).await);
        assert_eq!(leaf.not_before, midday() - Duration::from_secs(60));
        assert_eq!(leaf.not_after, midday() + want, "wished {wish} s");
    };
    check(0, 24 * HOUR).await;
    check(5, Duration::from_secs(5)).await;
    check(i64::MAX, 90 * 24 * HOUR).await;
}

#[tokio::test]
async fn serial_numbers_differ() {
    let world = World::new();
    let csr = plain_csr();
    assert_ne!(parsed(&world.issued(call(&csr)).await).serial, parsed(&world.issued(call(&csr)).await).serial);
}

#[tokio::test]
async fn keys_of_the_usual_kinds_are_certified() {
    let world = World::new();
    let kinds =
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256];
    for kind in kinds {
        let key = KeyPair::generate_for(kind).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let chain = world.issued(call(&csr)).await;
        believed(&chain, &world.authority.roots(), Role::Client);
        let der = leaf(&chain);
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(&*certificate.public_key().subject_public_key.data, key.public_key_raw());
    }
}

#[tokio::test]
async fn a_valid_certificate_proves_its_owner() {
    let world = World::new();
    let first = leaf(&world.issued(call(&plain_csr())).await);
    let chain = world.ask(Shown { certificate: Some(&first), ..Shown::default() }, call(&plain_csr())).await.unwrap();
    assert_eq!(parsed(&chain).uris, [CART]);
    assert_ne!(leaf(&chain), first);
}

#[tokio::test]
async fn a_token_still_helps_when_the_certificate_does_not() {
    let world = World::new();
    let first = leaf(&world.issued(call(&plain_csr())).await);
    world.clock.set(midday() + 25 * HOUR);
    let token = world.token();
    let shown = Shown { certificate: Some(&first), token: Some(&token) };
    assert_eq!(parsed(&world.ask(shown, call(&plain_csr())).await.unwrap()).uris, [CART]);
}

#[tokio::test]
async fn an_rsa_root_of_somebody_else_in_pkcs1_form_signs() {
    let store = FileStore::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rsa-root"));
    let world = World::with_root(Root::open(&store, midday()).unwrap());
    let chain = world.issued(call(&plain_csr())).await;
    assert_eq!(chain.len(), 2);
    believed(&chain, &world.authority.roots(), Role::Server);
}

#[tokio::test]
async fn an_intermediate_with_a_sec1_key_stands_between_leaf_and_a_set_of_roots() {
    let store = FileStore::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ec-intermediate"));
    let world = World::with_root(Root::open(&store, midday()).unwrap());
    let chain = world.issued(call(&plain_csr())).await;
    assert_eq!(chain.len(), 3, "leaf, intermediate, roots");
    assert_eq!(certificates(chain[2].as_bytes(), "roots").unwrap().len(), 2);
    assert_eq!(world.authority.bundle().roots.len(), 2);
    believed(&chain, &world.authority.roots(), Role::Client);
}

#[test]
fn a_local_certificate_has_the_names_given() {
    let world = World::new();
    let id: SpiffeId = "spiffe://cluster.local/ns/istio-system/sa/istiod".parse().unwrap();
    let names = ["istiod.istio-system.svc".to_owned()];
    let identity = world.authority.issue_local(&id, &names, HOUR, midday()).unwrap();
    assert_eq!(identity.material.identity, id);
    assert_eq!(identity.material.certificate().leaf().dns, names);
    assert_eq!(identity.roots.get(&id.trust_domain), Some(&world.authority.roots()));
}

#[tokio::test]
async fn decisions_are_counted() {
    let world = World::new();
    world.issued(call(&plain_csr())).await;
    world.ask(Shown::default(), call(&plain_csr())).await.unwrap_err();
    let text = world.registry.render();
    for line in [
        "citadel_server_csr_count 2",
        "citadel_server_success_cert_issuance_count 1",
        "citadel_server_authentication_failure_count 1",
        "mesh_ca_refused_total{reason=\"no_proof\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_workload_gets_and_renews_its_certificate_over_tls() {
    // Handshakes go by the machine's clock, so here the authority does too.
    let now = clock::system_now();
    let root = Root::open_or_create(&MemoryStore::default(), &TrustDomain::default(), now).unwrap();
    let world = World::with_root(root);
    world.clock.set(now);
    let id: SpiffeId = "spiffe://cluster.local/ns/istio-system/sa/istiod".parse().unwrap();
    let own = world.authority.issue_local(&id, &["localhost".to_owned()], HOUR, now).unwrap();
    let tls = Arc::new(ServerTls::new(snapshot::Reader::fixed(Arc::new(own)), TrustPolicy::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_signal, drain) = drain::channel();
    let profile = ServerProfile::new([b"h2".as_slice()], ClientAuth::Optional);
    let limits = Limits::new(Bounds::default(), &Registry::new()).unwrap();
    let server = tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(world.service.clone().into_server())
            .serve_with_incoming(grpc::incoming(listener, Security::Tls(tls, profile), limits, drain)),
    );

    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, world.token()).unwrap();
    let mut client = CaClient {
        address: address.to_string().into(),
        authority: Peer::Host("localhost".into()),
        roots: snapshot::Reader::fixed(world.authority.roots()),
        root_file: None,
        token: Some(token),
        lifetime: HOUR,
        timeout: Duration::from_secs(20),
        wall: world.clock.clone(),
    };
    let first = client.create(None).await.unwrap();
    client.token = None;
    let second = client.create(Some(Arc::new(first.clone()))).await.unwrap();
    assert_eq!([&first, &second].map(|i| i.material.identity.uri()), [CART, CART]);
    assert_ne!(first.material.serial, second.material.serial);
    server.abort();
}
