//! Everything a request may ask, immutable, made of shared parts.
//!
//! A request takes one snapshot and keeps it from start to end. What changes most, endpoints, is not in it: each
//! cluster points at a cell of its own. Live state (pools, counts) is kept elsewhere, keyed by [`cluster::ClusterId`].

pub mod build;
pub mod cluster;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;
pub mod inbound;
pub mod index;
pub mod listener;
pub mod logs;
pub mod outbound;
pub mod policy;
pub mod stream;
mod substitution;
pub mod virtual_host;
pub mod workloads;

use mesh_config::{
    kind::Role,
    model::{Credential, Labels, Settings, Sidecar, Subject, TrustBundle, Workload, workload::WorkloadInfo},
    name::{Namespace, NamespacedName},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// What this process knows of itself before anybody has said anything.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnFacts {
    /// What it is.
    pub role: Role,
    /// Its namespace, proven by its certificate.
    pub namespace: Namespace,
    /// Its addresses; the first is the one it dials from where it must choose.
    pub ips: Vec<IpAddr>,
}

/// Who a workload is, as pilot said.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// What stands for it.
    pub role: Role,
    pub namespace: Namespace,
    pub labels: Labels,
    /// Its addresses; the first is the one it dials from where it must choose.
    pub addresses: Vec<IpAddr>,
    /// What telemetry says about it.
    pub info: Arc<WorkloadInfo>,
    /// All that pilot said.
    pub workload: Arc<Workload>,
}

impl Own {
    /// As policies select it.
    fn subject<'a>(&'a self, settings: &'a Settings) -> Subject<'a> {
        Subject { namespace: &self.namespace, labels: &self.labels, root: &settings.root_namespace }
    }
}

/// What belongs to one workload: who it is, its ports and the rules that hold for it.
#[derive(Debug, Clone)]
pub struct Local {
    /// Who it is.
    pub own: Arc<Own>,
    /// Its own ports.
    pub inbound: Arc<inbound::Inbound>,
    /// Authorisation rules for it.
    pub policies: Arc<policy::Policies>,
    /// Where its access log goes.
    pub logs: Arc<logs::Logs>,
    /// The `Sidecar` that holds for it, if any.
    pub sidecar: Option<Arc<Sidecar>>,
}

/// Whether enough was received to decide anything. It only ever grows: what was known once stays known while the process
/// lives, in its last version.
#[derive(Debug, Clone)]
pub enum Standing {
    /// Not even the mesh's settings. Nothing is carried.
    Nothing,
    /// The mesh's settings, but not the workload: which rules select it, nobody can say. Nothing is carried.
    Unknown,
    /// Both.
    Known(Arc<Local>),
}

/// One consistent configuration.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Grows by one with each snapshot of the process.
    pub version: u64,
    /// Mesh-wide settings. Until they are received: those built in, by which nothing is decided.
    pub settings: Arc<Settings>,
    /// What the process knows of itself.
    pub facts: Arc<OwnFacts>,
    /// What belongs to the workload, once it is known.
    pub standing: Standing,
    /// Every name and address in scope.
    pub index: Arc<index::Index>,
    /// What to listen on, besides the captured ports.
    pub listeners: Arc<Vec<listener::ListenerSpec>>,
    /// Services in use, their routes and clusters. Until the workload is known: nothing, and everything is refused.
    pub outbound: Arc<outbound::Outbound>,
    /// Root certificates of each trust domain.
    pub trust: Arc<Vec<Arc<TrustBundle>>>,
    /// Key pairs for the servers of a gateway.
    pub credentials: Arc<BTreeMap<NamespacedName, Arc<Credential>>>,
    /// Whose the addresses are that were asked for.
    pub workloads: Arc<workloads::Workloads>,
}

impl Snapshot {
    /// What belongs to the workload. `None`: nothing may be decided yet, so refuse, or wait.
    pub fn local(&self) -> Option<&Arc<Local>> {
        match &self.standing {
            Standing::Known(local) => Some(local),
            Standing::Nothing | Standing::Unknown => None,
        }
    }

    /// The workload that is called at this address, if the call goes there by the address alone.
    pub fn callee(&self, cluster: &cluster::Cluster, to: SocketAddr) -> Option<&Arc<Workload>> {
        match cluster.may_go_by_address().then(|| self.workloads.at(to.ip()))? {
            workloads::Holder::Workload(workload) if !cluster.has_endpoint(to) => Some(workload),
            _ => None,
        }
    }

    /// Whether a call goes to this address by the address alone, and it was not asked yet whose it is.
    pub fn is_unasked(&self, cluster: &cluster::Cluster, to: SocketAddr) -> bool {
        cluster.may_go_by_address()
            && self.workloads.at(to.ip()) == workloads::Holder::Unasked
            && !cluster.has_endpoint(to)
    }

    /// What telemetry says about the workload: its namespace alone while it is not known.
    pub fn info(&self) -> Arc<WorkloadInfo> {
        match self.local() {
            Some(local) => local.own.info.clone(),
            None => {
                let none: Arc<str> = "".into();
                Arc::new(WorkloadInfo {
                    workload: none.clone(),
                    namespace: self.facts.namespace.as_str().into(),
                    canonical_name: none.clone(),
                    canonical_revision: none.clone(),
                    app: none.clone(),
                    version: none.clone(),
                    cluster: none,
                })
            }
        }
    }
}

/// A snapshot as one worker holds it: counted by the worker alone, so that a request costs no atomic operation.
pub type WorkerSnapshot = std::rc::Rc<Arc<Snapshot>>;
