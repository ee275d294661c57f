use super::*;
use crate::snapshot::{
    Role,
    cluster::{Cluster, ClusterKey, Secret},
    fixture::*,
    listener::{ListenerKind, ListenerSpec},
    outbound::{Destination as Found, Said, Way, by_opening, lookup, through},
    workloads::Asking,
};
use mesh_config::model::{
    Authorization, Credential, Labels, PeerAuthentication, Protocol, Sidecar,
    destination::{ConnectionPool, SecretKeys, SimpleTls, TrafficPolicy, UpstreamKeys, UpstreamTls},
    gateway::{ServerProtocol, ServerTls},
    peer_authentication::{EffectiveMtls, MtlsMode},
    service::Resolution,
    settings::OutboundPolicy,
    sidecar::{EgressListener, EgressNamespace, IngressEndpoint, IngressListener},
};
use std::{collections::BTreeMap, time::Duration};

mod growth;

const CART: &str = "shop/cart.shop.svc.cluster.local";
const PAY: &str = "other/pay.other.svc.cluster.local";

fn push(state: &mut State, upserts: impl IntoIterator<Item = Part>) -> Applied {
    state.apply(Changes::upserts(upserts))
}

fn remove(state: &mut State, kind: Kind, name: &str) -> Applied {
    state.apply(Changes { removed: vec![(kind, PartName(name.into()))], ..Changes::default() })
}

fn refused(state: &mut State, kind: Kind, name: &str) -> Applied {
    state.apply(Changes { refused: vec![(kind, PartName(name.into()))], ..Changes::default() })
}

fn settings(change: impl FnOnce(&mut Settings)) -> Part {
    let mut settings = Settings::default();
    change(&mut settings);
    Part::Settings(Arc::new(settings))
}

fn cart() -> mesh_config::model::Service {
    service(CART, "10.1.0.1", &[(80, Protocol::Http), (90, Protocol::Tcp), (70, Protocol::Auto), (53, Protocol::Udp)])
}

fn cluster(state: &State, service: &str, number: u16, subset: Option<&str>) -> Option<Arc<Cluster>> {
    let key = ClusterKey::Outbound { service: key(service), port: port(number), subset: subset.map(Into::into) };
    state.snapshot().outbound.cluster(&key).cloned()
}

fn found(state: &State, address: &str) -> String {
    told(lookup(state.snapshot(), address.parse().unwrap(), Asking::Needed))
}

/// As [`found`], of a client that says this first.
fn opened(state: &State, address: &str, said: Said<'_>) -> String {
    let original = address.parse().unwrap();
    match lookup(state.snapshot(), original, Asking::Needed) {
        Found::Opening(_) => told(by_opening(state.snapshot(), Way::Captured(original), said, Asking::Needed)),
        found => told(found),
    }
}

fn told(found: Found) -> String {
    match found {
        Found::Opening(port) => format!("opening {port}"),
        Found::HttpPort(port) => format!("http {port}"),
        Found::Service { service, port, protocol, cluster, .. } => {
            format!("{service} {port} {protocol:?} {}", cluster.name)
        }
        Found::Pending { service, port, .. } => format!("pending {service} {port}"),
        Found::Unasked(address) => format!("whose is {address}"),
        Found::Passthrough(cluster) | Found::Refused(cluster) => cluster.name.to_string(),
    }
}

#[test]
fn a_service_in_use_has_a_cluster_for_each_port_and_subset() {
    let parts = [Part::Destination(Arc::new(destination("shop/d", "cart.shop.svc.cluster.local", &["v1"])))];
    let state = state(Role::Sidecar, parts.into_iter().chain(in_use(&cart())));
    let v1 = cluster(&state, CART, 80, Some("v1")).unwrap();
    assert_eq!(&*v1.name, "outbound|80|v1|cart.shop.svc.cluster.local");
    assert_eq!(&*v1.sni, "outbound_.80_.v1_.cart.shop.svc.cluster.local");
    assert_eq!(v1.subset_labels, [("version", "v1")].into_iter().collect::<Labels>());
    assert_eq!(
        (&*v1.service_host, &*v1.service_name, &*v1.service_namespace),
        ("cart.shop.svc.cluster.local", "cart", "shop")
    );
    let all = cluster(&state, CART, 90, None).unwrap();
    assert_eq!(&*all.sni, "outbound_.90_._.cart.shop.svc.cluster.local");
    assert!(all.subset_labels.is_empty());
    assert!(cluster(&state, CART, 80, Some("v2")).is_none() && cluster(&state, CART, 53, None).is_none());
}

