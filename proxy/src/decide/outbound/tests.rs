//! Rules for opaque connections, from the parts that pilot sends to what becomes of a connection.

use super::*;
use crate::decide::{Caller, Direction, Request, Step, request as request_of};
use crate::snapshot::{
    OwnFacts,
    build::{Changes, State},
    fixture::{self, destination, in_use, indexed, route, server_names, service, stream},
};
use mesh_config::{
    kind::Role,
    model::{
        Endpoint, Kind, Part, PartName, Route, Service,
        route::{Section, StreamMatch, StreamRule},
        service::Resolution,
        settings::OutboundPolicy,
    },
};

/// What becomes of a connection: the cluster's name, and the VirtualService that says so.
fn told(outgoing: Outgoing) -> String {
    let by = |rule: Option<Arc<StreamRoute>>| rule.map(|rule| format!(" by {}", rule.object)).unwrap_or_default();
    match outgoing {
        Outgoing::Ask(Ask::Details(service)) => format!("ask {service}"),
        Outgoing::Ask(Ask::Workload(address)) => format!("whose is {address}"),
        Outgoing::Hear => "hear".to_owned(),
        Outgoing::Requests(key) => format!("requests {key:?}"),
        Outgoing::Detect { cluster, rule, .. } => format!("detect {}{}", cluster.name, by(rule)),
        Outgoing::Opaque { cluster, rule, .. } => format!("{}{}", cluster.name, by(rule)),
        Outgoing::Missing { cluster, rule, .. } => format!("no {cluster}{}", by(Some(rule))),
        Outgoing::Refuse { cluster, .. } => format!("refuse {}", cluster.name),
    }
}

fn captured(state: &State, address: &str, said: Option<Said<'_>>, draw: u64) -> String {
    asking(state, address, said, draw, Asking::Needed)
}

fn asking(state: &State, address: &str, said: Option<Said<'_>>, draw: u64, asking: Asking) -> String {
    told(outgoing(state.snapshot(), &Entrance::Captured(address.parse().unwrap()), said, draw, asking))
}

fn to(state: &State, address: &str) -> String {
    captured(state, address, None, 0)
}

fn named(state: &State, address: &str, name: &str) -> String {
    captured(state, address, Some(Said::Tls(Some(name))), 0)
}

fn with(name: &str, hosts: &[&str], section: Section, rules: Vec<StreamRule>) -> Route {
    let mut made = route(name, hosts, 1, vec![]);
    match section {
        Section::Http => {}
        Section::Tls => made.tls = rules,
        Section::Tcp => made.tcp = rules,
    }
    made
}

fn sidecar(services: &[Service], routes: Vec<Route>) -> State {
    let routes = routes.into_iter().map(|route| Part::Route(Arc::new(route)));
    fixture::state(Role::Sidecar, services.iter().flat_map(in_use).chain(routes))
}

fn on_port(number: u16) -> StreamMatch {
    StreamMatch { port: Some(fixture::port(number)), ..StreamMatch::default() }
}

fn within(block: &str) -> StreamMatch {
    StreamMatch { subnets: vec![block.parse().unwrap()], ..StreamMatch::default() }
}

const TCP: &[(u16, Protocol)] = &[(3306, Protocol::Tcp), (3307, Protocol::Tcp)];

#[test]
fn bytes_go_where_the_first_rule_says_that_holds_for_this_client_and_port() {
    let mut own = on_port(3306);
    own.source_labels = [("app", "other")].into_iter().collect();
    let mut namespace = on_port(3306);
    namespace.source_namespace = Some("front".into());
    let mut gateway = on_port(3306);
    gateway.parents = vec![mesh_config::model::route::Parent::Gateway(fixture::named("shop/edge"))];
    let rules = vec![
        stream(vec![own, namespace, gateway], &[("wrong.test:3306", 1)]),
        stream(vec![on_port(3306)], &[("new.test:3306", 1)]),
        stream(vec![on_port(3306)], &[("wrong.test:3306", 1)]),
    ];
    let services = [service("shop/db.test", "10.1.0.1", TCP), service("shop/new.test", "10.1.0.2", TCP)];
    let state = sidecar(&services, vec![with("shop/db", &["db.test"], Section::Tcp, rules)]);
    assert_eq!(to(&state, "10.1.0.1:3306"), "outbound|3306||new.test by shop/db");
    assert_eq!(to(&state, "10.1.0.1:3307"), "outbound|3307||db.test", "no rule for the port");
    assert_eq!(to(&state, "10.1.0.2:3306"), "outbound|3306||new.test", "no rule for the service");
}

