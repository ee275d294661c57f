//! A state that came about push by push is the one that comes from all its parts at once, for every kind and role.

use super::*;
use crate::snapshot::{
    fixture::{server_names, stream},
    outbound::{GatewayPort, ThenTls},
};
use mesh_config::model::{
    Credential, PeerAuthentication, Telemetry, TrustBundle,
    authorization::Action,
    gateway::{Server, ServerProtocol, ServerTls},
    peer_authentication::MtlsMode,
    telemetry::{LogRule, LogSide},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const HOSTS: [&str; 3] = ["shop/a.shop.svc.cluster.local", "x/b.example", "x/*.c.example"];

/// One of three objects of a kind, in one of three versions.
type Which = (Kind, usize, u8);

fn host(which: usize) -> &'static str {
    let text = HOSTS[which];
    &text[text.find('/').unwrap() + 1..]
}

fn service_of(which: usize, value: u8) -> mesh_config::model::Service {
    let protocol = [Protocol::Http, Protocol::Auto, Protocol::Tls][usize::from(value)];
    let address = if value == 2 { String::new() } else { format!("10.1.0.{which}") };
    service(HOSTS[which], &address, &[(80, protocol), (90, Protocol::Tcp)])
}

fn part((kind, which, value): Which) -> Part {
    let app = |value: u8| [("app", if value == 0 { "web" } else { "db" })];
    let own = ["shop/o0", "shop/o1", "istio-system/o2"][which];
    match kind {
        Kind::Settings => settings(|s| match value {
            0 => {}
            1 => s.outbound_policy = OutboundPolicy::RegistryOnly,
            _ => {
                s.cluster_domain = "example.org".into();
                s.connect_timeout = Duration::from_secs(3);
                s.outbound_policy = OutboundPolicy::EgressProxy(target("b.example:90"));
            }
        }),
        Kind::Trust => {
            let trust_domain = format!("t{which}").parse().unwrap();
            Part::Trust(Arc::new(TrustBundle { trust_domain, roots: BTreeSet::from([vec![value].into()]) }))
        }
        Kind::Instance => {
            instance(&app(value), &[(8080, HOSTS[0], 80, Protocol::Http), (90, HOSTS[0], 90, Protocol::Tcp)])
        }
        Kind::Sidecar => {
            let hosts: &[&str] = if value == 0 { &["*/*"] } else { &["x/*"] };
            let tcp = bound(egress(Some(90), hosts), Protocol::Tcp, "127.0.1.1");
            let http = bound(egress(Some(80), hosts), Protocol::Http, "127.0.1.1");
            let selector = (value == 2).then(|| app(0).into_iter().collect());
            Part::Sidecar(Arc::new(Sidecar {
                workload_selector: selector,
                ..sidecar(own, vec![tcp, http, egress(None, hosts)])
            }))
        }
        Kind::PeerAuthentication => Part::PeerAuthentication(Arc::new(PeerAuthentication {
            name: named(own),
            precedence: Default::default(),
            selector: (which == 0).then(|| app(value).into_iter().collect()),
            mode: Some(if value == 0 { MtlsMode::Strict } else { MtlsMode::Disable }),
            ports: BTreeMap::from([(port(8080), Some(MtlsMode::Permissive))]),
        })),
        Kind::Telemetry => Part::Telemetry(Arc::new(Telemetry {
            name: named(own),
            precedence: Default::default(),
            selector: (which == 0).then(|| app(value).into_iter().collect()),
            defaults: Vec::new(),
            rules: vec![LogRule { side: LogSide::Both, outlets: Vec::new(), disabled: value == 0, filter: None }],
        })),
        Kind::Authorization => Part::Authorization(Arc::new(Authorization {
            name: named(own),
            selector: if which == 0 { app(value).into_iter().collect() } else { Labels::default() },
            action: if value == 2 { Action::Allow } else { Action::Deny },
            dry_run: value == 1,
            rules: vec![Default::default()],
        })),
        Kind::Secret => Part::Secret(Arc::new(Credential {
            name: named(own),
            chain_pem: vec![value].into(),
            key_pem: vec![value].into(),
            ca_pem: Default::default(),
        })),
        Kind::Index if value == 2 => indexed_host(&format!("x/only{which}.example")),
        Kind::Index => indexed(&service_of(which, value)),
        Kind::Service => Part::Service(Arc::new(service_of(which, value))),
        Kind::Destination => {
            let subsets: &[&str] = if value == 0 { &["v1"] } else { &["v1", "v2"] };
            let over = if value == 2 { "*.example" } else { host(which) };
            Part::Destination(Arc::new(destination(own, over, subsets)))
        }
        Kind::Endpoint => endpoint(HOSTS[which], 80, "10.2.0.1", if value == 0 { "v1" } else { "v2" }),
        Kind::Workload => {
            let Part::Instance(like) = instance(&app(value), &[]) else { unreachable!("it is one") };
            let mut workload = like.workload.clone();
            workload.uid = format!("w{which}").into();
            workload.addresses = vec![format!("10.3.0.{value}").parse().unwrap()];
            Part::Workload(Arc::new(workload))
        }
        Kind::Gateway => {
            let mut secured = server(8443, &["*"]);
            let tls = ServerTls::Secret { name: "o0".into(), require_client_certificate: value == 1 };
            secured.protocol = ServerProtocol::Https(tls);
            let plain = server(8080, if value == 0 { &["*"] } else { &["b.example"] });
            let mesh = Server { protocol: ServerProtocol::Tls(ServerTls::Mesh), ..server(8443, &["b.example"]) };
            let on = Server { protocol: ServerProtocol::Passthrough, ..server(8443, &["*"]) };
            let bytes = Server { protocol: ServerProtocol::Tcp, ..server(9000 + which as u16, &["*"]) };
            let mut gateway = gateway(own, i64::from(value), vec![plain, secured, mesh, on, bytes]);
            if value == 2 {
                gateway.selector = app(0).into_iter().collect();
            }
            Part::Gateway(Arc::new(gateway))
        }
        Kind::Route => {
            let to = host((which + usize::from(value)) % HOSTS.len()).replace('*', "w");
            let rules = vec![send_to(&[(&format!("{to}:80/v2"), 1), (&to, 2)])];
            let mut route = route(own, &[host(which), &format!("only{which}.example")], i64::from(value), rules);
            if value != 2 {
                route.tcp = vec![stream(vec![], &[(&format!("{to}:90"), 1), (&to, 2)])];
                route.tls = vec![stream(vec![server_names(&[host(which)])], &[(&format!("{to}:90"), 1)])];
            }
            Part::Route(Arc::new(if value == 1 { for_gateway("shop/o0", route) } else { route }))
        }
    }
}

