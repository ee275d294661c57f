//! Parts in, snapshots out. A change makes anew only what it touches; everything else is shared with the snapshot
//! before. Endpoints are written into their cells and make no snapshot at all.

mod clusters;
mod gateways;
mod hosts;
mod listeners;
mod parts;
mod ports;

use super::{
    Local, Own, Role, Snapshot,
    cluster::{Cluster, ClusterId, ClusterKey},
    inbound::Inbound,
    index::Index,
    outbound::{Outbound, ServiceInUse},
    policy::Policies,
};
use clusters::Clusters;
use mesh_config::{
    model::{
        Authorization, Kind, Part, PartName, ServiceKey, Settings, Sidecar, route::RouteAction,
        settings::OutboundPolicy, sidecar::EgressListener, workload::WorkloadInfo,
    },
    name::{Host, Namespace, Port},
};
use parts::{Parts, Touched};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// What a proxy knows of itself before pilot has said anything.
#[derive(Debug, Clone)]
pub struct OwnFacts {
    /// What it is.
    pub role: Role,
    /// Its namespace, proven by its certificate.
    pub namespace: Namespace,
    /// Its addresses; the first is the one it dials from where it must choose.
    pub ips: Vec<IpAddr>,
}

/// One push, whole.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// New and changed parts.
    pub upserts: Vec<Part>,
    /// Parts that are gone.
    pub removed: Vec<(Kind, PartName)>,
}

/// What a push did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The configuration from now on.
    pub snapshot: Arc<Snapshot>,
    /// Whether it is another one than before.
    pub changed: bool,
    /// Service ports whose endpoints are not what they were.
    pub endpoints_changed: Vec<(ServiceKey, Port)>,
    /// Clusters that are gone. Their ids are given out again from the change after next.
    pub retired: Vec<ClusterId>,
}

/// Everything received, and the snapshot made of it.
#[derive(Debug)]
pub struct State {
    parts: Parts,
    clusters: Clusters,
    snapshot: Arc<Snapshot>,
}

impl State {
    /// Before anything is received: an empty mesh with default settings.
    pub fn new(facts: OwnFacts) -> Self {
        let info = empty_info(&facts.namespace);
        let own = Arc::new(Own {
            role: facts.role,
            namespace: facts.namespace,
            labels: Default::default(),
            addresses: facts.ips,
            info: Arc::new(info),
            workload: None,
        });
        let settings = Arc::new(Settings::default());
        let index = Arc::new(Index::new(own.namespace.clone(), &settings.cluster_domain));
        let mut clusters = Clusters::default();
        let special = Special::new(&mut clusters, None);
        let parts = Parts::new(settings.clone(), index.clone());
        let sources = Sources { parts: &parts, own: &own, sidecar: None };
        let inbound = ports::build(&sources, &mut clusters, None);
        let outbound = hosts::build(&sources, &HashMap::new(), &special, None);
        let snapshot = Snapshot {
            version: 1,
            settings: settings.clone(),
            local: Arc::new(Local {
                own: own.clone(),
                inbound: Arc::new(inbound),
                policies: Arc::new(Policies::build(&[], &settings)),
                sidecar: None,
            }),
            index,
            listeners: Arc::new(listeners::build(&sources)),
            outbound: Arc::new(outbound),
            trust: Arc::default(),
            credentials: Arc::default(),
            workloads: Arc::default(),
        };
        State { parts, clusters, snapshot: Arc::new(snapshot) }
    }

    /// The configuration now.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Says what of the next push could not be read. Until it can, or is gone, a policy among it that has no earlier
    /// version to hold in its place is taken to say the most that it could: an AuthorizationPolicy refuses every call, a
    /// PeerAuthentication accepts mutual TLS alone. What it selects is not known, so it selects this workload.
    pub fn refuse(&mut self, parts: impl IntoIterator<Item = (Kind, PartName)>) {
        self.parts.refuse(parts);
    }

    /// Takes one push in, as a whole.
    pub fn apply(&mut self, changes: Changes) -> Applied {
        let own_namespace = self.snapshot.local.own.namespace.clone();
        let touched = self.parts.take(changes, &own_namespace);
        let endpoints_changed = self.parts.write_cells(&touched);
        if !touched.beyond_endpoints() {
            return Applied { snapshot: self.snapshot.clone(), changed: false, endpoints_changed, retired: Vec::new() };
        }
        self.clusters.begin();
        self.snapshot = Arc::new(self.rebuild(&touched));
        let retired = self.clusters.retire(&self.snapshot);
        self.parts.drop_empty_cells();
        Applied { snapshot: self.snapshot.clone(), changed: true, endpoints_changed, retired }
    }