#[test]
fn destinations_have_their_shares_and_what_is_missing_is_asked_for_or_refused() {
    let rules = vec![stream(vec![], &[("db.test:3306/v1", 3), ("far.test:3306", 1), ("gone.test:9", 1)])];
    let db = service("shop/db.test", "10.1.0.1", TCP);
    let parts = in_use(&db).into_iter().chain([
        indexed(&service("shop/far.test", "", TCP)),
        Part::Destination(Arc::new(destination("shop/db", "db.test", &["v1"]))),
        Part::Route(Arc::new(with("shop/db", &["db.test"], Section::Tcp, rules))),
    ]);
    let mut state = fixture::state(Role::Sidecar, parts);
    let drawn = |state: &State, draw| captured(state, "10.1.0.1:3306", None, draw);
    for draw in 0..3 {
        assert_eq!(drawn(&state, draw), "outbound|3306|v1|db.test by shop/db");
    }
    assert_eq!(drawn(&state, 3), "ask shop/far.test");
    assert_eq!(drawn(&state, 4), "no outbound|9||gone.test by shop/db");
    state.apply(Changes::upserts(in_use(&service("shop/far.test", "", TCP))));
    assert_eq!(drawn(&state, 3), "outbound|3306||far.test by shop/db");
}

#[test]
fn the_narrowest_block_around_the_address_counts_and_a_rule_for_all_last() {
    let rules = vec![
        stream(vec![within("10.0.0.0/8")], &[("wide.test:3306", 1)]),
        stream(vec![within("10.1.0.0/16"), within("192.0.2.0/24")], &[("narrow.test:3306", 1)]),
        stream(vec![], &[("rest.test:3306", 1)]),
    ];
    let mut db = service("shop/db.test", "", TCP);
    db.addresses = ["10.1.0.1/32", "10.2.0.1/32", "172.16.0.1/32"].map(|a| a.parse().unwrap()).to_vec();
    let others = ["wide.test", "narrow.test", "rest.test"].map(|h| service(&format!("shop/{h}"), "", TCP));
    let services: Vec<_> = [db].into_iter().chain(others).collect();
    let state = sidecar(&services, vec![with("shop/db", &["db.test"], Section::Tcp, rules)]);
    for (address, want) in [("10.1.0.1", "narrow"), ("10.2.0.1", "wide"), ("172.16.0.1", "rest")] {
        assert_eq!(to(&state, &format!("{address}:3306")), format!("outbound|3306||{want}.test by shop/db"));
    }
}

#[test]
fn a_port_without_declared_protocol_has_rules_for_its_bytes_and_its_requests() {
    let rules = || vec![stream(vec![], &[("new.test:3306", 1)])];
    let auto = [(3306, Protocol::Auto)];
    let services = [service("shop/db.test", "10.1.0.1", &auto), service("shop/new.test", "10.1.0.2", TCP)];
    let state = sidecar(&services, vec![with("shop/db", &["db.test"], Section::Tcp, rules())]);
    assert_eq!(to(&state, "10.1.0.1:3306"), "detect outbound|3306||new.test by shop/db");
    let nowhere = vec![stream(vec![], &[("gone.test:3306", 1)])];
    let state = sidecar(&services, vec![with("shop/db", &["db.test"], Section::Tcp, nowhere)]);
    assert_eq!(to(&state, "10.1.0.1:3306"), "detect BlackHoleCluster by shop/db");
}

const TLS: &[(u16, Protocol)] = &[(443, Protocol::Tls)];

#[test]
fn an_address_whose_service_has_rules_by_name_is_told_apart_by_name() {
    let rules = vec![
        stream(vec![server_names(&["*.a.test"])], &[("wide.test:443", 1)]),
        stream(vec![server_names(&["x.a.test", "y.a.test"])], &[("narrow.test:443", 1)]),
    ];
    let services = [
        service("shop/a.test", "10.1.0.1", TLS),
        service("shop/wide.test", "", TLS),
        service("shop/narrow.test", "", TLS),
    ];
    let state = sidecar(&services, vec![with("shop/a", &["a.test", "*.a.test"], Section::Tls, rules)]);
    let address = "10.1.0.1:443";
    assert_eq!(to(&state, address), "hear");
    assert_eq!(named(&state, address, "y.a.test"), "outbound|443||narrow.test by shop/a");
    assert_eq!(named(&state, address, "z.a.test"), "outbound|443||wide.test by shop/a");
    // What no rule takes goes where it would without the service, also what names nobody.
    assert_eq!(named(&state, address, "a.test"), "PassthroughCluster");
    for nobody in [Said::Tls(None), Said::Other] {
        assert_eq!(captured(&state, address, Some(nobody), 0), "PassthroughCluster");
    }
}

