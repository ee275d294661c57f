//! Handshakes between our two ends, in memory.

use super::{
    client::{ClientProfile, ClientTls, Connected, Mode, Simple},
    material::{CaBundle, Identity},
    server::{Accepted, ClientAuth, ServerProfile, ServerTls, Serving, TrustPolicy},
    verify::{Check, ExpectedPeer, Role, Rule, ServerVerifier},
    *,
};
use crate::{
    clock,
    snapshot::{self, Publisher, Reader},
    testing::{TestCa, mesh_profile},
};
use mesh_config::identity::SpiffeId;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SNI: &str = "outbound_.80_._.foo.default.svc.cluster.local";
const HOUR: Duration = Duration::from_secs(3600);

type Ends = (Result<Accepted, TlsError>, Result<Connected, TlsError>);

/// One connection: the handshake, then a byte each way, so that the client reads its session ticket.
async fn meet(
    server: &ServerTls,
    profile: &ServerProfile,
    client: &ClientTls,
    wanted: &ClientProfile,
    expected: &ExpectedPeer,
) -> Ends {
    let (near, far) = tokio::io::duplex(1 << 16);
    let serve = async {
        let (mut stream, accepted) = server.accept(far, profile).await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        stream.write_all(&byte).await?;
        stream.shutdown().await?;
        Ok(accepted)
    };
    let call = async {
        let (mut stream, connected) = client.connect(near, wanted, expected).await?;
        stream.write_all(b"x").await?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await?;
        assert_eq!(back, b"x");
        Ok(connected)
    };
    tokio::join!(serve, call)
}

/// Two workloads of one mesh; the server's identity can be replaced.
struct Pair {
    ca: TestCa,
    publisher: Publisher<Identity>,
    server: ServerTls,
    client: ClientTls,
}

impl Pair {
    fn new() -> Self {
        let ca = TestCa::new("cluster.local");
        let (publisher, reader) = snapshot::publisher(ca.identity("default", "foo"));
        let server = ServerTls::new(reader, TrustPolicy::default());
        let client = ClientTls::new(Reader::fixed(ca.identity("default", "bar")));
        Pair { ca, publisher, server, client }
    }

    async fn meet(&self) -> (Accepted, Connected) {
        let expected = ExpectedPeer::any_of(["spiffe://cluster.local/ns/default/sa/foo"]);
        let (accepted, connected) =
            meet(&self.server, &mutual(&[b"h2"]), &self.client, &mesh_profile(&[b"h2"], SNI), &expected).await;
        (accepted.unwrap(), connected.unwrap())
    }
}

