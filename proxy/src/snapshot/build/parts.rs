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
        Route, Service, ServiceKey, Settings, Sidecar, TrustBundle, Workload,
    },
    name::{Host, Namespace, NamespacedName, Port},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// Everything received.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) settings: Arc<Settings>,
    pub(super) index: Arc<Index>,
    pub(super) instance: Option<Arc<Instance>>,
    pub(super) sidecars: BTreeMap<PartName, Arc<Sidecar>>,
    pub(super) peer_authentications: BTreeMap<PartName, Arc<PeerAuthentication>>,
    pub(super) authorizations: BTreeMap<PartName, Arc<Authorization>>,
    pub(super) destinations: BTreeMap<PartName, Arc<Destination>>,
    pub(super) services: HashMap<ServiceKey, Arc<Service>>,
    pub(super) gateways: BTreeMap<PartName, Arc<Gateway>>,
    pub(super) routes: BTreeMap<PartName, Arc<Route>>,
    /// Policies that there are and that could not be read, with nothing from before to hold in their place.
    pub(super) unreadable: BTreeSet<(Kind, PartName)>,
    /// Of the next push.
    refused: Vec<(Kind, PartName)>,
    trust: BTreeMap<PartName, Arc<TrustBundle>>,
    secrets: BTreeMap<PartName, Arc<Credential>>,
    workloads: BTreeMap<PartName, Arc<Workload>>,
    endpoints: HashMap<(ServiceKey, Port), BTreeMap<Arc<str>, Arc<Endpoint>>>,
    cells: HashMap<(ServiceKey, Port), EndpointCell>,
}

/// What a push touched. Parts that came again as they were are not in it.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) settings: bool,
    pub(super) instance: bool,
    pub(super) index: bool,
    /// Hosts of the entries that changed.
    pub(super) index_hosts: HashSet<Host>,
    pub(super) sidecars: bool,
    pub(super) peer_authentications: bool,
    pub(super) authorizations: bool,
    pub(super) trust: bool,
    pub(super) secrets: bool,
    pub(super) workloads: bool,
    pub(super) gateways: bool,
    pub(super) routes: bool,
    pub(super) services: HashSet<ServiceKey>,
    /// Hosts of rules as they were and as they are.
    pub(super) destinations: Vec<Host>,
    endpoints: BTreeSet<(ServiceKey, Port)>,
}

impl Touched {
    /// Whether there is more to do than to write cells.
    pub(super) fn beyond_endpoints(&self) -> bool {
        self.outbound()
            || self.settings
            || self.instance
            || self.sidecars
            || self.peer_authentications
            || self.authorizations
            || self.trust
            || self.secrets
            || self.workloads
    }

    /// Policies of one kind.
    fn policies(&mut self, kind: Kind) {
        self.authorizations |= kind == Kind::Authorization;
        self.peer_authentications |= kind == Kind::PeerAuthentication;
    }

    /// Whether virtual hosts may come out otherwise.
    pub(super) fn outbound(&self) -> bool {
        self.index || self.beyond_index()
    }

    /// Whether virtual hosts may come out otherwise whatever is in the index.
    pub(super) fn beyond_index(&self) -> bool {
        self.gateways || self.routes || !self.services.is_empty() || !self.destinations.is_empty()
    }
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
    pub(super) fn new(settings: Arc<Settings>, index: Arc<Index>) -> Self {
        Parts {
            settings,
            index,
            instance: None,
            sidecars: BTreeMap::new(),
            peer_authentications: BTreeMap::new(),
            authorizations: BTreeMap::new(),
            destinations: BTreeMap::new(),
            services: HashMap::new(),
            gateways: BTreeMap::new(),
            routes: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            refused: Vec::new(),
            trust: BTreeMap::new(),
            secrets: BTreeMap::new(),
            workloads: BTreeMap::new(),
            endpoints: HashMap::new(),
            cells: HashMap::new(),
        }
    }

    /// Parts of the next push that could not be read.
    pub(super) fn refuse(&mut self, parts: impl IntoIterator<Item = (Kind, PartName)>) {
        self.refused.extend(parts);
    }

    /// Takes a push in. Removals come first, so that a part which is removed and sent again is there.
    pub(super) fn take(&mut self, changes: Changes, own: &Namespace) -> Touched {
        let mut touched = Touched::default();
        for (kind, name) in changes.removed {
            self.make_readable(kind, &name, &mut touched);
            self.remove(kind, name, own, &mut touched);
        }
        for (kind, name) in std::mem::take(&mut self.refused) {
            self.make_unreadable(kind, name, &mut touched);
        }
        for part in changes.upserts {
            self.upsert(part, own, &mut touched);
        }
        touched
    }

    /// Only where nothing from before goes on holding, and only of what would have refused something.
    fn make_unreadable(&mut self, kind: Kind, name: PartName, touched: &mut Touched) {
        let is_new = match kind {
            Kind::Authorization => !self.authorizations.contains_key(&name),
            Kind::PeerAuthentication => !self.peer_authentications.contains_key(&name),
            _ => false,
        };
        if is_new && self.unreadable.insert((kind, name)) {
            touched.policies(kind);
        }
    }

    fn make_readable(&mut self, kind: Kind, name: &PartName, touched: &mut Touched) {
        // Hardly ever is there one, and names are many.
        if !self.unreadable.is_empty() && self.unreadable.remove(&(kind, name.clone())) {
            touched.policies(kind);
        }
    }

