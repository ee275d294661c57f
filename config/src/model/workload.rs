//! A workload: a pod, a WorkloadEntry, or an inline endpoint of a ServiceEntry.

use super::{Labels, ServiceKey};
use crate::{identity::SpiffeId, name::Port};
use std::{net::IpAddr, sync::Arc};

/// `region/zone/subzone`, empty where unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// Region.
    pub region: Arc<str>,
    /// Zone.
    pub zone: Arc<str>,
    /// Subzone.
    pub subzone: Arc<str>,
}

/// What telemetry says about a workload. Empty texts mean unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadInfo {
    /// Name of the owner (deployment) or of the workload itself.
    pub workload: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// `service.istio.io/canonical-name`, else `app.kubernetes.io/name`, else `app`, else the workload's name.
    pub canonical_name: Arc<str>,
    /// `service.istio.io/canonical-revision`, else `app.kubernetes.io/version`, else `version`, else `latest`.
    pub canonical_revision: Arc<str>,
    /// `app.kubernetes.io/name`, else `app`.
    pub app: Arc<str>,
    /// `app.kubernetes.io/version`, else `version`.
    pub version: Arc<str>,
    /// The cluster it runs in.
    pub cluster: Arc<str>,
}

/// A workload in detail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workload {
    /// `<cluster>/<group kind>/<namespace>/<name>`, e.g. `Kubernetes//Pod/shop/cart-1`.
    pub uid: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What telemetry says about it.
    pub info: Arc<WorkloadInfo>,
    /// Its labels.
    pub labels: Labels,
    /// Service account; empty when unknown.
    pub service_account: Arc<str>,
    /// Who it is; `None` for workloads outside the mesh.
    pub identity: Option<SpiffeId>,
    /// Where it runs.
    pub locality: Locality,
    /// Network, empty in a flat one.
    pub network: Arc<str>,
    /// Its proxy takes the mesh's mutual TLS, on the ports that are not in `mutual_tls_except`.
    pub mutual_tls: bool,
    /// Ports of which the opposite holds, ordered.
    pub mutual_tls_except: Vec<Port>,
    /// Ports of headless services that have it among their endpoints, other than for requests; ordered.
    pub headless: Vec<HeadlessPort>,
}

/// A port of a headless service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeadlessPort {
    /// The service.
    pub service: ServiceKey,
    /// Its port, which clients dial at the workload's address.
    pub port: Port,
}

impl Workload {
    /// Whether a call of this port is to be made with the mesh's mutual TLS.
    pub fn takes_mutual_tls(&self, port: Port) -> bool {
        self.mutual_tls != self.mutual_tls_except.contains(&port)
    }
}
