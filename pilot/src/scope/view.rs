//! One client's view of names: which services, which VirtualService for a host.

use super::ProxyFacts;
use crate::mesh::{Mesh, SharedPart};
use mesh_config::{
    kind::Role,
    model::{Kind, Part, Route, ServiceKey, Sidecar, index::IndexKind, route::Section, settings},
    name::{Host, Namespace},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The mesh as one client sees it.
pub(super) struct View<'a> {
    mesh: &'a Mesh,
    facts: &'a ProxyFacts,
    sidecar: Option<Arc<Sidecar>>,
    root: Namespace,
}

impl<'a> View<'a> {
    pub(super) fn new(mesh: &'a Mesh, facts: &'a ProxyFacts) -> Self {
        let root = match mesh.part(Kind::Settings, settings::NAME).map(|p| p.part()) {
            Some(Part::Settings(settings)) => settings.root_namespace.clone(),
            _ => settings::Settings::default().root_namespace,
        };
        let sidecar = match facts.role {
            Role::Sidecar => choose_sidecar(mesh, facts, &root),
            Role::Gateway | Role::Waypoint | Role::Node => None,
        };
        View { mesh, facts, sidecar, root }
    }

    pub(super) fn root(&self) -> &Namespace {
        &self.root
    }

    pub(super) fn sidecar(&self) -> Option<&Arc<Sidecar>> {
        self.sidecar.as_ref()
    }

    /// Exported to the client and named by an egress listener, or where none with this host is named, the destination
    /// of a VirtualService that is: of services with one host, the one that counts.
    pub(super) fn sees_service(&self, key: &ServiceKey) -> bool {
        if !self.is_exported(key) {
            return false;
        }
        let same_host = self.mesh.lookups().services.at(&key.host);
        let named = self.listens_to(key);
        if !named && (same_host.iter().any(|k| self.may_see(k)) || !self.is_destination(&key.host)) {
            return false;
        }
        let counts = |k: &&ServiceKey| self.is_exported(k) && (!named || self.listens_to(k));
        same_host.len() <= 1 || same_host.iter().filter(counts).max_by_key(|k| self.rank(k)) == Some(key)
    }

    /// Whether a VirtualService that the client sees sends requests there.
    fn is_destination(&self, host: &Host) -> bool {
        let routes = self.mesh.lookups().mesh_routes_to.get(host);
        routes.into_iter().flatten().any(|route| route.hosts.iter().any(|at| self.sees_route(at, route)))
    }

    /// Whether any service with this host, or under this wildcard, is seen.
    pub(super) fn knows_host(&self, host: &Host) -> bool {
        let services = &self.mesh.lookups().services;
        match host.is_wildcard() {
            false => services.at(host).iter().any(|key| self.may_see(key)),
            true => services.covered_by(host).any(|(_, keys)| keys.iter().any(|key| self.may_see(key))),
        }
    }