#[test]
fn the_meshs_defaults_fill_what_the_rule_leaves_open() {
    let mut rule = destination("shop/d", "cart.shop.svc.cluster.local", &[]);
    rule.policy = TrafficPolicy {
        connection_pool: Some(ConnectionPool {
            connect_timeout: Some(Duration::from_secs(3)),
            ..ConnectionPool::default()
        }),
        ..TrafficPolicy::default()
    };
    let mesh = settings(|s| {
        s.connect_timeout = Duration::from_secs(7);
        s.auto_mtls = false;
    });
    let pay = service(PAY, "", &[(80, Protocol::Http)]);
    let parts = [mesh, Part::Destination(Arc::new(rule))];
    let state = state(Role::Sidecar, parts.into_iter().chain(in_use(&cart())).chain(in_use(&pay)));
    let (ruled, plain) = (cluster(&state, CART, 80, None).unwrap(), cluster(&state, PAY, 80, None).unwrap());
    let timeout = |c: &Cluster| c.policy.connection_pool.connect_timeout.map(|t| t.as_secs());
    assert_eq!((timeout(&ruled), timeout(&plain)), (Some(3), Some(7)));
    assert_eq!(plain.policy.tls, Some(UpstreamTls::Disable));
}

/// A rule for the cart that names a Secret, and what the cart has besides.
fn keyed(change: impl FnOnce(&mut mesh_config::model::Destination)) -> Vec<Part> {
    let mut rule = destination("shop/d", "cart.shop.svc.cluster.local", &[]);
    let keys = UpstreamKeys::Secret(SecretKeys { name: "pair".into(), shows_certificate: true });
    rule.policy.tls = Some(UpstreamTls::Simple(SimpleTls { keys, ..SimpleTls::default() }));
    change(&mut rule);
    let web = service(CART, "10.1.0.1", &[(80, Protocol::Http), (443, Protocol::Https)]);
    in_use(&web).into_iter().chain([Part::Destination(Arc::new(rule))]).collect()
}

fn credential(name: &str, key: &str) -> Part {
    let nothing = Credential::nothing(named(name));
    Part::Secret(Arc::new(Credential { key_pem: key.to_owned().into(), ..nothing }))
}

#[test]
fn a_cluster_follows_the_secret_that_its_rule_names() {
    let mut state = state(Role::Gateway, keyed(|_| {}));
    let of = |state: &State| cluster(state, CART, 80, None).unwrap();
    let here = |state: &State| match &of(state).secret {
        Secret::Here(credential) => String::from_utf8(credential.key_pem.to_vec()).unwrap(),
        other => format!("{other:?}"),
    };
    assert_eq!(of(&state).secret, Secret::Missing(named("shop/pair")));
    push(&mut state, [credential("shop/pair", "one")]);
    assert_eq!(here(&state), "one");
    let before = of(&state);
    push(&mut state, [credential("shop/other", "two")]);
    assert!(Arc::ptr_eq(&before, &of(&state)), "another Secret is nothing to it");
    push(&mut state, [credential("shop/pair", "two")]);
    assert_eq!(here(&state), "two");
    remove(&mut state, Kind::Secret, "shop/pair");
    assert_eq!(of(&state).secret, Secret::Missing(named("shop/pair")));
}

#[test]
fn a_rule_for_all_clients_gives_a_sidecar_no_keys() {
    let with = |rule: fn(&mut mesh_config::model::Destination)| {
        let state = state(Role::Sidecar, keyed(rule).into_iter().chain([credential("shop/pair", "one")]));
        [80, 443].map(|port| cluster(&state, CART, port, None).unwrap())
    };
    let [plain, tls] = with(|_| {});
    let withheld = Secret::Withheld(named("shop/pair"));
    assert_eq!([&plain.secret, &tls.secret], [&withheld, &withheld]);
    let selected = with(|rule| rule.workload_selector = Some(Labels::default()));
    assert!(selected.iter().all(|cluster| matches!(cluster.secret, Secret::Here(_))), "{selected:?}");
}

#[test]
fn endpoints_go_into_their_cell_and_make_no_snapshot() {
    let mut state = state(Role::Sidecar, in_use(&cart()));
    let before = state.snapshot().clone();
    let applied = push(&mut state, [endpoint(CART, 80, "10.2.0.1", "v1"), endpoint(CART, 80, "10.2.0.2", "v2")]);
    assert!(!applied.changed && Arc::ptr_eq(&before, &applied.snapshot));
    assert_eq!(applied.endpoints_changed, [(key(CART), port(80))]);
    let cell = cluster(&state, CART, 80, None).unwrap().endpoints.clone();
    assert_eq!(cell.load().endpoints.len(), 2);
    let again = push(&mut state, [endpoint(CART, 80, "10.2.0.1", "v1")]);
    assert!(again.endpoints_changed.is_empty(), "an endpoint that comes again as it was is no change");
    remove(&mut state, Kind::Endpoint, &format!("{CART}/80/K//Pod/ns/10.2.0.1"));
    assert_eq!(cell.load().endpoints.len(), 1);
}

#[test]
fn endpoints_that_come_before_their_service_are_there_when_it_comes() {
    let mut state = state(Role::Sidecar, [endpoint(CART, 80, "10.2.0.1", "v1")]);
    push(&mut state, in_use(&cart()));
    assert_eq!(cluster(&state, CART, 80, None).unwrap().endpoints.load().endpoints.len(), 1);
    push(&mut state, [endpoint(CART, 80, "10.2.0.2", "v1")]);
    assert_eq!(cluster(&state, CART, 80, None).unwrap().endpoints.load().endpoints.len(), 2);
}

