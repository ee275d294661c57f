//! Services in use into clusters, each with an index of its own for live state.

use super::{Services, Sources};
use crate::snapshot::{
    Snapshot,
    cluster::{Cluster, ClusterId, ClusterKey, EndpointCell, Secret},
    outbound::{PortInUse, ServiceInUse, cluster_name},
};
use mesh_config::{
    kind::Role,
    model::{
        Destination, PartName, Protocol, Service, Settings,
        destination::{Client, ConnectionPool, EffectivePolicy, UpstreamTls, choose},
        service::{Resolution, ServicePort},
    },
    name::{Namespace, NamespacedName},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// Gives out indexes; the same key keeps its own.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    ids: HashMap<ClusterKey, ClusterId>,
    next: u32,
    free: Vec<ClusterId>,
    told: Vec<ClusterId>,
}

impl Clusters {
    pub(super) fn id(&mut self, key: &ClusterKey) -> ClusterId {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            let id = ClusterId(self.next);
            self.next += 1;
            id
        });
        self.ids.insert(key.clone(), id);
        id
    }

    /// A change begins: what the one before retired is known to live state by now.
    pub(super) fn begin(&mut self) {
        self.free.append(&mut self.told);
    }

    /// Takes back the indexes of keys that the snapshot does not have.
    pub(super) fn retire(&mut self, snapshot: &Snapshot) -> Vec<ClusterId> {
        let outbound = snapshot.outbound.clusters();
        let inbound = snapshot.local().into_iter().flat_map(|local| local.inbound.clusters());
        let used: HashSet<ClusterId> = outbound.chain(inbound).map(|c| c.id).collect();
        if used.len() == self.ids.len() {
            return Vec::new();
        }
        self.ids.retain(|_, id| {
            let keep = used.contains(id);
            if !keep {
                self.told.push(*id);
            }
            keep
        });
        self.told.clone()
    }

    /// One of the clusters that every proxy has.
    pub(super) fn special(&mut self, key: ClusterKey) -> Cluster {
        let name = match &key {
            ClusterKey::Passthrough => "PassthroughCluster",
            ClusterKey::InboundPassthrough => "InboundPassthroughCluster",
            _ => "BlackHoleCluster",
        };
        let pool = ConnectionPool { http_idle_timeout: Some(Duration::from_secs(300)), ..ConnectionPool::default() };
        // Whoever is called by an address says whether its calls are made with the mesh's mutual TLS.
        let tls = (key != ClusterKey::Passthrough).then_some(UpstreamTls::Disable);
        Cluster {
            id: self.id(&key),
            key,
            name: name.into(),
            sni: "".into(),
            protocol: Protocol::Auto,
            resolution: Resolution::Passthrough,
            subset_labels: Default::default(),
            policy: EffectivePolicy { connection_pool: pool, tls, ..Default::default() },
            secret: Secret::Unnamed,
            external: true,
            subject_alt_names: Arc::new([]),
            service_host: "".into(),
            service_name: name.into(),
            service_namespace: "".into(),
            endpoints: Default::default(),
            local: None,
        }
    }
}

/// The services in use; those that come out as they were keep their compiled form. `settled`: the settings are those by
/// which the ones before were compiled.
pub(super) fn services(sources: &Sources<'_>, before: &Services, settled: bool, ids: &mut Clusters) -> Services {
    let rules = Rules::new(sources);
    let compiled = sources.parts.services.iter().map(|(key, service)| {
        let (old, rule) = (before.get(key), rules.of(service));
        let from_the_same = |old: &&Arc<ServiceInUse>| {
            settled
                && Arc::ptr_eq(&old.service, service)
                && old.destination.as_ref().map(Arc::as_ptr) == rule.map(Arc::as_ptr)
                && rule.is_none_or(|rule| rule.secrets().next().is_none())
        };
        let new = match old.filter(from_the_same) {
            Some(old) => old.clone(),
            None => compile(sources, service, rule, old, ids),
        };
        (key.clone(), new)
    });
    compiled.collect()
}

/// DestinationRules by the hosts that they name.
struct Rules<'a> {
    client: Client<'a>,
    root: &'a Namespace,
    exact: HashMap<&'a str, Vec<&'a Arc<Destination>>>,
    wildcards: Vec<&'a Arc<Destination>>,
}

impl<'a> Rules<'a> {
    fn new(sources: &Sources<'a>) -> Self {
        let client = Client { namespace: &sources.own.namespace, labels: &sources.own.labels };
        let root = &sources.settings.root_namespace;
        let mut rules = Rules { client, root, exact: HashMap::new(), wildcards: Vec::new() };
        for rule in sources.parts.destinations.values() {
            match rule.host.is_wildcard() {
                true => rules.wildcards.push(rule),
                false => rules.exact.entry(rule.host.as_str()).or_default().push(rule),
            }
        }
        rules
    }

