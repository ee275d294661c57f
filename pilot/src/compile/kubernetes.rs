//! Kubernetes' Services, EndpointSlices, Pods and Secrets, as the passes need them.

use super::{
    context::{Input, Inputs},
    endpoints::Adder,
    services::Registry,
    workloads::{self, Backing, Workloads},
};
use crate::{
    mesh::{Nodes, ServiceFacts},
    world::CLUSTER,
};
use ipnet::IpNet;
use mesh_config::{
    crd::kubernetes::{EndpointSlice, KubePort, Pod, Service as KubeService, ServiceKind, SliceEndpoint, TargetPort},
    identity::SpiffeId,
    model::{
        Labels, Service, ServiceKey, Settings, Workload,
        endpoint::{EndpointAddress, Health},
        service::Resolution,
        workload::Locality,
    },
    name::{Host, Namespace, NamespacedName, Port},
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

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

fn key(kube: &KubeService) -> ServiceKey {
    ServiceKey { namespace: Namespace::from(&*kube.meta.namespace), host: kube.host.clone() }
}

/// The service that an ExternalName stands for, when the mesh knows it.
pub(super) fn alias<'a>(kube: &KubeService, registry: &'a Registry) -> Option<&'a Service> {
    let ServiceKind::ExternalName(host) = &kube.kind else { return None };
    registry.with_host(host).find(|target| target.key != key(kube) && target.resolution == Resolution::Static)
}

/// Which pod has an address now, where several objects say so: a node that has lost its pods still tells of them, and
/// their addresses are given away. One that is not being deleted, then the youngest. Pods that share their node's
/// address have none of their own.
pub(super) fn holders<'a>(inputs: &Inputs<'a>) -> Holders<'a> {
    let mut holders: HashMap<IpAddr, &Pod> = HashMap::new();
    let rank = |pod: &Pod| (!pod.terminating, pod.meta.created);
    for pod in inputs.pods.iter().map(|input| input.value).filter(|pod| !pod.has_ended() && !pod.host_network) {
        for address in &pod.addresses {
            let holder = holders.entry(*address).or_insert(pod);
            if rank(pod) > rank(holder) {
                *holder = pod;
            }
        }
    }
    holders
}

/// By address.
type Holders<'a> = HashMap<IpAddr, &'a Pod>;

/// A pod's workload. `nodes`: where they are.
pub(super) fn pod(
    input: &Input<'_, Pod>,
    cluster: &str,
    settings: &Settings,
    nodes: &HashMap<&str, &Locality>,
    holders: &Holders<'_>,
) -> Backing {
    let pod = input.value;
    let own =
        pod.addresses.iter().copied().filter(|address| holders.get(address).is_some_and(|h| std::ptr::eq(*h, pod)));
    let (namespace, labels) = (&*pod.meta.namespace, pod.meta.labels.clone());
    let identity = SpiffeId::new(settings.trust_domain.clone(), namespace, &pod.service_account);
    let name = pod.owner.clone().unwrap_or_else(|| pod.meta.name.clone());
    Backing {
        namespace: namespace.into(),
        address: pod.addresses.first().copied().map(EndpointAddress::Ip),
        ports: BTreeMap::new(),
        weight: 1,
        mutual_tls: labels.get(workloads::TLS_MODE).is_some_and(|mode| &**mode == "istio"),
        ready: pod.is_ready(),
        workload: Arc::new(Workload {
            uid: pod_uid(cluster, namespace, &pod.meta.name).into(),
            addresses: own.collect(),
            info: Arc::new(workloads::info(namespace, &name, &labels)),
            locality: locality(&labels, pod.node.as_ref().and_then(|node| nodes.get(&**node)).copied()),
            labels,
            service_account: pod.service_account.clone(),
            identity: Some(identity),
            network: "".into(),
        }),
    }
}

/// The nodes that pods are on.
pub(super) fn nodes(inputs: &Inputs<'_>) -> Nodes {
    let node = |pod: &Pod| Some((pod_uid(CLUSTER, &pod.meta.namespace, &pod.meta.name).into(), pod.node.clone()?));
    inputs.pods.iter().filter_map(|input| node(input.value)).collect()
}

