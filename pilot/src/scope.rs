//! Which parts may this proxy see? Pure: (mesh, what is proved and known about the proxy) → parts.
//!
//! What a proxy says about itself only picks among workloads of the namespace and service account that it proved;
//! its labels are the registry's. Rules that depend on the client (DestinationRule order, `exportTo`, `Sidecar`,
//! which VirtualService is a host's) are decided here, so that the parts themselves are the same for everybody.

mod locate;
mod policies;
mod routers;
mod secrets;
mod view;

pub use self::{
    locate::{locate, workload_at},
    secrets::names_secrets,
};

use self::view::View;
use crate::mesh::{Mesh, SharedPart};
use mesh_config::{
    kind::Role,
    model::{Kind, Labels, Part, PartName, Route, ServiceKey, destination, index::IndexKind, route::Section, settings},
    name::Namespace,
};
use std::{net::IpAddr, sync::Arc};

/// What is proved and known about a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyFacts {
    /// Proved by its token or certificate.
    pub namespace: Namespace,
    /// Proved by its token or certificate.
    pub service_account: Arc<str>,
    /// The cluster lets this account list the Secrets of its namespace; `false` also where that is not known, or where
    /// there is no cluster.
    pub lists_secrets: bool,
    /// As it says.
    pub role: Role,
    /// Uid of its workload, see [`locate`]; `None` when the registry has none.
    pub workload: Option<Arc<str>>,
    /// The registry's labels of that workload.
    pub labels: Labels,
    /// The registry's addresses of that workload.
    pub addresses: Vec<IpAddr>,
}

impl ProxyFacts {
    /// Of a proxy that proved a namespace and service account, with the workload that [`locate`] finds for it.
    pub fn resolve(
        mesh: &Mesh,
        role: Role,
        proved: (&Namespace, &str),
        claimed_name: Option<&str>,
        claimed_addresses: &[IpAddr],
    ) -> Self {
        let (namespace, service_account) = proved;
        let workload = locate(mesh, namespace, service_account, claimed_name, claimed_addresses);
        ProxyFacts {
            namespace: namespace.clone(),
            service_account: service_account.into(),
            lists_secrets: false,
            role,
            labels: workload.map(|w| w.labels.clone()).unwrap_or_default(),
            addresses: workload.map(|w| w.addresses.clone()).unwrap_or_default(),
            workload: workload.map(|w| w.uid.clone()),
        }
    }
}

/// Parts of the kinds that a proxy subscribes to as a whole.
#[derive(Debug, Clone, Default)]
pub struct Visible {
    /// In push order: by kind, then by name.
    pub parts: Vec<Arc<SharedPart>>,
}

/// A service's parts, as one proxy sees them.
#[derive(Debug, Clone, Default)]
pub struct Children {
    /// The rule in force for this client, if there is one.
    pub destinations: Vec<Arc<SharedPart>>,
    /// Every membership in the service.
    pub endpoints: Vec<Arc<SharedPart>>,
    /// The VirtualServices that count for the host and this client: at most one for requests, one for TLS, one for
    /// opaque bytes.
    pub routes: Vec<Arc<SharedPart>>,
    /// The service itself; `None` for a name that only VirtualServices know.
    pub service: Option<Arc<SharedPart>>,
}

impl Children {
    /// All of them, in the order in which they are sent: the service itself last.
    pub fn in_order(&self) -> impl Iterator<Item = &Arc<SharedPart>> {
        self.destinations.iter().chain(&self.endpoints).chain(&self.routes).chain(&self.service)
    }
}

/// The parts of the wildcard kinds that this proxy sees. While its workload is unknown: settings and trust alone.
pub fn visible(mesh: &Mesh, facts: &ProxyFacts) -> Visible {
    let mut parts: Vec<Arc<SharedPart>> = Vec::new();
    if facts.role.served().is_err() {
        return Visible { parts };
    }
    parts.extend(mesh.part(Kind::Settings, settings::NAME).cloned());
    parts.extend(mesh.parts(Kind::Trust).cloned());
    // Which policies select an unknown workload is unknown too, so it is told nothing else; that it has no Instance
    // tells it why.
    if facts.workload.is_none() {
        return Visible { parts };
    }
    let view = View::new(mesh, facts);
    parts.extend(instance(mesh, facts).cloned());
    let sidecar = view.sidecar().and_then(|s| mesh.part(Kind::Sidecar, &s.name.to_string()));
    parts.extend(sidecar.cloned());
    policies::select(mesh, facts, &view, &mut parts);
    secrets::select(mesh, facts, &mut parts);
    view.index(&mut parts);
    if facts.role == Role::Gateway {
        routers::gateways_and_routes(mesh, facts, &mut parts);
    }
    Visible { parts }
}

/// What belongs to one name of the index; `None` when this proxy does not see it.
pub fn children(mesh: &Mesh, facts: &ProxyFacts, key: &ServiceKey) -> Option<Children> {
    facts.workload.as_ref()?;
    let view = View::new(mesh, facts);
    let name = key.to_string();
    let entry = mesh.part(Kind::Index, &name)?;
    let Part::Index(index) = entry.part() else { return None };
    let part = |route: &Arc<Route>| mesh.part(Kind::Route, PartName::of(route.object, &route.name).as_str()).cloned();
    let routes: Vec<_> = view.routes_of(&key.host).into_iter().filter_map(part).collect();
    match index.kind {
        IndexKind::VirtualHost => {
            let alone = view.route_of(&key.host, Section::Http).is_some() && !view.knows_host(&key.host);
            alone.then(|| Children { routes, ..Children::default() })
        }
        IndexKind::Service => view.sees_service(key).then(|| {
            let client = destination::Client { namespace: &facts.namespace, labels: &facts.labels };
            let rules = mesh.lookups().destinations.covering(&key.host).flat_map(|(_, rules)| rules);
            let rule = destination::choose(rules, client, key, view.root());
            Children {
                destinations: rule
                    .and_then(|rule| mesh.part(Kind::Destination, PartName::of(rule.object, &rule.name).as_str()))
                    .cloned()
                    .into_iter()
                    .collect(),
                endpoints: endpoints(mesh, facts, key),
                routes,
                service: mesh.part(Kind::Service, &name).cloned(),
            }
        }),
    }
}

/// What pilot knows about the proxy's own workload.
pub fn instance<'a>(mesh: &'a Mesh, facts: &ProxyFacts) -> Option<&'a Arc<SharedPart>> {
    facts.role.served().ok()?;
    mesh.part(Kind::Instance, facts.workload.as_ref()?)
}

/// The memberships in a service. Who sees the service sees all of them, but of one that is for clients of the same node
/// alone those of its own.
pub fn endpoints(mesh: &Mesh, facts: &ProxyFacts, service: &ServiceKey) -> Vec<Arc<SharedPart>> {
    let prefix = format!("{service}/");
    let all = mesh.starting_with(Kind::Endpoint, &prefix);
    if !mesh.lookups().service_facts(service).is_some_and(|facts| facts.node_local) {
        return all.cloned().collect();
    }
    let nodes = &mesh.workloads().nodes;
    let own = facts.workload.as_ref().and_then(|workload| nodes.get(workload));
    let is_near = |shared: &&Arc<SharedPart>| match shared.part() {
        Part::Endpoint(endpoint) => own.is_some() && nodes.get(&endpoint.key.id) == own,
        _ => false,
    };
    all.filter(is_near).cloned().collect()
}

#[cfg(test)]
mod tests;
