//! Which slices list a service's endpoints, and which pods they name, or whose addresses they list without a name.

use crate::{object::ObjectId, world::World};
use mesh_config::{
    crd::{Parsed, kubernetes::EndpointSlice},
    kind::ObjectKind,
    name::NamespacedName,
};
use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    net::IpAddr,
};

/// EndpointSlices by service, by pod and by address.
#[derive(Default)]
pub(super) struct Slices {
    known: HashMap<NamespacedName, Slice>,
    by_service: HashMap<NamespacedName, BTreeSet<NamespacedName>>,
    /// The services of the slices that name a pod, once for each slice.
    by_pod: HashMap<NamespacedName, Vec<NamespacedName>>,
    /// The services of the slices that list an address and no pod with it, once for each slice.
    by_address: HashMap<IpAddr, Vec<NamespacedName>>,
}

/// What a slice says that others are found by.
struct Slice {
    service: NamespacedName,
    pods: BTreeSet<NamespacedName>,
    addresses: BTreeSet<IpAddr>,
}

impl Slices {
    /// Takes in what a slice says now. Gives the services that it is about, or was.
    pub(super) fn look(
        &mut self,
        name: &NamespacedName,
        world: &World,
    ) -> impl Iterator<Item = NamespacedName> + use<> {
        let before = self.known.remove(name);
        if let Some(Slice { service, pods, addresses }) = &before {
            forget(&mut self.by_service, service, |slices| slices.remove(name), BTreeSet::is_empty);
            let one = |services: &mut Vec<_>| {
                services.iter().position(|known| known == service).map(|place| services.swap_remove(place))
            };
            pods.iter().for_each(|pod| forget(&mut self.by_pod, pod, one, Vec::is_empty));
            addresses.iter().for_each(|address| forget(&mut self.by_address, address, one, Vec::is_empty));
        }
        let now = slice_named(world, name).map(|(_, slice)| {
            let pods = slice.endpoints.iter().filter_map(|endpoint| endpoint.pod.clone()).collect();
            let unnamed = slice.endpoints.iter().filter(|endpoint| endpoint.pod.is_none());
            let addresses = unnamed.flat_map(|endpoint| endpoint.addresses.iter().copied()).collect();
            Slice { service: slice.service.clone(), pods, addresses }
        });
        let services = [before.map(|slice| slice.service), now.as_ref().map(|slice| slice.service.clone())];
        if let Some(slice) = now {
            self.by_service.entry(slice.service.clone()).or_default().insert(name.clone());
            for pod in &slice.pods {
                self.by_pod.entry(pod.clone()).or_default().push(slice.service.clone());
            }
            for address in &slice.addresses {
                self.by_address.entry(*address).or_default().push(slice.service.clone());
            }
            self.known.insert(name.clone(), slice);
        }
        services.into_iter().flatten()
    }

    /// The services of the slices that name a pod.
    pub(super) fn of_pod(&self, pod: &NamespacedName) -> &[NamespacedName] {
        self.by_pod.get(pod).map_or(&[], Vec::as_slice)
    }

    /// The services of the slices that list an address and no pod with it.
    pub(super) fn at(&self, address: IpAddr) -> &[NamespacedName] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
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
fn forget<K: Eq + Hash, T, R>(
    map: &mut HashMap<K, T>,
    key: &K,
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

#[cfg(all(test, feature = "serve"))]
mod tests;