    /// The policies of this kind that there are and that could not be read.
    pub(super) fn unreadable(&self, kind: Kind) -> impl Iterator<Item = NamespacedName> {
        let name = |name: &PartName| match name.as_str().split_once('/') {
            Some((namespace, name)) => NamespacedName::new(namespace, name),
            None => NamespacedName::new("", name.as_str()),
        };
        self.unreadable.iter().filter(move |(k, _)| *k == kind).map(move |(_, n)| name(n))
    }

    fn upsert(&mut self, part: Part, own: &Namespace, touched: &mut Touched) {
        let name = part.name();
        self.make_readable(part.kind(), &name, touched);
        match part {
            Part::Settings(settings) => self.set_settings(settings, own, touched),
            Part::Instance(instance) => {
                touched.instance |= self.instance.as_ref() != Some(&instance);
                self.instance = Some(instance);
            }
            Part::Trust(v) => touched.trust |= put(&mut self.trust, name, v),
            Part::Sidecar(v) => touched.sidecars |= put(&mut self.sidecars, name, v),
            Part::PeerAuthentication(v) => {
                touched.peer_authentications |= put(&mut self.peer_authentications, name, v);
            }
            Part::Authorization(v) => touched.authorizations |= put(&mut self.authorizations, name, v),
            Part::Secret(v) => touched.secrets |= put(&mut self.secrets, name, v),
            Part::Workload(v) => touched.workloads |= put(&mut self.workloads, name, v),
            Part::Gateway(v) => touched.gateways |= put(&mut self.gateways, name, v),
            Part::Route(v) => touched.routes |= put(&mut self.routes, name, v),
            Part::Index(entry) => {
                if self.index.get(&entry.key) != Some(&entry) {
                    touched.index = true;
                    touched.index_hosts.insert(entry.key.host.clone());
                    Arc::make_mut(&mut self.index).insert(entry);
                }
            }
            Part::Destination(v) => {
                let old = self.destinations.get(&name).map(|d| d.host.clone());
                let host = v.host.clone();
                if put(&mut self.destinations, name, v) {
                    touched.destinations.extend(old);
                    touched.destinations.push(host);
                }
            }
            Part::Service(service) => {
                if self.services.get(&service.key) != Some(&service) {
                    touched.services.insert(service.key.clone());
                    for port in &service.ports {
                        let cell = self.cell(&service.key, port.number);
                        self.cells.insert((service.key.clone(), port.number), cell);
                    }
                    self.services.insert(service.key.clone(), service);
                }
            }
            Part::Endpoint(endpoint) => {
                let group = (endpoint.key.service.clone(), endpoint.key.port);
                let members = self.endpoints.entry(group.clone()).or_default();
                if put(members, endpoint.key.id.clone(), endpoint) {
                    touched.endpoints.insert(group);
                }
            }
        }
    }

    fn remove(&mut self, kind: Kind, name: PartName, own: &Namespace, touched: &mut Touched) {
        match kind {
            Kind::Settings => self.set_settings(Arc::new(Settings::default()), own, touched),
            // The workload was taken out of the registry while its proxy lives, as one that drains: what it listens on
            // stays until it ends. Another instance replaces it.
            Kind::Instance => {}
            Kind::Trust => touched.trust |= self.trust.remove(&name).is_some(),
            Kind::Sidecar => touched.sidecars |= self.sidecars.remove(&name).is_some(),
            Kind::PeerAuthentication => {
                touched.peer_authentications |= self.peer_authentications.remove(&name).is_some();
            }
            Kind::Authorization => touched.authorizations |= self.authorizations.remove(&name).is_some(),
            Kind::Secret => touched.secrets |= self.secrets.remove(&name).is_some(),
            Kind::Gateway => touched.gateways |= self.gateways.remove(&name).is_some(),
            Kind::Route => touched.routes |= self.routes.remove(&name).is_some(),
            Kind::Workload => touched.workloads |= self.remove_workload(&name),
            Kind::Index => {
                let key = name.as_str().parse::<ServiceKey>().ok().filter(|k| self.index.get(k).is_some());
                if let Some(key) = key {
                    touched.index |= Arc::make_mut(&mut self.index).remove(&key);
                    touched.index_hosts.insert(key.host);
                }
            }
            Kind::Destination => touched.destinations.extend(self.destinations.remove(&name).map(|d| d.host.clone())),
            Kind::Service => {
                let key = name.as_str().parse::<ServiceKey>().ok();
                touched.services.extend(key.filter(|k| self.services.remove(k).is_some()));
            }
            Kind::Endpoint => {
                let Some((group, id)) = endpoint_name(name.as_str()) else { return };
                if self.endpoints.get_mut(&group).is_some_and(|members| members.remove(id).is_some()) {
                    touched.endpoints.insert(group);
                }
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

    fn set_settings(&mut self, settings: Arc<Settings>, own: &Namespace, touched: &mut Touched) {
        if self.settings.cluster_domain != settings.cluster_domain {
            let mut index = Index::new(own.clone(), &settings.cluster_domain);
            self.index.iter().for_each(|entry| index.insert(entry.clone()));
            self.index = Arc::new(index);
            touched.index = true;
            touched.index_hosts.extend(self.index.iter().map(|e| e.key.host.clone()));
        }
        touched.settings |= self.settings != settings;
        self.settings = settings;
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
    pub(super) fn write_cells(&mut self, touched: &Touched) -> Vec<(ServiceKey, Port)> {
        for group in &touched.endpoints {
            let set = self.set(group);
            if set.endpoints.is_empty() {
                self.endpoints.remove(group);
            }
            match self.cells.get(group) {
                Some(cell) => cell.store(Arc::new(set)),
                None => drop(self.cells.insert(group.clone(), Arc::new(ArcSwap::from_pointee(set)))),
            }
        }
        touched.endpoints.iter().cloned().collect()
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
