//! Memberships of workloads in service ports.

mod mtls;

use super::{
    claims::Claims,
    kubernetes,
    slices::Slices,
    workloads::{Backing, Workloads},
};
use crate::{object::ObjectId, world::World};
use mesh_config::{
    crd::{
        Parsed,
        networking::{EntryPort, ServiceEntry},
    },
    model::{
        Endpoint, Labels, Protocol, Service, ServiceKey,
        endpoint::{EndpointAddress, EndpointKey, Health},
        service::{Resolution, ServicePort},
        workload::Locality,
    },
    name::Port,
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

pub(super) use mtls::PeerPolicies;

/// What memberships come from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) world: &'a World,
    pub(super) workloads: &'a Workloads,
    pub(super) slices: &'a Slices,
    pub(super) claims: &'a Claims,
    pub(super) peers: &'a PeerPolicies,
}

/// The memberships in one service.
#[derive(Default)]
pub(super) struct Members {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// Uids of those that have ports by it.
    pub(super) workloads: BTreeSet<Arc<str>>,
}

/// A port of a workload that belongs to a service.
pub(super) struct Inbound {
    pub(super) target_port: Port,
    pub(super) service: ServiceKey,
    pub(super) port: ServicePort,
}

/// Takes the memberships in one service; each port and workload once.
pub(super) struct Collected<'a> {
    pub(super) service: &'a Service,
    peers: &'a PeerPolicies,
    members: Members,
    inbound: Vec<(Arc<str>, Inbound)>,
    seen: BTreeSet<(Port, Arc<str>)>,
}

/// All memberships in a service that these objects are about, and by uid the inbound ports of workloads that have an
/// identity. `target`: the memberships in the service that it is another name of.
pub(super) fn of_service(
    service: &Service,
    objects: &[ObjectId],
    from: Sources<'_>,
    target: Option<&Members>,
) -> (Members, Vec<(Arc<str>, Inbound)>) {
    let (peers, members) = (from.peers, Members::default());
    let mut found = Collected { service, peers, members, inbound: Vec::new(), seen: BTreeSet::new() };
    let parsed = || objects.iter().filter_map(|object| from.world.parsed_one(object));
    for (_, parsed) in parsed() {
        match parsed {
            Parsed::Service(kube) => kubernetes::endpoints(kube, &from, &mut found),
            Parsed::ServiceEntry(entry) => of_entry(entry, from.workloads, &mut found),
            _ => {}
        }
    }
    match target {
        Some(target) => found.copy(target),
        None => parsed().for_each(|(_, parsed)| {
            if let Parsed::Service(kube) = parsed {
                kubernetes::external_name(kube, &mut found);
            }
        }),
    }
    (found.members, found.inbound)
}

fn of_entry(entry: &ServiceEntry, workloads: &Workloads, found: &mut Collected<'_>) {
    let service = found.service;
    if matches!(entry.resolution, Resolution::Passthrough) {
        return;
    }
    let selected: Vec<Cow<'_, Backing>> = match &entry.workload_selector {
        Some(selector) => {
            let ready = workloads.select(entry.name.namespace.as_str(), selector).filter(|b| b.ready);
            ready.map(|backing| called_through(entry, backing)).collect()
        }
        None => workloads.inline(&entry.name).iter().map(|backing| called_through(entry, backing)).collect(),
    };
    for port in &entry.ports {
        let Some(known) = service.port(port.port.number) else { continue };
        let target = port.target_port.unwrap_or(port.port.number);
        for backing in &selected {
            let target = backing.ports.get(&port.port.name).copied().unwrap_or(target);
            found.add(known, backing, target, Health::Healthy);
        }
    }
    if selected.is_empty() && entry.workload_selector.is_none() {
        names_itself(entry, found);
    }
}

/// What an entry outside of the mesh names is never called with the mesh's mutual TLS, whoever it is.
fn called_through<'a>(entry: &ServiceEntry, backing: &'a Backing) -> Cow<'a, Backing> {
    match entry.external && backing.mutual_tls {
        true => Cow::Owned(Backing { mutual_tls: false, ..backing.clone() }),
        false => Cow::Borrowed(backing),
    }
}

/// A host to resolve that lists no endpoints stands for itself.
fn names_itself(entry: &ServiceEntry, found: &mut Collected<'_>) {
    let host = &found.service.key.host;
    let by_name = matches!(entry.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    if !by_name || host.is_wildcard() {
        return;
    }
    for EntryPort { port, target_port } in &entry.ports {
        let target = target_port.unwrap_or(port.number);
        found.add_name(port, host.shared(), target);
    }
}

impl Collected<'_> {
    /// `None`: it is known, or has none.
    fn key(&mut self, port: &ServicePort, id: Arc<str>) -> Option<EndpointKey> {
        let is_new = port.protocol != Protocol::Udp && self.seen.insert((port.number, id.clone()));
        is_new.then(|| EndpointKey { service: self.service.key.clone(), port: port.number, id })
    }

    /// One membership of a workload.
    pub(super) fn add(&mut self, port: &ServicePort, backing: &Backing, target: Port, health: Health) {
        let Some(address) = &backing.address else { return };
        let workload = &backing.workload;
        let Some(key) = self.key(port, workload.uid.clone()) else { return };
        let mutual_tls = self.peers.take_mutual_tls(backing, Some(target));
        // What a namespace says of another's workload makes no port of it.
        if workload.identity.is_some() && backing.namespace == key.service.namespace {
            let inbound = Inbound { target_port: target, service: key.service.clone(), port: port.clone() };
            self.members.workloads.insert(workload.uid.clone());
            self.inbound.push((workload.uid.clone(), inbound));
        }
        self.members.endpoints.push(Arc::new(Endpoint {
            key,
            address: address.clone(),
            target_port: target.get(),
            labels: workload.labels.clone(),
            health,
            weight: backing.weight,
            locality: workload.locality.clone(),
            mutual_tls,
            identity: workload.identity.clone(),
            workload: (!self.service.external).then(|| workload.info.clone()),
        }));
    }

    /// One membership of a name that proxies resolve.
    pub(super) fn add_name(&mut self, port: &ServicePort, name: Arc<str>, target: Port) {
        self.add_address(port, (EndpointAddress::Name(name.clone()), target), name, Health::Healthy);
    }

    /// Memberships in another service become those of this one too, port by port.
    fn copy(&mut self, theirs: &Members) {
        for endpoint in &theirs.endpoints {
            let Some(port) = self.service.port(endpoint.key.port) else { continue };
            if let Some(key) = self.key(port, endpoint.key.id.clone()) {
                self.members.endpoints.push(Arc::new(Endpoint { key, ..Endpoint::clone(endpoint) }));
            }
        }
    }

    /// One membership of an address that no workload has.
    pub(super) fn add_address(
        &mut self,
        port: &ServicePort,
        (address, target): (EndpointAddress, Port),
        id: Arc<str>,
        health: Health,
    ) {
        let Some(key) = self.key(port, id) else { return };
        self.members.endpoints.push(Arc::new(Endpoint {
            key,
            address,
            target_port: target.get(),
            labels: Labels::default(),
            health,
            weight: 1,
            locality: Locality::default(),
            mutual_tls: false,
            identity: None,
            workload: None,
        }));
    }
}
