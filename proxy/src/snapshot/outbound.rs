//! What the application may call: services in use with their clusters, virtual hosts by port, listener or gateway,
//! and what becomes of everything else.

mod gateway;
mod lookup;
mod resolve;

pub use gateway::{GatewayPort, ThenTls, TlsServer, shown};
pub use lookup::{Destination, Said, Way, by_opening, lookup, through};
pub(super) use resolve::{cluster_name, resolve};

use super::{
    cluster::{Cluster, ClusterKey, EndpointCell},
    stream::StreamTable,
    virtual_host::{Resolved, RouteMeta, VirtualHost, table::HostTable},
};
use mesh_config::{
    model::{
        Destination as DestinationRule, IndexEntry, Protocol, Service, ServiceKey, Sidecar, index::IndexKind,
        service::ServicePort, settings::OutboundPolicy, sidecar::EgressListener,
    },
    name::{Host, Port},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// A service whose details are here.
#[derive(Debug, Clone)]
pub struct ServiceInUse {
    /// Its details.
    pub service: Arc<Service>,
    /// The DestinationRule in force for this client.
    pub destination: Option<Arc<DestinationRule>>,
    /// In the order of the service; without UDP ports.
    pub ports: Vec<PortInUse>,
}

/// One of its ports.
#[derive(Debug, Clone)]
pub struct PortInUse {
    /// Number, name, protocol.
    pub port: ServicePort,
    /// All endpoints.
    pub cluster: Arc<Cluster>,
    /// By subset, in the order of the rule.
    pub subsets: Vec<(Arc<str>, Arc<Cluster>)>,
    /// Where the endpoints of all these clusters are.
    pub endpoints: EndpointCell,
}

impl ServiceInUse {
    /// The port with this number.
    pub fn port(&self, number: Port) -> Option<&PortInUse> {
        self.ports.iter().find(|p| p.port.number == number)
    }

    /// Whether the two are reached in the same way by the same clusters.
    pub(super) fn same(&self, other: &ServiceInUse) -> bool {
        let port = |(a, b): (&PortInUse, &PortInUse)| {
            a.port == b.port
                && Arc::ptr_eq(&a.cluster, &b.cluster)
                && Arc::ptr_eq(&a.endpoints, &b.endpoints)
                && a.subsets.len() == b.subsets.len()
                && a.subsets.iter().zip(&b.subsets).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(&a.1, &b.1))
        };
        self.service == other.service
            && self.destination == other.destination
            && self.ports.len() == other.ports.len()
            && self.ports.iter().zip(&other.ports).all(port)
    }

    /// All clusters, in order of ports.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.ports.iter().flat_map(|p| std::iter::once(&p.cluster).chain(p.subsets.iter().map(|(_, c)| c)))
    }
}

impl PortInUse {
    /// The cluster of a subset, or of all endpoints.
    pub fn subset(&self, subset: Option<&str>) -> Option<&Arc<Cluster>> {
        match subset {
            None => Some(&self.cluster),
            Some(name) => self.subsets.iter().find(|(n, _)| **n == *name).map(|(_, c)| c),
        }
    }
}

/// One port that carries HTTP.
#[derive(Debug, Clone)]
pub struct HttpPort {
    /// Name of its route configuration: the port number.
    pub route_config: Arc<str>,
    /// Services in use with this port.
    pub table: HostTable,
}

/// One listener of a `Sidecar` that binds by itself.
#[derive(Debug, Clone)]
pub struct Egress {
    /// The listener.
    pub name: Arc<str>,
    /// Its declaration.
    pub listener: Arc<EgressListener>,
    /// Its port as rules see it.
    pub port: Port,
    /// HTTP services in use that it names.
    pub table: HostTable,
    /// For connections that are not HTTP: the one service that it names on this port.
    pub single: Option<(ServiceKey, ServicePort)>,
    /// For hosts that it does not name.
    pub unknown: Beyond,
}

impl HttpPort {
    fn same(&self, other: &HttpPort) -> bool {
        self.route_config == other.route_config && self.table.same(&other.table)
    }
}

impl Egress {
    fn same(&self, other: &Egress) -> bool {
        self.name == other.name
            && self.port == other.port
            && self.listener == other.listener
            && self.single == other.single
            && self.table.same(&other.table)
            && self.unknown.same(&other.unknown)
    }

    /// Whether requests for this entry are served here: the listener names it and it has the listener's port.
    pub fn serves(&self, entry: &IndexEntry) -> bool {
        carries_http(entry, self.port) && self.listener.selects_entry(&entry.key, entry.kind)
    }
}

/// What becomes of requests for hosts that nothing in the index answers to.
#[derive(Debug, Clone)]
pub enum Beyond {
    /// 502.
    Blocked {
        /// `block_all`.
        meta: Arc<RouteMeta>,
    },
    /// To where the client wanted, or to the `Sidecar`'s egress proxy.
    To {
        /// `allow_any`.
        meta: Arc<RouteMeta>,
        /// Where.
        to: Resolved,
    },
}

