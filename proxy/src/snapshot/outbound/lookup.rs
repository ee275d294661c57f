//! Where a connection of the application goes, by the address that it asked for.

use super::Egress;
use crate::snapshot::{
    Snapshot,
    cluster::{Cluster, ClusterKey},
    index::{PortUse, single},
    listener::DestinationKey,
    stream::StreamRoute,
    virtual_host::Resolved,
    workloads::{Asking, Holder},
};
use ipnet::IpNet;
use mesh_config::{
    model::{IndexEntry, Protocol, ServiceKey, index::IndexKind, service::ServicePort, settings::OutboundPolicy},
    name::{Host, Port},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// What a connection is for.
#[derive(Debug, Clone)]
pub enum Destination {
    /// HTTP: the host of each request chooses.
    HttpPort(Port),
    /// What the client says first chooses: TLS by the server name in its hello, see [`by_opening`].
    Opening(Port),
    /// One service's port.
    Service {
        service: ServiceKey,
        port: Port,
        /// Declared; [`Protocol::Auto`] is to be detected.
        protocol: Protocol,
        /// Where opaque connections go, if no rule says otherwise.
        cluster: Arc<Cluster>,
        /// The VirtualService's rule for them.
        rule: Option<Arc<StreamRoute>>,
    },
    /// One service's port, details not here: subscribe, wait (bounded), look again.
    Pending {
        /// What to subscribe to.
        service: ServiceKey,
        port: Port,
        /// Declared.
        protocol: Protocol,
    },
    /// In no service that is known, until it is known whose workload it is.
    Unasked(IpAddr),
    /// In no service: to where the client wanted.
    Passthrough(Arc<Cluster>),
    /// In no service, and such destinations may not be reached.
    Refused(Arc<Cluster>),
}

impl Destination {
    /// The key that the connection keeps; `original` is the address that the client asked for.
    pub fn key(&self, original: SocketAddr) -> DestinationKey {
        match self {
            Destination::HttpPort(port) => DestinationKey::HttpPort(*port),
            Destination::Service { service, port, .. } | Destination::Pending { service, port, .. } => {
                DestinationKey::Service(service.clone(), *port)
            }
            Destination::Opening(_)
            | Destination::Unasked(_)
            | Destination::Passthrough(_)
            | Destination::Refused(_) => DestinationKey::Unknown(original),
        }
    }
}

/// How a connection came here.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    /// Captured on its way to this address.
    Captured(SocketAddr),
    /// To a listener that the `Sidecar` binds.
    Listener(&'a Egress),
}

/// What a client said first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// TLS, with this name in its hello (lower-case).
    Tls(Option<&'a str>),
    /// Something else, or nothing for long.
    Other,
}

/// What a captured connection is for. A service that owns the address decides by its port's protocol; so does a headless
/// one of which the workload there is an endpoint by that port, if it carries other than HTTP. Otherwise, on a
/// port of which services without addresses are reached by server name, the client's first bytes decide
/// ([`Destination::Opening`]); on a port that some service declares as HTTP the host chooses; on another, a service
/// without addresses takes the port; an address in no service (a pod's, a stranger's) is [`Destination::Passthrough`] or
/// [`Destination::Refused`]. While the workload is not known, everything is refused.
pub fn lookup(snapshot: &Snapshot, original: SocketAddr, asking: Asking) -> Destination {
    if snapshot.local().is_none() {
        return Destination::Refused(snapshot.outbound.black_hole.clone());
    }
    let Some(port) = Port::new(original.port()) else { return unknown(snapshot) };
    match owner(snapshot, original, port, asking) {
        Owner::Unasked => return Destination::Unasked(original.ip()),
        Owner::Service(_, declared) if declared.protocol.is_http() => return Destination::HttpPort(port),
        Owner::Service(entry, declared) => return of_service(snapshot, &entry.key, declared, Some(original.ip())),
        Owner::Nobody => {}
    }
    let by_name = |used: &PortUse| used.others.iter().any(|e| named_on(snapshot, Way::Captured(original), port)(e));
    match snapshot.index.port(port).is_some_and(by_name) {
        true => Destination::Opening(port),
        false => nobodys(snapshot, original.ip(), port),
    }
}

/// Whose a port of an address is.
enum Owner<'s> {
    /// A service's, with what it declares for the port.
    Service(&'s Arc<IndexEntry>, &'s ServicePort),
    /// No service's.
    Nobody,
    /// Whose workload it is would say.
    Unasked,
}