#[test]
fn what_a_change_does_not_touch_is_shared() {
    let pay = service(PAY, "", &[(80, Protocol::Http)]);
    let mut state = state(Role::Sidecar, in_use(&cart()).into_iter().chain(in_use(&pay)));
    let before = state.snapshot().clone();
    push(
        &mut state,
        [Part::Route(Arc::new(route(
            "shop/r",
            &["cart.shop.svc.cluster.local"],
            1,
            vec![send_to(&[("cart.shop.svc.cluster.local", 1)])],
        )))],
    );
    let after = state.snapshot().clone();
    assert_eq!(after.version, before.version + 1);
    let host = |s: &Snapshot, name: &str| s.outbound.port(port(80)).unwrap().table.exact(name).unwrap().clone();
    let (cart, pay) = ("cart.shop.svc.cluster.local", "pay.other.svc.cluster.local");
    assert!(Arc::ptr_eq(&host(&before, pay), &host(&after, pay)));
    assert!(!Arc::ptr_eq(&host(&before, cart), &host(&after, cart)));
    for (key, service) in before.outbound.services.iter() {
        assert!(Arc::ptr_eq(service, &after.outbound.services[key]));
    }
    assert!(Arc::ptr_eq(before.local().unwrap(), after.local().unwrap()) && Arc::ptr_eq(&before.index, &after.index));
    assert!(Arc::ptr_eq(&before.listeners, &after.listeners));
}

#[test]
fn an_index_entry_that_nobody_calls_leaves_the_tables_alone() {
    let mut state = state(Role::Sidecar, in_use(&cart()));
    let before = state.snapshot().clone();
    let pay = service(PAY, "10.1.0.2", &[(80, Protocol::Http)]);
    push(&mut state, [indexed(&pay)]);
    assert!(Arc::ptr_eq(&before.outbound, &state.snapshot().outbound));
    assert!(state.snapshot().index.get(&key(PAY)).is_some() && before.index.get(&key(PAY)).is_none());
    let to_pay =
        route("shop/r", &["cart.shop.svc.cluster.local"], 1, vec![send_to(&[("pay.other.svc.cluster.local", 1)])]);
    push(&mut state, [Part::Route(Arc::new(to_pay))]);
    let before = state.snapshot().clone();
    remove(&mut state, Kind::Index, PAY);
    assert!(!Arc::ptr_eq(&before.outbound, &state.snapshot().outbound), "a rule's target is gone");
}

#[test]
fn a_part_that_comes_again_as_it_was_changes_nothing() {
    let mut state = state(Role::Sidecar, in_use(&cart()));
    assert!(!push(&mut state, in_use(&cart())).changed);
    assert!(!remove(&mut state, Kind::Route, "shop/unknown").changed);
}

#[test]
fn a_key_keeps_its_cluster_id_and_ids_of_the_gone_wait_before_they_are_used_again() {
    let mut state = state(Role::Sidecar, in_use(&cart()));
    let id = cluster(&state, CART, 80, None).unwrap().id;
    push(&mut state, [settings(|s| s.connect_timeout = Duration::from_secs(1))]);
    assert_eq!(cluster(&state, CART, 80, None).unwrap().id, id);
    let applied = remove(&mut state, Kind::Service, CART);
    assert_eq!(applied.retired.len(), 3, "one for each port but UDP");
    assert!(applied.retired.contains(&id));
    let pay = service(PAY, "", &[(80, Protocol::Http)]);
    let again = push(&mut state, in_use(&pay));
    assert!(again.retired.is_empty());
    let fresh = cluster(&state, PAY, 80, None).unwrap().id;
    assert!(applied.retired.contains(&fresh), "the next change knows that they were told");
}

#[test]
fn the_clients_own_rule_shadows_the_services() {
    let host = "pay.other.svc.cluster.local";
    let theirs = destination("other/d", host, &["v1"]);
    let ours = destination("shop/d", host, &["v2"]);
    let pay = service(PAY, "", &[(80, Protocol::Http)]);
    let mut state = state(Role::Sidecar, in_use(&pay).into_iter().chain([Part::Destination(Arc::new(theirs))]));
    assert!(cluster(&state, PAY, 80, Some("v1")).is_some());
    push(&mut state, [Part::Destination(Arc::new(ours))]);
    assert!(cluster(&state, PAY, 80, Some("v1")).is_none() && cluster(&state, PAY, 80, Some("v2")).is_some());
    remove(&mut state, Kind::Destination, "DestinationRule/shop/d");
    assert!(cluster(&state, PAY, 80, Some("v1")).is_some());
}

