//! Which slices list a service's endpoints, and which pods they name.

use crate::{object::ObjectId, world::World};
use mesh_config::{
    crd::{Parsed, kubernetes::EndpointSlice},
    kind::ObjectKind,
    name::NamespacedName,
};
use std::collections::{BTreeSet, HashMap};

/// EndpointSlices by service and by pod.
#[derive(Default)]
pub(super) struct Slices {
    known: HashMap<NamespacedName, Slice>,
    by_service: HashMap<NamespacedName, BTreeSet<NamespacedName>>,
    /// The services of the slices that name a pod, once for each slice.
    by_pod: HashMap<NamespacedName, Vec<NamespacedName>>,
}

/// What a slice says that others are found by.
struct Slice {
    service: NamespacedName,
    pods: BTreeSet<NamespacedName>,
}

impl Slices {
    /// Takes in what a slice says now. Gives the services that it is about, or was.
    pub(super) fn look(
        &mut self,
        name: &NamespacedName,
        world: &World,
    ) -> impl Iterator<Item = NamespacedName> + use<> {
        let before = self.known.remove(name);
        if let Some(Slice { service, pods }) = &before {
            forget(&mut self.by_service, service, |slices| slices.remove(name), BTreeSet::is_empty);
            for pod in pods {
                let one = |services: &mut Vec<_>| {
                    services.iter().position(|known| known == service).map(|place| services.swap_remove(place))
                };
                forget(&mut self.by_pod, pod, one, Vec::is_empty);
            }
        }
        let now = slice_named(world, name).map(|(_, slice)| {
            let pods = slice.endpoints.iter().filter_map(|endpoint| endpoint.pod.clone()).collect();
            Slice { service: slice.service.clone(), pods }
        });
        let services = [before.map(|slice| slice.service), now.as_ref().map(|slice| slice.service.clone())];
        if let Some(slice) = now {
            self.by_service.entry(slice.service.clone()).or_default().insert(name.clone());
            for pod in &slice.pods {
                self.by_pod.entry(pod.clone()).or_default().push(slice.service.clone());
            }
            self.known.insert(name.clone(), slice);
        }
        services.into_iter().flatten()
    }

    /// The services of the slices that name a pod.
    pub(super) fn of_pod(&self, pod: &NamespacedName) -> &[NamespacedName] {
        self.by_pod.get(pod).map_or(&[], Vec::as_slice)
    }

    /// The slices of a service, the oldest first.
    pub(super) fn of<'a>(&self, service: &NamespacedName, world: &'a World) -> Vec<&'a EndpointSlice> {
        let names = self.by_service.get(service).into_iter().flatten();
        let mut slices: Vec<_> = names.filter_map(|name| slice_named(world, name)).collect();
        slices.sort_by_cached_key(|(head, _)| (head.precedence(), head.name()));
        slices.into_iter().map(|(_, slice)| slice).collect()
    }
}

fn slice_named<'a>(world: &'a World, name: &NamespacedName) -> Option<(&'a mesh_config::crd::Head, &'a EndpointSlice)> {
    match world.parsed_one(&ObjectId::new(ObjectKind::EndpointSlice, name.clone()))? {
        (head, Parsed::EndpointSlice(slice)) => Some((head, slice)),
        _ => None,
    }
}

/// Takes something out of what stands under a key, and the key when nothing is left.
fn forget<T, R>(
    map: &mut HashMap<NamespacedName, T>,
    key: &NamespacedName,
    take: impl FnOnce(&mut T) -> R,
    is_empty: impl FnOnce(&T) -> bool,
) {
    if let Some(under) = map.get_mut(key) {
        take(under);
        if is_empty(under) {
            map.remove(key);
        }
    }
}