#[test]
fn rules_that_do_not_hold_here_change_nothing() {
    let mut elsewhere = server_names(&["a.test"]);
    elsewhere.port = Some(fixture::port(8443));
    let rules = vec![stream(vec![elsewhere], &[("wrong.test:443", 1)])];
    let services = [service("shop/a.test", "10.1.0.1", TLS)];
    let state = sidecar(&services, vec![with("shop/a", &["a.test"], Section::Tls, rules)]);
    assert_eq!(to(&state, "10.1.0.1:443"), "outbound|443||a.test");
}

#[test]
fn a_service_without_address_has_rules_by_name_and_is_asked_for_first() {
    let rules = vec![stream(vec![server_names(&["*.a.test"])], &[("egress.test:443", 1)])];
    let services = [service("x/*.a.test", "", TLS), service("x/b.test", "", TLS)];
    let egress = service("shop/egress.test", "10.1.0.9", TLS);
    let parts = services.iter().map(indexed).chain(in_use(&egress));
    let mut state = fixture::state(Role::Sidecar, parts);
    assert_eq!(to(&state, "9.9.9.9:443"), "hear");
    assert_eq!(named(&state, "9.9.9.9:443", "x.a.test"), "ask x/*.a.test");
    let details = in_use(&services[0]).into_iter().chain(in_use(&services[1]));
    let route = Part::Route(Arc::new(with("shop/a", &["*.a.test"], Section::Tls, rules)));
    state.apply(Changes::upserts(details.chain([route])));
    assert_eq!(named(&state, "9.9.9.9:443", "x.a.test"), "outbound|443||egress.test by shop/a");
    assert_eq!(named(&state, "9.9.9.9:443", "b.test"), "outbound|443||b.test");
    assert_eq!(named(&state, "9.9.9.9:443", "z.test"), "PassthroughCluster");
}

#[test]
fn the_narrowest_block_is_chosen_before_the_name_and_none_wider_after_it() {
    let mut inside = within("10.1.0.0/16");
    inside.server_names = vec!["x.a.test".parse().unwrap()];
    let rules = vec![
        stream(vec![inside], &[("inside.test:443", 1)]),
        stream(vec![server_names(&["*.a.test"])], &[("any.test:443", 1)]),
    ];
    let mut a = service("shop/a.test", "10.1.0.1", TLS);
    a.addresses.push("172.16.0.1/32".parse().unwrap());
    let services = [a, service("shop/inside.test", "", TLS), service("shop/any.test", "", TLS)];
    let state = sidecar(&services, vec![with("shop/a", &["a.test", "*.a.test"], Section::Tls, rules)]);
    assert_eq!(named(&state, "10.1.0.1:443", "x.a.test"), "outbound|443||inside.test by shop/a");
    assert_eq!(named(&state, "10.1.0.1:443", "y.a.test"), "PassthroughCluster");
    assert_eq!(named(&state, "172.16.0.1:443", "x.a.test"), "outbound|443||any.test by shop/a");
}

#[test]
fn one_for_requests_hides_none_for_bytes() {
    let requests = route("shop/older", &["db.test"], 0, vec![fixture::send_to(&[("db.test:80", 1)])]);
    let bytes = with("shop/younger", &["*.test"], Section::Tcp, vec![stream(vec![], &[("new.test:3306", 1)])]);
    let services = [service("shop/db.test", "10.1.0.1", TCP), service("shop/new.test", "10.1.0.2", TCP)];
    let mut state = sidecar(&services, vec![requests, bytes]);
    assert_eq!(to(&state, "10.1.0.1:3306"), "outbound|3306||new.test by shop/younger");
    // The rule goes with its VirtualService.
    let part = Part::Route(Arc::new(with("shop/younger", &["*.test"], Section::Tcp, vec![])));
    state.apply(Changes::upserts([part]));
    assert_eq!(to(&state, "10.1.0.1:3306"), "outbound|3306||db.test");
}

