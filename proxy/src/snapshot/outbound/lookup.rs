//! Where a connection of the application goes, by the address that it asked for.

use super::Egress;
use crate::snapshot::{
    Snapshot,
    cluster::{Cluster, ClusterKey},
    listener::DestinationKey,
    virtual_host::Resolved,
};
use mesh_config::{
    model::{IndexEntry, Protocol, ServiceKey, index::IndexKind, service::ServicePort, settings::OutboundPolicy},
    name::Port,
};
use std::{net::SocketAddr, sync::Arc};

/// What a connection is for.
#[derive(Debug, Clone)]
pub enum Destination {
    /// HTTP: the host of each request chooses.
    HttpPort(Port),
    /// One service's port.
    Service {
        /// The service.
        service: ServiceKey,
        /// Its port.
        port: Port,
        /// Declared; [`Protocol::Auto`] is to be detected.
        protocol: Protocol,
        /// Where opaque connections go.
        cluster: Arc<Cluster>,
    },
    /// One service's port, details not here: subscribe, wait (bounded), look again.
    Pending {
        /// What to subscribe to.
        service: ServiceKey,
        /// Its port.
        port: Port,
        /// Declared.
        protocol: Protocol,
    },
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
            Destination::Passthrough(_) | Destination::Refused(_) => DestinationKey::Unknown(original),
        }
    }
}

/// What a captured connection is for. A service that owns the address decides by its port's protocol. Otherwise, on a
/// port that some service declares as HTTP the host chooses; on another, a service without addresses takes the
/// port; an address in no service (a pod's, a stranger's) is [`Destination::Passthrough`] or
/// [`Destination::Refused`]. While the workload is not known, everything is refused.
pub fn lookup(snapshot: &Snapshot, original: SocketAddr) -> Destination {
    if snapshot.local().is_none() {
        return Destination::Refused(snapshot.outbound.black_hole.clone());
    }
    let Some(port) = Port::new(original.port()) else { return unknown(snapshot) };
    let declared = |entry: &IndexEntry| entry.ports.iter().find(|p| p.number == port).cloned();
    let outbound = &snapshot.outbound;
    let owner = snapshot
        .index
        .at(original.ip())
        .filter(|e| e.kind == IndexKind::Service && outbound.admits(&e.key, port))
        .find_map(|e| declared(e).filter(|p| p.protocol != Protocol::Udp).map(|p| (e, p)));
    if let Some((entry, declared)) = owner {
        return match declared.protocol.is_http() {
            true => Destination::HttpPort(port),
            false => of_service(snapshot, &entry.key, &declared),
        };
    }
    let Some(used) = snapshot.index.port(port) else {
        // Hosts that only VirtualServices know are served on port 80, whatever services there are.
        return unknown(snapshot);
    };
    if used.http > 0 {
        return Destination::HttpPort(port);
    }
    let takes_port = |e: &&Arc<IndexEntry>| {
        e.addresses.is_empty() && !e.headless && !e.key.host.is_wildcard() && outbound.admits(&e.key, port)
    };
    match used.others.iter().find(takes_port).and_then(|e| declared(e).map(|p| (e, p))) {
        Some((entry, declared)) => of_service(snapshot, &entry.key, &declared),
        None => unknown(snapshot),
    }
}

/// What a connection to a listener of the `Sidecar` is for, once it is known not to be HTTP.
pub fn through(snapshot: &Snapshot, egress: &Egress) -> Destination {
    match &egress.single {
        Some((service, port)) => of_service(snapshot, service, port),
        None => Destination::Refused(snapshot.outbound.black_hole.clone()),
    }
}

fn of_service(snapshot: &Snapshot, key: &ServiceKey, port: &ServicePort) -> Destination {
    let (service, protocol) = (key.clone(), port.protocol);
    match snapshot.outbound.service(key) {
        None => Destination::Pending { service, port: port.number, protocol },
        Some(in_use) => match in_use.port(port.number) {
            Some(p) => Destination::Service { service, port: port.number, protocol, cluster: p.cluster.clone() },
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