/// The service that has the address for itself, or of which the workload at the address is one.
fn owner(snapshot: &Snapshot, original: SocketAddr, port: Port, asking: Asking) -> Owner<'_> {
    let owner = snapshot
        .index
        .at(original.ip())
        .filter(|e| e.kind == IndexKind::Service && snapshot.outbound.admits(&e.key, port))
        .find_map(|e| declared(e, port).filter(|p| p.protocol != Protocol::Udp).map(|p| (e, p)));
    match owner.filter(|(entry, _)| !named_on(snapshot, Way::Captured(original), port)(entry)) {
        Some((entry, declared)) => Owner::Service(entry, declared),
        None => headless(snapshot, original.ip(), port, asking),
    }
}

/// The headless service of which the workload at the address is an endpoint by this port. Requests choose by their host.
fn headless(snapshot: &Snapshot, address: IpAddr, port: Port, asking: Asking) -> Owner<'_> {
    let Some(used) = snapshot.index.port(port) else { return Owner::Nobody };
    let mut here = used.others.iter().filter(|e| e.headless && snapshot.outbound.admits(&e.key, port)).peekable();
    if here.peek().is_none() {
        return Owner::Nobody;
    }
    match snapshot.workloads.at(address) {
        Holder::Unasked if asking == Asking::All => Owner::Unasked,
        Holder::Unasked | Holder::Nobody => Owner::Nobody,
        Holder::Workload(workload) => {
            let has = |e: &&Arc<IndexEntry>| workload.headless.iter().any(|h| h.port == port && h.service == e.key);
            match here.find(has).and_then(|entry| Some((entry, declared(entry, port)?))) {
                Some((entry, declared)) => Owner::Service(entry, declared),
                None => Owner::Nobody,
            }
        }
    }
}

/// What a connection to a listener of the `Sidecar` is for, if it is not HTTP. One that is declared as TLS leads by
/// server name.
pub fn through(snapshot: &Snapshot, egress: &Egress) -> Destination {
    match &egress.single {
        Some(_) if by_server_name(egress.listener.protocol) => Destination::Opening(egress.port),
        Some((service, port)) => of_service(snapshot, service, port, None),
        None => Destination::Refused(snapshot.outbound.black_hole.clone()),
    }
}

/// What a connection is for of which [`lookup`] or [`through`] said [`Destination::Opening`], once its client has
/// spoken. A service that has the very name comes first, then the longest wildcard over it; what is left goes where it
/// would if there were no such services.
pub fn by_opening(snapshot: &Snapshot, way: Way<'_>, said: Said<'_>, asking: Asking) -> Destination {
    let port = match way {
        Way::Captured(original) => Port::new(original.port()),
        Way::Listener(egress) => Some(egress.port),
    };
    let Some(port) = port.filter(|_| snapshot.local().is_some()) else { return unknown(snapshot) };
    if let Way::Captured(original) = way {
        match owner(snapshot, original, port, asking) {
            Owner::Service(entry, declared) => return of_hello(snapshot, &entry.key, declared, way, said),
            Owner::Unasked => return Destination::Unasked(original.ip()),
            Owner::Nobody => {}
        }
    }
    if let Said::Tls(Some(name)) = said {
        let wanted = named_on(snapshot, way, port);
        let exact = snapshot.index.by_host(name).iter().find(|e| wanted(e));
        let found = exact.or_else(|| snapshot.index.find_wildcard(name, &wanted));
        if let Some((entry, declared)) = found.and_then(|e| Some((e, declared(e, port)?))) {
            return of_hello(snapshot, &entry.key, declared, way, said);
        }
    }
    match (way, said) {
        (Way::Listener(_), _) => Destination::Refused(snapshot.outbound.black_hole.clone()),
        (Way::Captured(original), Said::Other) => nobodys(snapshot, original.ip(), port),
        // No request can be seen in it.
        (Way::Captured(original), Said::Tls(_)) => {
            takes_port(snapshot, original.ip(), port).unwrap_or_else(|| unknown(snapshot))
        }
    }
}

/// Whether connections to such a port are told apart by the name in the client's hello.
fn by_server_name(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tls | Protocol::Https)
}

fn declared(entry: &IndexEntry, port: Port) -> Option<&ServicePort> {
    entry.ports.iter().find(|p| p.number == port)
}

/// Whether an entry is reached by server name: no address is its alone.
fn named_on(snapshot: &Snapshot, way: Way<'_>, port: Port) -> impl Fn(&IndexEntry) -> bool {
    move |entry| {
        let here = || match way {
            Way::Listener(egress) => egress.listener.selects(&entry.key),
            Way::Captured(original) => {
                let block = |net: &IpNet| single(net).is_none() && net.contains(&original.ip());
                let alone = |net: &IpNet| single(net) == Some(original.ip());
                (entry.addresses.is_empty() || entry.addresses.iter().any(block))
                    && !entry.addresses.iter().any(alone)
                    && snapshot.outbound.admits(&entry.key, port)
            }
        };
        entry.kind == IndexKind::Service
            && !entry.headless
            && declared(entry, port).is_some_and(|p| by_server_name(p.protocol))
            && here()
    }
}