#[test]
fn what_is_in_no_service_goes_where_the_outbound_policy_says_and_nothing_goes_anywhere_before_the_workload_is_known() {
    use mesh_config::model::{Settings, settings::OutboundPolicy};
    let cart = service("shop/cart.shop.svc.cluster.local", "10.1.0.1", &[(90, Protocol::Tcp)]);
    let parts = |outbound_policy| {
        let settings = Part::Settings(Arc::new(Settings { outbound_policy, ..Settings::default() }));
        in_use(&cart).into_iter().chain([settings])
    };
    let open = fixture::state(Role::Sidecar, parts(OutboundPolicy::AllowAny));
    let closed = fixture::state(Role::Sidecar, parts(OutboundPolicy::RegistryOnly));
    let mut not_known = State::new(OwnFacts::clone(&open.snapshot().facts));
    not_known.apply(Changes::upserts(parts(OutboundPolicy::AllowAny)));
    let of_cart = "outbound|90||cart.shop.svc.cluster.local";
    for (state, service, nobody) in [
        (&open, of_cart, "PassthroughCluster"),
        (&closed, of_cart, "refuse BlackHoleCluster"),
        (&not_known, "refuse BlackHoleCluster", "refuse BlackHoleCluster"),
    ] {
        assert_eq!(to(state, "10.1.0.1:90"), service);
        assert_eq!(to(state, "203.0.113.5:5432"), nobody);
    }
}

fn of(workload: &Arc<mesh_config::model::Workload>) -> Changes {
    Changes::upserts([Part::Workload(workload.clone())])
}

fn nobodys(address: &str) -> Changes {
    Changes { removed: vec![(Kind::Workload, PartName(address.into()))], ..Changes::default() }
}

#[test]
fn whose_an_address_is_that_no_service_has_is_asked_before_it_is_passed_through() {
    let db = service("shop/db.test", "10.1.0.1", TCP);
    let mut state = sidecar(&[db], vec![]);
    let asks = |state: &State, address: &str| asking(state, address, None, 0, Asking::All);
    assert_eq!(asks(&state, "10.1.0.1:3306"), "outbound|3306||db.test", "what a service has is nobody's question");
    assert_eq!(asks(&state, "10.2.0.1:7000"), "whose is 10.2.0.1");
    assert_eq!(to(&state, "10.2.0.1:7000"), "PassthroughCluster", "what is not to be had is done without");
    state.apply(nobodys("10.2.0.1"));
    assert_eq!(asks(&state, "10.2.0.1:7000"), "PassthroughCluster");
    let pod = fixture::workload("pod", "10.2.0.1", &[]);
    state.apply(of(&pod));
    assert_eq!(asks(&state, "10.2.0.1:7000"), "PassthroughCluster");
    // It is gone, and pilot is not followed any more: the question is open again.
    state.apply(Changes { removed: vec![(Kind::Workload, PartName(pod.uid.clone()))], ..Changes::default() });
    assert_eq!(asks(&state, "10.2.0.1:7000"), "whose is 10.2.0.1");
    state.apply(nobodys("10.2.0.1"));
    state.apply(Changes { forgotten: vec!["10.2.0.1".parse().unwrap()], ..Changes::default() });
    assert_eq!(asks(&state, "10.2.0.1:7000"), "whose is 10.2.0.1");
    // Where nothing would come of the answer, there is no question.
    let mut plain = mesh_config::model::Settings { auto_mtls: false, ..Default::default() };
    state.apply(Changes::upserts([Part::Settings(Arc::new(plain.clone()))]));
    assert_eq!(asks(&state, "10.2.0.1:7000"), "PassthroughCluster");
    (plain.auto_mtls, plain.outbound_policy) = (true, OutboundPolicy::RegistryOnly);
    state.apply(Changes::upserts([Part::Settings(Arc::new(plain))]));
    assert_eq!(asks(&state, "10.2.0.1:7000"), "refuse BlackHoleCluster");
}