/// Its text, without the numbers that only tell clusters apart.
fn text(value: &dyn std::fmt::Debug) -> String {
    let whole = format!("{value:?}");
    let mut rest = whole.as_str();
    let mut out = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once("ClusterId(") {
        out.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

fn sorted<T: std::fmt::Debug>(values: impl Iterator<Item = T>) -> Vec<String> {
    let mut all: Vec<String> = values.map(|value| text(&value)).collect();
    all.sort();
    all
}

fn local(snapshot: &Snapshot) -> String {
    match &snapshot.standing {
        Standing::Known(local) => {
            let ports = sorted(local.inbound.declared());
            let others = [8080u16, 90, 1234].map(|number| local.inbound.port(port(number)));
            text(&(&local.own, &local.policies, &local.sidecar, ports, others))
        }
        other => text(other),
    }
}

fn outbound(snapshot: &Snapshot) -> Vec<String> {
    let outbound = &snapshot.outbound;
    let mut all = sorted(outbound.services());
    all.extend(sorted(outbound.routed_hosts.iter()));
    all.extend(sorted(outbound.all_sniffed()));
    let hosts = |table: &crate::snapshot::virtual_host::table::HostTable| text(&table.iter().collect::<Vec<_>>());
    all.extend(outbound.ports().map(|(port, p)| format!("{port} {} {}", p.route_config, hosts(&p.table))));
    all.extend(sorted(
        outbound
            .all_egress()
            .map(|e| (e.name.clone(), e.port, hosts(&e.table), text(&e.single), text(&e.unknown), e.listener.clone())),
    ));
    all.extend(sorted(outbound.streams.iter()));
    for (port, gateway) in outbound.gateways() {
        all.extend(gateway.requests().map(|table| format!("{port} {}", hosts(table))));
        let then = |s: &crate::snapshot::outbound::TlsServer| match &s.then {
            ThenTls::Requests { tls, table } => format!("{tls:?} {}", hosts(table)),
            other => text(other),
        };
        all.extend(gateway.tls().iter().map(|s| format!("{} {:?} {}", s.route_config, s.hosts, then(s))));
        if let GatewayPort::Bytes(to) = &**gateway {
            all.push(format!("{port} {}", text(to)));
        }
    }
    all.push(text(&(
        outbound.policy(),
        outbound.unknown_address(),
        outbound.unknown_host(port(80)),
        &outbound.egress_proxy,
        &outbound.sidecar,
    )));
    all
}

fn rest(snapshot: &Snapshot) -> Vec<String> {
    let mut all = sorted(snapshot.index.iter());
    all.extend(snapshot.index.ports().map(|used| text(&used)));
    all.push(text(&(&snapshot.settings, &snapshot.listeners, &snapshot.trust, &snapshot.credentials)));
    all.extend(sorted(snapshot.workloads.iter()));
    all
}

/// What was pushed, as it should be held.
#[derive(Default)]
struct Held {
    parts: BTreeMap<(Kind, PartName), Part>,
    unreadable: BTreeSet<(Kind, PartName)>,
}

impl Held {
    fn take(&mut self, changes: &Changes) {
        for id in &changes.removed {
            self.unreadable.remove(id);
            // What was known once stays known.
            if !matches!(id.0, Kind::Settings | Kind::Instance) {
                self.parts.remove(id);
            }
        }
        let is_policy = |kind| matches!(kind, Kind::Authorization | Kind::PeerAuthentication);
        let refused = changes.refused.iter().filter(|id| is_policy(id.0) && !self.parts.contains_key(*id));
        self.unreadable.extend(refused.cloned().collect::<Vec<_>>());
        for part in &changes.upserts {
            let id = (part.kind(), part.name());
            self.unreadable.remove(&id);
            self.parts.insert(id, part.clone());
        }
    }

    fn at_once(&self, role: Role) -> State {
        let mut state = blank(role);
        let refused = self.unreadable.iter().cloned().collect();
        state.apply(Changes { refused, ..Changes::upserts(self.parts.values().cloned()) });
        state
    }
}

fn which() -> impl Strategy<Value = Which> {
    (prop::sample::select(Kind::ALL.to_vec()), 0usize..3, 0u8..3)
}

fn pushes() -> impl Strategy<Value = Vec<Changes>> {
    let ids = |most| prop::collection::vec(which(), 0..most);
    let id = |which: Which| {
        let part = part(which);
        (part.kind(), part.name())
    };
    let push = (ids(6), ids(3), ids(2)).prop_map(move |(upserts, removed, refused)| Changes {
        upserts: upserts.into_iter().map(part).collect(),
        removed: removed.into_iter().map(id).collect(),
        refused: refused.into_iter().map(id).collect(),
        forgotten: Vec::new(),
    });
    prop::collection::vec(push, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn push_by_push_is_all_at_once_and_what_is_equal_is_kept(
        pushes in pushes(),
        begins_whole in any::<bool>(),
        role in prop::sample::select(vec![Role::Sidecar, Role::Gateway]),
    ) {
        let (mut grown, mut held) = (blank(role), Held::default());
        let first = begins_whole.then(|| Changes::upserts(complete([])));
        for changes in first.into_iter().chain(pushes) {
            held.take(&changes);
            let before = grown.snapshot().clone();
            grown.apply(changes);
            let after = grown.snapshot();
            let at_once = held.at_once(role);
            let fresh = at_once.snapshot();
            prop_assert_eq!(local(after), local(fresh));
            prop_assert_eq!(outbound(after), outbound(fresh));
            prop_assert_eq!(rest(after), rest(fresh));

            if let (Some(a), Some(b)) = (before.local(), after.local()) {
                prop_assert_eq!(Arc::ptr_eq(&a.own, &b.own), a.own == b.own);
                prop_assert_eq!(Arc::ptr_eq(&a.policies, &b.policies), a.policies == b.policies);
            }
            prop_assert_eq!(Arc::ptr_eq(&before.outbound, &after.outbound), outbound(&before) == outbound(after));
            prop_assert_eq!(Arc::ptr_eq(&before.listeners, &after.listeners), before.listeners == after.listeners);
            prop_assert_eq!(Arc::ptr_eq(&before.trust, &after.trust), before.trust == after.trust);
        }
    }
}
