//! Decisions as a client sees them: the order of stages, and what is open when rules change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use mesh_config::{
    kind::Role,
    matcher::StringMatch,
    model::{
        Part, Protocol, Settings,
        authorization::{Action, Operation, Rule, Source, Values},
        peer_authentication::MtlsMode,
        route::{DirectResponse, Redirect, RedirectPath, RedirectPort, RouteAction, RouteRule},
    },
};
use mesh_proxy::{
    conn::Direction,
    net::executor::LocalExecutor,
    snapshot::{
        fixture::{self, gateway, instance, mutual_tls, policy, prefix, server},
        listener::DestinationKey,
    },
    testing::{
        Proxy, port, run,
        wire::{Wire, field, ok, status},
    },
};
use std::{rc::Rc, sync::Arc, time::Duration};

const SHOP: &str = "shop.example";
/// The application beside a sidecar.
const APP: &str = "10.0.0.1:8080";

fn deny(name: &str, methods: &[&str]) -> Part {
    let exact = |method: &&str| StringMatch::Exact((*method).into());
    let methods = Values { any_of: methods.iter().map(exact).collect(), none_of: Vec::new() };
    let rule = Rule { operations: vec![Operation { methods, ..Operation::default() }], ..Rule::default() };
    Part::Authorization(Arc::new(policy(name, Action::Deny, vec![rule])))
}

fn everything_denied() -> Part {
    Part::Authorization(Arc::new(policy("shop/nobody", Action::Deny, vec![Rule::default()])))
}

fn mode(mode: MtlsMode) -> Part {
    Part::PeerAuthentication(Arc::new(mutual_tls("shop/mode", mode)))
}

/// An application on port 8080, and its sidecar.
fn sidecar(parts: impl IntoIterator<Item = Part>) -> Rc<Proxy> {
    let own = instance(&[], &[(8080, "shop/cart.shop.svc.cluster.local", 80, Protocol::Http)]);
    let proxy = Proxy::sidecar([own].into_iter().chain(parts));
    proxy.net.serve(APP, |_| ok("served"));
    proxy
}

/// A gateway that answers, redirects and does not know, by path.
fn edge(parts: impl IntoIterator<Item = Part>) -> Rc<Proxy> {
    Proxy::new(Role::Gateway, edge_parts().into_iter().chain(parts))
}

fn edge_parts() -> [Part; 2] {
    let rule = |path: &str, action| RouteRule { matches: vec![prefix(path)], ..fixture::rule(action) };
    let rules = vec![
        rule("/direct", RouteAction::Respond(DirectResponse { status: 200, body: Bytes::from_static(b"hello") })),
        rule(
            "/moved",
            RouteAction::Redirect(Redirect {
                path: Some(RedirectPath::Full("/there".into())),
                authority: None,
                port: RedirectPort::Keep,
                scheme: None,
                code: 302,
            }),
        ),
        rule("/gone", fixture::send_to(&[("nobody.example", 1)]).action),
    ];
    let mut secure = server(8081, &[SHOP]);
    secure.https_redirect = true;
    let routes = fixture::for_gateway("shop/edge", fixture::route("shop/routes", &[SHOP], 1, rules));
    [Part::Gateway(Arc::new(gateway("shop/edge", 1, vec![server(80, &[SHOP]), secure]))), Part::Route(Arc::new(routes))]
}

fn at_edge(proxy: &Proxy, number: u16) -> Wire {
    proxy.connect(Direction::Gateway, DestinationKey::Gateway(port(number)), number)
}

const ASKED: [(u16, &str, &str); 6] = [
    (80, SHOP, "/direct"),
    (80, SHOP, "/moved"),
    (80, SHOP, "/gone"),
    (80, SHOP, "/nothing"),
    (80, "stranger.example", "/direct"),
    (8081, SHOP, "/direct"),
];

async fn statuses(proxy: &Proxy) -> Vec<String> {
    let mut all = Vec::new();
    for (number, host, path) in ASKED {
        all.push(status(&at_edge(proxy, number).get(host, path).await).to_owned());
    }
    all
}