impl Beyond {
    fn same(&self, other: &Beyond) -> bool {
        match (self, other) {
            (Beyond::Blocked { meta: a }, Beyond::Blocked { meta: b }) => a == b,
            (Beyond::To { meta: a, to: x }, Beyond::To { meta: b, to: y }) => a == b && x.same(y),
            _ => false,
        }
    }
}

/// Whether two maps have the same keys and values that are the same.
fn all_same<'a, K: PartialEq + 'a, V: 'a>(
    mut a: impl ExactSizeIterator<Item = (&'a K, &'a V)>,
    len: usize,
    other: impl Fn(&K) -> Option<&'a V>,
    same: impl Fn(&V, &V) -> bool,
) -> bool {
    a.len() == len && a.all(|(key, value)| other(key).is_some_and(|o| same(value, o)))
}

/// Everything outbound.
#[derive(Debug, Clone)]
pub struct Outbound {
    pub(super) services: Arc<HashMap<ServiceKey, Arc<ServiceInUse>>>,
    /// Hosts whose routes are here, whether they apply to this client or not.
    pub(super) routed_hosts: HashSet<Host>,
    pub(super) ports: BTreeMap<Port, Arc<HttpPort>>,
    pub(super) sniffed: HashMap<ServiceKey, Vec<(Port, Arc<VirtualHost>)>>,
    /// Rules for opaque connections to services, by port; only where there are some.
    pub(super) streams: HashMap<ServiceKey, Vec<(Port, Arc<StreamTable>)>>,
    pub(super) egress: HashMap<Arc<str>, Arc<Egress>>,
    pub(super) gateways: BTreeMap<Port, Arc<GatewayPort>>,
    pub(super) sidecar: Option<Arc<Sidecar>>,
    pub(super) policy: OutboundPolicy,
    pub(super) egress_proxy: Option<Resolved>,
    pub(super) passthrough: Arc<Cluster>,
    pub(super) black_hole: Arc<Cluster>,
    pub(super) unknown_address: Beyond,
}

