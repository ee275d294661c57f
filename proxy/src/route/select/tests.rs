use super::*;
use crate::{
    route::RuleEntry,
    snapshot::{
        build::{Changes, State},
        fixture::*,
    },
};
use bytes::Bytes;
use mesh_config::{
    kind::Role,
    matcher::StringMatch,
    model::{
        Part, Protocol, Settings, Visibility,
        gateway::{ServerProtocol, ServerTls},
        route::{
            DirectResponse, Parent, PathMatch, Redirect, RedirectPath, RedirectPort, RetryOn, RetryPolicy, RouteMatch,
            RouteRule,
        },
        settings::OutboundPolicy,
        sidecar::EgressListener,
    },
};
use std::time::Duration;

mod gateways;
mod incremental;

const CART: &str = "shop/cart.shop.svc.cluster.local";
const PAY: &str = "other/pay.other.svc.cluster.local";
const PAY_HOST: &str = "pay.other.svc.cluster.local";
const CART_HOST: &str = "cart.shop.svc.cluster.local";

/// Asks with a draw of 0.
fn ask(state: &State, key: &DestinationKey, authority: &str, path: &str) -> Selection {
    draw(state, key, authority, path, 0)
}

fn draw(state: &State, key: &DestinationKey, authority: &str, path: &str, draw: u64) -> Selection {
    let request = RequestView { method: "GET", scheme: "http", authority, path, headers: &(), listener_port: port(80) };
    select(state.snapshot(), key, &request, draw)
}

fn names(meta: &RouteMeta) -> String {
    format!("{} {}", meta.virtual_host, meta.route)
}

/// In one line: what, virtual host, route name, cluster.
fn said(selection: &Selection) -> String {
    match selection {
        Selection::Forward(routed) => format!("{} {}", names(&routed.meta), routed.cluster.name),
        Selection::Answer(answer) => answered(answer),
        Selection::Pending { service } => format!("pending {service}"),
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Redirect { meta, rule: Some(_), status, location } => format!("{} {status} {location}", names(meta)),
        Answer::Redirect { meta, location, .. } => format!("{} https {location}", meta.virtual_host),
        Answer::Respond { meta, status, .. } => format!("{} {status}", names(meta)),
        Answer::NotFound { meta } => format!("404 {}", meta.as_ref().map_or("", |m| &m.virtual_host)),
        Answer::Blocked { meta } => format!("502 {}", meta.virtual_host),
        Answer::ClusterNotFound { cluster, .. } => format!("503 {cluster}"),
    }
}

fn on(number: u16) -> DestinationKey {
    DestinationKey::HttpPort(port(number))
}

fn cart() -> mesh_config::model::Service {
    service(CART, "10.1.0.1", &[(80, Protocol::Http), (70, Protocol::Auto)])
}

fn pay() -> mesh_config::model::Service {
    service(PAY, "10.1.0.2", &[(80, Protocol::Http), (81, Protocol::Http)])
}

fn both() -> impl Iterator<Item = Part> {
    in_use(&cart()).into_iter().chain(in_use(&pay()))
}

fn with(routes: impl IntoIterator<Item = mesh_config::model::Route>) -> State {
    state(Role::Sidecar, both().chain(routes.into_iter().map(|r| Part::Route(Arc::new(r)))))
}

fn push(state: &mut State, part: Part) {
    state.apply(Changes::upserts([part]));
}

fn settings(change: impl FnOnce(&mut Settings)) -> Part {
    let mut settings = Settings::default();
    change(&mut settings);
    Part::Settings(Arc::new(settings))
}

fn when(matches: Vec<RouteMatch>, rule: RouteRule) -> RouteRule {
    RouteRule { matches, ..rule }
}