fn mutual(alpn: &[&'static [u8]]) -> ServerProfile {
    ServerProfile::new(alpn, ClientAuth::Required)
}

#[tokio::test]
async fn both_sides_learn_who_the_other_is() {
    let (accepted, connected) = Pair::new().meet().await;
    assert_eq!(accepted.peer.unwrap().uris, ["spiffe://cluster.local/ns/default/sa/bar"]);
    assert_eq!(connected.peer.uris, ["spiffe://cluster.local/ns/default/sa/foo"]);
    assert_eq!(accepted.sni.as_deref(), Some(SNI));
    assert_eq!(accepted.local_uri.as_deref(), Some("spiffe://cluster.local/ns/default/sa/foo"));
    assert_eq!(connected.local_uri.as_deref(), Some("spiffe://cluster.local/ns/default/sa/bar"));
    assert!(!accepted.resumed && !connected.resumed);
}

#[tokio::test]
async fn the_servers_preference_decides_and_no_overlap_goes_on_without_a_protocol() {
    let pair = Pair::new();
    let check = async |ours: &[&'static [u8]], theirs: &[&'static [u8]], want: Option<&[u8]>| {
        let (accepted, connected) =
            meet(&pair.server, &mutual(ours), &pair.client, &mesh_profile(theirs, SNI), &ExpectedPeer::any()).await;
        let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
        assert_eq!((accepted.alpn.as_deref(), connected.alpn.as_deref()), (want, want), "{ours:?} {theirs:?}");
        assert_eq!(accepted.offered_alpn, theirs);
    };
    check(&[b"h2", b"http/1.1"], &[b"http/1.1", b"h2"], Some(b"h2")).await;
    check(&[b"h2", b"http/1.1"], &[b"istio-http/1.1", b"istio", b"http/1.1"], Some(b"http/1.1")).await;
    check(&[b"h2", b"http/1.1"], &[b"istio-peer-exchange", b"istio"], None).await;
    check(&[], &[b"h2"], None).await;
    check(&[b"h2"], &[], None).await;
}

#[tokio::test]
async fn the_second_connection_resumes_and_still_knows_the_peer() {
    let pair = Pair::new();
    pair.meet().await;
    for _ in 0..3 {
        let (accepted, connected) = pair.meet().await;
        assert!(accepted.resumed && connected.resumed);
        assert_eq!(accepted.peer.unwrap().uris, ["spiffe://cluster.local/ns/default/sa/bar"]);
        assert_eq!(connected.peer.uris, ["spiffe://cluster.local/ns/default/sa/foo"]);
    }
}

#[tokio::test]
async fn a_session_is_resumed_under_another_protocol_list() {
    let pair = Pair::new();
    pair.meet().await;
    let expected = ExpectedPeer::any_of(["spiffe://cluster.local/ns/default/sa/foo"]);
    let (profile, wanted) = (mutual(&[b"h2", b"http/1.1"]), mesh_profile(&[b"http/1.1"], SNI));
    let (accepted, connected) = meet(&pair.server, &profile, &pair.client, &wanted, &expected).await;
    assert!(accepted.unwrap().resumed && connected.unwrap().resumed);
}

#[tokio::test]
async fn a_session_is_never_offered_to_another_peer_or_name() {
    let pair = Pair::new();
    pair.meet().await;
    let foo = ExpectedPeer::any_of(["spiffe://cluster.local/ns/default/sa/foo"]);
    let check = async |expected: &ExpectedPeer, sni: &str| {
        let (_, connected) =
            meet(&pair.server, &mutual(&[b"h2"]), &pair.client, &mesh_profile(&[b"h2"], sni), expected).await;
        connected.unwrap().resumed
    };
    assert!(!check(&ExpectedPeer::any(), SNI).await);
    assert!(!check(&foo, "outbound_.80_._.other.default.svc.cluster.local").await);
    assert!(check(&foo, SNI).await);
}

#[tokio::test]
async fn a_new_leaf_keeps_sessions_and_new_roots_end_them() {
    let pair = Pair::new();
    pair.meet().await;
    pair.publisher.publish(pair.ca.identity("default", "foo"));
    assert!(pair.meet().await.0.resumed);

    let mut identity = (*pair.ca.identity("default", "foo")).clone();
    let another = TestCa::new("other");
    identity.roots = Arc::new(identity.roots.with(another.domain().clone(), another.bundle()));
    pair.publisher.publish(Arc::new(identity));
    let (accepted, connected) = pair.meet().await;
    assert!(!accepted.resumed && !connected.resumed);
    assert!(pair.meet().await.0.resumed);
}

#[tokio::test]
async fn a_resumed_session_with_an_expired_chain_is_refused() {
    let ca = TestCa::new("cluster.local");
    let (start, wall) = (clock::system_now(), WallClock::manual(clock::system_now()));
    let server = ServerTls::new(Reader::fixed(ca.identity("default", "foo")), TrustPolicy::default());
    let server = server.with_clock(wall.clone());
    let id = SpiffeId::new(ca.domain().clone(), "default", "bar");
    let short = Identity { material: ca.material_valid(&id, start - HOUR, start + HOUR), roots: ca.roots() };
    let client = ClientTls::new(Reader::fixed(Arc::new(short)));
    let go = || async {
        meet(&server, &mutual(&[b"h2"]), &client, &mesh_profile(&[b"h2"], SNI), &ExpectedPeer::any()).await.0
    };
    go().await.unwrap();
    assert!(go().await.unwrap().resumed);
    wall.set(start + HOUR * 2);
    let refused = go().await.unwrap_err();
    assert!(matches!(refused, TlsError::Refused(verify::Refusal::Expired { .. })), "{refused}");
}

/// A client that speaks TLS 1.2 only, believes everybody and shows `identity`.
fn old_client(identity: &Identity) -> tokio_rustls::TlsConnector {
    let check = Check::new(Rule::Unchecked, Role::Server, Arc::default());
    let sessions = Arc::new(sessions::Sessions::new(WallClock::system()));
    let verifier = Arc::new(ServerVerifier { check: Arc::new(check), sessions: sessions.clone() });
    let certificate = identity.material.certificate();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(provider::get().clone())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(certificate.chain().to_vec(), key)
        .unwrap();
    config.resumption = rustls::client::Resumption::store(sessions);
    Arc::new(config).into()
}

#[tokio::test]
async fn tls_1_2_resumes_under_the_same_conditions() {
    let ca = TestCa::new("cluster.local");
    let (start, wall) = (clock::system_now(), WallClock::manual(clock::system_now()));
    let server = ServerTls::new(Reader::fixed(ca.identity("default", "foo")), TrustPolicy::default());
    let server = server.with_clock(wall.clone());
    let id = SpiffeId::new(ca.domain().clone(), "default", "bar");
    let short = Identity { material: ca.material_valid(&id, start - HOUR, start + HOUR), roots: ca.roots() };
    let client = old_client(&short);
    let go = async || {
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = SNI.to_owned().try_into().unwrap();
        let profile = mutual(&[]);
        let (accepted, connected) = tokio::join!(server.accept(far, &profile), client.connect(name, near));
        let version = connected.unwrap().get_ref().1.protocol_version();
        assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_2));
        accepted.map(|(_, accepted)| accepted)
    };
    assert!(!go().await.unwrap().resumed);
    let again = go().await.unwrap();
    assert_eq!((again.resumed, again.peer.unwrap().uris.clone()), (true, vec![id.uri()]));
    wall.set(start + HOUR * 2);
    let refused = go().await.unwrap_err();
    assert!(matches!(refused, TlsError::Refused(verify::Refusal::Expired { .. })), "{refused}");
}