#[test]
fn a_captured_address_says_what_a_connection_is_for() {
    let pay = service(PAY, "10.1.0.2", &[(90, Protocol::Tcp), (91, Protocol::Auto)]);
    let open = service("x/open.example", "", &[(5000, Protocol::Tcp)]);
    let mut pods = service("shop/pods.shop.svc.cluster.local", "", &[(6379, Protocol::Tcp)]);
    pods.headless = true;
    pods.resolution = Resolution::Passthrough;
    let parts = in_use(&cart()).into_iter().chain([indexed(&pay), indexed(&pods)]).chain(in_use(&open));
    let state = state(Role::Sidecar, parts);
    for (address, want) in [
        ("10.1.0.1:80", "http 80"),
        ("10.1.0.1:90", "shop/cart.shop.svc.cluster.local 90 Tcp outbound|90||cart.shop.svc.cluster.local"),
        ("10.1.0.1:70", "shop/cart.shop.svc.cluster.local 70 Auto outbound|70||cart.shop.svc.cluster.local"),
        ("10.1.0.1:53", "PassthroughCluster"),
        ("10.1.0.1:81", "PassthroughCluster"),
        ("10.1.0.2:90", "pending other/pay.other.svc.cluster.local 90"),
        ("10.1.0.2:80", "http 80"),
        ("9.9.9.9:80", "http 80"),
        ("9.9.9.9:5000", "x/open.example 5000 Tcp outbound|5000||open.example"),
        ("9.9.9.9:6379", "PassthroughCluster"),
        ("9.9.9.9:443", "PassthroughCluster"),
    ] {
        assert_eq!(found(&state, address), want, "{address}");
    }
}

#[test]
fn the_policy_for_strangers_is_the_sidecars_else_the_meshs() {
    let mut state = state(Role::Sidecar, []);
    assert_eq!(found(&state, "9.9.9.9:1"), "PassthroughCluster");
    push(&mut state, [settings(|s| s.outbound_policy = OutboundPolicy::RegistryOnly)]);
    assert_eq!(found(&state, "9.9.9.9:1"), "BlackHoleCluster");
    let with = |policy| {
        let all = vec![egress(None, &["*/*"])];
        Part::Sidecar(Arc::new(Sidecar { outbound_policy: Some(policy), ..sidecar("shop/s", all) }))
    };
    push(&mut state, [with(OutboundPolicy::AllowAny)]);
    assert_eq!(found(&state, "9.9.9.9:1"), "PassthroughCluster");
    let pay = service(PAY, "10.1.0.2", &[(90, Protocol::Tcp)]);
    let proxy = OutboundPolicy::EgressProxy(target("pay.other.svc.cluster.local:90"));
    push(&mut state, [with(proxy), indexed(&pay)]);
    assert_eq!(found(&state, "9.9.9.9:1"), "pending other/pay.other.svc.cluster.local 90");
    push(&mut state, in_use(&pay));
    assert!(found(&state, "9.9.9.9:1").ends_with("outbound|90||pay.other.svc.cluster.local"));
}

#[test]
fn the_most_specific_sidecar_holds() {
    let mesh = sidecar("istio-system/mesh", vec![egress(None, &["*/*"])]);
    let wide = sidecar("shop/wide", vec![egress(None, &["*/*"])]);
    let own = Sidecar {
        workload_selector: Some([("app", "web")].into_iter().collect()),
        ..sidecar("shop/zz", vec![egress(None, &["./*"])])
    };
    let mut state = state(Role::Sidecar, [Part::Sidecar(Arc::new(mesh))]);
    let name = |s: &State| s.snapshot().local().unwrap().sidecar.as_ref().unwrap().name.to_string();
    assert_eq!(name(&state), "istio-system/mesh");
    push(&mut state, [Part::Sidecar(Arc::new(wide)), Part::Sidecar(Arc::new(own))]);
    assert_eq!(name(&state), "shop/wide");
    push(&mut state, [instance(&[("app", "web")], &[])]);
    assert_eq!(name(&state), "shop/zz");
    remove(&mut state, Kind::Sidecar, "shop/zz");
    assert_eq!(name(&state), "shop/wide");
}

#[test]
fn a_sidecars_listener_for_a_port_decides_what_the_port_reaches() {
    let pay = service(PAY, "10.1.0.2", &[(90, Protocol::Tcp), (91, Protocol::Tcp)]);
    let listeners = vec![egress(Some(90), &["shop/*"]), egress(None, &["*/*"])];
    let mut state = state(Role::Sidecar, in_use(&pay));
    push(&mut state, [Part::Sidecar(Arc::new(sidecar("shop/s", listeners)))]);
    assert_eq!(found(&state, "10.1.0.2:90"), "PassthroughCluster");
    assert!(found(&state, "10.1.0.2:91").starts_with(PAY));
}

fn bound(mut listener: EgressListener, protocol: Protocol, bind: &str) -> EgressListener {
    listener.bind = Some(bind.parse().unwrap());
    listener.protocol = protocol;
    listener
}

