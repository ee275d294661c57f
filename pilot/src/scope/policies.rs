//! Which policies apply to a workload: those of its namespace and of the root namespace that select it.

use super::{ProxyFacts, view::View};
use crate::mesh::{Mesh, SharedPart};
use mesh_config::{
    model::{Kind, Part, telemetry},
    name::Namespace,
};
use std::sync::Arc;

/// Policies and telemetry, in push order.
pub(super) fn select(mesh: &Mesh, facts: &ProxyFacts, view: &View<'_>, parts: &mut Vec<Arc<SharedPart>>) {
    for kind in [Kind::PeerAuthentication, Kind::Authorization, Kind::Telemetry] {
        let mut namespaces = vec![&facts.namespace, view.root()];
        namespaces.sort();
        namespaces.dedup();
        for namespace in namespaces {
            let prefix = format!("{namespace}/");
            let applies = |shared: &&Arc<SharedPart>| applies(shared.part(), namespace, view.root(), facts);
            parts.extend(mesh.starting_with(kind, &prefix).filter(applies).cloned());
        }
    }
}

fn applies(part: &Part, namespace: &Namespace, root: &Namespace, facts: &ProxyFacts) -> bool {
    match part {
        // With a selector, a root namespace's AuthorizationPolicy is for workloads of every namespace …
        Part::Authorization(policy) => policy.selector.selects(&facts.labels),
        // … and its PeerAuthentication is for nobody.
        Part::PeerAuthentication(policy) => match &policy.selector {
            Some(selector) => namespace != root && selector.selects(&facts.labels),
            None => true,
        },
        Part::Telemetry(object) => telemetry::applies(object, &facts.namespace, &facts.labels, root),
        _ => false,
    }
}