#[tokio::test]
async fn tls_1_2_is_refused_once_the_policy_requires_1_3_resumption_too() {
    let ca = TestCa::new("cluster.local");
    let (publisher, trust) = snapshot::publisher(Arc::new(TrustPolicy::default()));
    let server = ServerTls::with_trust(Reader::fixed(ca.identity("default", "foo")), trust);
    let (old, new) =
        (old_client(&ca.identity("default", "bar")), ClientTls::new(Reader::fixed(ca.identity("default", "bar"))));
    let go = async || {
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = SNI.to_owned().try_into().unwrap();
        let profile = mutual(&[]);
        let (accepted, _connected) = tokio::join!(server.accept(far, &profile), old.connect(name, near));
        accepted.map(|_| ())
    };
    go().await.unwrap();
    publisher.publish(Arc::new(TrustPolicy { require_tls13: true, ..TrustPolicy::default() }));
    assert!(matches!(go().await, Err(TlsError::Handshake(_))));
    let (accepted, _) = meet(&server, &mutual(&[]), &new, &mesh_profile(&[], SNI), &ExpectedPeer::any()).await;
    accepted.unwrap();
}

#[tokio::test]
async fn a_client_forgets_sessions_before_the_servers_old_chain_ends() {
    let ca = TestCa::new("cluster.local");
    let (start, wall) = (clock::system_now(), WallClock::manual(clock::system_now()));
    let id = SpiffeId::new(ca.domain().clone(), "default", "foo");
    let leaf = |hours: u32| {
        let material = ca.material_valid(&id, start - HOUR, start + HOUR * hours);
        Arc::new(Identity { material, roots: ca.roots() })
    };
    let (publisher, reader) = snapshot::publisher(leaf(1));
    let server = ServerTls::new(reader, TrustPolicy::default());
    let client = ClientTls::new(Reader::fixed(ca.identity("default", "bar"))).with_clock(wall.clone());
    let go = || async {
        meet(&server, &mutual(&[b"h2"]), &client, &mesh_profile(&[b"h2"], SNI), &ExpectedPeer::any()).await.1.unwrap()
    };
    go().await;
    assert!(go().await.resumed);
    publisher.publish(leaf(9));
    wall.set(start + HOUR * 2);
    assert!(!go().await.resumed);
    assert!(go().await.resumed);
}

#[tokio::test]
async fn a_server_that_is_somebody_else_is_refused() {
    let pair = Pair::new();
    let expected = ExpectedPeer::any_of(["spiffe://cluster.local/ns/default/sa/nobody"]);
    let (accepted, connected) =
        meet(&pair.server, &mutual(&[]), &pair.client, &mesh_profile(&[], SNI), &expected).await;
    assert!(matches!(connected, Err(TlsError::Refused(verify::Refusal::Unexpected { .. }))), "{connected:?}");
    assert!(matches!(accepted, Err(TlsError::Handshake(_))), "{accepted:?}");
}

