//! Parts for tests, made of few words: every name, port and rule that a test does not care about has a default.

use super::{
    OwnFacts,
    build::{Changes, State},
};
use mesh_config::{
    identity::SpiffeId,
    kind::{ObjectKind, Role},
    matcher::StringMatch,
    model::{
        Authorization, Destination, Endpoint, Gateway, IndexEntry, Instance, Kind, Labels, Part, PeerAuthentication,
        Precedence, Protocol, Route, Service, ServiceKey, Sidecar, Visibility, Workload,
        authorization::{Action, Rule},
        destination::{Subset, TrafficPolicy},
        endpoint::{EndpointAddress, EndpointKey, Health},
        gateway::{Server, ServerHost, ServerProtocol},
        instance::InboundPort,
        peer_authentication::MtlsMode,
        route::{
            Backend, HeaderOps, Parent, PathMatch, RouteAction, RouteMatch, RouteRule, Share, StreamMatch, StreamRule,
            Target,
        },
        service::{Resolution, ServicePort},
        sidecar::{EgressHost, EgressListener, EgressNamespace},
        workload::{HeadlessPort, WorkloadInfo},
    },
    name::{NamespacedName, Port},
};
use std::sync::Arc;

/// A port number.
pub fn port(number: u16) -> Port {
    Port::new(number).expect("tests use real ports")
}

/// `namespace/host`.
pub fn key(text: &str) -> ServiceKey {
    text.parse().expect("tests use good names")
}

/// `namespace/name`.
pub fn named(text: &str) -> NamespacedName {
    text.parse().expect("tests use good names")
}

/// A service of namespace and host, with these ports; the address may be empty.
pub fn service(name: &str, address: &str, ports: &[(u16, Protocol)]) -> Service {
    let key = key(name);
    let short = key.host.as_str().split('.').next().unwrap_or_default().into();
    let port = |(number, protocol): &(u16, Protocol)| ServicePort {
        number: port(*number),
        name: format!("p{number}").into(),
        protocol: *protocol,
    };
    Service {
        key,
        name: short,
        addresses: address.parse::<std::net::IpAddr>().map(Into::into).into_iter().collect(),
        ports: ports.iter().map(port).collect(),
        resolution: Resolution::Static,
        external: false,
        headless: false,
        subject_alt_names: Vec::new(),
    }
}

/// Its index entry.
pub fn indexed(service: &Service) -> Part {
    Part::Index(Arc::new(service.into()))
}

/// The index entry of a host that only VirtualServices name.
pub fn indexed_host(name: &str) -> Part {
    Part::Index(Arc::new(IndexEntry::virtual_host(key(name))))
}

/// Index entry and details.
pub fn in_use(service: &Service) -> [Part; 2] {
    [indexed(service), Part::Service(Arc::new(service.clone()))]
}

/// An endpoint of a service port.
pub fn endpoint(service: &str, service_port: u16, address: &str, version: &str) -> Part {
    Part::Endpoint(Arc::new(Endpoint {
        key: EndpointKey { service: key(service), port: port(service_port), id: format!("K//Pod/ns/{address}").into() },
        address: EndpointAddress::Ip(address.parse().expect("tests use good addresses")),
        target_port: 8080,
        labels: [("version", version)].into_iter().collect(),
        health: Health::Healthy,
        weight: 1,
        locality: Default::default(),
        mutual_tls: true,
        identity: Some(SpiffeId::new(Default::default(), "ns", "sa")),
        workload: None,
    }))
}

/// `host`, `host:port` or `host:port/subset`.
pub fn target(text: &str) -> Target {
    let (text, subset) = text.split_once('/').map_or((text, None), |(rest, subset)| (rest, Some(subset.into())));
    let (host, number) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    Target {
        host: host.parse().expect("tests use good names"),
        port: number.map(|n| port(n.parse().expect("tests use real ports"))),
        subset,
    }
}

/// A rule that sends everything to these targets by weight.
pub fn send_to(targets: &[(&str, u32)]) -> RouteRule {
    let backend =
        |(to, weight): &(&str, u32)| Backend { target: target(to), weight: *weight, headers: HeaderOps::default() };
    rule(RouteAction::Forward(targets.iter().map(backend).collect()))
}

