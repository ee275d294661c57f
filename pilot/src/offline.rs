//! From texts to what a proxy would be told, with no process around it: offline commands and decision tests.

use crate::{
    compile::compile,
    mesh::Mesh,
    scope::{self, ProxyFacts},
    source::memory,
    world::World,
};
use mesh_config::{
    diagnostic::Diagnostic,
    model::{Kind, Part, PartName, ServiceKey, Settings, index::IndexKind},
};
use std::net::IpAddr;

/// The mesh that `objects` (any number of YAML documents) describe. `mesh_config` is MeshConfig as YAML; it counts
/// where `objects` hold none.
pub fn compile_text(objects: &str, mesh_config: Option<&str>) -> (Mesh, Vec<Diagnostic>) {
    let (mut world, mut diagnostics) = match mesh_config {
        Some(text) => world_with(text),
        None => (World::default(), Vec::new()),
    };
    world.apply(memory::batch("objects", objects));
    let mesh = compile(&world, None);
    diagnostics.extend_from_slice(mesh.diagnostics());
    (mesh, diagnostics)
}

/// Everything that the proxy is told at its start.
pub fn start(mesh: &Mesh, facts: &ProxyFacts) -> Vec<Part> {
    scope::visible(mesh, facts).parts.iter().map(|shared| shared.part().clone()).collect()
}

/// What belongs to a name of the index, or to an address.
#[derive(Debug, Default)]
pub struct Details {
    /// What there is.
    pub parts: Vec<Part>,
    /// What there is not: a name without service is complete when its service is said to be gone, an address without
    /// workload when it is said itself.
    pub removed: Vec<(Kind, PartName)>,
}

/// What the proxy is told when it asks for a name of the index; `None`: it sees no such name.
pub fn details(mesh: &Mesh, facts: &ProxyFacts, key: &ServiceKey) -> Option<Details> {
    let children = scope::children(mesh, facts, key)?;
    let alone = children.service.is_none();
    Some(Details {
        parts: children.in_order().map(|shared| shared.part().clone()).collect(),
        removed: alone.then(|| (Kind::Service, PartName(key.to_string().into()))).into_iter().collect(),
    })
}

/// What a proxy is told when it asks whose an address is.
pub fn workload(mesh: &Mesh, address: IpAddr) -> Details {
    match scope::workload_at(mesh, address) {
        Some(shared) => Details { parts: vec![shared.part().clone()], removed: Vec::new() },
        None => Details { parts: Vec::new(), removed: vec![(Kind::Workload, PartName(address.to_string().into()))] },
    }
}

/// Everything that the proxy is told at its start and could ask for: each service with its children, each route, and
/// workloads by address.
pub fn everything(mesh: &Mesh, facts: &ProxyFacts) -> Vec<Part> {
    let visible = scope::visible(mesh, facts).parts;
    let mut parts = start(mesh, facts);
    let mut routes = std::collections::BTreeSet::new();
    for shared in &visible {
        let Part::Index(entry) = shared.part() else { continue };
        let Some(children) = scope::children(mesh, facts, &entry.key) else { continue };
        debug_assert!(entry.kind == IndexKind::VirtualHost || children.service.is_some());
        // One VirtualService may be the route of many services, one DestinationRule of many hosts.
        let once = |shared: &&std::sync::Arc<_>| is_once(shared, &mut routes);
        parts.extend(children.in_order().filter(once).map(|shared| shared.part().clone()));
    }
    parts.extend(mesh.parts(Kind::Workload).map(|shared| shared.part().clone()));
    parts
}

fn is_once(shared: &crate::mesh::SharedPart, seen: &mut std::collections::BTreeSet<(Kind, String)>) -> bool {
    match shared.kind() {
        kind @ (Kind::Route | Kind::Destination) => seen.insert((kind, shared.name().to_string())),
        _ => true,
    }
}

/// A world with this MeshConfig.
fn world_with(mesh_config: &str) -> (World, Vec<Diagnostic>) {
    let (config, diagnostics) =
        mesh_config::crd::mesh_config::parse_text(mesh_config, &Settings::default().root_namespace);
    (World::with_mesh_config(config), diagnostics)
}
