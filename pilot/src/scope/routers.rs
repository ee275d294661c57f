//! What gateways see besides: the Gateways that select them, and the routes attached to these.

use super::ProxyFacts;
use crate::mesh::{Mesh, SharedPart};
use mesh_config::model::{Gateway, Kind, PartName};
use std::{collections::BTreeSet, sync::Arc};

pub(super) fn gateways<'a>(mesh: &'a Mesh, facts: &'a ProxyFacts) -> impl Iterator<Item = &'a Arc<Gateway>> {
    // Labels of an unknown workload are unknown, not none.
    let is_known = facts.workload.is_some();
    mesh.lookups().gateways.iter().filter(move |gateway| is_known && gateway.selector.selects(&facts.labels))
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