#[test]
fn listeners_that_bind_are_listed() {
    let mut own = sidecar(
        "shop/s",
        vec![
            bound(egress(Some(9080), &["*/*"]), Protocol::Http, "127.0.1.1"),
            bound(egress(Some(9080), &["shop/*"]), Protocol::Http, "127.0.1.1"),
            egress(None, &["*/*"]),
        ],
    );
    own.ingress = vec![IngressListener {
        port: port(8080),
        protocol: Protocol::Http,
        name: "".into(),
        bind: Some("127.0.1.1".parse().unwrap()),
        default_endpoint: IngressEndpoint::Address("127.0.1.1:18080".parse().unwrap()),
    }];
    let state = state(Role::Sidecar, [Part::Sidecar(Arc::new(own))]);
    let listeners = &state.snapshot().listeners;
    let names: Vec<&str> = listeners.iter().map(|l| &*l.name).collect();
    assert_eq!(names, ["127.0.1.1_8080", "127.0.1.1_9080"]);
    assert_eq!(listeners[0].kind, ListenerKind::Ingress { port: port(8080) });
    let ListenerKind::Egress { hosts, .. } = &listeners[1].kind else { panic!("{:?}", listeners[1]) };
    assert_eq!(hosts[0].namespace, EgressNamespace::Any, "the first of two for one address");
    let policy = state.snapshot().local().unwrap().inbound.port(port(8080));
    assert_eq!(policy.cluster.local, Some(IngressEndpoint::Address("127.0.1.1:18080".parse().unwrap())));
    assert_eq!((&*policy.cluster.name, policy.declared), ("inbound|8080||", true));
}

#[test]
fn a_tcp_listener_of_the_sidecar_leads_to_its_one_service() {
    let own = sidecar("shop/s", vec![bound(egress(Some(90), &["*/*", "~shop/*"]), Protocol::Tcp, "127.0.1.1")]);
    let pay = service(PAY, "10.1.0.2", &[(90, Protocol::Tcp)]);
    let parts = in_use(&cart()).into_iter().chain([indexed(&pay), Part::Sidecar(Arc::new(own))]);
    let mut state = state(Role::Sidecar, parts);
    let name = |s: &State| {
        let snapshot = s.snapshot();
        match through(snapshot, snapshot.outbound.egress("127.0.1.1_90").unwrap()) {
            Found::Service { cluster, .. } => cluster.name.to_string(),
            other => format!("{other:?}"),
        }
    };
    assert!(name(&state).starts_with("Pending"));
    push(&mut state, in_use(&pay));
    assert_eq!(name(&state), "outbound|90||pay.other.svc.cluster.local");
    remove(&mut state, Kind::Index, PAY);
    assert!(name(&state).starts_with("Refused"));
}

#[test]
fn inbound_ports_are_those_of_the_workloads_services() {
    let ports = [(8080, CART, 80, Protocol::Http), (9000, CART, 81, Protocol::Grpc)];
    let state = state(Role::Sidecar, [instance(&[], &ports)]);
    let inbound = &state.snapshot().local().unwrap().inbound;
    let http = inbound.port(port(8080));
    assert_eq!((&*http.cluster.name, http.declared, http.protocol), ("inbound|8080||", true, Protocol::Http));
    assert_eq!(http.cluster.local, Some(IngressEndpoint::InstancePort(port(8080))));
    assert_eq!((&*http.meta.route_config, &*http.meta.virtual_host), ("inbound|8080||", "inbound|http|80"));
    assert_eq!(&*http.meta.operation, "cart.shop.svc.cluster.local:80/*");
    let retries = http.retries.unwrap();
    assert!(retries.attempts == 2 && retries.on.reset_before_request && !retries.on.connect_failure);
    assert!(inbound.port(port(9000)).retries.is_none(), "not for gRPC");
    let other = inbound.port(port(1234));
    assert_eq!((&*other.cluster.name, other.declared, other.port), ("InboundPassthroughCluster", false, port(1234)));
}

#[test]
fn a_sidecars_ingress_replaces_the_ports_of_the_services() {
    let mut own = sidecar("shop/s", vec![egress(None, &["*/*"])]);
    own.ingress = vec![IngressListener {
        port: port(8080),
        protocol: Protocol::Tcp,
        name: "".into(),
        bind: None,
        default_endpoint: IngressEndpoint::Loopback,
    }];
    let ports = [(8080, CART, 80, Protocol::Http), (9000, CART, 81, Protocol::Grpc)];
    let state = state(Role::Sidecar, [instance(&[], &ports), Part::Sidecar(Arc::new(own))]);
    let policy = state.snapshot().local().unwrap().inbound.port(port(8080));
    assert_eq!((policy.protocol, policy.cluster.local.clone()), (Protocol::Tcp, Some(IngressEndpoint::Loopback)));
    assert_eq!(&*policy.cluster.service_host, "cart.shop.svc.cluster.local");
    assert!(!state.snapshot().local().unwrap().inbound.port(port(9000)).declared);
}

