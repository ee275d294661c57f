//! Memberships of workloads in service ports.

mod mtls;

use super::{
    context::Inputs,
    kubernetes,
    services::{self, Registry},
    workloads::{self, Backing, Workloads},
};
use mesh_config::{
    crd::networking::{EntryPort, ServiceEntry},
    model::{
        Endpoint, Labels, Protocol, Service, ServiceKey, Settings, Workload,
        endpoint::{EndpointAddress, EndpointKey, Health},
        service::{Resolution, ServicePort},
        workload::Locality,
    },
    name::Port,
};
use mtls::PeerPolicies;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Every membership.
pub(super) struct Endpoints {
    /// In the order in which they were found.
    pub(super) list: Vec<Endpoint>,
    /// Workloads that only inline endpoints describe.
    pub(super) inline: Vec<Arc<Workload>>,
    /// Inbound ports by workload, of workloads that have an identity.
    pub(super) inbound: HashMap<Arc<str>, Vec<Inbound>>,
}

/// A port of a workload that belongs to a service.
pub(super) struct Inbound {
    pub(super) target_port: Port,
    pub(super) service: ServiceKey,
    pub(super) port: ServicePort,
}

/// Adds memberships; each service, port and workload once.
pub(super) struct Adder<'a> {
    pub(super) found: Endpoints,
    peers: PeerPolicies,
    seen: BTreeSet<EndpointKey>,
    settings: &'a Settings,
}

/// All memberships.
pub(super) fn compile(
    inputs: &Inputs<'_>,
    registry: &Registry,
    workloads: &Workloads,
    settings: &Settings,
) -> Endpoints {
    let found = Endpoints { list: Vec::new(), inline: Vec::new(), inbound: HashMap::new() };
    let peers = PeerPolicies::new(inputs, settings);
    let mut adder = Adder { found, peers, seen: BTreeSet::new(), settings };
    kubernetes::endpoints(inputs, registry, workloads, &mut adder);
    for input in &inputs.service_entries {
        of_entry(input.value, registry, workloads, &mut adder);
    }
    kubernetes::external_names(inputs, registry, &mut adder);
    adder.found
}

fn of_entry(entry: &ServiceEntry, registry: &Registry, workloads: &Workloads, adder: &mut Adder<'_>) {
    let inline = adder.inline(entry);
    let selected: Vec<Cow<'_, Backing>> = match &entry.workload_selector {
        Some(selector) => {
            let ready = workloads.select(entry.name.namespace.as_str(), selector).filter(|b| b.ready);
            ready.map(|backing| called_through(entry, backing)).collect()
        }
        None => inline.iter().map(|backing| called_through(entry, backing)).collect(),
    };
    for host in &entry.hosts {
        let Some(service) = registry.get(&services::entry_key(entry, host)) else { continue };
        if matches!(entry.resolution, Resolution::Passthrough) {
            continue;
        }
        for port in &entry.ports {
            let Some(known) = service.port(port.port.number) else { continue };
            let target = port.target_port.unwrap_or(port.port.number);
            for backing in &selected {
                let target = backing.ports.get(&port.port.name).copied().unwrap_or(target);
                adder.add(service, known, backing, target, Health::Healthy);
            }
        }
        if selected.is_empty() && entry.workload_selector.is_none() {
            names_itself(entry, service, adder);
        }
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
fn names_itself(entry: &ServiceEntry, service: &Service, adder: &mut Adder<'_>) {
    let by_name = matches!(entry.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    if !by_name || service.key.host.is_wildcard() {
        return;
    }
    for EntryPort { port, target_port } in &entry.ports {
        let target = target_port.unwrap_or(port.number);
        adder.add_name(service, port, service.key.host.shared(), target);
    }
}

impl Adder<'_> {
    /// The inline endpoints of an entry; those inside the mesh become workloads of their own.
    fn inline(&mut self, entry: &ServiceEntry) -> Vec<Backing> {
        let mut repeats: BTreeMap<String, usize> = BTreeMap::new();
        let mut made = Vec::with_capacity(entry.endpoints.len());
        for endpoint in &entry.endpoints {
            let repeat = repeats.entry(format!("{:?}", endpoint.address)).or_default();
            let backing = workloads::inline(entry, endpoint, *repeat, self.settings);
            *repeat += 1;
            if !entry.external && !backing.workload.addresses.is_empty() {
                self.found.inline.push(backing.workload.clone());
            }
            made.push(backing);
        }
        made
    }

    /// One membership of a workload.
    pub(super) fn add(
        &mut self,
        service: &Service,
        port: &ServicePort,
        backing: &Backing,
        target: Port,
        health: Health,
    ) {
        let Some(address) = &backing.address else { return };
        let workload = &backing.workload;
        let key = EndpointKey { service: service.key.clone(), port: port.number, id: workload.uid.clone() };
        if port.protocol == Protocol::Udp || !self.seen.insert(key.clone()) {
            return;
        }
        let mutual_tls = backing.mutual_tls && !self.peers.disabled(&backing.namespace, &workload.labels, target);
        if workload.identity.is_some() {
            let inbound = Inbound { target_port: target, service: service.key.clone(), port: port.clone() };
            self.found.inbound.entry(workload.uid.clone()).or_default().push(inbound);
        }
        self.found.list.push(Endpoint {
            key,
            address: address.clone(),
            target_port: target.get(),
            labels: workload.labels.clone(),
            health,
            weight: backing.weight,
            locality: workload.locality.clone(),
            mutual_tls,
            identity: workload.identity.clone(),
            workload: (!service.external).then(|| workload.info.clone()),
        });
    }

    /// One membership of a name that proxies resolve.
    pub(super) fn add_name(&mut self, service: &Service, port: &ServicePort, name: Arc<str>, target: Port) {
        self.add_address(service, port, (EndpointAddress::Name(name.clone()), target), name, Health::Healthy);
    }

    /// Memberships in one service become those of another too, port by port.
    pub(super) fn copy(&mut self, from: &ServiceKey, to: &Service) {
        let theirs: Vec<Endpoint> = self.found.list.iter().filter(|e| e.key.service == *from).cloned().collect();
        for endpoint in theirs.into_iter().filter(|e| to.port(e.key.port).is_some()) {
            let key = EndpointKey { service: to.key.clone(), ..endpoint.key };
            if self.seen.insert(key.clone()) {
                self.found.list.push(Endpoint { key, ..endpoint });
            }
        }
    }

    /// One membership of an address that no workload has.
    pub(super) fn add_address(
        &mut self,
        service: &Service,
        port: &ServicePort,
        (address, target): (EndpointAddress, Port),
        id: Arc<str>,
        health: Health,
    ) {
        let key = EndpointKey { service: service.key.clone(), port: port.number, id };
        if port.protocol == Protocol::Udp || !self.seen.insert(key.clone()) {
            return;
        }
        self.found.list.push(Endpoint {
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
        });
    }
}
