//! What was received, by kind, and what of it a push touched.

use super::Changes;
use crate::snapshot::{
    cluster::{EndpointCell, EndpointSet},
    index::Index,
};
use arc_swap::ArcSwap;
use mesh_config::{
    model::{
        Authorization, Credential, Destination, Endpoint, Gateway, Instance, Kind, Part, PartName, PeerAuthentication,
        Route, Service, ServiceKey, Settings, Sidecar, Telemetry, TrustBundle, Workload,
    },
    name::{Namespace, NamespacedName, Port},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

type ByName<T> = BTreeMap<PartName, Arc<T>>;

/// Kinds of which something was put in, taken out or changed. Parts that came again as they were do not count, nor do
/// endpoints.
pub(super) type Touched = BTreeSet<Kind>;

/// Everything received.
#[derive(Debug)]
pub(super) struct Parts {
    /// `None` until the first are here.
    pub(super) settings: Option<Arc<Settings>>,
    /// `None` until the first is here.
    pub(super) instance: Option<Arc<Instance>>,
    pub(super) index: Arc<Index>,
    pub(super) services: HashMap<ServiceKey, Arc<Service>>,
    pub(super) sidecars: ByName<Sidecar>,
    pub(super) peer_authentications: ByName<PeerAuthentication>,
    pub(super) authorizations: ByName<Authorization>,
    pub(super) telemetries: ByName<Telemetry>,
    pub(super) destinations: ByName<Destination>,
    pub(super) gateways: ByName<Gateway>,
    pub(super) routes: ByName<Route>,
    trust: ByName<TrustBundle>,
    secrets: ByName<Credential>,
    workloads: ByName<Workload>,
    /// Policies that there are and that could not be read, with nothing from before to hold in their place.
    unreadable: BTreeSet<(Kind, PartName)>,
    endpoints: HashMap<(ServiceKey, Port), BTreeMap<Arc<str>, Arc<Endpoint>>>,
    cells: HashMap<(ServiceKey, Port), EndpointCell>,
    endpoints_touched: BTreeSet<(ServiceKey, Port)>,
    namespace: Namespace,
}

/// Puts a part in; whether that changed anything.
fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, Arc<V>>, key: K, value: Arc<V>) -> bool {
    match map.get(&key) {
        Some(old) if *old == value => false,
        _ => {
            map.insert(key, value);
            true
        }
    }
}

impl Parts {
    pub(super) fn new(namespace: &Namespace) -> Self {
        Parts {
            settings: None,
            instance: None,
            index: Arc::new(Index::new(namespace.clone(), &Settings::default().cluster_domain)),
            services: HashMap::new(),
            sidecars: BTreeMap::new(),
            peer_authentications: BTreeMap::new(),
            authorizations: BTreeMap::new(),
            telemetries: BTreeMap::new(),
            destinations: BTreeMap::new(),
            gateways: BTreeMap::new(),
            routes: BTreeMap::new(),
            trust: BTreeMap::new(),
            secrets: BTreeMap::new(),
            workloads: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            endpoints: HashMap::new(),
            cells: HashMap::new(),
            endpoints_touched: BTreeSet::new(),
            namespace: namespace.clone(),
        }
    }

    /// Takes a push in. Removals come first, so that a part which is removed and sent again is there; what could not be
    /// read comes next, so that nothing from before holds in the place of what was removed.
    pub(super) fn take(&mut self, changes: Changes) -> Touched {
        let mut touched = Touched::new();
        let mut note = |kind: Kind, changed: bool| {
            if changed {
                touched.insert(kind);
            }
        };
        for (kind, name) in changes.removed {
            note(kind, self.make_readable(kind, &name));
            note(kind, self.remove(kind, &name));
        }
        for (kind, name) in changes.refused {
            note(kind, self.make_unreadable(kind, name));
        }
        for part in changes.upserts {
            let (kind, name) = (part.kind(), part.name());
            note(kind, self.make_readable(kind, &name));
            note(kind, self.upsert(part, name));
        }
        touched
    }