    /// The one in force for this client.
    fn of(&self, service: &Service) -> Option<&'a Arc<Destination>> {
        let exact = self.exact.get(service.key.host.as_str()).into_iter().flatten();
        choose(exact.chain(&self.wildcards).copied(), self.client, &service.key, self.root)
    }
}

fn compile(
    sources: &Sources<'_>,
    service: &Arc<Service>,
    rule: Option<&Arc<Destination>>,
    old: Option<&Arc<ServiceInUse>>,
    ids: &mut Clusters,
) -> Arc<ServiceInUse> {
    let names: Arc<[Arc<str>]> = service.subject_alt_names.clone().into();
    let ports = service.ports.iter().filter(|p| p.protocol != Protocol::Udp).map(|port| {
        let was = old.and_then(|o| o.port(port.number));
        let cell = sources.parts.cell(&service.key, port.number);
        let mut cluster = |subset: Option<&Arc<str>>| {
            let new = one(sources, service, port, rule.map(|r| &**r), subset, &cell, &names, ids);
            match was.and_then(|w| w.subset(subset.map(|s| &**s))) {
                Some(old) if same(old, &new) => old.clone(),
                _ => Arc::new(new),
            }
        };
        let subsets = rule.map_or(&[][..], |r| &r.subsets);
        PortInUse {
            cluster: cluster(None),
            subsets: subsets.iter().map(|s| (s.name.clone(), cluster(Some(&s.name)))).collect(),
            port: port.clone(),
            endpoints: cell,
        }
    });
    let new = ServiceInUse { service: service.clone(), destination: rule.cloned(), ports: ports.collect() };
    match old {
        Some(old) if old.same(&new) => old.clone(),
        _ => Arc::new(new),
    }
}

#[expect(clippy::too_many_arguments, reason = "one call, all of different types")]
fn one(
    sources: &Sources<'_>,
    service: &Service,
    port: &ServicePort,
    rule: Option<&Destination>,
    subset: Option<&Arc<str>>,
    cell: &EndpointCell,
    names: &Arc<[Arc<str>]>,
    ids: &mut Clusters,
) -> Cluster {
    let subset_name = subset.map(|s| &**s);
    let host = service.key.host.as_str();
    let key = ClusterKey::Outbound { service: service.key.clone(), port: port.number, subset: subset.cloned() };
    let policy = rule.map(|r| r.effective(subset_name, port.number)).unwrap_or_default();
    let secret = rule.map_or(Secret::Unnamed, |rule| secret(sources, rule, &policy));
    let labels = rule.zip(subset_name).and_then(|(r, name)| r.subset(name)).map(|s| s.labels.clone());
    Cluster {
        id: ids.id(&key),
        key,
        name: cluster_name(port.number, subset_name, host),
        sni: format!("outbound_.{}_.{}_.{host}", port.number, subset_name.unwrap_or("")).into(),
        protocol: port.protocol,
        resolution: service.resolution,
        subset_labels: labels.unwrap_or_default(),
        policy: with_defaults(policy, sources.settings),
        secret,
        external: service.external,
        subject_alt_names: names.clone(),
        service_host: service.key.host.shared(),
        service_name: service.name.clone(),
        service_namespace: service.key.namespace.as_str().into(),
        endpoints: cell.clone(),
        local: None,
    }
}

/// The Secret that TLS of this policy names, of our own namespace.
fn secret(sources: &Sources<'_>, rule: &Destination, policy: &EffectivePolicy) -> Secret {
    let Some(name) = policy.tls.as_ref().and_then(UpstreamTls::secret) else { return Secret::Unnamed };
    let name = NamespacedName::new(sources.own.namespace.as_str(), name);
    if !rule.gives_secrets(sources.own.role == Role::Gateway) {
        return Secret::Withheld(name);
    }
    match sources.parts.secrets.get(&PartName(name.to_string().into())) {
        Some(credential) => Secret::Here(credential.clone()),
        None => Secret::Missing(name),
    }
}

/// Fills in what the mesh says where the rule says nothing.
pub(super) fn with_defaults(mut policy: EffectivePolicy, settings: &Settings) -> EffectivePolicy {
    let pool = &mut policy.connection_pool;
    pool.connect_timeout.get_or_insert(settings.connect_timeout);
    pool.keepalive = pool.keepalive.or(settings.tcp_keepalive);
    if !settings.auto_mtls {
        policy.tls.get_or_insert(UpstreamTls::Disable);
    }
    policy
}

/// Whether the two are reached in the same way.
pub(super) fn same(a: &Cluster, b: &Cluster) -> bool {
    a.id == b.id
        && a.key == b.key
        && a.protocol == b.protocol
        && a.resolution == b.resolution
        && a.subset_labels == b.subset_labels
        && a.policy == b.policy
        && a.secret == b.secret
        && a.external == b.external
        && a.subject_alt_names == b.subject_alt_names
        && a.service_host == b.service_host
        && a.service_name == b.service_name
        && a.service_namespace == b.service_namespace
        && a.local == b.local
        && Arc::ptr_eq(&a.endpoints, &b.endpoints)
}
