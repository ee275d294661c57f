//! What traffic objects mean, read from files as users write them: whole values for good objects, marked lines
//! for bad ones, and no panic on anything.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_config::{
    crd::{
        ParseContext, Parsed,
        networking::{EntryPort, ServiceEntry, WorkloadEntry},
        node, parse, read_text,
    },
    diagnostic::{Diagnostic, Severity},
    kind::ObjectKind,
    matcher::{Pattern, StringMatch},
    model::{
        Destination, Gateway, Labels, Precedence, Protocol, Route, Sidecar, Visibility,
        destination::*,
        endpoint::EndpointAddress,
        gateway::{Server, ServerHost, ServerProtocol, ServerTls},
        route::*,
        service::{Resolution, ServicePort},
        settings::OutboundPolicy,
        sidecar::{EgressHost, EgressListener, EgressNamespace, IngressEndpoint, IngressListener},
        workload::Locality,
    },
    name::{Host, NamespacedName, Port},
};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};

/// One object of a file, with what it means and what was found.
type Outcome = (Option<Parsed>, Vec<Diagnostic>);

fn read(file: &str) -> (String, Vec<Outcome>) {
    let text = std::fs::read_to_string(format!("{}/tests/data/networking/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (objects, found) = read_text(&file.into(), &text);
    assert_eq!(found, []);
    let outcomes = objects.iter().map(|o| parse(o, &ParseContext::default())).collect();
    (text, outcomes)
}

/// The meanings of a file in which there is nothing to find.
fn good(file: &str) -> Vec<Parsed> {
    let served = |(parsed, found): Outcome| {
        assert_eq!(found, [], "{file}");
        parsed.expect("a meaning")
    };
    read(file).1.into_iter().map(served).collect()
}

/// Every mark of the file is found, and nothing else; returns what the objects mean.
fn check_marks(file: &str) -> Vec<Option<Parsed>> {
    let (text, outcomes) = read(file);
    let mut want: Vec<String> = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        want.extend(line.split("#! ").skip(1).map(|mark| format!("{}: {}", i + 1, mark.trim())));
    }
    let show = |d: &Diagnostic| format!("{}: {} {}", d.origin.line, d.code, d.field).trim_end().to_owned();
    let mut got: Vec<String> = outcomes.iter().flat_map(|(_, found)| found.iter().map(show)).collect();
    // Marks on one line are in no order.
    let key = |text: &String| (text.split(':').next().and_then(|n| n.parse::<u32>().ok()), text.clone());
    want.sort_by_key(key);
    got.sort_by_key(key);
    let missing: Vec<_> = want.iter().filter(|w| !got.contains(w)).collect();
    let surplus: Vec<_> = got.iter().filter(|g| !want.contains(g)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{file}: missing {missing:#?}, surplus {surplus:#?}");
    assert_eq!(want, got);
    outcomes.into_iter().map(|(parsed, _)| parsed).collect()
}

fn host(text: &str) -> Host {
    text.parse().unwrap()
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

fn regex(text: &str) -> StringMatch {
    StringMatch::Regex(Pattern::new(text).unwrap())
}

fn texts(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|t| Arc::from(*t)).collect()
}

fn header(name: &str, matcher: StringMatch, invert: bool) -> HeaderMatch {
    HeaderMatch { name: name.into(), matcher, invert }
}

fn on_path(matcher: StringMatch) -> Vec<RouteMatch> {
    vec![RouteMatch { path: Some(PathMatch { matcher, ignore_case: false }), ..RouteMatch::default() }]
}

fn rule(matches: Vec<RouteMatch>, action: RouteAction) -> RouteRule {
    let (rewrite, timeout, retries) = (None, None, None);
    RouteRule { name: "".into(), matches, action, rewrite, timeout, retries, headers: HeaderOps::default() }
}

fn target(name: &str) -> Target {
    Target { host: host(name), port: None, subset: None }
}

fn canary() -> RouteRule {
    let all = RouteMatch {
        name: "all-of-it".into(),
        path: Some(PathMatch { matcher: StringMatch::Prefix("/v2".into()), ignore_case: true }),
        scheme: Some(exact("https")),
        method: Some(regex("GET|HEAD")),
        authority: Some(exact("reviews:9080")),
        headers: vec![
            header("x-user", exact("jason"), false),
            header("x-any", StringMatch::Present, false),
            header("x-star", StringMatch::Present, false),
            header("x-re", regex(".*"), false),
            header("x-not", StringMatch::Prefix("a".into()), true),
        ],
        query: vec![QueryMatch { name: "Q".into(), matcher: regex("[0-9]+") }],
        port: Some(port(9080)),
        source_labels: labels(&[("app", "web")]),
        source_namespace: Some("shop".into()),
        parents: vec![Parent::Mesh],
    };
    let without_server = HeaderChange { remove: texts(&["server"]), ..HeaderChange::default() };
    let v2 = Target { port: Some(port(9080)), subset: Some("v2".into()), ..target("reviews.shop.svc.cluster.local") };
    RouteRule {
        name: "canary".into(),
        matches: vec![all, RouteMatch::default()],
        action: RouteAction::Forward(vec![
            Backend { target: v2, weight: 90, headers: HeaderOps { response: without_server, ..HeaderOps::default() } },
            Backend { target: target("reviews.other.svc.cluster.local"), weight: 10, headers: HeaderOps::default() },
        ]),
        rewrite: Some(Rewrite {
            uri: None,
            uri_regex: Some((Pattern::new("/v2/(.*)").unwrap(), r"/\1".into())),
            authority: Some("inner".into()),
        }),
        timeout: Some(Duration::from_millis(1500)),
        retries: Some(RetryPolicy {
            attempts: 3,
            per_try_timeout: Some(Duration::from_millis(500)),
            on: RetryOn {
                server_error: true,
                connect_failure: true,
                status_codes: vec![409],
                grpc: vec![14],
                ..RetryOn::default()
            },
            backoff: Duration::from_millis(10),
            avoid_previous: false,
        }),
        headers: HeaderOps {
            request: HeaderChange {
                remove: texts(&["x-gone"]),
                set: vec![("x-set".into(), "%REQ(x)% 100%%".into())],
                add: vec![("x-add".into(), "1".into())],
            },
            response: HeaderChange::default(),
        },
    }
}

#[test]
fn a_virtual_service_is_read_whole() {
    let redirect = Redirect {
        path: Some(RedirectPath::Full("/new".into())),
        authority: Some("new.example.com".into()),
        port: RedirectPort::Number(port(8443)),
        scheme: Some("https".into()),
        code: 308,
    };
    let prefix_redirect = Redirect {
        path: Some(RedirectPath::Prefix("/q".into())),
        authority: None,
        port: RedirectPort::RequestPort,
        scheme: None,
        code: 301,
    };
    let respond = |status, body: &'static str| RouteAction::Respond(DirectResponse { status, body: body.into() });
    let alone = Backend { target: target("reviews.shop.svc.cluster.local"), weight: 1, headers: HeaderOps::default() };
    let last = RouteRule {
        rewrite: Some(Rewrite { authority: Some("by-headers".into()), ..Rewrite::default() }),
        retries: Some(RetryPolicy {
            attempts: 0,
            per_try_timeout: None,
            on: RetryOn { connect_failure: true, refused_stream: true, grpc: vec![1, 14], ..RetryOn::default() },
            backoff: Duration::from_millis(25),
            avoid_previous: true,
        }),
        ..rule(vec![], RouteAction::Forward(vec![alone]))
    };
    let gateway = |ns, name| Parent::Gateway(NamespacedName::new(ns, name));
    let want = Route {
        object: ObjectKind::VirtualService,
        name: NamespacedName::new("shop", "reviews"),
        hosts: vec![host("reviews.shop.svc.cluster.local"), host("*.example.com"), host("api.example.org")],
        parents: vec![
            Parent::Mesh,
            gateway("shop", "edge"),
            gateway("infra", "wide"),
            gateway("shop", "near"),
            gateway("infra", "old"),
        ],
        precedence: Precedence { created: 1_714_557_600, position: "virtual-service.yaml:000000".into() },
        visibility: Visibility::Namespaces(["shop".into(), "other".into()].into()),
        rules: vec![
            canary(),
            rule(on_path(exact("/old")), RouteAction::Redirect(redirect)),
            rule(on_path(StringMatch::Prefix("/p".into())), RouteAction::Redirect(prefix_redirect)),
            rule(on_path(exact("/text")), respond(418, "short")),
            rule(on_path(exact("/bytes")), respond(200, "hi")),
            last,
        ],
        tls: vec![by_server_name()],
        tcp: vec![
            StreamRule {
                matches: vec![
                    StreamMatch { port: Some(port(3306)), ..StreamMatch::default() },
                    StreamMatch { subnets: vec!["2001:db8::/32".parse().unwrap()], ..StreamMatch::default() },
                ],
                backends: vec![share("reviews.shop.svc.cluster.local", 1)],
            },
            StreamRule { matches: vec![], backends: vec![share("other.example.com", 1)] },
        ],
    };
    assert_eq!(good("virtual-service.yaml"), [Parsed::VirtualService(want)]);
}

fn share(name: &str, weight: u32) -> Share {
    Share { target: Target { host: host(name), port: None, subset: None }, weight }
}

fn by_server_name() -> StreamRule {
    let target =
        Target { host: host("reviews.shop.svc.cluster.local"), port: Some(port(443)), subset: Some("v1".into()) };
    StreamRule {
        matches: vec![
            StreamMatch {
                server_names: vec![host("api.example.com"), host("*.a.example.com")],
                subnets: vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()],
                port: Some(port(443)),
                source_labels: labels(&[("app", "web")]),
                source_namespace: Some("front".into()),
                parents: vec![],
            },
            StreamMatch {
                server_names: vec![host("x.example.com")],
                parents: vec![Parent::Gateway(NamespacedName::new("shop", "edge"))],
                ..StreamMatch::default()
            },
        ],
        backends: vec![Share { target, weight: 90 }, share("other.example.com", 10)],
    }
}

#[test]
fn a_destination_rule_is_read_whole() {
    let pool = ConnectionPool {
        max_connections: Some(100),
        connect_timeout: Some(Duration::from_millis(30)),
        keepalive: Some(TcpKeepalive {
            probes: Some(3),
            time: Some(Duration::from_secs(7200)),
            interval: Some(Duration::from_secs(75)),
        }),
        max_connection_duration: Some(Duration::from_secs(3600)),
        tcp_idle_timeout: Some(Duration::ZERO),
        max_pending_requests: None,
        max_requests: Some(1000),
        max_requests_per_connection: Some(1),
        max_retries: Some(3),
        http_idle_timeout: Some(Duration::from_secs(10)),
        h2_upgrade: Some(H2Upgrade::DoNotUpgrade),
        use_client_protocol: true,
        max_concurrent_streams: Some(7),
    };
    let of_port = PortPolicy {
        load_balancer: Some(LoadBalancer::Passthrough),
        connection_pool: None,
        tls: Some(UpstreamTls::Disable),
    };
    let simple = SimpleTls {
        sni: Some("s".into()),
        subject_alt_names: texts(&["n"]),
        keys: UpstreamKeys::Files(KeyFiles { roots: Some("/etc/ca.pem".into()), certificate: None }),
        ..SimpleTls::default()
    };
    let shown = CertificateFiles { chain: "/etc/own.pem".into(), key: "/etc/own.key".into() };
    let files = SimpleTls {
        keys: UpstreamKeys::Files(KeyFiles { roots: None, certificate: Some(shown) }),
        ..SimpleTls::default()
    };
    let secret = |name: &str, shows_certificate| SimpleTls {
        insecure_skip_verify: shows_certificate,
        keys: UpstreamKeys::Secret(SecretKeys { name: name.into(), shows_certificate }),
        ..SimpleTls::default()
    };
    let tls = |tls| TrafficPolicy { tls: Some(UpstreamTls::Simple(tls)), ..TrafficPolicy::default() };
    let at_443 = PortPolicy { tls: Some(UpstreamTls::Simple(secret("own", true))), ..PortPolicy::default() };
    let subset = |name: &str, policy| Subset { name: name.into(), labels: labels(&[("version", name)]), policy };
    let want = Destination {
        object: ObjectKind::DestinationRule,
        name: NamespacedName::new("shop", "reviews"),
        host: host("reviews.shop.svc.cluster.local"),
        precedence: Precedence { created: 0, position: "destination-rule.yaml:000000".into() },
        visibility: Visibility::Namespaces(["shop".into()].into()),
        workload_selector: Some(labels(&[("app", "web")])),
        policy: TrafficPolicy {
            load_balancer: Some(LoadBalancer::LeastRequest),
            connection_pool: Some(pool),
            tls: Some(UpstreamTls::IstioMutual {
                sni: Some("a.b".into()),
                subject_alt_names: texts(&["spiffe://x/ns/y/sa/z"]),
            }),
            ports: [(port(9080), of_port)].into(),
        },
        subsets: vec![
            subset("v1", TrafficPolicy::default()),
            subset("v2", tls(simple)),
            subset("v3", tls(files)),
            subset("v4", TrafficPolicy { ports: [(port(443), at_443)].into(), ..tls(secret("roots", false)) }),
        ],
    };
    assert_eq!(good("destination-rule.yaml"), [Parsed::DestinationRule(want)]);
}

#[test]
fn a_gateway_is_read_whole() {
    let server = |number, name: &str, protocol, hosts: &[(Option<&str>, &str)]| Server {
        port: port(number),
        port_name: name.into(),
        protocol,
        bind: None,
        hosts: hosts.iter().map(|(ns, name)| ServerHost { namespace: ns.map(Into::into), host: host(name) }).collect(),
        https_redirect: false,
    };
    let secret =
        |name: &str, require_client_certificate| ServerTls::Secret { name: name.into(), require_client_certificate };
    let https = |name, require_client_certificate| ServerProtocol::Https(secret(name, require_client_certificate));
    let first: &[_] =
        &[(None, "*"), (Some("shop"), "own.example.com"), (Some("other"), "x.example.com"), (None, "y.example.com")];
    let want = Gateway {
        object: ObjectKind::Gateway,
        name: NamespacedName::new("shop", "edge"),
        selector: labels(&[("istio", "ingressgateway")]),
        precedence: Precedence { created: 0, position: "gateway.yaml:000000".into() },
        servers: vec![
            Server { https_redirect: true, ..server(80, "http", ServerProtocol::Http, first) },
            Server {
                bind: Some("10.0.0.1".parse().unwrap()),
                ..server(8080, "grpc", ServerProtocol::Http, &[(None, "*.example.com")])
            },
            server(443, "https", https("a-cert", false), &[(None, "a.example.com")]),
            server(8443, "mtls", https("b-cert", true), &[(None, "b.example.com")]),
            server(8444, "mesh", ServerProtocol::Https(ServerTls::Mesh), &[(None, "c.example.com")]),
            server(9000, "db", ServerProtocol::Tcp, &[(None, "*")]),
            server(9443, "ends", ServerProtocol::Tls(secret("d-cert", false)), &[(None, "d.example.com")]),
            server(9444, "on", ServerProtocol::Passthrough, &[(None, "e.example.com")]),
            server(9444, "on-too", ServerProtocol::Passthrough, &[(None, "f.example.com")]),
        ],
    };
    assert_eq!(good("gateway.yaml"), [Parsed::Gateway(want)]);
}

fn sidecar_of_web() -> Sidecar {
    let ingress = |number, protocol, default_endpoint| IngressListener {
        port: port(number),
        protocol,
        name: "".into(),
        bind: None,
        default_endpoint,
    };
    let at = |namespace: EgressNamespace, name: &str| EgressHost { namespace, host: host(name), exclude: false };
    let loopback = Some("127.0.0.1".parse().unwrap());
    Sidecar {
        name: NamespacedName::new("shop", "web"),
        workload_selector: Some(labels(&[("app", "web")])),
        ingress: vec![
            IngressListener { name: "in".into(), ..ingress(9080, Protocol::Http, IngressEndpoint::Loopback) },
            ingress(9081, Protocol::Tcp, IngressEndpoint::Address("127.0.0.1:8081".parse().unwrap())),
            ingress(9082, Protocol::Tcp, IngressEndpoint::InstancePort(port(8082))),
            IngressListener {
                bind: Some("10.0.0.1".parse().unwrap()),
                ..ingress(9083, Protocol::Auto, IngressEndpoint::Unix("/run/app.sock".into()))
            },
            IngressListener {
                bind: Some("0.0.0.0".parse().unwrap()),
                ..ingress(9084, Protocol::Auto, IngressEndpoint::Loopback)
            },
        ],
        egress: vec![
            EgressListener {
                port: Some(port(3306)),
                protocol: Protocol::Tcp,
                name: "db".into(),
                bind: loopback,
                hosts: vec![at(EgressNamespace::OfWorkload, "db.example.com")],
            },
            EgressListener {
                port: Some(port(8000)),
                protocol: Protocol::Auto,
                name: "".into(),
                bind: loopback,
                hosts: vec![],
            },
            EgressListener {
                port: None,
                protocol: Protocol::Auto,
                name: "".into(),
                bind: None,
                hosts: vec![
                    at(EgressNamespace::OfWorkload, "*"),
                    at(EgressNamespace::Named("istio-system".into()), "*"),
                    at(EgressNamespace::Any, "ext.example.com"),
                    EgressHost { exclude: true, ..at(EgressNamespace::Named("other".into()), "secret.example.com") },
                ],
            },
        ],
        outbound_policy: Some(OutboundPolicy::EgressProxy(Target {
            port: Some(port(80)),
            ..target("egress.infra.svc.cluster.local")
        })),
    }
}

#[test]
fn sidecars_are_read_whole() {
    let default = Sidecar {
        name: NamespacedName::new("istio-system", "default"),
        workload_selector: None,
        ingress: vec![],
        egress: vec![],
        outbound_policy: Some(OutboundPolicy::RegistryOnly),
    };
    assert_eq!(good("sidecar.yaml"), [Parsed::Sidecar(sidecar_of_web()), Parsed::Sidecar(default)]);
}

fn entries() -> (ServiceEntry, ServiceEntry, WorkloadEntry) {
    let mut parsed = good("service-entry.yaml").into_iter();
    match (parsed.next(), parsed.next(), parsed.next()) {
        (Some(Parsed::ServiceEntry(db)), Some(Parsed::ServiceEntry(ext)), Some(Parsed::WorkloadEntry(vm))) => {
            (db, ext, vm)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_entry_is_read_whole() {
    let (db, ..) = entries();
    let entry_port = |number, name: &str, protocol, target_port| EntryPort {
        port: ServicePort { number: port(number), name: name.into(), protocol },
        target_port,
    };
    assert_eq!(db.name, NamespacedName::new("shop", "db"));
    assert_eq!(db.meta.labels, labels(&[("team", "data")]));
    assert_eq!(db.hosts, [host("db.example.com"), host("*.db.example.com")]);
    let addresses: Vec<_> = db.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1/32", "198.51.100.0/24", "2001:db8::1/128"]);
    let ports =
        [entry_port(5432, "pg", Protocol::Tls, Some(port(15432))), entry_port(443, "web", Protocol::Https, None)];
    assert_eq!(db.ports, ports);
    assert_eq!((db.external, db.resolution), (false, Resolution::Static));
    assert_eq!(db.visibility, Visibility::Namespaces([].into()));
    assert_eq!(db.subject_alt_names, texts(&["spiffe://cluster.local/ns/shop/sa/db"]));
    let first = &db.endpoints[0];
    assert_eq!(first.address, Some(EndpointAddress::Ip("192.0.2.9".parse().unwrap())));
    assert_eq!(first.ports, [(Arc::from("pg"), port(25432))].into());
    assert_eq!((&*first.network, first.weight, &*first.service_account), ("n", 5, "sa"));
    assert_eq!(first.locality, Locality { region: "r".into(), zone: "z".into(), subzone: "s".into() });
    assert_eq!(db.endpoints[1].address, Some(EndpointAddress::Ip("192.0.2.10".parse().unwrap())));
}

#[test]
fn a_service_entry_that_says_little_has_istios_defaults() {
    let (_, ext, _) = entries();
    assert_eq!((ext.external, ext.resolution), (true, Resolution::Static));
    assert_eq!(ext.visibility, Visibility::Everywhere);
    assert_eq!(ext.workload_selector, Some(labels(&[("app", "ext")])));
    assert_eq!((ext.ports.len(), ext.addresses.len(), ext.endpoints.len()), (0, 0, 0));
}

#[test]
fn a_workload_entrys_metadata_labels_win() {
    let (.., vm) = entries();
    assert_eq!(vm.endpoint.address, Some(EndpointAddress::Name("vm1.example.com".into())));
    assert_eq!(vm.endpoint.labels, labels(&[("app", "ext"), ("rack", "9"), ("version", "v1")]));
    assert_eq!(vm.endpoint.weight, 1);
}

#[test]
fn the_meshs_defaults_stand_in_for_a_missing_export_to() {
    let text = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: x}\nspec: {host: a}\n";
    let (objects, _) = read_text(&"f".into(), text);
    let context = ParseContext {
        cluster_domain: "mesh.test".into(),
        default_destination_rule_export_to: texts(&["."]),
        ..ParseContext::default()
    };
    let (Some(Parsed::DestinationRule(rule)), _) = parse(&objects[0], &context) else { panic!() };
    assert_eq!(rule.visibility, Visibility::Namespaces(["x".into()].into()));
    assert_eq!(rule.host.as_str(), "a.x.svc.mesh.test");
}

/// Codes of what is found in a VirtualService with this one rule.
fn codes_of_rule(rule: &str) -> Vec<&'static str> {
    let head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n";
    let (objects, _) = read_text(&"f".into(), &format!("{head}spec: {{hosts: [a.b], http: [{rule}]}}\n"));
    parse(&objects[0], &ParseContext::default()).1.iter().map(|d| d.code).collect()
}

#[test]
fn the_body_of_a_direct_response_is_bounded() {
    let body = |bytes: usize| format!("{{directResponse: {{status: 200, body: {{string: {}}}}}}}", "x".repeat(bytes));
    assert_eq!(codes_of_rule(&body(100 << 10)), [""; 0]);
    assert_eq!(codes_of_rule(&body((100 << 10) + 1)), ["large-value"]);
    assert_eq!(codes_of_rule(&body((1 << 20) - 1)), ["large-value"]);
    assert_eq!(codes_of_rule(&body(1 << 20)), ["invalid-field"]);
}

#[test]
fn the_sum_of_weights_is_bounded() {
    let route = |a: u32, b: u32| {
        format!("{{route: [{{destination: {{host: a}}, weight: {a}}}, {{destination: {{host: b}}, weight: {b}}}]}}")
    };
    assert_eq!(codes_of_rule(&route(u32::MAX - 1, 1)), [""; 0]);
    assert_eq!(codes_of_rule(&route(u32::MAX, 1)), ["invalid-field"]);
    assert_eq!(codes_of_rule(&route(0, 0)), ["invalid-field"]);
}

#[test]
fn wrong_objects_are_refused_with_the_line_that_is_wrong() {
    check_marks("refused.yaml");
    for (parsed, found) in read("refused.yaml").1 {
        assert!(parsed.is_none() || !is_about_all(&found), "{parsed:?}");
    }
}

#[test]
fn fields_without_effect_are_named_and_the_rest_is_served() {
    let parsed = check_marks("warned.yaml");
    let [
        Some(Parsed::VirtualService(route)),
        Some(Parsed::DestinationRule(_)),
        Some(Parsed::Gateway(gateway)),
        Some(Parsed::Sidecar(_)),
    ] = &parsed[..]
    else {
        panic!("{parsed:?}")
    };
    assert_eq!(route.rules.len(), 1, "the delegating rule is left out");
    let ports: Vec<_> = gateway.servers.iter().map(|s| s.port.get()).collect();
    assert_eq!(ports, [80, 445, 446], "servers that are not served are left out");
}

#[test]
fn objects_that_say_nothing_here_are_no_errors() {
    assert!(check_marks("nothing.yaml").iter().all(Option::is_none));
    let (_, outcomes) = read("nothing.yaml");
    assert!(outcomes.iter().flat_map(|(_, found)| found).all(|d| d.severity != Severity::Error));
}

#[test]
fn a_bad_server_rule_or_host_takes_itself_out_and_not_its_object() {
    let read = |text: &str| {
        let (objects, _) = read_text(&"f".into(), text);
        let (parsed, found) = parse(&objects[0], &ParseContext::default());
        let errors: Vec<_> = found.into_iter().filter(|d| d.severity == Severity::Error).map(|d| d.field).collect();
        (parsed, errors)
    };
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n  selector: {a: b}\n  servers:\n  \
        - {port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example, \"b..example\"]}\n  \
        - {port: {number: 0, name: other, protocol: HTTP}, hosts: [a.example]}\n";
    let (parsed, errors) = read(gateway);
    let Some(Parsed::Gateway(gateway)) = parsed else { panic!("{parsed:?}") };
    let hosts: Vec<_> = gateway.servers.iter().map(|server| server.hosts.len()).collect();
    assert_eq!(
        (hosts, errors),
        (vec![1], vec!["spec.servers[0].hosts[1]".into(), "spec.servers[1].port.number".into()])
    );

    let rules = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  \
        hosts: [a.example, \"b..example\"]\n  http:\n  - {timeout: soon, route: [{destination: {host: a}}]}\n  \
        - {route: [{destination: {host: b}}]}\n";
    let (parsed, errors) = read(rules);
    let Some(Parsed::VirtualService(route)) = parsed else { panic!("{parsed:?}") };
    assert_eq!((route.hosts, route.rules.len()), (vec![host("a.example")], 1));
    assert_eq!(errors, ["spec.hosts[1]", "spec.http[0].timeout"]);

    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec:\n  \
        hosts: [\"*\", a.example]\n  ports: [{number: 80, name: http}]\n";
    let (parsed, errors) = read(entry);
    let Some(Parsed::ServiceEntry(entry)) = parsed else { panic!("{parsed:?}") };
    assert_eq!((entry.hosts, errors), (vec![host("a.example")], vec!["spec.hosts[0]".into()]));
    // What is wrong elsewhere, or with all of them, is about the whole.
    assert_eq!(read(&rules.replace("spec:\n", "spec:\n  exportTo: 7\n")).0, None);
    assert_eq!(read(&rules.replace("a.example, ", "")).0, None);
}

/// Entries whose errors take them out by themselves.
const APART: [&str; 5] = ["spec.servers[", "spec.http[", "spec.tls[", "spec.tcp[", "spec.hosts["];

/// Whether there is an error about more than such entries.
fn is_about_all(found: &[Diagnostic]) -> bool {
    let is_apart = |field: &str| APART.iter().any(|list| field.starts_with(list));
    found.iter().any(|d| d.severity == Severity::Error && !is_apart(&d.field))
}

/// Reads and parses everything; what it says does not matter.
fn swallow(text: &str) {
    let (objects, _) = read_text(&"f".into(), text);
    for object in &objects {
        let (parsed, found) = parse(object, &ParseContext::default());
        assert!(
            !(is_about_all(&found) && parsed.is_some()),
            "an object with an error is dropped, but for servers, rules and hosts"
        );
    }
}

const SAMPLES: [&str; 6] = [
    include_str!("data/networking/virtual-service.yaml"),
    include_str!("data/networking/destination-rule.yaml"),
    include_str!("data/networking/gateway.yaml"),
    include_str!("data/networking/sidecar.yaml"),
    include_str!("data/networking/service-entry.yaml"),
    include_str!("data/networking/refused.yaml"),
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        swallow(&text);
        node::read(&text);
    }

    #[test]
    fn text_of_yamls_own_signs_never_panics(text in "[-a:,{}\\[\\]&*!|>'\"%@#?~<0.\\n ]{0,80}") {
        swallow(&text);
    }

    #[test]
    fn a_spoilt_object_never_panics(
        sample in 0..SAMPLES.len(),
        places in prop::collection::vec((any::<prop::sample::Index>(), "[-a:,{}\\[\\]*~'\"0%\\n ]{0,3}", 0..4_usize), 1..4),
    ) {
        let mut chars: Vec<char> = SAMPLES[sample].chars().collect();
        for (place, put, cut) in places {
            let at = place.index(chars.len());
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, put.chars());
        }
        swallow(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn a_value_of_the_wrong_kind_never_panics(
        sample in 0..SAMPLES.len(),
        place in any::<prop::sample::Index>(),
        value in prop::sample::select(vec!["", "1", "-1", "1.5", "true", "x", "''", "[]", "{}", "[[]]", "{a: {}}", "99999999999999999999"]),
    ) {
        let colons: Vec<usize> = SAMPLES[sample].match_indices(": ").map(|(at, _)| at).collect();
        let at = colons[place.index(colons.len())];
        let line_end = SAMPLES[sample][at..].find([',', '}', '\n']).map_or(SAMPLES[sample].len(), |n| at + n);
        swallow(&format!("{}: {value}{}", &SAMPLES[sample][..at], &SAMPLES[sample][line_end..]));
    }
}
