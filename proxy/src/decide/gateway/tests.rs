use super::*;
use crate::{
    detect::ClientHello,
    snapshot::{
        build::{Changes, State},
        fixture,
    },
};
use mesh_config::{
    kind::Role,
    model::{
        Part, Protocol, Route,
        gateway::{Server, ServerProtocol, ServerTls},
        route::{Parent, StreamMatch, StreamRule},
    },
};
use std::sync::Arc;

fn secure(name: &str, hosts: &[&str]) -> Server {
    let protocol = ServerProtocol::Https(ServerTls::Secret { name: name.into(), require_client_certificate: false });
    Server { protocol, port_name: name.into(), ..fixture::server(443, hosts) }
}

fn hello(sni: Option<&str>) -> Detected {
    Detected::Tls(ClientHello { sni: sni.map(str::to_owned), alpn: Vec::new() })
}

fn said(arriving: Arriving) -> String {
    let onward = |bytes: Bytes| {
        let to = bytes.to.map(|cluster| cluster.name.to_string()).unwrap_or_else(|missing| format!("no {missing}"));
        format!("{to} by {}", bytes.rule.object)
    };
    match arriving {
        Arriving::Ask(Ask::Details(service)) => format!("ask {service}"),
        Arriving::Ask(Ask::Workload(address)) => format!("whose is {address}"),
        Arriving::Hear => "hear".to_owned(),
        Arriving::Requests(key) => format!("{key:?}"),
        Arriving::Terminate { tls, key, bytes } => {
            let scheme = if bytes.is_some() { "tls.443." } else { "https.443." };
            let server = |server: &str| server.starts_with(scheme) && server.ends_with(".edge.shop");
            assert!(matches!(&key, DestinationKey::GatewayTls { server: named, .. } if server(named)), "{key:?}");
            let name = match tls {
                ServerTls::Secret { name, .. } => name.to_string(),
                ServerTls::Mesh => "mesh".to_owned(),
            };
            bytes.map(onward).map(|to| format!("{name}, {to}")).unwrap_or(name)
        }
        Arriving::Opaque { key, bytes } => format!("{key:?}: {}", onward(bytes)),
        Arriving::Refuse(why) => why.to_string(),
    }
}

#[test]
fn servers_of_a_port_and_the_first_bytes_decide_together() {
    let servers = vec![
        fixture::server(80, &["*"]),
        secure("shop", &["shop.example"]),
        secure("all", &["*.example", "b.shop.example"]),
    ];
    let own = Part::Gateway(Arc::new(fixture::gateway("shop/edge", 1, servers)));
    let state = fixture::state(Role::Gateway, [own]);
    let (no_tls, no_server) = (Refused::NoTls.to_string(), Refused::NoServer.to_string());
    for (number, bytes, want) in [
        (80, None, "Gateway(Port(80))"),
        (443, None, "hear"),
        (443, Some(hello(Some("shop.example"))), "shop"),
        (443, Some(hello(Some("other.example"))), "all"),
        (443, Some(hello(Some("example"))), &no_server),
        (443, Some(hello(None)), &no_server),
        (443, Some(Detected::Http1), &no_tls),
        (443, Some(Detected::Http2), &no_tls),
        (443, Some(Detected::Opaque), &no_tls),
        (443, Some(Detected::NeedMore), &no_tls),
        (443, Some(Detected::TooLong), &no_tls),
        (8080, None, &no_server),
    ] {
        assert_eq!(
            said(arriving(state.snapshot(), fixture::port(number), bytes.as_ref(), 0)),
            want,
            "{number} {bytes:?}"
        );
    }
}

/// A gateway with these servers, routes and services, all of namespace `shop`.
fn state(servers: Vec<Server>, routes: Vec<Route>, services: &[&str]) -> State {
    let ports = [(3306, Protocol::Tcp), (443, Protocol::Tls)];
    let services: Vec<_> = services.iter().map(|host| fixture::service(&format!("shop/{host}"), "", &ports)).collect();
    let gateway = Part::Gateway(Arc::new(fixture::gateway("shop/edge", 1, servers)));
    let routes = routes.into_iter().map(|route| Part::Route(Arc::new(route)));
    fixture::state(Role::Gateway, services.iter().flat_map(fixture::in_use).chain([gateway]).chain(routes))
}