    /// Only where nothing from before goes on holding, and only of what would have refused something.
    fn make_unreadable(&mut self, kind: Kind, name: PartName) -> bool {
        let is_new = match kind {
            Kind::Authorization => !self.authorizations.contains_key(&name),
            Kind::PeerAuthentication => !self.peer_authentications.contains_key(&name),
            _ => false,
        };
        is_new && self.unreadable.insert((kind, name))
    }

    fn make_readable(&mut self, kind: Kind, name: &PartName) -> bool {
        // Hardly ever is there one, and names are many.
        !self.unreadable.is_empty() && self.unreadable.remove(&(kind, name.clone()))
    }

    /// The policies of this kind that there are and that could not be read.
    pub(super) fn unreadable(&self, kind: Kind) -> impl Iterator<Item = NamespacedName> {
        let name = |name: &PartName| match name.as_str().split_once('/') {
            Some((namespace, name)) => NamespacedName::new(namespace, name),
            None => NamespacedName::new("", name.as_str()),
        };
        self.unreadable.iter().filter(move |(k, _)| *k == kind).map(move |(_, n)| name(n))
    }

    fn upsert(&mut self, part: Part, name: PartName) -> bool {
        match part {
            Part::Settings(settings) => self.set_settings(settings),
            Part::Instance(instance) => {
                let changed = self.instance.as_ref() != Some(&instance);
                self.instance = Some(instance);
                changed
            }
            Part::Trust(v) => put(&mut self.trust, name, v),
            Part::Sidecar(v) => put(&mut self.sidecars, name, v),
            Part::PeerAuthentication(v) => put(&mut self.peer_authentications, name, v),
            Part::Authorization(v) => put(&mut self.authorizations, name, v),
            Part::Telemetry(v) => put(&mut self.telemetries, name, v),
            Part::Secret(v) => put(&mut self.secrets, name, v),
            Part::Destination(v) => put(&mut self.destinations, name, v),
            Part::Workload(v) => put(&mut self.workloads, name, v),
            Part::Gateway(v) => put(&mut self.gateways, name, v),
            Part::Route(v) => put(&mut self.routes, name, v),
            Part::Index(entry) => {
                let changed = self.index.get(&entry.key) != Some(&entry);
                if changed {
                    Arc::make_mut(&mut self.index).insert(entry);
                }
                changed
            }
            Part::Service(service) => self.set_service(service),
            Part::Endpoint(endpoint) => {
                let group = (endpoint.key.service.clone(), endpoint.key.port);
                let members = self.endpoints.entry(group.clone()).or_default();
                if put(members, endpoint.key.id.clone(), endpoint) {
                    self.endpoints_touched.insert(group);
                }
                false
            }
        }
    }

    fn remove(&mut self, kind: Kind, name: &PartName) -> bool {
        match kind {
            // What was known once stays known. The workload was taken out of the registry while its proxy lives, as one
            // that drains: what it listens on, and what holds for it, stays until it ends, or until another replaces it.
            Kind::Settings | Kind::Instance => false,
            Kind::Trust => self.trust.remove(name).is_some(),
            Kind::Sidecar => self.sidecars.remove(name).is_some(),
            Kind::PeerAuthentication => self.peer_authentications.remove(name).is_some(),
            Kind::Authorization => self.authorizations.remove(name).is_some(),
            Kind::Telemetry => self.telemetries.remove(name).is_some(),
            Kind::Secret => self.secrets.remove(name).is_some(),
            Kind::Destination => self.destinations.remove(name).is_some(),
            Kind::Gateway => self.gateways.remove(name).is_some(),
            Kind::Route => self.routes.remove(name).is_some(),
            Kind::Workload => self.remove_workload(name),
            Kind::Index => {
                let key = name.as_str().parse::<ServiceKey>().ok().filter(|k| self.index.get(k).is_some());
                key.is_some_and(|key| Arc::make_mut(&mut self.index).remove(&key))
            }
            Kind::Service => name.as_str().parse::<ServiceKey>().is_ok_and(|key| self.services.remove(&key).is_some()),
            Kind::Endpoint => {
                let Some((group, id)) = endpoint_name(name.as_str()) else { return false };
                if self.endpoints.get_mut(&group).is_some_and(|members| members.remove(id).is_some()) {
                    self.endpoints_touched.insert(group);
                }
                false
            }
        }
    }

