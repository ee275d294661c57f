//! Kubernetes Services and ServiceEntries → services, one for each namespace and host.
//!
//! What two objects say about one service is merged: a Kubernetes Service before ServiceEntries, then the oldest;
//! later ones add ports and addresses (of ServiceEntries) and endpoints, and change nothing else.

use super::{
    context::{Input, Inputs, Notes},
    kubernetes,
};
use crate::{mesh::ServiceFacts, object::ObjectId};
use mesh_config::{
    crd::{Head, ParseContext, networking::ServiceEntry},
    kind::ObjectKind,
    model::{Part, Service, ServiceKey},
    name::{Host, Namespace},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    sync::Arc,
};

/// Every service of the mesh.
#[derive(Default)]
pub(super) struct Registry {
    services: BTreeMap<ServiceKey, Arc<Service>>,
    facts: Arc<HashMap<ServiceKey, ServiceFacts>>,
    by_host: HashMap<Host, Vec<ServiceKey>>,
    /// The objects that say something about each: Kubernetes' first, then the oldest first.
    objects: HashMap<ServiceKey, Vec<ObjectId>>,
    aliases: BTreeMap<ServiceKey, ServiceKey>,
}

impl Registry {
    pub(super) fn get(&self, key: &ServiceKey) -> Option<&Service> {
        self.services.get(key).map(|service| &**service)
    }

    pub(super) fn facts(&self, key: &ServiceKey) -> Option<&ServiceFacts> {
        self.facts.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Service> {
        self.services.values().map(|service| &**service)
    }

    /// Services with this very host, in any namespace.
    pub(super) fn with_host(&self, host: &Host) -> impl Iterator<Item = &Service> {
        self.by_host.get(host).into_iter().flatten().filter_map(|key| self.get(key))
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        self.services.values().map(|service| Part::Service(service.clone()))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    /// The objects that a service is made of: Kubernetes' first, then the oldest first.
    pub(super) fn objects_of(&self, key: &ServiceKey) -> &[ObjectId] {
        self.objects.get(key).map_or(&[], Vec::as_slice)
    }

    /// ExternalNames that are other names of services of the mesh, and which.
    pub(super) fn aliases(&self) -> &BTreeMap<ServiceKey, ServiceKey> {
        &self.aliases
    }

    /// Services that one of these objects says something about.
    pub(super) fn made_of<'a>(&'a self, objects: &'a BTreeSet<ObjectId>) -> impl Iterator<Item = &'a ServiceKey> {
        let about = self.objects.iter().filter(|(_, of)| of.iter().any(|object| objects.contains(object)));
        about.map(|(key, _)| key)
    }

    /// Whether another name of a service is that, and of the same service, in both registries.
    pub(super) fn is_same_alias(&self, other: &Registry, key: &ServiceKey) -> bool {
        self.aliases.get(key) == other.aliases.get(key) && self.services.get(key) == other.services.get(key)
    }

    pub(super) fn all_facts(&self) -> &Arc<HashMap<ServiceKey, ServiceFacts>> {
        &self.facts
    }

    fn add(&mut self, service: Service, facts: ServiceFacts, (kind, object): (ObjectKind, &Head), notes: &mut Notes) {
        let id = ObjectId::new(kind, object.name());
        self.objects.entry(service.key.clone()).or_default().push(id);
        match self.services.entry(service.key.clone()) {
            Entry::Vacant(place) => {
                self.by_host.entry(service.key.host.clone()).or_default().push(service.key.clone());
                Arc::make_mut(&mut self.facts).insert(service.key.clone(), facts);
                place.insert(Arc::new(service));
            }
            Entry::Occupied(mut first) => {
                let by_kubernetes = self.facts.get(&service.key).is_some_and(|f| f.kubernetes);
                merge(Arc::make_mut(first.get_mut()), service, by_kubernetes, object, notes);
            }
        }
    }
}

/// All services.
pub(super) fn compile(inputs: &Inputs<'_>, context: &ParseContext, notes: &mut Notes) -> Registry {
    let export_to = &context.default_service_export_to;
    let mut registry = Registry::default();
    for input in &inputs.services {
        let (service, facts) = kubernetes::service(input, export_to);
        registry.add(service, facts, (ObjectKind::Service, input.object), notes);
    }
    for input in &inputs.service_entries {
        for host in &input.value.hosts {
            let (service, facts) = of_entry(input, host);
            registry.add(service, facts, (ObjectKind::ServiceEntry, input.object), notes);
        }
    }
    let aliases = kubernetes::aliases(inputs, &registry);
    for (alias, target) in &aliases {
        let (Some(service), Some(target)) = (registry.services.get(alias), registry.services.get(target)) else {
            continue;
        };
        // Another name of a service of the mesh is as much inside it, and has its ports where it says none.
        let ports = if service.ports.is_empty() { &target.ports } else { &service.ports };
        let (resolution, external) = (target.resolution, target.external);
        let service = Service { resolution, external, ports: ports.clone(), ..Service::clone(service) };
        registry.services.insert(alias.clone(), Arc::new(service));
    }
    registry.aliases = aliases;
    registry
}

/// The service of one host of a ServiceEntry.
pub(super) fn entry_key(entry: &ServiceEntry, host: &Host) -> ServiceKey {
    ServiceKey { namespace: Namespace::from(entry.name.namespace.as_str()), host: host.clone() }
}

fn of_entry(input: &Input<'_, ServiceEntry>, host: &Host) -> (Service, ServiceFacts) {
    let entry = input.value;
    let service = Service {
        key: entry_key(entry, host),
        name: host.shared(),
        addresses: entry.addresses.clone(),
        ports: entry.ports.iter().map(|p| p.port.clone()).collect(),
        resolution: entry.resolution,
        external: entry.external,
        headless: false,
        subject_alt_names: entry.subject_alt_names.clone(),
    };
    let facts = ServiceFacts {
        visibility: entry.visibility.clone(),
        kubernetes: false,
        precedence: entry.precedence.clone(),
        node_local: false,
    };
    (service, facts)
}

fn merge(first: &mut Service, more: Service, by_kubernetes: bool, object: &Head, notes: &mut Notes) {
    if first.resolution != more.resolution && !by_kubernetes {
        let message = format!("an older object resolves {} differently, and takes precedence", first.key.host);
        notes.warn(object, "conflicting-resolution", "spec.resolution", message);
    }
    for port in more.ports {
        match first.ports.iter().find(|p| p.number == port.number) {
            Some(known) if known.protocol != port.protocol => {
                let message = format!(
                    "port {} of {} is {:?} in an older object and {:?} here; the older one takes precedence",
                    port.number, first.key.host, known.protocol, port.protocol
                );
                notes.warn(object, "conflicting-protocol", "spec.ports", message);
            }
            Some(_) => {}
            // The ports of a Kubernetes Service are its own.
            None if by_kubernetes => {}
            None => first.ports.push(port),
        }
    }
    for address in more.addresses.into_iter().filter(|_| !by_kubernetes) {
        if !first.addresses.contains(&address) {
            first.addresses.push(address);
        }
    }
    for name in more.subject_alt_names {
        if !first.subject_alt_names.contains(&name) {
            first.subject_alt_names.push(name);
        }
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests;