#[test]
fn a_gateway_authorises_before_it_answers_redirects_or_knows_nothing() {
    run(async {
        assert_eq!(statuses(&edge([])).await, ["200", "302", "503", "404", "404", "301"]);
        assert_eq!(statuses(&edge([everything_denied()])).await, ["403"; 6]);
    });
}

#[test]
fn nothing_is_answered_and_nothing_sent_on_before_it_is_known_who_the_workload_is() {
    run(async {
        let settings = || Part::Settings(Arc::default());
        let gateway = Proxy::told(Role::Gateway, edge_parts().into_iter().chain([settings()]));
        assert_eq!(statuses(&gateway).await, ["403"; 6]);
        let mut parts = mesh_proxy::testing::service(SHOP, 80, Protocol::Http, &[APP]);
        parts.push(settings());
        let sidecar = Proxy::told(Role::Sidecar, parts.clone());
        sidecar.net.serve(APP, |_| ok("served"));
        assert_eq!(status(&sidecar.peer(8080).get(SHOP, "/").await), "403");
        assert_eq!(status(&sidecar.client().get(SHOP, "/").await), "403");
        assert_eq!(sidecar.records.number(2).await.details, "no_configuration");
        let known = Proxy::sidecar(parts);
        known.net.serve(APP, |_| ok("served"));
        assert_eq!(status(&known.client().get(SHOP, "/").await), "200");
    });
}

#[test]
fn a_redirect_to_https_goes_by_the_connection_and_not_by_what_the_client_says() {
    run(async {
        let proxy = edge([]);
        let io = proxy.pipe(Direction::Gateway, DestinationKey::Gateway(port(8081)), 8081);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(LocalExecutor, TokioIo::new(io)).await.unwrap();
        tokio::task::spawn_local(connection);
        for scheme in ["http", "https"] {
            let request = Request::get(format!("{scheme}://{SHOP}/direct"))
                .header("x-forwarded-proto", "https")
                .body(Full::new(Bytes::new()))
                .unwrap();
            assert_eq!(sender.send_request(request).await.unwrap().status(), 301, "{scheme}");
        }
    });
}

#[test]
fn behind_a_trusted_proxy_what_it_says_of_the_clients_connection_counts() {
    run(async {
        let settings = Settings { trusted_proxies: 1, ..Settings::default() };
        let proxy = edge([Part::Settings(Arc::new(settings))]);
        let asked = |proto| format!("GET /direct HTTP/1.1\r\nHost: {SHOP}\r\nX-Forwarded-Proto: {proto}\r\n\r\n");
        assert_eq!(status(&at_edge(&proxy, 8081).call(&asked("https")).await), "200");
        assert_eq!(status(&at_edge(&proxy, 8081).call(&asked("http")).await), "301");
    });
}

#[test]
fn open_plain_text_is_refused_and_closed_when_mutual_tls_is_required() {
    run(async {
        let proxy = sidecar([mode(MtlsMode::Permissive)]);
        let (mut busy, mut idle, mut silent) = (proxy.peer(8080), proxy.peer(8080), proxy.peer(8080));
        assert_eq!(status(&busy.get("cart", "/").await), "200");
        assert_eq!(status(&idle.get("cart", "/").await), "200");
        proxy.publish([mode(MtlsMode::Strict)]);
        let answer = busy.get("cart", "/").await;
        assert_eq!((status(&answer), field(&answer, "connection").as_deref()), ("403", Some("close")));
        let record = proxy.records.number(3).await;
        assert_eq!(record.details, "plain_text_where_mutual_TLS_is_required");
        assert!(busy.ended().await, "its client has to come again");
        proxy.requests.look_again();
        assert!(idle.ended().await);
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.requests.tick(mesh_runtime::clock::now());
        assert!(silent.ended().await);
    });
}