fn of(protocol: ServerProtocol, number: u16, hosts: &[&str]) -> Server {
    Server { protocol, ..fixture::server(number, hosts) }
}

fn routed(name: &str, hosts: &[&str], age: i64, tls: Vec<StreamRule>, tcp: Vec<StreamRule>) -> Route {
    Route { tls, tcp, ..fixture::for_gateway("shop/edge", fixture::route(name, hosts, age, vec![])) }
}

fn at(state: &State, number: u16, bytes: Option<&Detected>, draw: u64) -> String {
    said(arriving(state.snapshot(), fixture::port(number), bytes, draw))
}

#[test]
fn opaque_bytes_go_where_the_oldest_rule_says_that_is_attached_to_the_server() {
    let servers = vec![of(ServerProtocol::Tcp, 3306, &["front/*", "db.test"]), of(ServerProtocol::Tcp, 3307, &["*"])];
    let elsewhere = StreamMatch { port: Some(fixture::port(9)), ..StreamMatch::default() };
    // Of a client in front of a gateway nothing is known but its connection.
    let ours = StreamMatch {
        port: Some(fixture::port(3306)),
        subnets: vec!["192.0.2.0/24".parse().unwrap()],
        source_labels: [("app", "nobody")].into_iter().collect(),
        parents: vec![Parent::Gateway(fixture::named("shop/edge"))],
        ..StreamMatch::default()
    };
    let to = |host: &str| fixture::stream(vec![], &[(&format!("{host}:3306"), 1)]);
    let rules = vec![
        fixture::stream(vec![elsewhere], &[("wrong.test:3306", 1)]),
        fixture::stream(vec![ours], &[("db.test:3306", 3), ("far.test:3306", 1), ("gone.test:9", 1)]),
    ];
    let routes = vec![
        routed("shop/stranger", &["other.test"], 0, vec![], vec![to("wrong.test")]),
        routed("shop/db", &["db.test"], 1, vec![], rules),
        routed("shop/younger", &["db.test"], 2, vec![], vec![to("wrong.test")]),
    ];
    let mut state = state(servers, routes, &["db.test", "wrong.test"]);
    let far = fixture::service("shop/far.test", "", &[(3306, Protocol::Tcp)]);
    state.apply(Changes::upserts([fixture::indexed(&far)]));
    let rule = "Gateway(Port(3306)): ";
    assert_eq!(at(&state, 3306, None, 0), format!("{rule}outbound|3306||db.test by shop/db"));
    assert_eq!(at(&state, 3306, None, 3), "ask shop/far.test");
    assert_eq!(at(&state, 3306, None, 4), format!("{rule}no outbound|9||gone.test by shop/db"));
    assert_eq!(at(&state, 3307, None, 0), "Gateway(Port(3307)): outbound|3306||wrong.test by shop/stranger");
}

#[test]
fn tls_ends_before_opaque_bytes_or_is_carried_on_by_name() {
    let mesh = Server { port_name: "mesh".into(), ..of(ServerProtocol::Tls(ServerTls::Mesh), 443, &["mesh.test"]) };
    let servers = vec![
        Server { port_name: "on".into(), ..of(ServerProtocol::Passthrough, 443, &["*.test"]) },
        mesh,
        secure("web", &["web.test", "taken.test"]),
        Server { port_name: "idle".into(), ..of(ServerProtocol::Tls(ServerTls::Mesh), 443, &["idle.example"]) },
    ];
    let tls = vec![
        fixture::stream(vec![fixture::server_names(&["*.on.test"])], &[("wide.test:443", 1)]),
        fixture::stream(vec![fixture::server_names(&["x.on.test", "taken.test"])], &[("db.test:443", 1)]),
        // A name is not served twice, nor what is named beside it.
        fixture::stream(vec![fixture::server_names(&["taken.test", "beside.test"])], &[("wide.test:443", 1)]),
    ];
    let hosts = ["*.on.test", "taken.test", "beside.test"];
    let routes = vec![
        routed("shop/on", &hosts, 1, tls, vec![]),
        routed("shop/mesh", &["mesh.test"], 2, vec![], vec![fixture::stream(vec![], &[("db.test:3306", 1)])]),
    ];
    let state = state(servers, routes, &["db.test", "wide.test"]);
    let (no_server, no_rule) = (Refused::NoServer.to_string(), Refused::NoRule.to_string());
    for (name, want) in [
        (Some("y.on.test"), "outbound|443||wide.test by shop/on"),
        (Some("x.on.test"), "outbound|443||db.test by shop/on"),
        (Some("taken.test"), "outbound|443||db.test by shop/on"),
        (Some("beside.test"), &no_server),
        (Some("mesh.test"), "mesh, outbound|3306||db.test by shop/mesh"),
        (Some("web.test"), "web"),
        (Some("idle.example"), &no_rule),
        (None, &no_server),
    ] {
        let got = at(&state, 443, Some(&hello(name)), 0);
        let shown = got.split_once("\" }: ").map_or(&*got, |(_, rest)| rest);
        assert_eq!(shown, want, "{name:?}");
    }
    assert_eq!(at(&state, 443, None, 0), "hear");
    assert_eq!(at(&state, 443, Some(&Detected::Opaque), 0), Refused::NoTls.to_string());
}