    /// By uid, or by an address of which pilot said that nobody has it.
    fn remove_workload(&mut self, name: &PartName) -> bool {
        let Ok(address) = name.as_str().parse::<IpAddr>() else { return self.workloads.remove(name).is_some() };
        let count = self.workloads.len();
        self.workloads.retain(|_, w| !w.addresses.contains(&address));
        self.workloads.len() != count
    }

    fn set_settings(&mut self, settings: Arc<Settings>) -> bool {
        if self.settings.as_ref() == Some(&settings) {
            return false;
        }
        if !self.index.is_of_domain(&settings.cluster_domain) {
            let mut index = Index::new(self.namespace.clone(), &settings.cluster_domain);
            self.index.iter().for_each(|entry| index.insert(entry.clone()));
            self.index = Arc::new(index);
        }
        self.settings = Some(settings);
        true
    }

    fn set_service(&mut self, service: Arc<Service>) -> bool {
        if self.services.get(&service.key) == Some(&service) {
            return false;
        }
        for port in &service.ports {
            let cell = self.cell(&service.key, port.number);
            self.cells.insert((service.key.clone(), port.number), cell);
        }
        self.services.insert(service.key.clone(), service);
        true
    }

    /// The cell of a service port, with what is known of its endpoints.
    pub(super) fn cell(&self, service: &ServiceKey, port: Port) -> EndpointCell {
        let group = (service.clone(), port);
        match self.cells.get(&group) {
            Some(cell) => cell.clone(),
            None => Arc::new(ArcSwap::from_pointee(self.set(&group))),
        }
    }

    fn set(&self, group: &(ServiceKey, Port)) -> EndpointSet {
        let members = self.endpoints.get(group);
        EndpointSet { endpoints: members.into_iter().flat_map(|m| m.values().cloned()).collect() }
    }

    /// Writes the endpoints that a push touched into their cells.
    pub(super) fn write_cells(&mut self) -> Vec<(ServiceKey, Port)> {
        let touched = std::mem::take(&mut self.endpoints_touched);
        for group in &touched {
            let set = self.set(group);
            if set.endpoints.is_empty() {
                self.endpoints.remove(group);
            }
            match self.cells.get(group) {
                Some(cell) => cell.store(Arc::new(set)),
                None => drop(self.cells.insert(group.clone(), Arc::new(ArcSwap::from_pointee(set)))),
            }
        }
        touched.into_iter().collect()
    }

    /// Forgets cells of services that are gone and have no endpoints left.
    pub(super) fn drop_empty_cells(&mut self) {
        let (services, endpoints) = (&self.services, &self.endpoints);
        self.cells.retain(|group, _| services.contains_key(&group.0) || endpoints.contains_key(group));
    }

    pub(super) fn trust(&self) -> Arc<Vec<Arc<TrustBundle>>> {
        Arc::new(self.trust.values().cloned().collect())
    }

    pub(super) fn credentials(&self) -> Arc<BTreeMap<NamespacedName, Arc<Credential>>> {
        Arc::new(self.secrets.values().map(|c| (c.name.clone(), c.clone())).collect())
    }

    pub(super) fn workloads(&self) -> Arc<HashMap<IpAddr, Arc<Workload>>> {
        let by_address = |w: &Arc<Workload>| {
            let workload = w.clone();
            w.addresses.clone().into_iter().map(move |address| (address, workload.clone()))
        };
        Arc::new(self.workloads.values().flat_map(by_address).collect())
    }
}

/// `namespace/host/port/id`; an id may have slashes of its own.
fn endpoint_name(name: &str) -> Option<((ServiceKey, Port), &str)> {
    let mut fields = name.splitn(4, '/');
    let (namespace, host, port, id) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let service = ServiceKey { namespace: namespace.into(), host: host.parse().ok()? };
    Some(((service, port.parse().ok().and_then(Port::new)?), id))
}