#[test]
fn modes_of_mutual_tls_are_by_port() {
    let policy = PeerAuthentication {
        name: named("shop/p"),
        precedence: Default::default(),
        selector: Some([("app", "web")].into_iter().collect()),
        mode: Some(MtlsMode::Strict),
        ports: BTreeMap::from([(port(8080), Some(MtlsMode::Disable)), (port(7000), Some(MtlsMode::Permissive))]),
    };
    let ports = [(8080, CART, 80, Protocol::Http), (9000, CART, 81, Protocol::Tcp)];
    let mut state = state(Role::Sidecar, [instance(&[("app", "web")], &ports)]);
    let mode = |s: &State, number| s.snapshot().local().unwrap().inbound.port(port(number)).mtls.mode;
    assert_eq!(mode(&state, 8080), MtlsMode::Permissive);
    push(&mut state, [Part::PeerAuthentication(Arc::new(policy))]);
    let modes = [8080, 9000, 7000, 1234].map(|number| mode(&state, number));
    assert_eq!(modes, [MtlsMode::Disable, MtlsMode::Strict, MtlsMode::Permissive, MtlsMode::Strict]);
    assert_eq!(state.snapshot().local().unwrap().inbound.port(port(9000)).mtls.decided_by, Some(named("shop/p")));
}

#[test]
fn gateways_bind_all_own_addresses_unless_told_otherwise() {
    let mut bound = server(8081, &["*"]);
    bound.bind = Some("127.0.0.9".parse().unwrap());
    let mut tls = server(8443, &["*"]);
    tls.protocol = ServerProtocol::Https(ServerTls::Secret { name: "c".into(), require_client_certificate: false });
    let mut clash = tls.clone();
    clash.port = port(8080);
    let old = gateway("shop/a", 1, vec![server(8080, &["*"]), bound, tls]);
    let young = gateway("shop/b", 2, vec![server(8080, &["x"]), clash]);
    let mut other = gateway("shop/c", 0, vec![server(9999, &["*"])]);
    other.selector = [("app", "other")].into_iter().collect();
    let parts = [old, young, other].map(|g| Part::Gateway(Arc::new(g)));
    let state = state(Role::Gateway, parts);
    let list = |s: &ListenerSpec| match s.kind {
        ListenerKind::Gateway { port, tls } => format!("{} {port} {tls}", s.name),
        _ => format!("{s:?}"),
    };
    let all: Vec<String> = state.snapshot().listeners.iter().map(list).collect();
    assert_eq!(all, ["10.0.0.5_8080 8080 false", "10.0.0.5_8443 8443 true", "127.0.0.9_8081 8081 false"]);
}

#[test]
fn a_gateways_port_is_bound_where_the_services_of_its_workload_lead_to() {
    let services = [
        (8080, "shop/edge", 80, Protocol::Http),
        (8081, "shop/inner", 80, Protocol::Http),
        (8443, "shop/edge", 443, Protocol::Https),
    ];
    let own = gateway("shop/a", 1, vec![server(80, &["*"]), server(9000, &["*"])]);
    let mut state = state(Role::Gateway, [instance(&[], &services), Part::Gateway(Arc::new(own))]);
    let bound = |state: &State| -> Vec<String> {
        state.snapshot().listeners.iter().map(|listener| listener.name.to_string()).collect()
    };
    assert_eq!(bound(&state), ["10.0.0.5_8080", "10.0.0.5_8081", "10.0.0.5_9000"]);
    push(&mut state, [instance(&[], &[])]);
    assert_eq!(bound(&state), ["10.0.0.5_80", "10.0.0.5_9000"], "no service has it");
}

#[test]
fn authorisation_of_other_workloads_is_left_out() {
    let policy = |name: &str, app: &[(&str, &str)]| {
        Part::Authorization(Arc::new(Authorization {
            name: named(name),
            selector: app.iter().copied().collect(),
            action: mesh_config::model::authorization::Action::Deny,
            dry_run: false,
            rules: vec![Default::default()],
        }))
    };
    let parts = [instance(&[("app", "web")], &[]), policy("other/a", &[]), policy("shop/b", &[("app", "db")])];
    let mut state = state(Role::Sidecar, parts);
    assert!(state.snapshot().local().unwrap().policies.is_empty());
    push(&mut state, [policy("istio-system/c", &[("app", "web")])]);
    assert!(!state.snapshot().local().unwrap().policies.is_empty());
}

/// What decides about a call of which nothing is known, on HTTP and on opaque TCP.
fn verdicts(state: &State) -> [String; 2] {
    use crate::authz::{Attributes, HttpAttributes, ingress::decide};
    let http = HttpAttributes { method: b"GET", path: b"/", authority: None, headers: &() };
    let text = |http| {
        let call = Attributes {
            http,
            peer: None,
            source_ip: None,
            remote_ip: None,
            destination_ip: None,
            destination_port: 80,
            sni: None,
            metadata: None,
        };
        let policies = state.snapshot().local().unwrap().policies.clone();
        decide(&policies, &call).allowed().map_or_else(|denial| denial.to_string(), |_| "allowed".to_owned())
    };
    [text(Some(http)), text(None)]
}