/// A connection to an address that no service has.
fn nobodys(snapshot: &Snapshot, to: IpAddr, port: Port) -> Destination {
    // Hosts that only VirtualServices know are served on port 80, whatever services there are.
    let Some(used) = snapshot.index.port(port) else { return unknown(snapshot) };
    match used.http > 0 {
        true => Destination::HttpPort(port),
        false => takes_port(snapshot, to, port).unwrap_or_else(|| unknown(snapshot)),
    }
}

/// The service without addresses whose opaque bytes come to this port.
fn takes_port(snapshot: &Snapshot, to: IpAddr, port: Port) -> Option<Destination> {
    let to = Some(to);
    let takes = |e: &&Arc<IndexEntry>| {
        e.addresses.is_empty()
            && !e.headless
            && !e.key.host.is_wildcard()
            && declared(e, port).is_some_and(|p| !by_server_name(p.protocol))
            && snapshot.outbound.admits(&e.key, port)
    };
    let entry = snapshot.index.port(port)?.others.iter().find(takes)?;
    Some(of_service(snapshot, &entry.key, declared(entry, port)?, to))
}

/// A connection to a service's port. Where rules tell its connections apart by server name, the client has to say one.
fn of_service(snapshot: &Snapshot, key: &ServiceKey, port: &ServicePort, to: Option<IpAddr>) -> Destination {
    match snapshot.outbound.streams(key, port.number) {
        Some(_) if by_server_name(port.protocol) => Destination::Opening(port.number),
        Some(rules) => in_use(snapshot, key, port, rules.find(to, None)),
        None => in_use(snapshot, key, port, None),
    }
}

/// As [`of_service`], once the client has spoken. What no rule takes goes where it would if there were no such service.
fn of_hello(snapshot: &Snapshot, key: &ServiceKey, port: &ServicePort, way: Way<'_>, said: Said<'_>) -> Destination {
    let Some(rules) = snapshot.outbound.streams(key, port.number) else { return in_use(snapshot, key, port, None) };
    let name: Option<Host> = match said {
        Said::Tls(Some(name)) => name.parse().ok(),
        Said::Tls(None) | Said::Other => None,
    };
    let to = match way {
        Way::Captured(original) => Some(original.ip()),
        Way::Listener(_) => None,
    };
    match (rules.find(to, name.as_ref()), way) {
        (Some(rule), _) => in_use(snapshot, key, port, Some(rule)),
        (None, Way::Listener(_)) => Destination::Refused(snapshot.outbound.black_hole.clone()),
        (None, Way::Captured(_)) => unknown(snapshot),
    }
}

fn in_use(snapshot: &Snapshot, key: &ServiceKey, port: &ServicePort, rule: Option<&Arc<StreamRoute>>) -> Destination {
    let (service, protocol) = (key.clone(), port.protocol);
    match snapshot.outbound.service(key) {
        None => Destination::Pending { service, port: port.number, protocol },
        Some(in_use) => match in_use.port(port.number) {
            Some(p) => {
                let (cluster, rule) = (p.cluster.clone(), rule.cloned());
                Destination::Service { service, port: port.number, protocol, cluster, rule }
            }
            None => Destination::Refused(snapshot.outbound.black_hole.clone()),
        },
    }
}

fn unknown(snapshot: &Snapshot) -> Destination {
    let outbound = &snapshot.outbound;
    match (&outbound.policy, &outbound.egress_proxy) {
        (OutboundPolicy::RegistryOnly, _) => Destination::Refused(outbound.black_hole.clone()),
        (OutboundPolicy::EgressProxy(target), Some(to)) => match to {
            Resolved::Ready(cluster) => match &cluster.key {
                ClusterKey::Outbound { service, port, .. } => Destination::Service {
                    service: service.clone(),
                    port: *port,
                    protocol: Protocol::Tcp,
                    cluster: cluster.clone(),
                    rule: None,
                },
                _ => Destination::Passthrough(cluster.clone()),
            },
            Resolved::Pending(service) => {
                let only = || snapshot.index.get(service).and_then(|e| e.ports.first()).map(|p| p.number);
                match target.port.or_else(only) {
                    Some(port) => Destination::Pending { service: service.clone(), port, protocol: Protocol::Tcp },
                    None => Destination::Refused(outbound.black_hole.clone()),
                }
            }
            Resolved::Missing(_) => Destination::Refused(outbound.black_hole.clone()),
        },
        (OutboundPolicy::AllowAny | OutboundPolicy::EgressProxy(_), _) => {
            Destination::Passthrough(outbound.passthrough.clone())
        }
    }
}