#[test]
fn open_http2_without_tls_is_refused_and_closed_when_mutual_tls_is_required() {
    run(async {
        let proxy = sidecar([mode(MtlsMode::Permissive)]);
        let io = proxy.pipe(Direction::Inbound, DestinationKey::Inbound(port(8080)), 8080);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(LocalExecutor, TokioIo::new(io)).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let get = || Request::get("http://cart/").body(Full::new(Bytes::new())).unwrap();
        assert_eq!(sender.send_request(get()).await.unwrap().status(), 200);
        proxy.publish([mode(MtlsMode::Strict)]);
        assert_eq!(sender.send_request(get()).await.unwrap().status(), 403);
        connection.await.unwrap().unwrap();
    });
}

#[test]
fn a_peer_of_an_alias_that_is_taken_away_is_refused_on_the_connection_that_it_has() {
    run(async {
        let with = |aliases: &[&str]| {
            let trust_domain_aliases = aliases.iter().map(|a| a.parse().unwrap()).collect();
            Part::Settings(Arc::new(Settings { trust_domain_aliases, ..Settings::default() }))
        };
        let proxy = sidecar([with(&["old.example"])]);
        let own = "spiffe://cluster.local/ns/shop/sa/cart";
        let mut old = proxy.mutual_peer(8080, "spiffe://old.example/ns/shop/sa/web", own);
        let mut new = proxy.mutual_peer(8080, "spiffe://cluster.local/ns/shop/sa/web", own);
        for peer in [&mut old, &mut new] {
            assert_eq!(status(&peer.get("cart", "/").await), "200");
        }
        proxy.publish([with(&[])]);
        assert_eq!(status(&old.get("cart", "/").await), "403");
        assert!(old.ended().await);
        assert_eq!(status(&new.get("cart", "/").await), "200");
    });
}

async fn tunnel(proxy: &Proxy, peer: &mut Wire) {
    proxy.net.listen(APP, |mut io, _| async move {
        io.message().await;
        io.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        while let Some(bytes) = io.bytes(4).await {
            io.write(&String::from_utf8(bytes).unwrap().to_uppercase()).await;
        }
    });
    let asked = "GET /ws HTTP/1.1\r\nHost: cart\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(status(&peer.call(asked).await), "101");
    peer.write("ping").await;
    assert_eq!(peer.bytes(4).await.unwrap(), b"PING");
}

#[test]
fn a_tunnel_ends_when_policies_would_refuse_its_request_now() {
    run(async {
        let proxy = sidecar([]);
        let mut peer = proxy.peer(8080);
        tunnel(&proxy, &mut peer).await;
        proxy.apply([deny("shop/writes", &["POST"])]);
        peer.write("more").await;
        assert_eq!(peer.bytes(4).await.unwrap(), b"MORE", "its own method is still allowed");
        proxy.apply([deny("shop/reads", &["GET"])]);
        assert!(peer.ended().await);
        let record = proxy.records.number(1).await;
        assert_eq!((record.code, record.request_bytes), (101, 8));
        assert_eq!(record.details, "rbac_access_denied_matched_policy[ns[shop]-policy[reads]-rule[0]]");
    });
}

#[test]
fn a_tunnel_in_plain_text_ends_when_mutual_tls_is_required() {
    run(async {
        let proxy = sidecar([mode(MtlsMode::Permissive)]);
        let mut peer = proxy.peer(8080);
        tunnel(&proxy, &mut peer).await;
        proxy.apply([mode(MtlsMode::Strict)]);
        assert!(peer.ended().await);
    });
}

#[test]
fn a_refusal_by_principal_holds_for_the_next_request_of_an_open_connection() {
    run(async {
        let proxy = sidecar([]);
        let mut peer =
            proxy.mutual_peer(8080, "spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/cart");
        assert_eq!(status(&peer.get("cart", "/").await), "200");
        let principals =
            Values { any_of: vec![StringMatch::Exact("cluster.local/ns/shop/sa/other".into())], none_of: Vec::new() };
        let rule = Rule { sources: vec![Source { principals, ..Source::default() }], ..Rule::default() };
        proxy.apply([Part::Authorization(Arc::new(policy("shop/only", Action::Allow, vec![rule])))]);
        assert_eq!(status(&peer.get("cart", "/").await), "403");
    });
}
