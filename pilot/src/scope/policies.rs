//! Which policies hold for a workload: of those of its namespace and of the root namespace, the ones whose model says so.

use super::{ProxyFacts, view::View};
use crate::mesh::{Mesh, SharedPart};
use mesh_config::{
    kind::Asked,
    model::{Kind, Subject},
};
use std::sync::Arc;

/// In push order.
pub(super) fn select(mesh: &Mesh, facts: &ProxyFacts, view: &View<'_>, parts: &mut Vec<Arc<SharedPart>>) {
    let subject = Subject { namespace: &facts.namespace, labels: &facts.labels, root: view.root() };
    let mut namespaces = vec![subject.namespace, subject.root];
    namespaces.sort();
    namespaces.dedup();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.asked() == Asked::WhatHolds) {
        for namespace in &namespaces {
            let prefix = format!("{namespace}/");
            let of_namespace = mesh.starting_with(kind, &prefix);
            parts.extend(of_namespace.filter(|shared| shared.part().holds_for(&subject)).cloned());
        }
    }
}
