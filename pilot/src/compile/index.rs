//! The index: one entry for each service, and one for each host that a VirtualService names on the mesh, for the
//! proxies that see no service with it.

use super::services::Registry;
use mesh_config::model::{
    IndexEntry, Part, Route, ServiceKey,
    route::{Parent, Section},
};
use std::{collections::BTreeSet, sync::Arc};

/// All entries, those of services first.
pub(super) fn compile(registry: &Registry, routes: &[Route]) -> Vec<Part> {
    let services = registry.iter().map(IndexEntry::from);
    let virtual_hosts = names_on_the_mesh(routes).into_iter().filter(|key| registry.get(key).is_none());
    let virtual_hosts = virtual_hosts.map(IndexEntry::virtual_host);
    services.chain(virtual_hosts).map(|entry| Part::Index(Arc::new(entry))).collect()
}

fn names_on_the_mesh(routes: &[Route]) -> BTreeSet<ServiceKey> {
    // Opaque connections are told apart on the ports of services alone.
    let on_mesh = routes.iter().filter(|route| route.parents.contains(&Parent::Mesh) && route.has(Section::Http));
    let key =
        |route: &Route, host: &_| ServiceKey { namespace: route.name.namespace.clone(), host: Clone::clone(host) };
    on_mesh.flat_map(|route| route.hosts.iter().map(move |host| key(route, host))).collect()
}