    fn rebuild(&mut self, touched: &Touched) -> Snapshot {
        let before = &self.snapshot;
        let own = if touched.instance { self.own() } else { before.local.own.clone() };
        let who = touched.instance || touched.settings;
        let sidecar = match touched.sidecars || who {
            true => self.choose_sidecar(&own),
            false => before.local.sidecar.clone(),
        };
        let sources = Sources { parts: &self.parts, own: &own, sidecar: sidecar.as_ref() };
        let resided = before.local.sidecar != sidecar;

        let services = match who || !touched.services.is_empty() || !touched.destinations.is_empty() {
            true => clusters::services(&sources, &before.outbound.services, touched, who, &mut self.clusters),
            false => before.outbound.services.clone(),
        };
        let indexed = touched.index && index_matters(&sources, touched);
        let outbound = match who || resided || indexed || touched.beyond_index() {
            true => {
                let special = Special::new(&mut self.clusters, Some(&before.outbound));
                Arc::new(hosts::build(&sources, &services, &special, Some(&before.outbound)))
            }
            false => before.outbound.clone(),
        };
        let inbound = match who || resided || touched.peer_authentications {
            true => Arc::new(ports::build(&sources, &mut self.clusters, Some(&before.local.inbound))),
            false => before.local.inbound.clone(),
        };
        let policies = match who || touched.authorizations {
            true => {
                let policies = Policies::build(&self.applying(&own), &self.parts.settings);
                Arc::new(policies.refusing(self.parts.unreadable(Kind::Authorization)))
            }
            false => before.local.policies.clone(),
        };
        let listeners = match who || resided || touched.gateways {
            true => Arc::new(listeners::build(&sources)),
            false => before.listeners.clone(),
        };
        Snapshot {
            version: before.version + 1,
            settings: self.parts.settings.clone(),
            index: self.parts.index.clone(),
            local: Arc::new(Local { own, inbound, policies, sidecar }),
            listeners,
            outbound,
            trust: if touched.trust { self.parts.trust() } else { before.trust.clone() },
            credentials: if touched.secrets { self.parts.credentials() } else { before.credentials.clone() },
            workloads: if touched.workloads { self.parts.workloads() } else { before.workloads.clone() },
        }
    }

    fn own(&self) -> Arc<Own> {
        let before = &self.snapshot.local.own;
        let workload = self.parts.instance.as_ref().map(|i| Arc::new(i.workload.clone()));
        Arc::new(Own {
            labels: workload.as_ref().map(|w| w.labels.clone()).unwrap_or_default(),
            info: match &workload {
                Some(w) => w.info.clone(),
                None => Arc::new(empty_info(&before.namespace)),
            },
            workload,
            role: before.role,
            namespace: before.namespace.clone(),
            addresses: before.addresses.clone(),
        })
    }

    /// One that selects the workload, else its namespace's, else the mesh's.
    fn choose_sidecar(&self, own: &Own) -> Option<Arc<Sidecar>> {
        if own.role == Role::Gateway {
            return None;
        }
        let root = &self.parts.settings.root_namespace;
        let all = || self.parts.sidecars.values();
        let of = |ns: &Namespace| all().find(|s| s.name.namespace == *ns && s.workload_selector.is_none()).cloned();
        let selected = all().find(|s| {
            s.name.namespace == own.namespace && s.workload_selector.as_ref().is_some_and(|l| l.selects(&own.labels))
        });
        selected.cloned().or_else(|| of(&own.namespace)).or_else(|| of(root))
    }

    /// Policies of the own and the root namespace that select the workload.
    fn applying(&self, own: &Own) -> Vec<Arc<Authorization>> {
        let root = &self.parts.settings.root_namespace;
        let applies = |a: &&Arc<Authorization>| {
            let ns = &a.name.namespace;
            (*ns == own.namespace || ns == root) && a.selector.selects(&own.labels)
        };
        self.parts.authorizations.values().filter(applies).cloned().collect()
    }
}

/// Whether anything that is compiled depends on the index entries that changed: with thousands of services most come
/// and go without anybody here who calls them.
fn index_matters(sources: &Sources<'_>, touched: &Touched) -> bool {
    let changed = |host: &Host| touched.index_hosts.contains(host);
    let parts = sources.parts;
    let targets = || {
        let rules = parts.routes.values().flat_map(|r| &r.rules);
        rules.flat_map(|rule| match &rule.action {
            RouteAction::Forward(backends) => &backends[..],
            RouteAction::Redirect(_) | RouteAction::Respond(_) => &[],
        })
    };
    let policies = [Some(&parts.settings.outbound_policy), sources.sidecar.and_then(|s| s.outbound_policy.as_ref())];
    let proxied = |policy: &&OutboundPolicy| matches!(policy, OutboundPolicy::EgressProxy(to) if changed(&to.host));
    let chooses_by_port = |listener: &EgressListener| listener.bind.is_some() && !listener.protocol.is_http();
    parts.services.keys().any(|key| changed(&key.host))
        || parts.routes.values().flat_map(|r| &r.hosts).any(changed)
        || targets().any(|backend| changed(&backend.target.host))
        || policies.iter().flatten().any(proxied)
        || sources.sidecar.is_some_and(|s| s.egress.iter().any(chooses_by_port))
}

/// What the steps of a build read.
struct Sources<'a> {
    parts: &'a Parts,
    own: &'a Arc<Own>,
    sidecar: Option<&'a Arc<Sidecar>>,
}

/// Clusters that every proxy has.
struct Special {
    passthrough: Arc<Cluster>,
    black_hole: Arc<Cluster>,
}

impl Special {
    fn new(clusters: &mut Clusters, before: Option<&Outbound>) -> Self {
        match before {
            Some(outbound) => {
                Special { passthrough: outbound.passthrough.clone(), black_hole: outbound.black_hole.clone() }
            }
            None => Special {
                passthrough: Arc::new(clusters.special(ClusterKey::Passthrough)),
                black_hole: Arc::new(clusters.special(ClusterKey::BlackHole)),
            },
        }
    }
}

fn empty_info(namespace: &Namespace) -> WorkloadInfo {
    let none: Arc<str> = "".into();
    WorkloadInfo {
        workload: none.clone(),
        namespace: namespace.as_str().into(),
        canonical_name: none.clone(),
        canonical_revision: none.clone(),
        app: none.clone(),
        version: none.clone(),
        cluster: none,
    }
}

type Services = HashMap<ServiceKey, Arc<ServiceInUse>>;
type Hosts = HashSet<Host>;
type InboundBefore<'a> = Option<&'a Inbound>;

#[cfg(test)]
mod tests;