    /// The VirtualServices for a host, each once: of those that say something about requests the one that counts, and
    /// so of those about opaque connections.
    pub(super) fn routes_of(&self, host: &Host) -> Vec<&'a Arc<Route>> {
        let mut routes: Vec<&'a Arc<Route>> =
            Section::ALL.into_iter().filter_map(|section| self.route_of(host, section)).collect();
        routes.sort_by_key(|route| (route.object, &route.name));
        routes.dedup_by_key(|route| (route.object, &route.name));
        routes
    }

    /// The one that counts in a section: under the most specific host that a visible one names, the first by rank.
    pub(super) fn route_of(&self, host: &Host, section: Section) -> Option<&'a Arc<Route>> {
        if self.facts.role == Role::Gateway {
            return None;
        }
        let routes = &self.mesh.lookups().mesh_routes;
        let seen = |at: &Host, r: &Route| r.has(section) && self.sees_route(at, r);
        // Only the host's text is looked up, so what is found lives as long as the mesh.
        let (at, _) = routes.covering(host).find(|(at, found)| found.iter().any(|r| seen(at, r)))?;
        self.first_of(at, routes.at(at), section)
    }

    /// Of those that the client sees under one host.
    fn first_of(&self, at: &Host, routes: &'a [Arc<Route>], section: Section) -> Option<&'a Arc<Route>> {
        let seen = routes.iter().filter(|route| route.has(section) && self.sees_route(at, route));
        seen.min_by(|a, b| a.rank(&self.facts.namespace).cmp(&b.rank(&self.facts.namespace)))
    }

    fn sees_route(&self, at: &Host, route: &Route) -> bool {
        route.visibility.includes(&self.facts.namespace)
            && self.imports(
                &ServiceKey { namespace: route.name.namespace.clone(), host: at.clone() },
                IndexKind::VirtualHost,
            )
    }

    fn may_see(&self, key: &ServiceKey) -> bool {
        self.is_exported(key) && self.listens_to(key)
    }

    fn is_exported(&self, key: &ServiceKey) -> bool {
        let facts = self.mesh.lookups().service_facts(key);
        facts.is_some_and(|f| f.visibility.includes(&self.facts.namespace))
    }

    fn listens_to(&self, key: &ServiceKey) -> bool {
        self.imports(key, IndexKind::Service)
    }

    /// Whether an egress listener of the Sidecar, if there is one with any, selects the name.
    fn imports(&self, key: &ServiceKey, kind: IndexKind) -> bool {
        match &self.sidecar {
            Some(sidecar) if !sidecar.egress.is_empty() => sidecar.egress.iter().any(|l| l.selects_entry(key, kind)),
            _ => true,
        }
    }

    /// Among services with one host: the client's own namespace's, then Kubernetes', then the oldest.
    fn rank(&self, key: &ServiceKey) -> impl Ord + use<> {
        let facts = self.mesh.lookups().service_facts(key);
        (
            key.namespace == self.facts.namespace,
            facts.is_some_and(|f| f.kubernetes),
            Reverse(facts.map(|f| f.precedence.clone())),
            Reverse(key.namespace.clone()),
        )
    }

    /// Every name in scope, in the order of the names: services, and hosts that only VirtualServices know.
    pub(super) fn index(&self, parts: &mut Vec<Arc<SharedPart>>) {
        let virtual_hosts = self.virtual_hosts();
        parts.extend(
            self.mesh
                .parts(Kind::Index)
                .filter(|shared| match shared.part() {
                    Part::Index(entry) => match entry.kind {
                        IndexKind::Service => self.sees_service(&entry.key),
                        IndexKind::VirtualHost => virtual_hosts.contains(shared.name().as_str()),
                    },
                    _ => false,
                })
                .cloned(),
        );
    }

    /// Names of entries for hosts that no visible service has; of several VirtualServices, the one in force's.
    fn virtual_hosts(&self) -> BTreeSet<String> {
        if self.facts.role == Role::Gateway {
            return BTreeSet::new();
        }
        let mut names = BTreeMap::new();
        for (host, routes) in self.mesh.lookups().mesh_routes.iter() {
            let seen = self.first_of(host, routes, Section::Http);
            if let Some(route) = seen.filter(|_| !self.knows_host(host)) {
                let key = ServiceKey { namespace: route.name.namespace.clone(), host: host.clone() };
                names.insert(host.clone(), key.to_string());
            }
        }
        names.into_values().collect()
    }
}

/// See [`Sidecar::choose`].
fn choose_sidecar(mesh: &Mesh, facts: &ProxyFacts, root: &Namespace) -> Option<Arc<Sidecar>> {
    let of = |namespace: &Namespace| mesh.lookups().sidecars.get(namespace).map_or(&[][..], Vec::as_slice).iter();
    Sidecar::choose(of(&facts.namespace).chain(of(root)), &facts.namespace, &facts.labels, root)
}
