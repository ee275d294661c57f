//! Kubernetes' Services, EndpointSlices, Pods and Secrets, as the passes need them.

use super::{
    by_address::Captured,
    context::{Input, Inputs},
    endpoints::{Collected, Sources},
    services::Registry,
    workloads::{self, Backing},
};
use crate::{
    mesh::{Nodes, ServiceFacts},
    object::ObjectId,
    world::{CLUSTER, World},
};
use ipnet::IpNet;
use mesh_config::{
    crd::{
        Head, Parsed,
        kubernetes::{EndpointSlice, KubePort, Pod, Service as KubeService, ServiceKind, SliceEndpoint, TargetPort},
    },
    identity::SpiffeId,
    kind::ObjectKind,
    model::{
        Labels, Service, ServiceKey, Settings, Workload,
        endpoint::{EndpointAddress, Health},
        service::Resolution,
        workload::Locality,
    },
    name::{Host, Namespace, NamespacedName, Port},
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// Uid of a pod's workload.
pub(super) fn pod_uid(cluster: &str, namespace: &str, name: &str) -> String {
    format!("{cluster}//Pod/{namespace}/{name}")
}

/// The mesh's service for a Kubernetes one.
/// `export_to`: where those are seen that say nothing.
pub(super) fn service(input: &Input<'_, KubeService>, export_to: &[Arc<str>]) -> (Service, ServiceFacts) {
    let kube = input.value;
    let (addresses, resolution) = match &kube.kind {
        ServiceKind::Cluster(addresses) => (addresses.clone(), Resolution::Static),
        ServiceKind::Headless => (Vec::new(), Resolution::Passthrough),
        ServiceKind::ExternalName(_) => (Vec::new(), Resolution::Dns),
    };
    let service = Service {
        key: key(kube),
        name: kube.meta.name.clone(),
        addresses: addresses.into_iter().map(IpNet::from).collect(),
        ports: kube.ports.iter().map(|p| p.port.clone()).collect(),
        resolution,
        external: matches!(kube.kind, ServiceKind::ExternalName(_)),
        headless: kube.kind == ServiceKind::Headless,
        subject_alt_names: Vec::new(),
    };
    let facts = ServiceFacts {
        visibility: kube.visibility(export_to),
        kubernetes: true,
        precedence: kube.precedence.clone(),
        node_local: kube.node_local,
    };
    (service, facts)
}

/// The key of the mesh's service for a Kubernetes one.
pub(super) fn key(kube: &KubeService) -> ServiceKey {
    ServiceKey { namespace: Namespace::from(&*kube.meta.namespace), host: kube.host.clone() }
}

/// ExternalNames that stand for a service of the mesh, and for which: the one at the end where they name each other.
pub(super) fn aliases(inputs: &Inputs<'_>, registry: &Registry) -> BTreeMap<ServiceKey, ServiceKey> {
    let external = inputs.services.iter().filter_map(|input| match &input.value.kind {
        ServiceKind::ExternalName(host) => Some((key(input.value), host)),
        ServiceKind::Cluster(_) | ServiceKind::Headless => None,
    });
    let external: BTreeMap<ServiceKey, &Host> = external.collect();
    let end = |alias: &ServiceKey| {
        let mut at = alias;
        for _ in 0..external.len() {
            let named: Vec<&Service> =
                registry.with_host(external.get(at)?).filter(|other| other.key != *alias).collect();
            if let Some(end) = named.iter().find(|other| other.resolution == Resolution::Static) {
                return Some(end.key.clone());
            }
            at = &named.into_iter().find(|other| external.contains_key(&other.key))?.key;
        }
        None
    };
    external.keys().filter_map(|alias| Some((alias.clone(), end(alias)?))).collect()
}

/// A pod's workload. `locality`: its node's. `own`: the addresses that are its own now.
pub(super) fn pod(pod: &Pod, settings: &Settings, locality: Option<&Locality>, own: Vec<IpAddr>) -> Backing {
    let (namespace, labels) = (&*pod.meta.namespace, pod.meta.labels.clone());
    let identity = SpiffeId::new(settings.trust_domain.clone(), namespace, &pod.service_account);
    let name = pod.owner.clone().unwrap_or_else(|| pod.meta.name.clone());
    let mutual_tls = labels.get(workloads::TLS_MODE).is_some_and(|mode| &**mode == "istio");
    Backing {
        namespace: namespace.into(),
        address: pod.addresses.first().copied().map(EndpointAddress::Ip),
        ports: BTreeMap::new(),
        weight: 1,
        mutual_tls,
        captured: mutual_tls.then(|| Arc::new(Captured::of(pod))),
        ready: pod.is_ready(),
        workload: Arc::new(Workload {
            uid: pod_uid(CLUSTER, namespace, &pod.meta.name).into(),
            addresses: own,
            info: Arc::new(workloads::info(namespace, &name, &labels)),
            locality: locality_of(&labels, locality),
            labels,
            service_account: pod.service_account.clone(),
            identity: Some(identity),
            network: "".into(),
            mutual_tls: false,
            mutual_tls_except: Vec::new(),
            headless: Vec::new(),
        }),
    }
}

/// The nodes that pods are on.
pub(super) fn nodes(world: &World) -> Nodes {
    let node = |pod: &Pod| Some((pod_uid(CLUSTER, &pod.meta.namespace, &pod.meta.name).into(), pod.node.clone()?));
    pods(world).filter_map(|(_, pod)| node(pod)).collect()
}

/// All pods.
pub(super) fn pods(world: &World) -> impl Iterator<Item = (&Arc<Head>, &Pod)> {
    world.parsed_of(ObjectKind::Pod).filter_map(|(head, parsed)| match parsed {
        Parsed::Pod(pod) => Some((head, pod)),
        _ => None,
    })
}

/// A pod.
pub(super) fn pod_named<'a>(world: &'a World, name: &NamespacedName) -> Option<(&'a Arc<Head>, &'a Pod)> {
    match world.parsed_one(&ObjectId::new(ObjectKind::Pod, name.clone()))? {
        (head, Parsed::Pod(pod)) => Some((head, pod)),
        _ => None,
    }
}

