//! The endpoints' lane: workloads, the memberships of services, and instances, each made anew when something that it
//! depends on was touched, and only then.
//!
//! What depends on what: a pod on itself, its node and the pods that claim its addresses; the memberships of a service
//! on the objects that define it, its slices, the workloads that these name, that have an address of theirs or that it
//! selects, and policies about mutual TLS; an instance on its workload, the services that it is in, and rules about these; a workload's part on itself, the
//! services that it is in, and policies about mutual TLS. The first time everything is touched, so there is no other way to
//! make any of it.

use super::{
    Ground, by_address,
    claims::Claims,
    endpoints::{self, Inbound, Members, Sources},
    instances, kubernetes, services,
    slices::Slices,
    workloads::{self, Backing, Workloads},
};
use crate::{
    mesh::Changes,
    object::ObjectId,
    world::{CLUSTER, World},
};
use mesh_config::{
    crd::{Parsed, kubernetes::Service as KubeService, networking::ServiceEntry},
    kind::{GroupKind, ObjectKind},
    model::{Endpoint, Kind, Labels, Part, PartName, ServiceKey, Settings, endpoint::EndpointKey},
    name::NamespacedName,
};
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// As it was made last.
#[derive(Default)]
pub(super) struct Lane {
    claims: Claims,
    workloads: Workloads,
    slices: Slices,
    members: HashMap<ServiceKey, Members>,
    /// By the uid of the workload.
    inbound: HashMap<Arc<str>, Vec<Inbound>>,
}

/// What is to be made anew.
#[derive(Default)]
pub(super) struct Stale {
    pub(super) services: BTreeSet<ServiceKey>,
    /// Uids of workloads whose parts and instances are.
    pub(super) instances: BTreeSet<Arc<str>>,
}

/// The kinds of objects that the lane looks at itself.
const LOOKED_AT: [ObjectKind; 4] =
    [ObjectKind::EndpointSlice, ObjectKind::Pod, ObjectKind::WorkloadEntry, ObjectKind::ServiceEntry];

/// Every object that the lane looks at.
pub(super) fn all(world: &World) -> BTreeSet<ObjectId> {
    let of = |kind| world.parsed_of(kind).map(move |(head, _)| ObjectId::new(kind, head.name()));
    LOOKED_AT.into_iter().flat_map(of).collect()
}

impl Lane {
    /// Takes in objects that were touched.
    pub(super) fn look(&mut self, world: &World, touched: &BTreeSet<ObjectId>, settings: &Settings) -> Stale {
        let mut stale = Stale::default();
        let mut pods: BTreeSet<NamespacedName> = BTreeSet::new();
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
        for ObjectId { kind, name, .. } in touched {
            match kind {
                GroupKind::Of(ObjectKind::EndpointSlice) => {
                    let services = self.slices.look(name, world);
                    stale.services.extend(services.filter_map(|service| key_of(world, &service)));
                }
                GroupKind::Of(ObjectKind::Pod) => {
                    addresses.extend(self.claims.of(name));
                    pods.extend(self.claims.look(name, world));
                }
                GroupKind::Of(ObjectKind::Node) => pods.extend(pods_on(world, &name.name)),
                GroupKind::Of(ObjectKind::WorkloadEntry) => {
                    let uid = workloads::entry_uid(name.namespace.as_str(), &name.name).into();
                    let now = match world.parsed_one(&ObjectId::new(ObjectKind::WorkloadEntry, name.clone())) {
                        Some((_, Parsed::WorkloadEntry(entry))) => Some(workloads::of_entry(entry, settings)),
                        _ => None,
                    };
                    self.workload(&uid, now, world, &mut stale);
                }
                GroupKind::Of(ObjectKind::ServiceEntry) => self.entry(name, world, settings, &mut stale),
                _ => {}
            }
        }
        for name in &pods {
            addresses.extend(self.claims.of(name));
            self.pod(name, world, settings, &mut stale);
        }
        let listing = addresses.iter().flat_map(|address| self.slices.at(*address));
        stale.services.extend(listing.filter_map(|service| key_of(world, service)));
        stale
    }

