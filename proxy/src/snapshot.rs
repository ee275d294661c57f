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
pub mod outbound;
pub mod policy;
pub mod virtual_host;

use mesh_config::{
    model::{Credential, Labels, Settings, Sidecar, TrustBundle, Workload, workload::WorkloadInfo},
    name::{Namespace, NamespacedName},
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// What this proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Beside one application.
    Sidecar,
    /// At an edge.
    Gateway,
}

/// Who this proxy stands for. Namespace and account are proven; the rest is what pilot said about the workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// What this proxy is.
    pub role: Role,
    /// Its namespace.
    pub namespace: Namespace,
    /// The workload's labels; empty while pilot has not said them.
    pub labels: Labels,
    /// Its addresses; the first is the one it dials from where it must choose.
    pub addresses: Vec<IpAddr>,
    /// What telemetry says about it.
    pub info: Arc<WorkloadInfo>,
    /// The workload, once pilot has said it.
    pub workload: Option<Arc<Workload>>,
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
    /// The `Sidecar` that holds for it, if any.
    pub sidecar: Option<Arc<Sidecar>>,
}

/// One consistent configuration.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Grows by one with each snapshot of the process.
    pub version: u64,
    /// Mesh-wide settings.
    pub settings: Arc<Settings>,
    /// What belongs to the workload that this proxy stands for.
    pub local: Arc<Local>,
    /// Every name and address in scope.
    pub index: Arc<index::Index>,
    /// What to listen on, besides the captured ports.
    pub listeners: Arc<Vec<listener::ListenerSpec>>,
    /// Services in use, their routes and clusters.
    pub outbound: Arc<outbound::Outbound>,
    /// Root certificates of each trust domain.
    pub trust: Arc<Vec<Arc<TrustBundle>>>,
    /// Key pairs for the servers of a gateway.
    pub credentials: Arc<BTreeMap<NamespacedName, Arc<Credential>>>,
    /// Workloads that were asked for, by address.
    pub workloads: Arc<HashMap<IpAddr, Arc<Workload>>>,
}

/// A snapshot as one worker holds it: counted by the worker alone, so that a request costs no atomic operation.
pub type WorkerSnapshot = std::rc::Rc<Arc<Snapshot>>;
