//! Pods, WorkloadEntries and inline endpoints → workloads: who stands behind endpoints.

use super::{context::Inputs, kubernetes};
use crate::world::CLUSTER;
use mesh_config::{
    crd::networking::{EntryEndpoint, ServiceEntry, WorkloadEntry},
    identity::SpiffeId,
    model::{Labels, Part, Settings, Workload, endpoint::EndpointAddress, workload::WorkloadInfo},
    name::{Namespace, Port},
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// Says whether a workload's proxy accepts mutual TLS: `istio`, `disabled`.
pub(super) const TLS_MODE: &str = "security.istio.io/tlsMode";

/// A workload and how it is reached.
#[derive(Debug, Clone)]
pub(super) struct Backing {
    pub(super) workload: Arc<Workload>,
    pub(super) namespace: Namespace,
    /// `None` when only its network is known.
    pub(super) address: Option<EndpointAddress>,
    /// By the name of the service's port; others listen on the service's target port.
    pub(super) ports: BTreeMap<Arc<str>, Port>,
    pub(super) weight: u32,
    /// Its proxy accepts mutual TLS, unless PeerAuthentication says otherwise.
    pub(super) mutual_tls: bool,
    /// Whether it may be an endpoint of a service that selects it.
    pub(super) ready: bool,
}

impl Backing {
    pub(super) fn is_pod(&self) -> bool {
        self.workload.uid.starts_with(kubernetes::pod_uid(CLUSTER, "", "").trim_end_matches('/'))
    }
}

/// Namespace, label and value.
type LabelIn = (Arc<str>, Arc<str>, Arc<str>);

/// Pods and WorkloadEntries, found by name and by label.
#[derive(Default)]
pub(super) struct Workloads {
    all: Vec<Backing>,
    by_uid: HashMap<Arc<str>, usize>,
    /// So that a selector does not look at every workload.
    by_label: HashMap<LabelIn, Vec<usize>>,
    by_namespace: HashMap<Arc<str>, Vec<usize>>,
}

impl Workloads {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Backing> {
        self.all.iter()
    }

    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<&Backing> {
        self.by_uid.get(kubernetes::pod_uid(CLUSTER, namespace, name).as_str()).map(|&i| &self.all[i])
    }

    /// Workloads of a namespace that a selector selects.
    pub(super) fn select<'a>(&'a self, namespace: &str, selector: &'a Labels) -> impl Iterator<Item = &'a Backing> {
        let namespace: Arc<str> = namespace.into();
        let with = |(key, value): (&Arc<str>, &Arc<str>)| {
            self.by_label.get(&(namespace.clone(), key.clone(), value.clone())).map_or(&[][..], Vec::as_slice)
        };
        let all = || self.by_namespace.get(&namespace).map_or(&[][..], Vec::as_slice);
        let candidates = selector.0.iter().map(with).min_by_key(|list| list.len()).unwrap_or_else(all);
        candidates.iter().map(|&i| &self.all[i]).filter(|b| selector.selects(&b.workload.labels))
    }

    /// The parts: these workloads and those of inline endpoints.
    pub(super) fn into_parts(self, inline: Vec<Arc<Workload>>) -> impl Iterator<Item = Part> {
        self.all.into_iter().map(|b| b.workload).chain(inline).map(Part::Workload)
    }

    fn add(&mut self, backing: Backing) {
        let (place, namespace) = (self.all.len(), backing.workload.info.namespace.clone());
        for (key, value) in &backing.workload.labels.0 {
            self.by_label.entry((namespace.clone(), key.clone(), value.clone())).or_default().push(place);
        }
        self.by_namespace.entry(namespace).or_default().push(place);
        self.by_uid.insert(backing.workload.uid.clone(), place);
        self.all.push(backing);
    }
}

/// Pods and WorkloadEntries.
pub(super) fn compile(inputs: &Inputs<'_>, settings: &Settings) -> Workloads {
    let mut workloads = Workloads::default();
    let nodes = inputs.nodes.iter().map(|node| (&*node.value.name, &node.value.locality)).collect();
    let holders = kubernetes::holders(inputs);
    // One that has ended has an address that is somebody else's by now.
    for input in inputs.pods.iter().filter(|input| !input.value.has_ended()) {
        workloads.add(kubernetes::pod(input, CLUSTER, settings, &nodes, &holders));
    }
    for input in &inputs.workload_entries {
        workloads.add(of_entry(input.value, settings));
    }
    workloads
}

fn of_entry(entry: &WorkloadEntry, settings: &Settings) -> Backing {
    let (namespace, name) = (entry.name.namespace.as_str(), &entry.name.name);
    // Labels of the object and of its spec are one set; the object's win.
    let mut labels = entry.endpoint.labels.clone();
    labels.0.extend(entry.meta.labels.0.clone());
    let uid = format!("{CLUSTER}/networking.istio.io/WorkloadEntry/{namespace}/{name}");
    backing(uid.into(), (namespace, name), labels, &entry.endpoint, settings)
}

/// An inline endpoint of a ServiceEntry; `repeat` counts those before it with the same address.
pub(super) fn inline(entry: &ServiceEntry, endpoint: &EntryEndpoint, repeat: usize, settings: &Settings) -> Backing {
    let (namespace, name) = (entry.name.namespace.as_str(), &entry.name.name);
    let address = match &endpoint.address {
        Some(EndpointAddress::Ip(ip)) => ip.to_string(),
        Some(EndpointAddress::Name(name)) => name.to_string(),
        Some(EndpointAddress::Unix(path)) => format!("unix:{path}"),
        None => endpoint.network.to_string(),
    };
    let nth = if repeat == 0 { String::new() } else { format!("#{repeat}") };
    let uid = format!("{CLUSTER}/networking.istio.io/ServiceEntry/{namespace}/{name}/{address}{nth}");
    backing(uid.into(), (namespace, name), endpoint.labels.clone(), endpoint, settings)
}

fn backing(
    uid: Arc<str>,
    (namespace, name): (&str, &Arc<str>),
    labels: Labels,
    endpoint: &EntryEndpoint,
    settings: &Settings,
) -> Backing {
    let account = &endpoint.service_account;
    let identity = (!account.is_empty()).then(|| SpiffeId::new(settings.trust_domain.clone(), namespace, account));
    let mutual_tls = match labels.get(TLS_MODE) {
        Some(mode) => &**mode == "istio",
        // As Istio: who has an identity of the mesh has a proxy, unless a label says otherwise.
        None => !account.is_empty(),
    };
    let addresses: Vec<IpAddr> = match &endpoint.address {
        Some(EndpointAddress::Ip(ip)) => vec![*ip],
        Some(EndpointAddress::Name(_) | EndpointAddress::Unix(_)) | None => Vec::new(),
    };
    Backing {
        namespace: namespace.into(),
        address: endpoint.address.clone(),
        ports: endpoint.ports.clone(),
        weight: endpoint.weight.max(1),
        mutual_tls,
        ready: true,
        workload: Arc::new(Workload {
            uid,
            addresses,
            info: Arc::new(info(namespace, name, &labels)),
            labels,
            service_account: account.clone(),
            identity,
            locality: endpoint.locality.clone(),
            network: endpoint.network.clone(),
        }),
    }
}

/// What telemetry says about a workload called `name` with these labels.
pub(super) fn info(namespace: &str, name: &Arc<str>, labels: &Labels) -> WorkloadInfo {
    let first = |keys: &[&str]| keys.iter().find_map(|key| labels.get(key).filter(|v| !v.is_empty())).cloned();
    let app = first(&["app.kubernetes.io/name", "app"]);
    let version = first(&["app.kubernetes.io/version", "version"]);
    WorkloadInfo {
        workload: name.clone(),
        namespace: namespace.into(),
        canonical_name: first(&["service.istio.io/canonical-name"])
            .or_else(|| app.clone())
            .unwrap_or_else(|| name.clone()),
        canonical_revision: first(&["service.istio.io/canonical-revision"])
            .or_else(|| version.clone())
            .unwrap_or_else(|| "latest".into()),
        app: app.unwrap_or_default(),
        version: version.unwrap_or_default(),
        cluster: CLUSTER.into(),
    }
}