    fn pod(&mut self, name: &NamespacedName, world: &World, settings: &Settings, stale: &mut Stale) {
        // One that has ended has an address that is somebody else's by now.
        let pod = kubernetes::pod_named(world, name).filter(|(_, pod)| !pod.has_ended());
        let now = pod.map(|(_, pod)| {
            let locality = pod.node.as_ref().and_then(|node| kubernetes::locality_of_node(world, node));
            kubernetes::pod(pod, settings, locality, self.claims.own(name, pod, world))
        });
        let uid = kubernetes::pod_uid(CLUSTER, name.namespace.as_str(), &name.name).into();
        self.workload(&uid, now, world, stale);
        stale.services.extend(self.slices.of_pod(name).iter().filter_map(|service| key_of(world, service)));
    }

    fn workload(&mut self, uid: &Arc<str>, now: Option<Backing>, world: &World, stale: &mut Stale) {
        let before = self.workloads.put(uid, now).map(|backing| backing.workload);
        let now = self.workloads.get(uid).map(|backing| &backing.workload);
        if before.is_none() && now.is_none() {
            return;
        }
        let same = matches!((&before, now), (Some(before), Some(now)) if before.labels == now.labels);
        for workload in before.iter().chain(now.filter(|_| !same)) {
            selecting(world, &workload.info.namespace, &workload.labels, &mut stale.services);
        }
        stale.instances.insert(uid.clone());
    }

    fn entry(&mut self, name: &NamespacedName, world: &World, settings: &Settings, stale: &mut Stale) {
        let entry = match world.parsed_one(&ObjectId::new(ObjectKind::ServiceEntry, name.clone())) {
            Some((_, Parsed::ServiceEntry(entry))) => Some(entry),
            _ => None,
        };
        stale.instances.extend(self.workloads.put_inline(name, entry, settings));
    }

    /// What is stale because services, rules or policies are no longer as in `before`; `None`: everything is.
    pub(super) fn stand_on(
        &self,
        ground: &Ground,
        before: Option<&Ground>,
        touched: &BTreeSet<ObjectId>,
        stale: &mut Stale,
    ) {
        let Some(before) = before.filter(|before| before.peers == ground.peers) else {
            let known = before.into_iter().flat_map(|before| before.registry.keys());
            stale.services.extend(known.chain(ground.registry.keys()).cloned());
            stale.instances.extend(self.workloads.uids().cloned());
            return;
        };
        let (old, new) = (&before.registry, &ground.registry);
        // What a service is follows from its objects alone, but for one that is another name.
        let aliases = old.aliases().keys().chain(new.aliases().keys()).filter(|key| !new.is_same_alias(old, key));
        stale.services.extend(old.made_of(touched).chain(new.made_of(touched)).chain(aliases).cloned());
        let rules = before.rules_that_differ(ground);
        if rules.is_empty() {
            return;
        }
        for (key, members) in &self.members {
            if rules.iter().any(|rule| rule.host.covers(&key.host)) {
                stale.instances.extend(members.workloads.iter().cloned());
            }
        }
    }

    /// Makes what is stale. Gives how many services and instances that were.
    pub(super) fn make(
        &mut self,
        world: &World,
        ground: &Ground,
        mut stale: Stale,
        changes: &mut Changes,
    ) -> (usize, usize) {
        let aliases = ground.registry.aliases();
        let follow = aliases.iter().filter(|(_, target)| stale.services.contains(target));
        let follow: Vec<ServiceKey> = follow.map(|(alias, _)| alias.clone()).collect();
        stale.services.extend(follow);
        // What an alias copies comes first.
        let (after, first): (Vec<_>, Vec<_>) = stale.services.iter().partition(|key| aliases.contains_key(key));
        for key in first.into_iter().chain(after) {
            self.service(key, world, ground, &mut stale.instances, changes);
        }
        for uid in &stale.instances {
            let inbound = self.inbound.get(uid).map_or(&[][..], Vec::as_slice);
            let backing = self.workloads.get(uid);
            match backing {
                Some(backing) => changes.put(by_address::part(backing, inbound, ground)),
                None => changes.remove(Kind::Workload, PartName(uid.clone())),
            }
            match backing.map(|backing| &backing.workload).filter(|workload| workload.identity.is_some()) {
                Some(workload) => changes.put(Part::Instance(Arc::new(instances::of(workload, inbound, ground)))),
                None => changes.remove(Kind::Instance, PartName(uid.clone())),
            }
        }
        (stale.services.len(), stale.instances.len())
    }