/// The locality of a node.
pub(super) fn locality_of_node<'a>(world: &'a World, node: &str) -> Option<&'a Locality> {
    match world.parsed_one(&ObjectId::new(ObjectKind::Node, NamespacedName::new("", node)))? {
        (_, Parsed::Node(node)) => Some(&node.locality),
        _ => None,
    }
}

/// From the label that a pod may carry, `region.zone.subzone`; else its node's.
fn locality_of(labels: &Labels, of_node: Option<&Locality>) -> Locality {
    let label = |name: &str| labels.get(name).filter(|text| !text.is_empty());
    let Some(text) = label("topology.istio.io/locality").or_else(|| label("istio-locality")) else {
        return of_node.cloned().unwrap_or_default();
    };
    let mut parts = text.split(['.', '/']).map(Arc::from);
    let mut next = || parts.next().unwrap_or_default();
    Locality { region: next(), zone: next(), subzone: next() }
}

/// Memberships from slices; WorkloadEntries that a Service selects; pods that it selects, where there is no slice
/// (as in a directory of hand-written objects).
pub(super) fn endpoints(kube: &KubeService, from: &Sources<'_>, members: &mut Collected<'_>) {
    let name = NamespacedName::new(&kube.meta.namespace, &kube.meta.name);
    let slices = from.slices.of(&name, from.world);
    for slice in &slices {
        of_slice(slice, kube, from, members);
    }
    of_selector(kube, slices.is_empty(), from, members);
}

/// An endpoint whose pod is named is that pod's or nobody's: one that has ended, or is not known yet, has no address. Of
/// one without a name the address says whose it is.
fn of_slice(slice: &EndpointSlice, kube: &KubeService, from: &Sources<'_>, members: &mut Collected<'_>) {
    let service = members.service;
    for endpoint in &slice.endpoints {
        let Some(health) = health(endpoint, kube.publish_not_ready) else { continue };
        let known = |pod: &NamespacedName| from.workloads.pod(pod.namespace.as_str(), &pod.name);
        let named = endpoint.pod.as_ref().map(known);
        if matches!(named, Some(None)) {
            continue;
        }
        for address in &endpoint.addresses {
            let by_address = || from.claims.holder(*address, from.world).and_then(known);
            let pod = named.unwrap_or_else(by_address);
            let backing = pod.map(|pod| Backing { address: Some(EndpointAddress::Ip(*address)), ..pod.clone() });
            for port in &service.ports {
                let Some(target) = slice.ports.iter().find(|p| p.name == port.name) else { continue };
                match &backing {
                    Some(backing) => members.add(port, backing, target.number, health),
                    None => {
                        let id = address.to_string().into();
                        members.add_address(port, (EndpointAddress::Ip(*address), target.number), id, health);
                    }
                }
            }
        }
    }
}

/// `None`: no endpoint at all.
fn health(endpoint: &SliceEndpoint, publish_not_ready: bool) -> Option<Health> {
    match (endpoint.ready || publish_not_ready, endpoint.serving && endpoint.terminating) {
        (true, _) => Some(Health::Healthy),
        (false, true) => Some(Health::Draining),
        (false, false) => None,
    }
}

fn of_selector(kube: &KubeService, with_pods: bool, from: &Sources<'_>, members: &mut Collected<'_>) {
    if kube.selector.is_empty() {
        return;
    }
    for backing in from.workloads.select(&kube.meta.namespace, &kube.selector) {
        if backing.is_pod() && !(with_pods && (backing.ready || kube.publish_not_ready)) {
            continue;
        }
        let name = backing.workload.uid.rsplit('/').next().unwrap_or_default();
        let pod = || pod_named(from.world, &NamespacedName::new(&kube.meta.namespace, name));
        let pod = if backing.is_pod() { pod() } else { None };
        for KubePort { port, target } in &kube.ports {
            let target: Option<Port> = backing.ports.get(&port.name).copied().or_else(|| match (target, pod) {
                (TargetPort::Number(number), _) => Some(*number),
                (TargetPort::Name(name), Some((_, pod))) => pod.port_named(name),
                (TargetPort::Name(name), None) => Some(backing.ports.get(name).copied().unwrap_or(port.number)),
            });
            if let Some(target) = target {
                members.add(port, backing, target, Health::Healthy);
            }
        }
    }
}

/// An ExternalName is its target's name where the mesh does not know the target.
pub(super) fn external_name(kube: &KubeService, members: &mut Collected<'_>) {
    let ServiceKind::ExternalName(host) = &kube.kind else { return };
    for port in &members.service.ports {
        members.add_name(port, host.shared(), port.number);
    }
}
