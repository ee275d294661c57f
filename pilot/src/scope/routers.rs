//! What gateways see besides: the Gateways that select them, the routes attached to these, and key pairs of their
//! own namespace that these name and that their account may have.

use super::ProxyFacts;
use crate::mesh::{Mesh, SharedPart};
use mesh_config::{
    model::{Gateway, Kind, PartName},
    name::NamespacedName,
};
use std::{collections::BTreeSet, sync::Arc};

fn gateways<'a>(mesh: &'a Mesh, facts: &'a ProxyFacts) -> impl Iterator<Item = &'a Arc<Gateway>> {
    // Labels of an unknown workload are unknown, not none.
    let is_known = facts.workload.is_some();
    mesh.lookups().gateways.iter().filter(move |gateway| is_known && gateway.selector.selects(&facts.labels))
}

/// Key pairs that servers name, in the proxy's own namespace, whichever the Gateway's is. That a proxy says that it is
/// a gateway proves nothing: the registry must know its workload, a Gateway must select that by its labels, and the
/// proved account must be one that the Secret is for, or that may read it in the cluster anyhow.
pub(super) fn secrets(mesh: &Mesh, facts: &ProxyFacts, parts: &mut Vec<Arc<SharedPart>>) {
    let account = NamespacedName::new(facts.namespace.as_str(), &facts.service_account);
    let named: BTreeSet<NamespacedName> = gateways(mesh, facts)
        .filter(|gateway| !gateway.selector.is_empty())
        .flat_map(|gateway| &gateway.servers)
        .filter_map(|server| server.protocol.secret())
        .map(|secret| NamespacedName::new(facts.namespace.as_str(), secret))
        .collect();
    let may_have = named.iter().filter(|secret| facts.lists_secrets || mesh.lookups().may_have(&account, secret));
    parts.extend(may_have.filter_map(|name| mesh.part(Kind::Secret, &name.to_string())).cloned());
}

/// Gateways, then the routes attached to them that are exported to the gateway workload's namespace.
pub(super) fn gateways_and_routes(mesh: &Mesh, facts: &ProxyFacts, parts: &mut Vec<Arc<SharedPart>>) {
    let mut gateway_names = BTreeSet::new();
    let mut route_names = BTreeSet::new();
    for gateway in gateways(mesh, facts) {
        gateway_names.insert(PartName::of(gateway.object, &gateway.name));
        let attached = mesh.lookups().gateway_routes.get(&gateway.name).into_iter().flatten();
        let exported = attached.filter(|route| route.visibility.includes(&facts.namespace));
        route_names.extend(exported.map(|route| PartName::of(route.object, &route.name)));
    }
    parts.extend(gateway_names.iter().filter_map(|name| mesh.part(Kind::Gateway, name.as_str())).cloned());
    parts.extend(route_names.iter().filter_map(|name| mesh.part(Kind::Route, name.as_str())).cloned());
}
