//! How the parts of one kind are kept: most by their names, some in a way of their own.

use crate::snapshot::index::Index;
use mesh_config::{
    model::{Endpoint, IndexEntry, Instance, PartName, Service, ServiceKey, Settings, Workload},
    name::{Namespace, Port},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// Parts of one kind.
pub(in crate::snapshot::build) trait Store<T> {
    /// Without any, for a proxy in this namespace.
    fn empty(namespace: &Namespace) -> Self;
    /// Takes one in; whether that changed anything.
    fn put(&mut self, name: PartName, part: Arc<T>) -> bool;
    /// Takes one out; whether that changed anything.
    fn take_out(&mut self, name: &PartName) -> bool;
    /// Whether there is one of this name.
    fn has(&self, name: &PartName) -> bool;
}

/// A kind that is kept in a way of its own.
pub(in crate::snapshot::build) trait Apart: Sized {
    type Store: Store<Self> + std::fmt::Debug;
}

/// As most kinds are kept.
pub(in crate::snapshot::build) type ByName<T> = BTreeMap<PartName, Arc<T>>;

impl<T: PartialEq> Store<T> for ByName<T> {
    fn empty(_: &Namespace) -> Self {
        BTreeMap::new()
    }

    fn put(&mut self, name: PartName, part: Arc<T>) -> bool {
        put(self, name, part)
    }

    fn take_out(&mut self, name: &PartName) -> bool {
        self.remove(name).is_some()
    }

    fn has(&self, name: &PartName) -> bool {
        self.contains_key(name)
    }
}

fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, Arc<V>>, key: K, value: Arc<V>) -> bool {
    match map.get(&key) {
        Some(old) if *old == value => false,
        _ => {
            map.insert(key, value);
            true
        }
    }
}

impl Apart for Settings {
    type Store = Option<Arc<Settings>>;
}

impl Apart for Instance {
    type Store = Option<Arc<Instance>>;
}

/// The one part of a kind. What was known once stays known: a workload that was taken out of the registry while its
/// proxy lives is one that drains; what it listens on, and what holds for it, stays until it ends, or until another
/// replaces it.
impl<T: PartialEq> Store<T> for Option<Arc<T>> {
    fn empty(_: &Namespace) -> Self {
        None
    }

    fn put(&mut self, _: PartName, part: Arc<T>) -> bool {
        let changed = self.as_ref() != Some(&part);
        *self = Some(part);
        changed
    }

    fn take_out(&mut self, _: &PartName) -> bool {
        false
    }

    fn has(&self, _: &PartName) -> bool {
        self.is_some()
    }
}

impl Apart for IndexEntry {
    type Store = Arc<Index>;
}

impl Store<IndexEntry> for Arc<Index> {
    fn empty(namespace: &Namespace) -> Self {
        Arc::new(Index::new(namespace.clone(), &Settings::default().cluster_domain))
    }

    fn put(&mut self, _: PartName, entry: Arc<IndexEntry>) -> bool {
        let changed = self.get(&entry.key) != Some(&entry);
        if changed {
            Arc::make_mut(self).insert(entry);
        }
        changed
    }

    fn take_out(&mut self, name: &PartName) -> bool {
        let key = name.as_str().parse::<ServiceKey>().ok().filter(|key| self.get(key).is_some());
        key.is_some_and(|key| Arc::make_mut(self).remove(&key))
    }

    fn has(&self, name: &PartName) -> bool {
        name.as_str().parse().is_ok_and(|key| self.get(&key).is_some())
    }
}

impl Apart for Service {
    type Store = HashMap<ServiceKey, Arc<Service>>;
}

impl Store<Service> for HashMap<ServiceKey, Arc<Service>> {
    fn empty(_: &Namespace) -> Self {
        HashMap::new()
    }

    fn put(&mut self, _: PartName, service: Arc<Service>) -> bool {
        let changed = self.get(&service.key) != Some(&service);
        if changed {
            self.insert(service.key.clone(), service);
        }
        changed
    }

    fn take_out(&mut self, name: &PartName) -> bool {
        name.as_str().parse::<ServiceKey>().is_ok_and(|key| self.remove(&key).is_some())
    }

    fn has(&self, name: &PartName) -> bool {
        name.as_str().parse::<ServiceKey>().is_ok_and(|key| self.contains_key(&key))
    }
}

impl Apart for Workload {
    type Store = Workloads;
}