#[tokio::test]
async fn a_client_of_other_roots_or_without_certificate_is_refused() {
    let pair = Pair::new();
    let stranger = TestCa::new("cluster.local");
    // It believes the server, but the server does not believe it.
    let identity = Identity { material: stranger.material("default", "bar"), roots: pair.ca.roots() };
    let client = ClientTls::new(Reader::fixed(Arc::new(identity)));
    let (accepted, _) = meet(&pair.server, &mutual(&[]), &client, &mesh_profile(&[], SNI), &ExpectedPeer::any()).await;
    assert!(matches!(accepted, Err(TlsError::Refused(verify::Refusal::Chain(_)))), "{accepted:?}");

    let bare = simple(Simple { roots: Some(pair.ca.bundle()), ..Simple::default() }, Some(SNI));
    let (accepted, _) = meet(&pair.server, &mutual(&[]), &pair.client, &bare, &ExpectedPeer::any()).await;
    assert!(matches!(accepted, Err(TlsError::Refused(verify::Refusal::NoCertificate))), "{accepted:?}");
    let optional = ServerProfile::new([], ClientAuth::Optional);
    let (accepted, _) = meet(&pair.server, &optional, &pair.client, &bare, &ExpectedPeer::any()).await;
    assert!(accepted.unwrap().peer.is_none());
}

#[tokio::test]
async fn a_session_made_without_a_certificate_does_not_open_a_strict_door() {
    let pair = Pair::new();
    let bare = simple(Simple { roots: Some(pair.ca.bundle()), ..Simple::default() }, Some(SNI));
    let optional = ServerProfile::new([], ClientAuth::Optional);
    let (accepted, _) = meet(&pair.server, &optional, &pair.client, &bare, &ExpectedPeer::any()).await;
    accepted.unwrap();
    let (accepted, _) = meet(&pair.server, &mutual(&[]), &pair.client, &bare, &ExpectedPeer::any()).await;
    assert!(matches!(accepted, Err(TlsError::Refused(verify::Refusal::NoCertificate))), "{accepted:?}");
}

fn simple(simple: Simple, sni: Option<&str>) -> ClientProfile {
    let mode = Mode::Simple(Arc::new(simple));
    ClientProfile { mode, sni: sni.map(Arc::from), ..mesh_profile(&[], "unused") }
}

#[tokio::test]
async fn simple_tls_verifies_the_names_given() {
    let ca = TestCa::new("example");
    let serving = Serving { certificates: vec![ca.server_certificate(&["www.example"])], ..Serving::default() };
    let server = ServerTls::with_certificates(Reader::fixed(Arc::new(serving)));
    let client = ClientTls::anonymous();
    let ask = async |settings: Simple| {
        let none = ServerProfile::new([], ClientAuth::None);
        let wanted = simple(settings, Some("www.example"));
        meet(&server, &none, &client, &wanted, &ExpectedPeer::any()).await.1.map(|_| ())
    };
    let roots = || Some(ca.bundle());
    let names = |name: &str| vec![Arc::from(name)];

    ask(Simple { roots: roots(), names: names("www.example"), ..Simple::default() }).await.unwrap();
    ask(Simple { insecure_skip_verify: true, ..Simple::default() }).await.unwrap();
    let wrong = ask(Simple { roots: roots(), names: names("other.example"), ..Simple::default() }).await;
    assert!(matches!(wrong, Err(TlsError::Refused(verify::Refusal::Unexpected { .. }))), "{wrong:?}");
    let other: Arc<CaBundle> = TestCa::new("example").bundle();
    let wrong = ask(Simple { roots: Some(other), ..Simple::default() }).await;
    assert!(matches!(wrong, Err(TlsError::Refused(verify::Refusal::Chain(_)))), "{wrong:?}");
}

