//! Which pod has an address now, where several objects say so.
//!
//! A node that has lost its pods still tells of them, and their addresses are given away. One that is not being deleted
//! has it, then the youngest. Pods that share their node's address have none of their own.

use super::kubernetes::pod_named;
use crate::world::World;
use mesh_config::{
    crd::{Head, kubernetes::Pod},
    name::NamespacedName,
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

/// Pods by the addresses that they say are theirs.
#[derive(Default)]
pub(super) struct Claims {
    by_address: HashMap<IpAddr, Vec<NamespacedName>>,
    of_pod: HashMap<NamespacedName, Vec<IpAddr>>,
}

impl Claims {
    /// Takes in what a pod says now. Gives it, and those with which it shares an address, or did.
    pub(super) fn look(&mut self, name: &NamespacedName, world: &World) -> BTreeSet<NamespacedName> {
        let mut concerned = BTreeSet::from([name.clone()]);
        for address in self.of_pod.remove(name).unwrap_or_default() {
            if let Some(pods) = self.by_address.get_mut(&address) {
                pods.retain(|pod| pod != name);
                concerned.extend(pods.iter().cloned());
                if pods.is_empty() {
                    self.by_address.remove(&address);
                }
            }
        }
        let claims = pod_named(world, name).filter(|(_, pod)| !pod.has_ended() && !pod.host_network);
        let mut addresses = claims.map(|(_, pod)| pod.addresses.clone()).unwrap_or_default();
        addresses.sort();
        addresses.dedup();
        for address in &addresses {
            let pods = self.by_address.entry(*address).or_default();
            concerned.extend(pods.iter().cloned());
            pods.push(name.clone());
        }
        if !addresses.is_empty() {
            self.of_pod.insert(name.clone(), addresses);
        }
        concerned
    }

    /// The addresses that a pod says are its own.
    pub(super) fn of(&self, pod: &NamespacedName) -> &[IpAddr] {
        self.of_pod.get(pod).map_or(&[], Vec::as_slice)
    }

    /// The addresses that are a pod's own.
    pub(super) fn own(&self, name: &NamespacedName, pod: &Pod, world: &World) -> Vec<IpAddr> {
        pod.addresses.iter().copied().filter(|address| self.holder(*address, world) == Some(name)).collect()
    }

    /// The pod whose own an address is.
    pub(super) fn holder(&self, address: IpAddr, world: &World) -> Option<&NamespacedName> {
        let pods = self.by_address.get(&address)?;
        let rank =
            |pod: &Pod, head: &Head| (Reverse((!pod.terminating, pod.meta.created)), head.precedence(), head.name());
        match &pods[..] {
            [only] => Some(only),
            several => several.iter().min_by_key(|name| pod_named(world, name).map(|(head, pod)| rank(pod, head))),
        }
    }
}