/// By uid, and the addresses of which pilot said that nobody has them.
#[derive(Debug)]
pub(in crate::snapshot::build) struct Workloads {
    by_uid: ByName<Workload>,
    nobodys: BTreeSet<IpAddr>,
}

impl Workloads {
    /// Whose each address is; of workloads that share one the first by uid, as pilot has it.
    pub(super) fn answers(&self) -> impl Iterator<Item = (IpAddr, Option<Arc<Workload>>)> {
        let somebodys =
            self.by_uid.values().flat_map(|w| w.addresses.iter().map(|address| (*address, Some(w.clone()))));
        somebodys.chain(self.nobodys.iter().map(|address| (*address, None)))
    }

    /// Pilot is not followed on who has this address any more; a workload that had it goes by its uid.
    pub(super) fn forget(&mut self, address: IpAddr) -> bool {
        self.nobodys.remove(&address)
    }
}

impl Store<Workload> for Workloads {
    fn empty(_: &Namespace) -> Self {
        Workloads { by_uid: BTreeMap::new(), nobodys: BTreeSet::new() }
    }

    fn put(&mut self, name: PartName, workload: Arc<Workload>) -> bool {
        let found = workload.addresses.iter().filter(|address| self.nobodys.remove(address)).count();
        put(&mut self.by_uid, name, workload) || found > 0
    }

    /// By uid, or by an address of which pilot said that nobody has it.
    fn take_out(&mut self, name: &PartName) -> bool {
        let Ok(address) = name.as_str().parse::<IpAddr>() else { return self.by_uid.remove(name).is_some() };
        let count = self.by_uid.len();
        self.by_uid.retain(|_, workload| !workload.addresses.contains(&address));
        self.nobodys.insert(address) || self.by_uid.len() != count
    }

    fn has(&self, name: &PartName) -> bool {
        self.by_uid.contains_key(name)
    }
}

impl Apart for Endpoint {
    type Store = Endpoints;
}

/// By service port. A change of them goes into the port's cell and touches nothing else.
#[derive(Debug, Default)]
pub(in crate::snapshot::build) struct Endpoints {
    groups: HashMap<Group, BTreeMap<Arc<str>, Arc<Endpoint>>>,
    touched: BTreeSet<Group>,
}

/// A service port.
pub(super) type Group = (ServiceKey, Port);

impl Endpoints {
    /// Of a service port, in the order of their ids.
    pub(super) fn of(&self, group: &Group) -> Vec<Arc<Endpoint>> {
        self.groups.get(group).into_iter().flat_map(|members| members.values().cloned()).collect()
    }

    /// Whether a service port has any.
    pub(super) fn any(&self, group: &Group) -> bool {
        self.groups.get(group).is_some_and(|members| !members.is_empty())
    }

    /// Service ports whose endpoints changed since this was asked last.
    pub(super) fn touched(&mut self) -> BTreeSet<Group> {
        let touched = std::mem::take(&mut self.touched);
        for group in &touched {
            if !self.any(group) {
                self.groups.remove(group);
            }
        }
        touched
    }
}

impl Store<Endpoint> for Endpoints {
    fn empty(_: &Namespace) -> Self {
        Endpoints::default()
    }

    fn put(&mut self, _: PartName, endpoint: Arc<Endpoint>) -> bool {
        let group = (endpoint.key.service.clone(), endpoint.key.port);
        if put(self.groups.entry(group.clone()).or_default(), endpoint.key.id.clone(), endpoint) {
            self.touched.insert(group);
        }
        false
    }

    fn take_out(&mut self, name: &PartName) -> bool {
        let Some((group, id)) = endpoint_name(name.as_str()) else { return false };
        if self.groups.get_mut(&group).is_some_and(|members| members.remove(id).is_some()) {
            self.touched.insert(group);
        }
        false
    }

    fn has(&self, name: &PartName) -> bool {
        let Some((group, id)) = endpoint_name(name.as_str()) else { return false };
        self.groups.get(&group).is_some_and(|members| members.contains_key(id))
    }
}

/// `namespace/host/port/id`; an id may have slashes of its own.
fn endpoint_name(name: &str) -> Option<(Group, &str)> {
    let mut fields = name.splitn(4, '/');
    let (namespace, host, port, id) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let service = ServiceKey { namespace: namespace.into(), host: host.parse().ok()? };
    Some(((service, port.parse().ok().and_then(Port::new)?), id))
}