#[test]
fn a_port_for_tls_without_any_rule_takes_nothing() {
    let state = state(vec![of(ServerProtocol::Passthrough, 443, &["*"])], vec![], &[]);
    let refused = |why: Refused<'_>| why.to_string();
    assert_eq!(at(&state, 443, None, 0), "hear");
    assert_eq!(at(&state, 443, Some(&hello(Some("a.test"))), 0), refused(Refused::NoServer));
    assert_eq!(at(&state, 443, Some(&Detected::Http1), 0), refused(Refused::NoTls));
}

#[test]
fn the_first_server_says_what_a_port_is_for() {
    let tcp = |hosts: &[&str]| of(ServerProtocol::Tcp, 9000, hosts);
    let rule = || vec![fixture::stream(vec![], &[("db.test:3306", 1)])];
    let routes = || vec![routed("shop/b", &["b.test"], 1, vec![], rule())];
    for (servers, want) in [
        // Nothing tells connections of a second server apart.
        (vec![tcp(&["a.test"]), tcp(&["b.test"])], Refused::NoRule.to_string()),
        (
            vec![tcp(&["b.test"]), fixture::server(9000, &["*"])],
            "Gateway(Port(9000)): outbound|3306||db.test by shop/b".into(),
        ),
        (vec![fixture::server(9000, &["*"]), tcp(&["b.test"])], "Gateway(Port(9000))".into()),
    ] {
        assert_eq!(at(&state(servers, routes(), &["db.test"]), 9000, None, 0), want);
    }
}

#[test]
fn a_server_is_bound_where_the_services_of_the_gateway_lead_to() {
    let servers = vec![fixture::server(80, &["a.test"]), fixture::server(8081, &["b.test"])];
    let mut state = state(servers, vec![], &[]);
    let bound = |state: &State| {
        let snapshot = state.snapshot();
        let listeners: Vec<_> = snapshot.listeners.iter().map(|spec| spec.address.port()).collect();
        let ports: Vec<_> = snapshot.outbound.gateways().map(|(port, _)| port.get()).collect();
        assert_eq!(listeners, ports);
        ports
    };
    assert_eq!(bound(&state), [80, 8081]);
    let ports = [(8080, "shop/edge.test", 80, Protocol::Http), (8443, "shop/edge.test", 443, Protocol::Https)];
    state.apply(Changes::upserts([fixture::instance(&[], &ports)]));
    assert_eq!(bound(&state), [8080, 8081]);
    assert_eq!(at(&state, 8080, None, 0), "Gateway(Port(8080))");
    assert_eq!(at(&state, 80, None, 0), Refused::NoServer.to_string());
    let table = state.snapshot().outbound.gateway(fixture::port(8080)).unwrap().requests().unwrap();
    let names: Vec<_> = table.iter().map(|host| (&*host.meta.route_config, &*host.meta.virtual_host)).collect();
    assert_eq!(names, [("http.8080", "blackhole:80")]);
    // Two services that have the port, and lead to two.
    let ports = [ports[0], (9080, "shop/other.test", 80, Protocol::Http)];
    state.apply(Changes::upserts([fixture::instance(&[], &ports)]));
    assert_eq!(bound(&state), [8080, 8081, 9080]);
}