/// A rule for everything.
pub fn rule(action: RouteAction) -> RouteRule {
    RouteRule {
        name: "".into(),
        matches: Vec::new(),
        action,
        rewrite: None,
        timeout: None,
        retries: None,
        headers: HeaderOps::default(),
    }
}

/// Paths that begin with it.
pub fn prefix(path: &str) -> RouteMatch {
    let matcher = StringMatch::Prefix(path.into());
    RouteMatch { path: Some(PathMatch { matcher, ignore_case: false }), ..RouteMatch::default() }
}

/// A VirtualService for sidecars; `age` orders: the smaller is the older.
pub fn route(name: &str, hosts: &[&str], age: i64, rules: Vec<RouteRule>) -> Route {
    Route {
        object: ObjectKind::VirtualService,
        name: named(name),
        hosts: hosts.iter().map(|h| h.parse().expect("tests use good names")).collect(),
        parents: vec![Parent::Mesh],
        precedence: Precedence { created: age, position: "".into() },
        visibility: Visibility::Everywhere,
        rules,
        tls: Vec::new(),
        tcp: Vec::new(),
    }
}

/// A rule for opaque connections; without matches it takes all.
pub fn stream(matches: Vec<StreamMatch>, targets: &[(&str, u32)]) -> StreamRule {
    let share = |(to, weight): &(&str, u32)| Share { target: target(to), weight: *weight };
    StreamRule { matches, backends: targets.iter().map(share).collect() }
}

/// Connections with these names in their hellos.
pub fn server_names(names: &[&str]) -> StreamMatch {
    let names = names.iter().map(|name| name.parse().expect("tests use good names"));
    StreamMatch { server_names: names.collect(), ..StreamMatch::default() }
}

/// The same for a gateway.
pub fn for_gateway(gateway: &str, mut route: Route) -> Route {
    route.parents = vec![Parent::Gateway(named(gateway))];
    route
}

/// A DestinationRule whose subsets select label `version`.
pub fn destination(name: &str, host: &str, subsets: &[&str]) -> Destination {
    let subset = |name: &&str| Subset {
        name: (*name).into(),
        labels: [("version", *name)].into_iter().collect(),
        policy: TrafficPolicy::default(),
    };
    Destination {
        object: ObjectKind::DestinationRule,
        name: named(name),
        host: host.parse().expect("tests use good names"),
        precedence: Precedence::default(),
        visibility: Visibility::Everywhere,
        workload_selector: None,
        policy: TrafficPolicy::default(),
        subsets: subsets.iter().map(subset).collect(),
    }
}

/// A Gateway that every gateway proxy serves.
pub fn gateway(name: &str, age: i64, servers: Vec<Server>) -> Gateway {
    Gateway {
        object: ObjectKind::Gateway,
        name: named(name),
        selector: Labels::default(),
        precedence: Precedence { created: age, position: "".into() },
        servers,
    }
}

/// A plain-text server; hosts are `host` or `namespace/host`.
pub fn server(number: u16, hosts: &[&str]) -> Server {
    let host = |text: &&str| {
        let (namespace, host) = text.split_once('/').map_or((None, *text), |(ns, host)| (Some(ns.into()), host));
        ServerHost { namespace, host: host.parse().expect("tests use good names") }
    };
    Server {
        port: port(number),
        port_name: format!("p{number}").into(),
        protocol: ServerProtocol::Http,
        bind: None,
        hosts: hosts.iter().map(host).collect(),
        https_redirect: false,
    }
}

/// A `Sidecar` for the whole namespace.
pub fn sidecar(name: &str, egress: Vec<EgressListener>) -> Sidecar {
    Sidecar { name: named(name), workload_selector: None, ingress: Vec::new(), egress, outbound_policy: None }
}

