//! What moved between two meshes, by what clients hold and follow: so that a client that is not concerned is found out
//! without asking what it may see.
//!
//! Who sees what depends on what objects select, name and export. Where any of that is different, nothing can be said
//! here, and every client is looked at as a whole.

use super::{Mesh, parts};
use mesh_config::{
    model::{Kind, Part, PartName, Route, route::Section},
    name::Host,
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// What moved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// Names of services whose endpoints are others, or say something else.
    pub services: BTreeSet<Arc<str>>,
    /// Addresses of workloads that are others, or say something else.
    pub addresses: BTreeSet<IpAddr>,
    /// Instances that are new, gone, or say something else.
    pub instances: BTreeSet<PartName>,
    /// Other parts that say something else, and are seen by those that saw them before.
    pub said: BTreeSet<(Kind, PartName)>,
}

impl Moved {
    /// `None`: which parts a client sees may be different.
    pub(super) fn between(old: &Mesh, new: &Mesh) -> Option<Moved> {
        let same_choice = Arc::ptr_eq(&old.lookups.standing, &new.lookups.standing)
            && Arc::ptr_eq(&old.workloads.nodes, &new.workloads.nodes);
        let mut moved = Moved::default();
        for kind in Kind::ALL.into_iter().filter(|_| same_choice) {
            let before = old.parts.get(&kind).map(|parts| &**parts);
            let after = new.parts.get(&kind).map(|parts| &**parts);
            for (was, is) in parts::differences(before, after) {
                let Some(name) = is.or(was).map(|part| part.name()) else { continue };
                match (kind, was.map(|part| part.part()), is.map(|part| part.part())) {
                    (Kind::Endpoint, ..) if moved.services.contains(service_of(name)) => {}
                    (Kind::Endpoint, ..) => drop(moved.services.insert(service_of(name).into())),
                    (Kind::Instance, ..) => drop(moved.instances.insert(name.clone())),
                    (Kind::Workload, was, is) => was.into_iter().chain(is).for_each(|part| moved.workload(part)),
                    (_, Some(was), Some(is)) if chosen_alike(was, is) => drop(moved.said.insert((kind, name.clone()))),
                    _ => return None,
                }
            }
        }
        same_choice.then_some(moved)
    }

    fn workload(&mut self, part: &Part) {
        if let Part::Workload(workload) = part {
            self.addresses.extend(&workload.addresses);
        }
    }
}

/// The service in the name of an endpoint: namespace and host, then the port.
fn service_of(endpoint: &PartName) -> &str {
    let name = endpoint.as_str();
    name.match_indices('/').nth(1).map_or(name, |(end, _)| &name[..end])
}

/// Whether everybody who saw the one sees the other, and what else is seen is the same.
fn chosen_alike(was: &Part, is: &Part) -> bool {
    match (was, is) {
        (Part::Service(_), Part::Service(_)) | (Part::Secret(_), Part::Secret(_)) => true,
        (Part::Index(was), Part::Index(is)) => was.kind == is.kind,
        (Part::Destination(was), Part::Destination(is)) => {
            was.host == is.host
                && was.visibility == is.visibility
                && was.workload_selector == is.workload_selector
                && was.precedence == is.precedence
        }
        (Part::Route(was), Part::Route(is)) => {
            was.hosts == is.hosts
                && was.parents == is.parents
                && was.visibility == is.visibility
                && was.precedence == is.precedence
                && Section::ALL.into_iter().all(|section| was.has(section) == is.has(section))
                && destinations(was) == destinations(is)
        }
        _ => false,
    }
}

fn destinations(route: &Route) -> BTreeSet<&Host> {
    route.targets().map(|target| &target.host).collect()
}
