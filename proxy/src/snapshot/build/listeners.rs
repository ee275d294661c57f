//! What to bind besides the captured ports: listeners of the `Sidecar` and servers of Gateways.

use super::{Sources, gateways};
use crate::snapshot::listener::{ListenerKind, ListenerSpec};
use mesh_config::{
    kind::Role,
    model::sidecar::{EgressListener, IngressListener},
    name::Port,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Every socket, by name; two listeners for one address are one, the first.
pub(super) fn build(sources: &Sources<'_>) -> Vec<ListenerSpec> {
    let specs = match sources.own.role {
        Role::Sidecar => of_sidecar(sources),
        Role::Gateway => of_gateways(sources),
        Role::Waypoint | Role::Node => Vec::new(),
    };
    let mut by_address = BTreeMap::new();
    for spec in specs {
        by_address.entry(spec.address).or_insert(spec);
    }
    by_address.into_values().collect()
}

/// `10.0.0.5_9080`.
pub(super) fn name(address: SocketAddr) -> Arc<str> {
    format!("{}_{}", address.ip(), address.port()).into()
}

/// Where a listener of the `Sidecar` binds; `None`: its connections are captured.
pub(super) fn egress_address(listener: &EgressListener) -> Option<(SocketAddr, Port)> {
    let (bind, port) = (listener.bind?, listener.port?);
    Some((SocketAddr::new(bind, port.get()), port))
}

fn of_sidecar(sources: &Sources<'_>) -> Vec<ListenerSpec> {
    let Some(sidecar) = sources.sidecar else { return Vec::new() };
    let egress = sidecar.egress.iter().filter_map(|listener| {
        let (address, port) = egress_address(listener)?;
        let hosts = listener.hosts.clone().into();
        let kind = ListenerKind::Egress { port, protocol: listener.protocol, hosts };
        Some(ListenerSpec { name: name(address), address, kind })
    });
    let ingress = sidecar.ingress.iter().filter_map(|listener: &IngressListener| {
        let address = SocketAddr::new(listener.bind?, listener.port.get());
        Some(ListenerSpec { name: name(address), address, kind: ListenerKind::Ingress { port: listener.port } })
    });
    ingress.chain(egress).collect()
}

fn of_gateways(sources: &Sources<'_>) -> Vec<ListenerSpec> {
    let mut specs = Vec::new();
    for (port, servers) in gateways::by_port(sources) {
        let tls = servers[0].server.protocol.speaks_tls();
        for server in &servers {
            let addresses: Vec<IpAddr> = match server.server.bind {
                Some(address) => vec![address],
                None => sources.own.addresses.clone(),
            };
            specs.extend(addresses.into_iter().map(|ip| {
                let address = SocketAddr::new(ip, port.get());
                ListenerSpec { name: name(address), address, kind: ListenerKind::Gateway { port, tls } }
            }));
        }
    }
    specs
}