#[tokio::test]
async fn an_address_is_verified_as_an_address_and_not_sent() {
    let ca = TestCa::new("example");
    let serving = |names: &[&str]| {
        let serving = Serving { certificates: vec![ca.server_certificate(names)], ..Serving::default() };
        ServerTls::with_certificates(Reader::fixed(Arc::new(serving)))
    };
    let client = ClientTls::anonymous();
    let ask = async |server: &ServerTls, address: &str| {
        let settings = Simple { roots: Some(ca.bundle()), names: vec![address.into()], ..Simple::default() };
        let wanted = simple(settings, Some(address));
        let none = ServerProfile::new([], ClientAuth::None);
        let (accepted, connected) = meet(server, &none, &client, &wanted, &ExpectedPeer::any()).await;
        (accepted.ok().map(|accepted| accepted.sni), connected.is_ok())
    };
    let (right, wrong) = (serving(&["10.1.2.3", "2001:db8::5"]), serving(&["www.example", "10.1.2.4"]));
    assert_eq!(ask(&right, "10.1.2.3").await, (Some(None), true));
    assert_eq!(ask(&right, "2001:db8::5").await, (Some(None), true));
    assert!(!ask(&wrong, "10.1.2.3").await.1);
}

#[tokio::test]
async fn a_gateway_certificate_with_client_authority_knows_its_callers() {
    let (ca, clients) = (TestCa::new("example"), TestCa::new("clients"));
    let serving = Serving {
        certificates: vec![ca.server_certificate(&["www.example"])],
        client_ca: Some(clients.bundle()),
        subject_alt_names: Vec::new(),
    };
    let server = ServerTls::with_certificates(Reader::fixed(Arc::new(serving)));
    let certificate = Some(clients.server_certificate(&["caller.example"]));
    let wanted =
        Simple { roots: Some(ca.bundle()), names: vec!["www.example".into()], certificate, ..Simple::default() };
    let client = ClientTls::anonymous();
    let wanted = simple(wanted, None);
    let (accepted, connected) = meet(&server, &mutual(&[]), &client, &wanted, &ExpectedPeer::any()).await;
    let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
    assert_eq!(accepted.peer.unwrap().dns, ["caller.example"]);
    assert_eq!((accepted.sni, connected.peer.dns.clone()), (None, vec!["www.example".to_owned()]));
}

#[tokio::test]
async fn names_that_cannot_be_sent_and_missing_identities_are_said() {
    let client = ClientTls::anonymous();
    let dial = async |profile: ClientProfile| {
        client.connect(tokio::io::duplex(64).0, &profile, &ExpectedPeer::any()).await.map(|_| ()).unwrap_err()
    };
    let wrong = dial(mesh_profile(&[], "not a name")).await;
    assert!(matches!(wrong, TlsError::ServerName(_)), "{wrong}");
    let wrong = dial(mesh_profile(&[], SNI)).await;
    assert!(matches!(wrong, TlsError::NoIdentity), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_meets_the_deadline() {
    let pair = Pair::new();
    let (_silent, far) = tokio::io::duplex(64);
    let error = pair.server.accept(far, &mutual(&[])).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, TlsError::Deadline(limit) if limit == Duration::from_secs(15)), "{error}");
}

#[tokio::test]
async fn an_endless_client_hello_is_cut_off() {
    let pair = Pair::new();
    let (mut near, far) = tokio::io::duplex(1 << 16);
    // Records of a handshake message that announces 60,000 bytes.
    let mut bytes = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60];
    bytes.resize(5 + 0x4000, 0);
    bytes.extend([0x16, 3, 1, 0x40, 0]);
    bytes.resize(bytes.len() + 0x4000, 0);
    near.write_all(&bytes).await.unwrap();
    let error = pair.server.accept(far, &mutual(&[])).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, TlsError::ClientHelloTooLarge), "{error}");
}

#[tokio::test]
async fn plain_text_and_a_hung_up_client_are_told_apart() {
    let pair = Pair::new();
    let (mut near, far) = tokio::io::duplex(1 << 12);
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = pair.server.accept(far, &mutual(&[])).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, TlsError::Handshake(_)), "{error}");
    let (near, far) = tokio::io::duplex(64);
    drop(near);
    let error = pair.server.accept(far, &mutual(&[])).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, TlsError::Closed), "{error}");
}

#[tokio::test]
async fn configurations_are_built_once_per_kind_and_not_per_connection() {
    let pair = Pair::new();
    for _ in 0..3 {
        pair.meet().await;
    }
    assert_eq!(pair.server.built(), 1);
    assert_eq!(pair.client.built(), 1);
}