impl Outbound {
    /// Whether the two decide the same with the same clusters.
    pub(super) fn same(&self, other: &Outbound) -> bool {
        let sniffed = |a: &Vec<(Port, Arc<VirtualHost>)>, b: &Vec<(Port, Arc<VirtualHost>)>| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(&a.1, &b.1))
        };
        let streams = |a: &Vec<(Port, Arc<StreamTable>)>, b: &Vec<(Port, Arc<StreamTable>)>| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.same(&b.1))
        };
        let proxy = match (&self.egress_proxy, &other.egress_proxy) {
            (Some(a), Some(b)) => a.same(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        proxy
            && Arc::ptr_eq(&self.services, &other.services)
            && self.routed_hosts == other.routed_hosts
            && self.sidecar == other.sidecar
            && self.policy == other.policy
            && self.unknown_address.same(&other.unknown_address)
            && all_same(self.ports.iter(), other.ports.len(), |k| other.ports.get(k), |a, b| a.same(b))
            && all_same(self.sniffed.iter(), other.sniffed.len(), |k| other.sniffed.get(k), sniffed)
            && all_same(self.streams.iter(), other.streams.len(), |k| other.streams.get(k), streams)
            && all_same(self.egress.iter(), other.egress.len(), |k| other.egress.get(k), |a, b| a.same(b))
            && all_same(self.gateways.iter(), other.gateways.len(), |k| other.gateways.get(k), |a, b| a.same(b))
    }

    /// A service, once its details are here.
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<ServiceInUse>> {
        self.services.get(key)
    }

    /// The services whose details are here, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceInUse>> {
        self.services.values()
    }

    /// A cluster of a service in use, or one of the special outbound ones.
    pub fn cluster(&self, key: &ClusterKey) -> Option<&Arc<Cluster>> {
        match key {
            ClusterKey::Outbound { service, port, subset } => {
                self.services.get(service)?.port(*port)?.subset(subset.as_deref())
            }
            ClusterKey::Passthrough => Some(&self.passthrough),
            ClusterKey::BlackHole => Some(&self.black_hole),
            ClusterKey::Inbound { .. } | ClusterKey::InboundPassthrough => None,
        }
    }

    /// All clusters, in no order.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.services.values().flat_map(|s| s.clusters()).chain([&self.passthrough, &self.black_hole])
    }

    /// A port that carries HTTP services in use.
    pub fn port(&self, port: Port) -> Option<&Arc<HttpPort>> {
        self.ports.get(&port)
    }

    /// The ports that carry HTTP services in use.
    pub fn ports(&self) -> impl Iterator<Item = (Port, &Arc<HttpPort>)> {
        self.ports.iter().map(|(port, table)| (*port, table))
    }

    /// The virtual host of a service's port whose protocol is detected: any host reaches the service.
    pub fn sniffed(&self, service: &ServiceKey, port: Port) -> Option<&Arc<VirtualHost>> {
        self.sniffed.get(service)?.iter().find(|(number, _)| *number == port).map(|(_, host)| host)
    }

    /// The virtual hosts of all ports whose protocol is detected, in no order.
    pub fn all_sniffed(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.sniffed.values().flatten().map(|(_, host)| host)
    }

    /// The rules for opaque connections to a service's port, if there are some.
    pub fn streams(&self, service: &ServiceKey, port: Port) -> Option<&Arc<StreamTable>> {
        self.streams.get(service)?.iter().find(|(number, _)| *number == port).map(|(_, table)| table)
    }

    /// A listener of the `Sidecar`.
    pub fn egress(&self, name: &str) -> Option<&Arc<Egress>> {
        self.egress.get(name)
    }

    /// The listeners of the `Sidecar`, in no order.
    pub fn all_egress(&self) -> impl Iterator<Item = &Arc<Egress>> {
        self.egress.values()
    }

    /// A gateway's port.
    pub fn gateway(&self, port: Port) -> Option<&Arc<GatewayPort>> {
        self.gateways.get(&port)
    }

    /// A gateway's ports.
    pub fn gateways(&self) -> impl Iterator<Item = (Port, &Arc<GatewayPort>)> {
        self.gateways.iter().map(|(port, gateway)| (*port, gateway))
    }

    /// The policy for what is not in the index.
    pub fn policy(&self) -> &OutboundPolicy {
        &self.policy
    }

    /// Whether the entry's details (for a host without service: its routes) are here.
    pub fn is_loaded(&self, entry: &IndexEntry) -> bool {
        match entry.kind {
            IndexKind::Service => self.services.contains_key(&entry.key),
            IndexKind::VirtualHost => self.routed_hosts.contains(&entry.key.host),
        }
    }

    /// Whether requests for this entry are served on a captured port.
    pub fn serves(&self, entry: &IndexEntry, port: Port) -> bool {
        carries_http(entry, port) && admits(self.sidecar.as_deref(), &entry.key, entry.kind, port)
    }

    /// Whether the `Sidecar` lets a service be reached on a captured port: its listener for that port decides, else
    /// the one without port.
    pub fn admits(&self, key: &ServiceKey, port: Port) -> bool {
        admits(self.sidecar.as_deref(), key, IndexKind::Service, port)
    }

    /// What becomes of a host on a captured HTTP port that nothing answers to.
    pub fn unknown_host(&self, port: Port) -> Beyond {
        beyond(&self.policy, self.egress_proxy.as_ref(), &self.passthrough, port.to_string().into())
    }

    /// What becomes of a request to an address that is in no service.
    pub fn unknown_address(&self) -> &Beyond {
        &self.unknown_address
    }

    /// Where connections go whose destination is not in the index and may be reached.
    pub fn passthrough(&self) -> &Arc<Cluster> {
        &self.passthrough
    }

    /// Where connections go that may not be.
    pub fn black_hole(&self) -> &Arc<Cluster> {
        &self.black_hole
    }
}

/// See [`Outbound::admits`].
pub(super) fn admits(sidecar: Option<&Sidecar>, key: &ServiceKey, kind: IndexKind, port: Port) -> bool {
    let Some(sidecar) = sidecar.filter(|s| !s.egress.is_empty()) else { return true };
    let captured = || sidecar.egress.iter().filter(|l| l.bind.is_none());
    let listener = captured().find(|l| l.port == Some(port)).or_else(|| captured().find(|l| l.port.is_none()));
    listener.is_some_and(|l| l.selects_entry(key, kind))
}

/// Services carry HTTP on the ports that say so or say nothing; hosts that only VirtualServices know, on port 80.
pub(super) fn carries_http(entry: &IndexEntry, port: Port) -> bool {
    match entry.kind {
        IndexKind::VirtualHost => port.get() == 80,
        IndexKind::Service => {
            entry.ports.iter().any(|p| p.number == port && (p.protocol.is_http() || p.protocol == Protocol::Auto))
        }
    }
}

/// What the policy says about a host that nothing answers to.
pub(super) fn beyond(
    policy: &OutboundPolicy,
    proxy: Option<&Resolved>,
    passthrough: &Arc<Cluster>,
    route_config: Arc<str>,
) -> Beyond {
    let meta = |name: &str| {
        let name: Arc<str> = name.into();
        Arc::new(RouteMeta {
            route_config,
            virtual_host: name.clone(),
            route: name,
            object: None,
            operation: "".into(),
        })
    };
    match (policy, proxy) {
        (OutboundPolicy::RegistryOnly, _) => Beyond::Blocked { meta: meta("block_all") },
        (OutboundPolicy::EgressProxy(_), Some(to)) => Beyond::To { meta: meta("allow_any"), to: to.clone() },
        (OutboundPolicy::AllowAny | OutboundPolicy::EgressProxy(_), _) => {
            Beyond::To { meta: meta("allow_any"), to: Resolved::Ready(passthrough.clone()) }
        }
    }
}