#[test]
fn a_pod_of_a_headless_service_is_called_for_that_service_by_its_address() {
    let headless = |name: &str, ports: &[(u16, Protocol)]| {
        let made = service(name, "", ports);
        Service { headless: true, resolution: Resolution::Passthrough, ..made }
    };
    let peers = headless("shop/peers.test", &[(7000, Protocol::Tcp), (7001, Protocol::Auto), (80, Protocol::Http)]);
    let other = headless("x/other.test", &[(7000, Protocol::Tcp)]);
    let web = service("shop/web.test", "10.1.0.1", &[(80, Protocol::Http), (7000, Protocol::Http)]);
    let mut state = sidecar(&[peers, other, web], vec![]);
    let asks = |state: &State, address: &str| asking(state, address, None, 0, Asking::All);
    for port in [7000, 7001] {
        assert_eq!(asks(&state, &format!("10.2.0.1:{port}")), "whose is 10.2.0.1");
    }
    assert!(asks(&state, "10.2.0.1:80").starts_with("requests"), "requests name their host");
    assert!(to(&state, "10.2.0.1:7000").starts_with("requests"), "without an answer the port is one for requests");
    let both = [("shop/peers.test", 7000), ("shop/peers.test", 7001)];
    state.apply(of(&fixture::workload("pod", "10.2.0.1", &both)));
    state.apply(nobodys("10.2.0.2"));
    assert_eq!(asks(&state, "10.2.0.1:7000"), "outbound|7000||peers.test");
    assert_eq!(asks(&state, "10.2.0.1:7001"), "detect outbound|7001||peers.test");
    assert!(asks(&state, "10.2.0.2:7000").starts_with("requests"));
    // So it is in the registry.
    let mesh = mesh_config::model::Settings { outbound_policy: OutboundPolicy::RegistryOnly, ..Default::default() };
    state.apply(Changes::upserts([Part::Settings(Arc::new(mesh))]));
    assert_eq!(asks(&state, "10.2.0.1:7000"), "outbound|7000||peers.test");
    assert_eq!(asks(&state, "10.2.0.1:7002"), "refuse BlackHoleCluster");
}

#[test]
fn whose_an_address_is_is_asked_for_a_request_to_a_headless_service_at_a_port_that_no_endpoint_has() {
    let made = service("shop/peers.test", "", &[(80, Protocol::Http)]);
    let peers = Service { headless: true, resolution: Resolution::Passthrough, ..made };
    let mut state = sidecar(&[peers], vec![]);
    let decided = |state: &State| requested(state, "peers.test", Asking::All);
    assert_eq!(decided(&state), "Ask(Workload(10.2.0.1))");
    state.apply(nobodys("10.2.0.1"));
    assert_eq!(decided(&state), "outbound|80||peers.test");
    state.apply(Changes { forgotten: vec!["10.2.0.1".parse().unwrap()], ..Changes::default() });
    assert_eq!(decided(&state), "Ask(Workload(10.2.0.1))");
    let Part::Endpoint(endpoint) = fixture::endpoint("shop/peers.test", 80, "10.2.0.1", "v1") else { unreachable!() };
    let here = Endpoint { target_port: 80, ..Endpoint::clone(&endpoint) };
    state.apply(Changes::upserts([Part::Endpoint(Arc::new(here))]));
    assert_eq!(decided(&state), "outbound|80||peers.test", "it is an endpoint's");
}

/// What becomes of a request for this host that goes to port 80 of 10.2.0.1.
fn requested(state: &State, host: &str, asking: Asking) -> String {
    let caller = Caller {
        direction: Direction::Outbound,
        key: &DestinationKey::HttpPort(fixture::port(80)),
        port: fixture::port(80),
        secured: false,
        peer: None,
        own: None,
        source: None,
        destination: Some("10.2.0.1".parse().unwrap()),
        sni: None,
    };
    let request = Request {
        method: "GET",
        scheme: "http",
        authority: Some(host),
        path: "/",
        headers: &Vec::<(String, String)>::new(),
        client: None,
        metadata: None,
        draw: 0,
    };
    match request_of(state.snapshot(), &caller, &request, asking).step {
        Step::Forward(plan) => plan.routed.cluster.name.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn whose_an_address_is_is_asked_for_a_request_too_whose_host_nothing_answers_to() {
    let web = service("shop/web.test", "10.1.0.1", &[(80, Protocol::Http)]);
    let mut state = sidecar(&[web], vec![]);
    let decided = requested;
    let asks = "Ask(Workload(10.2.0.1))";
    assert_eq!(decided(&state, "web.test", Asking::All), "outbound|80||web.test");
    assert_eq!(decided(&state, "10.2.0.1", Asking::All), asks);
    assert_eq!(decided(&state, "10.2.0.1", Asking::Needed), "PassthroughCluster");
    state.apply(nobodys("10.2.0.1"));
    assert_eq!(decided(&state, "10.2.0.1", Asking::All), "PassthroughCluster");
}
