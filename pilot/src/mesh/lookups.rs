//! Look-ups over the parts, made once a mesh: what choosing for a proxy would otherwise search for.

use super::{MOVING, hosts::ByHost, parts::Parts};
use mesh_config::{
    model::{
        Destination, Gateway, Kind, Part, PartName, Precedence, Route, ServiceKey, Sidecar, Visibility, Workload,
        route::Parent,
    },
    name::{Host, Namespace, NamespacedName},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// What is known of a service and is in none of its parts, because no proxy needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceFacts {
    /// Which namespaces may see it.
    pub(crate) visibility: Visibility,
    /// Defined by a Kubernetes Service: wins over service entries with the same host.
    pub(crate) kubernetes: bool,
    /// Otherwise the oldest wins.
    pub(crate) precedence: Precedence,
    /// Clients reach endpoints of their own node alone.
    pub(crate) node_local: bool,
}

/// Facts of objects that are in none of their parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    pub(crate) services: Arc<HashMap<ServiceKey, ServiceFacts>>,
    pub(crate) sidecars: BTreeMap<NamespacedName, Precedence>,
    /// By Secret, the service accounts whose proxies may have its key.
    pub(crate) entitled: BTreeMap<NamespacedName, BTreeSet<NamespacedName>>,
}

/// Look-ups over one mesh.
#[derive(Debug, Default)]
pub struct Lookups {
    pub(super) standing: Arc<Standing>,
    pub(crate) services: Arc<ByHost<ServiceKey>>,
    pub(crate) destinations: ByHost<Arc<Destination>>,
    /// Those that name Secrets.
    pub(crate) with_secrets: Vec<Arc<Destination>>,
    /// Attached to the mesh; under each host the oldest first.
    pub(crate) mesh_routes: ByHost<Arc<Route>>,
    /// Attached to the mesh, under each host that they send requests to.
    pub(crate) mesh_routes_to: HashMap<Host, Vec<Arc<Route>>>,
    /// By gateway, the oldest first.
    pub(crate) gateway_routes: BTreeMap<NamespacedName, Vec<Arc<Route>>>,
    /// The oldest first.
    pub(crate) gateways: Vec<Arc<Gateway>>,
    /// By namespace, the oldest first.
    pub(crate) sidecars: BTreeMap<Namespace, Vec<Arc<Sidecar>>>,
}

/// Look-ups over the workloads of one mesh, which change more often than all else.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct WorkloadLookups {
    pub(crate) by_address: HashMap<IpAddr, PartName>,
    /// By namespace and service account, those that have one.
    pub(crate) by_account: HashMap<NamespacedName, Vec<Arc<Workload>>>,
    /// By uid, where a service asks for it.
    pub(crate) nodes: Arc<Nodes>,
}

/// The nodes that workloads are on.
pub(crate) type Nodes = HashMap<Arc<str>, Arc<str>>;

impl WorkloadLookups {
    pub(super) fn new(parts: Option<&Parts>, nodes: Arc<Nodes>) -> Self {
        let mut made = WorkloadLookups { nodes, ..WorkloadLookups::default() };
        for shared in parts.into_iter().flat_map(Parts::iter) {
            if let Part::Workload(workload) = &shared.part {
                made.add(&shared.name, workload);
            }
        }
        made
    }

    fn add(&mut self, name: &PartName, workload: &Arc<Workload>) {
        for address in &workload.addresses {
            self.by_address.entry(*address).or_insert_with(|| name.clone());
        }
        if !workload.service_account.is_empty() {
            let account = NamespacedName::new(&workload.info.namespace, &workload.service_account);
            self.by_account.entry(account).or_default().push(workload.clone());
        }
    }
}

impl Lookups {
    /// `services`: those that stand, when there are no others.
    pub(super) fn new(
        parts: &BTreeMap<Kind, Arc<Parts>>,
        standing: Arc<Standing>,
        services: Option<Arc<ByHost<ServiceKey>>>,
    ) -> Self {
        let stand = services.is_some();
        let mut made = Lookups { standing, services: services.unwrap_or_default(), ..Lookups::default() };
        let is_known = |kind: &Kind| MOVING.contains(kind) || (stand && *kind == Kind::Service);
        let stays = parts.iter().filter(|(kind, _)| !is_known(kind));
        for shared in stays.flat_map(|(_, parts)| parts.iter()) {
            match &shared.part {
                Part::Service(service) => {
                    Arc::make_mut(&mut made.services).insert(&service.key.host, service.key.clone());
                }
                Part::Destination(rule) => {
                    made.destinations.insert(&rule.host, rule.clone());
                    made.with_secrets.extend(rule.secrets().next().map(|_| rule.clone()));
                }
                Part::Route(route) => made.add_route(route),
                Part::Gateway(gateway) => made.gateways.push(gateway.clone()),
                Part::Sidecar(sidecar) => {
                    made.sidecars.entry(sidecar.name.namespace.clone()).or_default().push(sidecar.clone());
                }
                // The others are found by name alone.
                _ => {}
            }
        }
        made.sort();
        made
    }

    fn add_route(&mut self, route: &Arc<Route>) {
        for parent in &route.parents {
            match parent {
                Parent::Mesh => {
                    for host in &route.hosts {
                        self.mesh_routes.insert(host, route.clone());
                    }
                    for host in destinations(route) {
                        self.mesh_routes_to.entry(host.clone()).or_default().push(route.clone());
                    }
                }
                Parent::Gateway(name) => {
                    self.gateway_routes.entry(name.clone()).or_default().push(route.clone());
                }
            }
        }
    }

    fn sort(&mut self) {
        self.mesh_routes.sort_by_key(|route| (route.precedence.clone(), route.name.clone()));
        self.destinations.sort_by_key(|rule| (rule.precedence.clone(), rule.name.clone()));
        for routes in self.gateway_routes.values_mut() {
            routes.sort_by(|a, b| (&a.precedence, &a.name).cmp(&(&b.precedence, &b.name)));
        }
        self.gateways.sort_by(|a, b| (&a.precedence, &a.name).cmp(&(&b.precedence, &b.name)));
        let age = &self.standing.sidecars;
        for sidecars in self.sidecars.values_mut() {
            sidecars.sort_by(|a, b| (age.get(&a.name), &a.name).cmp(&(age.get(&b.name), &b.name)));
        }
    }

    pub(crate) fn service_facts(&self, key: &ServiceKey) -> Option<&ServiceFacts> {
        self.standing.services.get(key)
    }

    /// Whether proxies of a service account may have a Secret's key.
    pub(crate) fn may_have(&self, account: &NamespacedName, secret: &NamespacedName) -> bool {
        self.standing.entitled.get(secret).is_some_and(|accounts| accounts.contains(account))
    }
}

/// The hosts that a route sends requests to, each once.
fn destinations(route: &Route) -> BTreeSet<&Host> {
    route.targets().map(|target| &target.host).collect()
}