#[test]
fn an_authorisation_policy_that_cannot_be_read_refuses_everything_until_it_can_or_is_gone() {
    let readable = || {
        Part::Authorization(Arc::new(Authorization {
            name: named("shop/a"),
            selector: Labels::default(),
            action: mesh_config::model::authorization::Action::Deny,
            dry_run: false,
            rules: Vec::new(),
        }))
    };
    let refuse = |state: &mut State, name: &str| refused(state, Kind::Authorization, name);
    let open = ["allowed".to_owned(), "allowed".to_owned()];
    let denied = |name: &str| {
        let text = format!("rbac_access_denied_matched_policy[ns[shop]-policy[{name}]-rule[0]]");
        [text.clone(), text]
    };
    let mut state = state(Role::Sidecar, []);
    assert_eq!(verdicts(&state), open);

    assert!(refuse(&mut state, "shop/a").changed);
    assert_eq!(verdicts(&state), denied("a"));
    push(&mut state, [readable()]);
    assert_eq!(verdicts(&state), open);

    // What was in force before goes on holding.
    refuse(&mut state, "shop/a");
    assert_eq!(verdicts(&state), open);

    refuse(&mut state, "shop/b");
    push(&mut state, [settings(|s| s.auto_mtls = false)]);
    assert_eq!(verdicts(&state), denied("b"));
    remove(&mut state, Kind::Authorization, "shop/b");
    assert_eq!(verdicts(&state), open);

    // Removed and sent again as something that cannot be read: nothing from before is left.
    let name = || (Kind::Authorization, PartName("shop/a".into()));
    state.apply(Changes { removed: vec![name()], refused: vec![name()], ..Changes::default() });
    assert_eq!(verdicts(&state), denied("a"));
}

#[test]
fn a_peer_authentication_that_cannot_be_read_is_strict_and_other_kinds_are_let_be() {
    let mut state = state(Role::Sidecar, [instance(&[], &[])]);
    let mode = |state: &State| state.snapshot().local().unwrap().inbound.port(port(8080)).mtls;
    assert_eq!(mode(&state).mode, MtlsMode::Permissive);
    refused(&mut state, Kind::PeerAuthentication, "shop/p");
    assert_eq!(mode(&state), EffectiveMtls { mode: MtlsMode::Strict, decided_by: Some(named("shop/p")) });
    remove(&mut state, Kind::PeerAuthentication, "shop/p");
    assert_eq!(mode(&state).mode, MtlsMode::Permissive);

    assert!(!refused(&mut state, Kind::Route, "shop/r").changed);
    assert_eq!(verdicts(&state), ["allowed", "allowed"]);
}

#[test]
fn the_index_is_made_anew_when_the_domain_changes() {
    let service = service("shop/cart.shop.svc.example.org", "", &[(80, Protocol::Http)]);
    let mut state = state(Role::Sidecar, [indexed(&service)]);
    assert!(state.snapshot().index.find_exact("cart", |_| true).is_none());
    push(&mut state, [settings(|s| s.cluster_domain = "example.org".into())]);
    assert!(state.snapshot().index.find_exact("cart", |_| true).is_some());
}

fn blank(role: Role) -> State {
    State::new(OwnFacts { role, namespace: "shop".into(), ips: vec!["10.0.0.5".parse().unwrap()] })
}

fn standing(state: &State) -> &'static str {
    match state.snapshot().standing {
        Standing::Nothing => "nothing",
        Standing::Unknown => "unknown",
        Standing::Known(_) => "known",
    }
}

#[test]
fn without_settings_and_workload_nothing_is_known_and_nothing_is_reached() {
    let open = settings(|s| s.outbound_policy = OutboundPolicy::AllowAny);
    let listening = sidecar("shop/s", vec![bound(egress(Some(9080), &["*/*"]), Protocol::Http, "127.0.1.1")]);
    let server = Part::Gateway(Arc::new(gateway("shop/g", 1, vec![server(8080, &["*"])])));
    for role in [Role::Sidecar, Role::Gateway] {
        let mut state = blank(role);
        let closed = |state: &State, standing_now: &str| {
            assert_eq!(standing(state), standing_now);
            let snapshot = state.snapshot();
            assert!(snapshot.local().is_none() && snapshot.listeners.is_empty());
            assert!(snapshot.outbound.services().next().is_none() && snapshot.outbound.gateways().next().is_none());
            for address in ["10.1.0.1:80", "10.1.0.1:90", "9.9.9.9:1"] {
                assert_eq!(found(state, address), "BlackHoleCluster", "{role:?} {address}");
            }
        };
        closed(&state, "nothing");
        push(
            &mut state,
            in_use(&cart()).into_iter().chain([Part::Sidecar(Arc::new(listening.clone())), server.clone()]),
        );
        closed(&state, "nothing");
        push(&mut state, [instance(&[], &[(8080, CART, 80, Protocol::Http)])]);
        closed(&state, "nothing");
        push(&mut state, [open.clone()]);
        assert_eq!((standing(&state), state.snapshot().listeners.len()), ("known", 1));
        let known = state.snapshot().clone();
        for (kind, name) in [(Kind::Settings, "mesh"), (Kind::Instance, "w")] {
            assert!(!remove(&mut state, kind, name).changed, "what was known stays known");
        }
        assert!(Arc::ptr_eq(&known, state.snapshot()));

        let mut state = blank(role);
        push(&mut state, [open.clone()]);
        closed(&state, "unknown");
    }
}

/// Outside the mesh, known by name alone.
fn outside(name: &str, ports: &[(u16, Protocol)]) -> mesh_config::model::Service {
    mesh_config::model::Service { external: true, resolution: Resolution::Dns, ..service(name, "", ports) }
}

