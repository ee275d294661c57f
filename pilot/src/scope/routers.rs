//! What gateways see besides: the Gateways that select them, the routes attached to these, and key pairs of their
//! own namespace that these name.

use super::ProxyFacts;
use crate::mesh::{Mesh, SharedPart};
use mesh_config::model::{Gateway, Kind, gateway::ServerProtocol};
use std::{collections::BTreeSet, sync::Arc};

fn gateways<'a>(mesh: &'a Mesh, facts: &'a ProxyFacts) -> impl Iterator<Item = &'a Arc<Gateway>> {
    mesh.lookups().gateways.iter().filter(|gateway| gateway.selector.selects(&facts.labels))
}

/// Key pairs that servers name, in the proxy's own namespace, whichever the Gateway's is.
pub(super) fn secrets(mesh: &Mesh, facts: &ProxyFacts, parts: &mut Vec<Arc<SharedPart>>) {
    let named: BTreeSet<String> = gateways(mesh, facts)
        .flat_map(|gateway| &gateway.servers)
        .filter_map(|server| match &server.protocol {
            ServerProtocol::Https(tls) => Some(format!("{}/{}", facts.namespace, tls.credential_name)),
            ServerProtocol::Http => None,
        })
        .collect();
    parts.extend(named.iter().filter_map(|name| mesh.part(Kind::Secret, name)).cloned());
}

/// Gateways, then the routes attached to them that are exported to the gateway workload's namespace.
pub(super) fn gateways_and_routes(mesh: &Mesh, facts: &ProxyFacts, parts: &mut Vec<Arc<SharedPart>>) {
    let mut gateway_names = BTreeSet::new();
    let mut route_names = BTreeSet::new();
    for gateway in gateways(mesh, facts) {
        gateway_names.insert(gateway.name.to_string());
        let attached = mesh.lookups().gateway_routes.get(&gateway.name).into_iter().flatten();
        let exported = attached.filter(|route| route.visibility.includes(&facts.namespace));
        route_names.extend(exported.map(|route| route.name.to_string()));
    }
    parts.extend(gateway_names.iter().filter_map(|name| mesh.part(Kind::Gateway, name)).cloned());
    parts.extend(route_names.iter().filter_map(|name| mesh.part(Kind::Route, name)).cloned());
}