/// From the label that a pod may carry, `region.zone.subzone`; else its node's.
fn locality(labels: &Labels, of_node: Option<&Locality>) -> Locality {
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
pub(super) fn endpoints(inputs: &Inputs<'_>, registry: &Registry, workloads: &Workloads, adder: &mut Adder<'_>) {
    let mut slices: HashMap<&NamespacedName, Vec<&EndpointSlice>> = HashMap::new();
    for input in &inputs.endpoint_slices {
        slices.entry(&input.value.service).or_default().push(input.value);
    }
    let pods: HashMap<(&str, &str), &Pod> =
        inputs.pods.iter().map(|p| ((&*p.value.meta.namespace, &*p.value.meta.name), p.value)).collect();
    for input in &inputs.services {
        let Some(service) = registry.get(&key(input.value)) else { continue };
        let own = slices.get(&input.object.name());
        for slice in own.into_iter().flatten() {
            of_slice(slice, input.value, service, workloads, adder);
        }
        of_selector(input.value, service, own.is_none(), (workloads, &pods), adder);
    }
}

fn of_slice(
    slice: &EndpointSlice,
    kube: &KubeService,
    service: &Service,
    workloads: &Workloads,
    adder: &mut Adder<'_>,
) {
    for endpoint in &slice.endpoints {
        let Some(health) = health(endpoint, kube.publish_not_ready) else { continue };
        let pod = endpoint.pod.as_ref().and_then(|pod| workloads.pod(pod.namespace.as_str(), &pod.name));
        for address in &endpoint.addresses {
            let backing = pod.map(|pod| Backing { address: Some(EndpointAddress::Ip(*address)), ..pod.clone() });
            for port in &service.ports {
                let Some(target) = slice.ports.iter().find(|p| p.name == port.name) else { continue };
                match &backing {
                    Some(backing) => adder.add(service, port, backing, target.number, health),
                    None => {
                        let id = address.to_string().into();
                        adder.add_address(service, port, (EndpointAddress::Ip(*address), target.number), id, health);
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

fn of_selector(
    kube: &KubeService,
    service: &Service,
    with_pods: bool,
    (workloads, pods): (&Workloads, &HashMap<(&str, &str), &Pod>),
    adder: &mut Adder<'_>,
) {
    if kube.selector.is_empty() {
        return;
    }
    for backing in workloads.select(&kube.meta.namespace, &kube.selector) {
        let name = backing.workload.uid.rsplit('/').next().unwrap_or_default();
        let pod = backing.is_pod().then(|| pods.get(&(&*kube.meta.namespace, name))).flatten();
        if backing.is_pod() && !(with_pods && (backing.ready || kube.publish_not_ready)) {
            continue;
        }
        for KubePort { port, target } in &kube.ports {
            let named = |name: &str| pod.and_then(|pod| pod.port_named(name));
            let target: Option<Port> = backing.ports.get(&port.name).copied().or_else(|| match target {
                TargetPort::Number(number) => Some(*number),
                TargetPort::Name(name) if pod.is_some() => named(name),
                TargetPort::Name(name) => Some(backing.ports.get(name).copied().unwrap_or(port.number)),
            });
            if let Some(target) = target {
                adder.add(service, port, backing, target, Health::Healthy);
            }
        }
    }
}

/// An ExternalName has its target's endpoints where the mesh knows the target, else it is the target's name.
pub(super) fn external_names(inputs: &Inputs<'_>, registry: &Registry, adder: &mut Adder<'_>) {
    for input in &inputs.services {
        let ServiceKind::ExternalName(host) = &input.value.kind else { continue };
        let Some(service) = registry.get(&key(input.value)) else { continue };
        match alias(input.value, registry) {
            Some(target) => adder.copy(&target.key, service),
            None => name_of(host, service, adder),
        }
    }
}

fn name_of(host: &Host, service: &Service, adder: &mut Adder<'_>) {
    for port in &service.ports {
        adder.add_name(service, port, host.shared(), port.number);
    }
}