    fn service(
        &mut self,
        key: &ServiceKey,
        world: &World,
        ground: &Ground,
        instances: &mut BTreeSet<Arc<str>>,
        changes: &mut Changes,
    ) {
        let registry = &ground.registry;
        let before = self.members.remove(key).unwrap_or_default();
        let Lane { claims, workloads, slices, .. } = &*self;
        let from = Sources { world, workloads, slices, claims, peers: &ground.peers };
        let target = registry.aliases().get(key).and_then(|target| self.members.get(target));
        let now =
            registry.get(key).map(|service| endpoints::of_service(service, registry.objects_of(key), from, target));
        let is_there = now.is_some();
        let (mut now, inbound) = now.unwrap_or_default();

        let mut old: HashMap<&EndpointKey, &Arc<Endpoint>> = before.endpoints.iter().map(|e| (&e.key, e)).collect();
        for endpoint in &mut now.endpoints {
            match old.remove(&endpoint.key) {
                Some(same) if same == endpoint => *endpoint = same.clone(),
                _ => changes.put(Part::Endpoint(endpoint.clone())),
            }
        }
        for gone in old.into_values() {
            changes.remove(Kind::Endpoint, Part::Endpoint(gone.clone()).name());
        }

        for uid in &before.workloads {
            if let Some(ports) = self.inbound.get_mut(uid) {
                ports.retain(|port| port.service != *key);
                if ports.is_empty() {
                    self.inbound.remove(uid);
                }
            }
        }
        for (uid, port) in inbound {
            self.inbound.entry(uid).or_default().push(port);
        }
        instances.extend(before.workloads.iter().chain(&now.workloads).cloned());
        if is_there {
            self.members.insert(key.clone(), now);
        }
    }
}

/// The mesh's service for a Kubernetes one, if that is there.
fn key_of(world: &World, service: &NamespacedName) -> Option<ServiceKey> {
    match world.parsed_one(&ObjectId::new(ObjectKind::Service, service.clone()))? {
        (_, Parsed::Service(kube)) => Some(kubernetes::key(kube)),
        _ => None,
    }
}

fn pods_on<'a>(world: &'a World, node: &'a str) -> impl Iterator<Item = NamespacedName> {
    let on_it = kubernetes::pods(world).filter(move |(_, pod)| pod.node.as_deref() == Some(node));
    on_it.map(|(head, _)| head.name())
}

/// Services that select workloads with these labels.
fn selecting(world: &World, namespace: &str, labels: &Labels, services: &mut BTreeSet<ServiceKey>) {
    for (_, parsed) in world.parsed_in(ObjectKind::Service, namespace) {
        if let Parsed::Service(kube) = parsed
            && selects(kube, labels)
        {
            services.insert(kubernetes::key(kube));
        }
    }
    for (_, parsed) in world.parsed_in(ObjectKind::ServiceEntry, namespace) {
        if let Parsed::ServiceEntry(entry) = parsed
            && entry.workload_selector.as_ref().is_some_and(|selector| selector.selects(labels))
        {
            services.extend(hosts(entry));
        }
    }
}

fn selects(kube: &KubeService, labels: &Labels) -> bool {
    !kube.selector.is_empty() && kube.selector.selects(labels)
}

fn hosts(entry: &ServiceEntry) -> impl Iterator<Item = ServiceKey> {
    entry.hosts.iter().map(|host| services::entry_key(entry, host))
}