fn rule_of(selection: &Selection) -> &Arc<RuleEntry> {
    match selection {
        Selection::Forward(routed) => routed.rule.as_ref().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_is_reached_by_all_its_names() {
    let state = with([]);
    let cart = "cart.shop.svc.cluster.local:80 default outbound|80||cart.shop.svc.cluster.local";
    let pay = "pay.other.svc.cluster.local:80 default outbound|80||pay.other.svc.cluster.local";
    let out = "allow_any allow_any PassthroughCluster";
    for (authority, want) in [
        ("cart.shop.svc.cluster.local", cart),
        ("cart.shop.svc.cluster.local.:80", cart),
        ("Cart.Shop:1234", cart),
        ("cart", cart),
        ("cart.shop.svc", cart),
        ("10.1.0.1", cart),
        ("10.1.0.1:80", cart),
        ("pay", out),
        ("pay.other", pay),
        ("pay.other.svc", pay),
        ("x.cart.shop.svc.cluster.local", out),
        ("", out),
    ] {
        assert_eq!(said(&ask(&state, &on(80), authority, "/")), want, "{authority}");
    }
}

#[test]
fn a_port_knows_only_services_with_that_port() {
    let state = with([]);
    assert!(said(&ask(&state, &on(81), "pay.other", "/")).ends_with("outbound|81||pay.other.svc.cluster.local"));
    assert_eq!(said(&ask(&state, &on(81), "cart", "/")), "allow_any allow_any PassthroughCluster");
    assert!(said(&ask(&state, &on(70), "cart", "/")).ends_with("outbound|70||cart.shop.svc.cluster.local"));
}

#[test]
fn names_for_logs_are_istios() {
    let state = with([route(
        "shop/r",
        &[PAY_HOST],
        1,
        vec![
            RouteRule {
                name: "beta".into(),
                ..when(vec![RouteMatch { name: "m".into(), ..prefix("/b") }], send_to(&[(PAY_HOST, 1)]))
            },
            send_to(&[(PAY_HOST, 1), (CART_HOST, 1)]),
        ],
    )]);
    let meta = |path| match ask(&state, &on(80), "pay.other", path) {
        Selection::Forward(routed) => routed.meta,
        other => panic!("{other:?}"),
    };
    let named = meta("/b");
    assert_eq!((&*named.route_config, &*named.route), ("80", "beta.m"));
    assert_eq!(named.object.as_ref().map(ToString::to_string).as_deref(), Some("VirtualService shop/r"));
    assert_eq!(&*named.operation, "pay.other.svc.cluster.local:80/b*");
    assert_eq!((&*meta("/").route, &*meta("/").operation), ("default", "r:80/*"));
    match ask(&state, &DestinationKey::Service(key(CART), port(70)), "whatever", "/") {
        Selection::Forward(routed) => {
            assert_eq!(&*routed.meta.route_config, "cart.shop.svc.cluster.local:70");
            assert_eq!(&*routed.meta.virtual_host, "cart.shop.svc.cluster.local:70");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_hosts_are_passed_on_or_blocked_as_the_policy_says() {
    let mut state = with([]);
    let Selection::Forward(routed) = ask(&state, &on(80), "example.com", "/") else { panic!() };
    assert!(routed.rule.is_none() && routed.retries.is_none());
    push(&mut state, settings(|s| s.outbound_policy = OutboundPolicy::RegistryOnly));
    assert_eq!(said(&ask(&state, &on(80), "example.com", "/")), "502 block_all");
    let stranger = DestinationKey::Unknown("9.9.9.9:1".parse().unwrap());
    assert_eq!(said(&ask(&state, &stranger, "example.com", "/")), "502 block_all");
    push(&mut state, settings(|s| s.outbound_policy = OutboundPolicy::EgressProxy(target(PAY_HOST))));
    assert!(said(&ask(&state, &on(80), "example.com", "/")).starts_with("allow_any allow_any outbound|80||pay"));
}

#[test]
fn details_that_are_not_here_are_waited_for() {
    let mut state = state(Role::Sidecar, in_use(&cart()).into_iter().chain([indexed(&pay())]));
    for name in ["pay.other", "10.1.0.2", PAY_HOST] {
        assert_eq!(said(&ask(&state, &on(80), name, "/")), format!("pending {PAY}"), "{name}");
    }
    let split = route("shop/r", &[CART_HOST], 1, vec![send_to(&[(CART_HOST, 1), (PAY_HOST, 1)])]);
    push(&mut state, Part::Route(Arc::new(split)));
    assert!(said(&draw(&state, &on(80), "cart", "/", 0)).ends_with(CART_HOST));
    assert_eq!(said(&draw(&state, &on(80), "cart", "/", 1)), format!("pending {PAY}"));
    push(&mut state, in_use(&pay())[1].clone());
    assert!(said(&draw(&state, &on(80), "cart", "/", 1)).ends_with(PAY_HOST));
    assert!(said(&ask(&state, &on(80), "pay.other", "/")).ends_with(PAY_HOST));
}

#[test]
fn a_longer_wildcard_that_is_not_here_is_waited_for() {
    let wide = service("x/*.example.com", "", &[(80, Protocol::Http)]);
    let narrow = service("x/*.a.example.com", "", &[(80, Protocol::Http)]);
    let mut state = state(Role::Sidecar, in_use(&wide).into_iter().chain([indexed(&narrow)]));
    assert!(said(&ask(&state, &on(80), "w.example.com", "/")).starts_with("*.example.com:80"));
    assert_eq!(said(&ask(&state, &on(80), "w.a.example.com", "/")), "pending x/*.a.example.com");
    push(&mut state, in_use(&narrow)[1].clone());
    assert!(said(&ask(&state, &on(80), "w.a.example.com", "/")).starts_with("*.a.example.com:80"));
}

#[test]
fn names_of_pods_reach_their_headless_service() {
    let mut pods = service("shop/db.shop.svc.cluster.local", "", &[(80, Protocol::Http)]);
    pods.headless = true;
    let state = state(Role::Sidecar, in_use(&pods));
    for name in ["db-0.db", "db-0.db.shop", "db-0.db.shop.svc.cluster.local"] {
        assert!(said(&ask(&state, &on(80), name, "/")).starts_with("db.shop.svc.cluster.local:80"), "{name}");
    }
}

#[test]
fn a_missing_subset_port_or_service_is_a_missing_cluster() {
    for (to, want) in [
        ("pay.other.svc.cluster.local:80/v9", "503 outbound|80|v9|pay.other.svc.cluster.local"),
        ("pay.other.svc.cluster.local:99", "503 outbound|99||pay.other.svc.cluster.local"),
        ("nobody.example", "503 outbound|80||nobody.example"),
    ] {
        let state = with([route("shop/r", &[CART_HOST], 1, vec![send_to(&[(to, 1)])])]);
        assert_eq!(said(&ask(&state, &on(80), "cart", "/")), want);
    }
}

#[test]
fn a_target_without_port_means_the_services_only_one_or_the_listeners() {
    let only = service("x/only.example", "", &[(8000, Protocol::Http)]);
    let parts = both().chain(in_use(&only)).chain([Part::Route(Arc::new(route(
        "shop/r",
        &[CART_HOST],
        1,
        vec![when(vec![prefix("/only")], send_to(&[("only.example", 1)])), send_to(&[(PAY_HOST, 1)])],
    )))]);
    let state = state(Role::Sidecar, parts);
    assert!(said(&ask(&state, &on(80), "cart", "/only")).ends_with("outbound|8000||only.example"));
    assert!(said(&ask(&state, &on(80), "cart", "/")).ends_with("outbound|80||pay.other.svc.cluster.local"));
}

#[test]
fn the_most_specific_then_the_oldest_virtual_service_holds() {
    let answer = |name: &str, hosts: &[&str], age, status| {
        route(name, hosts, age, vec![rule(RouteAction::Respond(DirectResponse { status, body: Bytes::new() }))])
    };
    let status = |routes: Vec<_>| said(&ask(&with(routes), &on(80), "cart", "/"));
    let wide = || answer("shop/wide", &["*.cluster.local"], 1, 201);
    let long = || answer("shop/long", &["*.shop.svc.cluster.local"], 5, 202);
    let old = || answer("shop/z", &[CART_HOST], 2, 203);
    let young = || answer("shop/a", &[CART_HOST], 3, 204);
    for (routes, want) in [
        (vec![wide()], "201"),
        (vec![wide(), long()], "202"),
        (vec![wide(), long(), young()], "204"),
        (vec![wide(), long(), young(), old()], "203"),
    ] {
        assert!(status(routes).ends_with(want), "{want}");
    }
    let mut hidden = old();
    hidden.visibility = Visibility::Namespaces(["other".into()].into());
    let elsewhere = for_gateway("shop/g", old());
    assert!(status(vec![hidden]).ends_with(CART_HOST));
    assert!(status(vec![elsewhere]).ends_with(CART_HOST));
}

#[test]
fn the_first_rule_that_matches_wins_and_a_miss_is_final() {
    let state = with([route(
        "shop/r",
        &[CART_HOST],
        1,
        vec![
            when(vec![prefix("/a"), prefix("/b")], send_to(&[(CART_HOST, 1)])),
            when(vec![prefix("/ab")], send_to(&[(PAY_HOST, 1)])),
        ],
    )]);
    for (path, want) in [("/ab", CART_HOST), ("/b", CART_HOST), ("/c", "404 cart.shop.svc.cluster.local:80")] {
        assert!(said(&ask(&state, &on(80), "cart", path)).ends_with(want), "{path}");
    }
}

#[test]
fn conditions_on_the_client_are_decided_beforehand() {
    let only = |m: RouteMatch| when(vec![m], send_to(&[(PAY_HOST, 1)]));
    let reaches = |m: RouteMatch| {
        let rules = vec![only(m), send_to(&[(CART_HOST, 1)])];
        let route = Part::Route(Arc::new(route("shop/r", &[CART_HOST], 1, rules)));
        let parts = both().chain([instance(&[("app", "web")], &[]), route]);
        said(&ask(&state(Role::Sidecar, parts), &on(80), "cart", "/")).ends_with(PAY_HOST)
    };
    let labels = |value| [("app", value)].into_iter().collect();
    let gateway = || Parent::Gateway(named("shop/g"));
    let any = RouteMatch::default;
    for (m, want) in [
        (RouteMatch { port: Some(port(80)), ..any() }, true),
        (RouteMatch { port: Some(port(81)), ..any() }, false),
        (RouteMatch { source_labels: labels("web"), ..any() }, true),
        (RouteMatch { source_labels: labels("db"), ..any() }, false),
        (RouteMatch { source_namespace: Some("shop".into()), ..any() }, true),
        (RouteMatch { source_namespace: Some("other".into()), ..any() }, false),
        (RouteMatch { parents: vec![gateway()], ..any() }, false),
        (RouteMatch { parents: vec![gateway(), Parent::Mesh], ..any() }, true),
        (RouteMatch { parents: vec![Parent::Mesh], source_labels: labels("db"), ..any() }, true),
    ] {
        assert_eq!(reaches(m.clone()), want, "{m:?}");
    }
}

#[test]
fn nothing_follows_a_rule_that_matches_everything() {
    let state = with([route(
        "shop/r",
        &[CART_HOST],
        1,
        vec![when(vec![prefix("/")], send_to(&[(CART_HOST, 1)])), when(vec![prefix("/a")], send_to(&[(PAY_HOST, 1)]))],
    )]);
    let snapshot = state.snapshot();
    let host = snapshot.outbound.port(port(80)).unwrap().table.exact(CART_HOST).unwrap();
    assert_eq!(host.entries.len(), 1);
}

#[test]
fn weights_are_shares_of_their_sum() {
    let state = with([route("shop/r", &[CART_HOST], 1, vec![send_to(&[(CART_HOST, 9), (PAY_HOST, 1)])])]);
    let count = (0..100).filter(|d| said(&draw(&state, &on(80), "cart", "/", *d)).ends_with(PAY_HOST)).count();
    assert_eq!(count, 10);
}

#[test]
fn timeouts_and_retries_are_those_in_force() {
    let policy = |attempts| RetryPolicy {
        attempts,
        per_try_timeout: None,
        on: RetryOn { server_error: true, ..RetryOn::default() },
        backoff: Duration::from_millis(25),
        avoid_previous: true,
    };
    let rule = |path: &str, timeout, retries| RouteRule {
        timeout,
        retries,
        ..when(vec![prefix(path)], send_to(&[(CART_HOST, 1)]))
    };
    let second = Some(Duration::from_secs(1));
    let rules = vec![
        rule("/own", second, Some(policy(5))),
        rule("/none", Some(Duration::ZERO), Some(policy(0))),
        rule("/", None, None),
    ];
    let mut state = with([route("shop/r", &[CART_HOST], 1, rules)]);
    let got = |state: &State, host: &str, path: &str| match ask(state, &on(80), host, path) {
        Selection::Forward(routed) => (routed.timeout, routed.retries.map(|r| (*r).clone())),
        other => panic!("{other:?}"),
    };
    assert_eq!(got(&state, "cart", "/own"), (second, Some(policy(5))));
    assert_eq!(got(&state, "cart", "/none"), (None, None));
    for host in ["cart", "pay.other"] {
        let built_in = got(&state, host, "/").1.unwrap();
        assert_eq!(built_in.attempts, 2);
        assert!(built_in.on.connect_failure && built_in.on.refused_stream && !built_in.on.server_error);
        assert_eq!(built_in.on.grpc, [14, 1]);
    }
    push(&mut state, settings(|s| s.default_retries = Some(policy(7))));
    assert_eq!(got(&state, "pay.other", "/").1, Some(policy(7)));
    push(&mut state, settings(|s| s.default_retries = Some(policy(0))));
    assert_eq!((got(&state, "pay.other", "/").1, got(&state, "cart", "/").1), (None, None));
}

#[test]
fn redirects_and_direct_responses_are_answered() {
    let redirect = Redirect {
        path: Some(RedirectPath::Prefix("/new".into())),
        authority: None,
        port: RedirectPort::Keep,
        scheme: Some("https".into()),
        code: 308,
    };
    let state = with([route(
        "shop/r",
        &[CART_HOST],
        1,
        vec![
            when(vec![prefix("/old")], rule(RouteAction::Redirect(redirect))),
            rule(RouteAction::Respond(DirectResponse { status: 418, body: Bytes::from_static(b"no") })),
        ],
    )]);
    assert!(said(&ask(&state, &on(80), "cart:80", "/old/x?q")).ends_with("308 https://cart/new/x?q"));
    let Selection::Answer(Answer::Respond { status, body, .. }) = ask(&state, &on(80), "cart", "/") else { panic!() };
    assert_eq!((status, &body[..]), (418, &b"no"[..]));
}

#[test]
fn hosts_without_service_are_served_on_port_80_alone() {
    let hosts = ["api.example.com", "*.wild.example.com"];
    let route = route("shop/r", &hosts, 1, vec![send_to(&[(PAY_HOST, 1)])]);
    let entries = hosts.map(|h| indexed_host(&format!("shop/{h}")));
    let mut state = state(Role::Sidecar, both().chain(entries));
    assert_eq!(said(&ask(&state, &on(80), "api.example.com", "/")), "pending shop/api.example.com");
    assert_eq!(said(&ask(&state, &on(80), "a.wild.example.com", "/")), "pending shop/*.wild.example.com");
    push(&mut state, Part::Route(Arc::new(route)));
    for name in ["api.example.com", "a.wild.example.com"] {
        assert!(said(&ask(&state, &on(80), name, "/")).ends_with("outbound|80||pay.other.svc.cluster.local"));
        assert!(said(&ask(&state, &on(81), name, "/")).starts_with("allow_any"), "{name}");
    }
}

#[test]
fn a_host_whose_routes_are_not_for_this_client_is_a_stranger() {
    let mut hidden = route("other/r", &["api.example.com"], 1, vec![send_to(&[(PAY_HOST, 1)])]);
    hidden.visibility = Visibility::Namespaces(["other".into()].into());
    let parts = [indexed_host("shop/api.example.com"), Part::Route(Arc::new(hidden))];
    let state = state(Role::Sidecar, both().chain(parts));
    assert_eq!(said(&ask(&state, &on(80), "api.example.com", "/")), "allow_any allow_any PassthroughCluster");
}

#[test]
fn a_detected_port_takes_any_host() {
    let mut state = state(Role::Sidecar, [indexed(&cart())]);
    let to = DestinationKey::Service(key(CART), port(70));
    assert_eq!(said(&ask(&state, &to, "anything", "/")), format!("pending {CART}"));
    push(&mut state, in_use(&cart())[1].clone());
    assert!(said(&ask(&state, &to, "anything", "/")).ends_with("outbound|70||cart.shop.svc.cluster.local"));
}

#[test]
fn a_connection_outlives_the_detection_of_its_port() {
    let mut state = with([]);
    let to = DestinationKey::Service(key(CART), port(70));
    let declared = service(CART, "10.1.0.1", &[(80, Protocol::Http), (70, Protocol::Http)]);
    push(&mut state, in_use(&declared)[1].clone());
    assert!(said(&ask(&state, &to, "anything", "/")).ends_with("outbound|70||cart.shop.svc.cluster.local"));
}

fn listener(number: u16, hosts: &[&str]) -> EgressListener {
    EgressListener { bind: Some("127.0.1.1".parse().unwrap()), ..egress(Some(number), hosts) }
}

#[test]
fn a_listener_of_the_sidecar_reaches_what_it_names_on_its_port() {
    let own = sidecar("shop/s", vec![listener(80, &["*/*", "~shop/*"]), listener(82, &["*/*"])]);
    let mut state = state(Role::Sidecar, both().chain([Part::Sidecar(Arc::new(own))]));
    let at = |number: u16| DestinationKey::Egress(format!("127.0.1.1_{number}").into());
    assert!(said(&ask(&state, &at(80), "pay.other", "/")).ends_with("outbound|80||pay.other.svc.cluster.local"));
    assert_eq!(said(&ask(&state, &at(80), "cart", "/")), "502 block_all", "taken away");
    assert_eq!(said(&ask(&state, &at(82), "pay.other", "/")), "502 block_all", "no such port");
    assert_eq!(said(&ask(&state, &at(80), "example.com", "/")), "502 block_all", "nowhere to pass it on to");
    let fresh = service("other/new.other.svc.cluster.local", "", &[(80, Protocol::Http)]);
    push(&mut state, indexed(&fresh));
    assert_eq!(said(&ask(&state, &at(80), "new.other", "/")), "pending other/new.other.svc.cluster.local");
    push(&mut state, settings(|s| s.outbound_policy = OutboundPolicy::EgressProxy(target(PAY_HOST))));
    assert!(said(&ask(&state, &at(80), "example.com", "/")).starts_with("allow_any allow_any outbound|80||pay"));
    assert_eq!(said(&ask(&state, &at(83), "pay.other", "/")), "404 ");
}

#[test]
fn inbound_requests_go_to_the_application() {
    let ports = [(8080, CART, 80, Protocol::Http)];
    let state = state(Role::Sidecar, [instance(&[], &ports)]);
    assert_eq!(
        said(&ask(&state, &DestinationKey::Inbound(port(8080)), "x", "/")),
        "inbound|http|80 default inbound|8080||"
    );
    let other = said(&ask(&state, &DestinationKey::Inbound(port(9)), "x", "/"));
    assert_eq!(other, "inbound|http|0 default InboundPassthroughCluster");
}

#[test]
fn one_rules_conditions_can_be_told_from_its_entry() {
    let path = PathMatch { matcher: StringMatch::Exact("/a".into()), ignore_case: false };
    let state = with([route(
        "shop/r",
        &[CART_HOST],
        1,
        vec![when(vec![RouteMatch { path: Some(path), ..RouteMatch::default() }], send_to(&[(CART_HOST, 1)]))],
    )]);
    let selection = ask(&state, &on(80), "cart", "/a");
    let rule = rule_of(&selection);
    assert_eq!((rule.position, rule.rule().matches.len(), rule.total_weight), (0, 1, 1));
    assert_eq!(rule.backend(0).unwrap().weight, 1);
    assert!(rule.backend(1).is_none());
}