/// A captured listener, for `namespace/host` (`*` for any namespace, `~` in front takes away).
pub fn egress(number: Option<u16>, hosts: &[&str]) -> EgressListener {
    let host = |text: &&str| {
        let (text, exclude) = text.strip_prefix('~').map_or((*text, false), |rest| (rest, true));
        let (namespace, host) = text.split_once('/').expect("tests write namespace/host");
        EgressHost {
            namespace: match namespace {
                "*" => EgressNamespace::Any,
                "." => EgressNamespace::OfWorkload,
                named => EgressNamespace::Named(named.into()),
            },
            host: host.parse().expect("tests use good names"),
            exclude,
        }
    };
    EgressListener {
        port: number.map(port),
        protocol: Protocol::Http,
        name: "".into(),
        bind: None,
        hosts: hosts.iter().map(host).collect(),
    }
}

/// The workload beside the proxy, with ports of services: target port, service, service port, protocol.
pub fn instance(labels: &[(&str, &str)], ports: &[(u16, &str, u16, Protocol)]) -> Part {
    let inbound = |(target, service, number, protocol): &(u16, &str, u16, Protocol)| InboundPort {
        target_port: port(*target),
        service: key(service),
        service_name: "name".into(),
        service_port: port(*number),
        protocol: *protocol,
        connection_pool: None,
    };
    let text: Arc<str> = "w".into();
    let info = WorkloadInfo {
        workload: text.clone(),
        namespace: "shop".into(),
        canonical_name: text.clone(),
        canonical_revision: text.clone(),
        app: text.clone(),
        version: text.clone(),
        cluster: text.clone(),
    };
    let workload = Workload {
        uid: text,
        addresses: Vec::new(),
        info: Arc::new(info),
        labels: labels.iter().copied().collect(),
        service_account: "sa".into(),
        identity: None,
        locality: Default::default(),
        network: "".into(),
        mutual_tls: false,
        mutual_tls_except: Vec::new(),
        headless: Vec::new(),
    };
    Part::Instance(Arc::new(Instance { workload, ports: ports.iter().map(inbound).collect() }))
}

/// A workload that takes mutual TLS on all ports but 15020; `headless`: ports by which it is an endpoint.
pub fn workload(account: &str, address: &str, headless: &[(&str, u16)]) -> Arc<Workload> {
    let Part::Instance(like) = instance(&[("app", account)], &[]) else { unreachable!("it is one") };
    let headless = headless.iter().map(|(service, number)| HeadlessPort { service: key(service), port: port(*number) });
    Arc::new(Workload {
        uid: format!("Kubernetes//Pod/shop/{account}").into(),
        addresses: vec![address.parse().expect("tests use good addresses")],
        identity: Some(SpiffeId::new(Default::default(), "shop", account)),
        mutual_tls: true,
        mutual_tls_except: vec![port(15020)],
        headless: headless.collect(),
        ..like.workload.clone()
    })
}

/// A mode for the workloads of its namespace.
pub fn mutual_tls(name: &str, mode: MtlsMode) -> PeerAuthentication {
    PeerAuthentication {
        name: named(name),
        precedence: Precedence::default(),
        selector: None,
        mode: Some(mode),
        ports: Default::default(),
    }
}

/// A policy for the workloads of its namespace.
pub fn policy(name: &str, action: Action, rules: Vec<Rule>) -> Authorization {
    Authorization { name: named(name), selector: Labels::default(), action, dry_run: false, rules }
}

/// These parts, and the mesh's settings and a workload without labels where they are not among them.
pub fn complete(parts: impl IntoIterator<Item = Part>) -> Vec<Part> {
    let mut parts: Vec<Part> = parts.into_iter().collect();
    let has = |parts: &[Part], kind| parts.iter().any(|part| part.kind() == kind);
    if !has(&parts, Kind::Settings) {
        parts.push(Part::Settings(Arc::default()));
    }
    if !has(&parts, Kind::Instance) {
        parts.push(instance(&[], &[]));
    }
    parts
}

/// The state of a proxy in namespace `shop` at 10.0.0.5 that knows what it is, after one push of these parts.
pub fn state(role: Role, parts: impl IntoIterator<Item = Part>) -> State {
    let ips = vec!["10.0.0.5".parse().expect("an address")];
    let mut state = State::new(OwnFacts { role, namespace: "shop".into(), ips });
    state.apply(Changes::upserts(complete(parts)));
    state
}