#[test]
fn services_without_addresses_are_told_apart_by_server_name() {
    let (tls, https) = ([(443, Protocol::Tls)], [(443, Protocol::Https)]);
    let block = mesh_config::model::Service {
        addresses: vec!["10.9.0.0/16".parse().unwrap()],
        ..outside("z/block.test", &tls)
    };
    let all = [
        outside("x/x.test", &tls),
        outside("y/y.test", &https),
        outside("w/*.example.com", &tls),
        outside("w/*.deep.example.com", &tls),
        service("shop/own.test", "10.1.0.7", &tls),
        block,
    ];
    let mut state = state(Role::Sidecar, all.iter().flat_map(in_use));
    let said = |state: &State, address: &str, name: &str| opened(state, address, Said::Tls(Some(name)));
    let cluster = |host: &str| format!("outbound|443||{host}");
    for (name, host) in [
        ("x.test", "x.test"),
        ("y.test", "y.test"),
        ("a.example.com", "*.example.com"),
        ("a.b.example.com", "*.example.com"),
        ("a.deep.example.com", "*.deep.example.com"),
    ] {
        let found = said(&state, "9.9.9.9:443", name);
        assert!(found.ends_with(&cluster(host)), "{name}: {found}");
    }
    let strangers = [Said::Tls(Some("z.test")), Said::Tls(Some("example.com")), Said::Tls(None), Said::Other];
    for stranger in strangers {
        assert_eq!(opened(&state, "9.9.9.9:443", stranger), "PassthroughCluster", "{stranger:?}");
    }
    // Whoever has the address to itself is reached whatever the name; of a block the name is asked.
    assert!(said(&state, "10.1.0.7:443", "z.test").ends_with(&cluster("own.test")));
    assert!(said(&state, "10.9.1.1:443", "block.test").ends_with(&cluster("block.test")));
    assert_eq!(said(&state, "10.9.1.1:443", "z.test"), "PassthroughCluster");
    assert_eq!(said(&state, "9.9.9.9:443", "block.test"), "PassthroughCluster");

    push(&mut state, [settings(|s| s.outbound_policy = OutboundPolicy::RegistryOnly)]);
    for stranger in strangers {
        assert_eq!(opened(&state, "9.9.9.9:443", stranger), "BlackHoleCluster", "{stranger:?}");
    }
    assert!(said(&state, "9.9.9.9:443", "y.test").ends_with(&cluster("y.test")));
    let nothing_of_w = sidecar("shop/s", vec![egress(None, &["*/*", "~w/*"])]);
    push(&mut state, [Part::Sidecar(Arc::new(nothing_of_w))]);
    assert_eq!(said(&state, "9.9.9.9:443", "a.example.com"), "BlackHoleCluster");
}

#[test]
fn beside_names_a_port_keeps_its_other_uses() {
    let mail = service("x/mail.test", "", &[(465, Protocol::Tcp)]);
    let named = outside("y/named.test", &[(465, Protocol::Tls), (8443, Protocol::Tls)]);
    let web = service("shop/web.test", "10.1.0.8", &[(8443, Protocol::Http)]);
    let state = state(Role::Sidecar, [&mail, &named, &web].into_iter().flat_map(in_use));
    let to = |port: u16, said| opened(&state, &format!("9.9.9.9:{port}"), said);
    assert!(to(465, Said::Tls(Some("named.test"))).ends_with("outbound|465||named.test"));
    for other in [Said::Other, Said::Tls(Some("nobody.test")), Said::Tls(None)] {
        assert!(to(465, other).ends_with("outbound|465||mail.test"), "{other:?}");
    }
    assert!(to(8443, Said::Tls(Some("named.test"))).ends_with("outbound|8443||named.test"));
    assert_eq!(to(8443, Said::Other), "http 8443");
    assert_eq!(to(8443, Said::Tls(Some("nobody.test"))), "PassthroughCluster");
}

#[test]
fn a_tls_listener_of_the_sidecar_leads_by_server_name() {
    let own = sidecar("shop/s", vec![bound(egress(Some(443), &["x/*", "y/*"]), Protocol::Tls, "127.0.1.1")]);
    let all = ["x/x.test", "y/y.test", "z/z.test"].map(|name| outside(name, &[(443, Protocol::Tls)]));
    let parts = all.iter().flat_map(in_use).chain([Part::Sidecar(Arc::new(own))]);
    let state = state(Role::Sidecar, parts);
    let egress = state.snapshot().outbound.egress("127.0.1.1_443").unwrap();
    assert_eq!(told(through(state.snapshot(), egress)), "opening 443");
    let to = |said| told(by_opening(state.snapshot(), Way::Listener(egress), said, Asking::Needed));
    assert!(to(Said::Tls(Some("y.test"))).ends_with("outbound|443||y.test"));
    for other in [Said::Tls(Some("z.test")), Said::Tls(None), Said::Other] {
        assert_eq!(to(other), "BlackHoleCluster", "{other:?}");
    }
}
