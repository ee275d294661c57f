//! Pods, WorkloadEntries and inline endpoints → workloads: who stands behind endpoints.

use super::{by_address::Captured, kubernetes};
use crate::{object::own_cluster, world::CLUSTER};
use mesh_config::{
    crd::networking::{EntryEndpoint, ServiceEntry, WorkloadEntry},
    identity::SpiffeId,
    model::{Labels, Settings, Workload, endpoint::EndpointAddress, workload::WorkloadInfo},
    name::{Namespace, NamespacedName, Port},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
    /// The ports whose callers its proxy is given; `None`: all.
    pub(super) captured: Option<Arc<Captured>>,
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

/// Pods, WorkloadEntries and inline endpoints, found by name and by label.
#[derive(Default)]
pub(super) struct Workloads {
    by_uid: HashMap<Arc<str>, Backing>,
    /// So that a selector does not look at every workload.
    by_label: HashMap<LabelIn, BTreeSet<Arc<str>>>,
    by_namespace: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// By ServiceEntry, in the order of its list.
    inline: HashMap<NamespacedName, Vec<Backing>>,
    /// Of the inline ones those inside the mesh, which are workloads of their own.
    inside: HashMap<Arc<str>, Backing>,
}

impl Workloads {
    /// A workload of any source.
    pub(super) fn get(&self, uid: &str) -> Option<&Backing> {
        self.by_uid.get(uid).or_else(|| self.inside.get(uid))
    }

    /// Uids of all.
    pub(super) fn uids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_uid.keys().chain(self.inside.keys())
    }

    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<&Backing> {
        self.by_uid.get(kubernetes::pod_uid(CLUSTER, namespace, name).as_str())
    }

    /// Endpoints that a ServiceEntry lists itself.
    pub(super) fn inline(&self, entry: &NamespacedName) -> &[Backing] {
        self.inline.get(entry).map_or(&[], Vec::as_slice)
    }

    /// Workloads of a namespace that a selector selects.
    pub(super) fn select<'a>(&'a self, namespace: &str, selector: &'a Labels) -> impl Iterator<Item = &'a Backing> {
        let namespace: Arc<str> = namespace.into();
        let none = || const { &BTreeSet::new() };
        let with = |(key, value): (&Arc<str>, &Arc<str>)| {
            self.by_label.get(&(namespace.clone(), key.clone(), value.clone())).unwrap_or_else(none)
        };
        let all = || self.by_namespace.get(&namespace).unwrap_or_else(none);
        let candidates = selector.0.iter().map(with).min_by_key(|list| list.len()).unwrap_or_else(all);
        let known = candidates.iter().filter_map(|uid| self.by_uid.get(uid));
        known.filter(|backing| selector.selects(&backing.workload.labels))
    }

    /// Replaces a pod's or WorkloadEntry's. Gives what it was.
    pub(super) fn put(&mut self, uid: &Arc<str>, mut now: Option<Backing>) -> Option<Backing> {
        let before = self.by_uid.remove(uid);
        let mut is_same = false;
        if let (Some(now), Some(before)) = (&mut now, &before)
            && now.workload == before.workload
        {
            is_same = true;
            now.workload = before.workload.clone();
        }
        if let Some(before) = before.as_ref().filter(|_| !is_same) {
            self.index(before, |set| set.remove(uid));
        }
        if let Some(now) = now {
            if !is_same {
                self.index(&now, |set| set.insert(uid.clone()));
            }
            self.by_uid.insert(uid.clone(), now);
        }
        before
    }

    fn index(&mut self, backing: &Backing, change: impl Fn(&mut BTreeSet<Arc<str>>) -> bool) {
        let namespace = &backing.workload.info.namespace;
        for (key, value) in backing.workload.labels.0.iter() {
            let label = (namespace.clone(), key.clone(), value.clone());
            change(self.by_label.entry(label.clone()).or_default());
            if self.by_label.get(&label).is_some_and(BTreeSet::is_empty) {
                self.by_label.remove(&label);
            }
        }
        change(self.by_namespace.entry(namespace.clone()).or_default());
        if self.by_namespace.get(namespace).is_some_and(BTreeSet::is_empty) {
            self.by_namespace.remove(namespace);
        }
    }

    /// Replaces the endpoints that a ServiceEntry lists; `None`: it is gone. Gives the uids of those that are workloads of
    /// their own, or were.
    pub(super) fn put_inline(
        &mut self,
        name: &NamespacedName,
        entry: Option<&ServiceEntry>,
        settings: &Settings,
    ) -> BTreeSet<Arc<str>> {
        let before = self.inline.remove(name).unwrap_or_default();
        let gone: Vec<Arc<str>> = before.into_iter().map(|backing| backing.workload.uid.clone()).collect();
        gone.iter().for_each(|uid| drop(self.inside.remove(uid)));
        let mut uids: BTreeSet<Arc<str>> = gone.into_iter().collect();
        let Some(entry) = entry.filter(|entry| !entry.endpoints.is_empty()) else { return uids };
        let now = inline_of(entry, settings);
        for backing in now.iter().filter(|backing| !entry.external && !backing.workload.addresses.is_empty()) {
            self.inside.insert(backing.workload.uid.clone(), backing.clone());
            uids.insert(backing.workload.uid.clone());
        }
        self.inline.insert(name.clone(), now);
        uids
    }
}

/// Uid of a WorkloadEntry's workload.
pub(super) fn entry_uid(namespace: &str, name: &str) -> String {
    format!("{CLUSTER}/networking.istio.io/WorkloadEntry/{namespace}/{name}")
}

/// A WorkloadEntry's workload.
pub(super) fn of_entry(entry: &WorkloadEntry, settings: &Settings) -> Backing {
    let (namespace, name) = (entry.name.namespace.as_str(), &entry.name.name);
    let labels = entry.endpoint.labels.clone();
    backing(entry_uid(namespace, name).into(), (namespace, name), labels, &entry.endpoint, settings)
}

fn inline_of(entry: &ServiceEntry, settings: &Settings) -> Vec<Backing> {
    let mut repeats: BTreeMap<String, usize> = BTreeMap::new();
    let one = |endpoint: &EntryEndpoint| {
        let repeat = repeats.entry(format!("{:?}", endpoint.address)).or_default();
        let backing = inline(entry, endpoint, *repeat, settings);
        *repeat += 1;
        backing
    };
    entry.endpoints.iter().map(one).collect()
}

/// An inline endpoint of a ServiceEntry; `repeat` counts those before it with the same address.
fn inline(entry: &ServiceEntry, endpoint: &EntryEndpoint, repeat: usize, settings: &Settings) -> Backing {
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
        captured: None,
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
            mutual_tls: false,
            mutual_tls_except: Vec::new(),
            headless: Vec::new(),
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
        cluster: own_cluster(),
    }
}
