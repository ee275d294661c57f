//! The workload's own ports: what each accepts, and where the application listens.

use super::{cluster::Cluster, virtual_host::RouteMeta};
use mesh_config::{
    model::{Protocol, ServiceKey, peer_authentication::EffectiveMtls, route::RetryPolicy},
    name::Port,
};
use std::{collections::HashMap, sync::Arc};

/// What one port accepts and where it leads.
#[derive(Debug, Clone)]
pub struct PortPolicy {
    /// The port that peers dial.
    pub port: Port,
    /// Declared.
    pub protocol: Protocol,
    /// Plain text, mutual TLS, or both.
    pub mtls: EffectiveMtls,
    /// The application.
    pub cluster: Arc<Cluster>,
    /// A service (or a `Sidecar`'s ingress) declares the port. Others are passed through.
    pub declared: bool,
    /// The service behind it, if any.
    pub service: Option<ServiceKey>,
    /// Names of the one route of its requests.
    pub meta: Arc<RouteMeta>,
    /// What is sent to the application again; `None`: nothing.
    pub retries: Option<Arc<RetryPolicy>>,
}

impl PortPolicy {
    fn same(&self, other: &PortPolicy) -> bool {
        Arc::ptr_eq(&self.cluster, &other.cluster)
            && self.port == other.port
            && self.protocol == other.protocol
            && self.mtls == other.mtls
            && self.declared == other.declared
            && self.service == other.service
            && self.meta == other.meta
            && self.retries == other.retries
    }
}

/// All ports.
#[derive(Debug, Clone)]
pub struct Inbound {
    declared: HashMap<Port, Arc<PortPolicy>>,
    others: HashMap<Port, Arc<PortPolicy>>,
    other: Arc<PortPolicy>,
}

impl Inbound {
    /// From the declared ports; `named` are ports that no service declares but a policy names; `other` stands for
    /// all the rest and has a port number that means nothing.
    pub fn new(
        declared: impl IntoIterator<Item = PortPolicy>,
        named: impl IntoIterator<Item = PortPolicy>,
        other: PortPolicy,
    ) -> Self {
        let by_port = |p: PortPolicy| (p.port, Arc::new(p));
        Inbound {
            declared: declared.into_iter().map(by_port).collect(),
            others: named.into_iter().map(by_port).collect(),
            other: Arc::new(other),
        }
    }

    /// Whether the two hold for the same ports with the same clusters.
    pub(super) fn same(&self, other: &Inbound) -> bool {
        let all = |a: &HashMap<Port, Arc<PortPolicy>>, b: &HashMap<Port, Arc<PortPolicy>>| {
            a.len() == b.len() && a.iter().all(|(port, policy)| b.get(port).is_some_and(|o| policy.same(o)))
        };
        self.other.same(&other.other) && all(&self.declared, &other.declared) && all(&self.others, &other.others)
    }

    /// What holds for `port`. A port that no service declares is passed through to the application, with the mode
    /// of the workload.
    pub fn port(&self, port: Port) -> PortPolicy {
        match self.declared.get(&port).or_else(|| self.others.get(&port)) {
            Some(policy) => (**policy).clone(),
            None => PortPolicy { port, ..(*self.other).clone() },
        }
    }

    /// Where requests to `port` go, without copying.
    pub fn policy(&self, port: Port) -> &Arc<PortPolicy> {
        self.declared.get(&port).or_else(|| self.others.get(&port)).unwrap_or(&self.other)
    }

    /// The declared ports, in no order.
    pub fn declared(&self) -> impl Iterator<Item = &Arc<PortPolicy>> {
        self.declared.values()
    }

    /// All clusters, some more than once, in no order.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.declared.values().chain(self.others.values()).chain([&self.other]).map(|p| &p.cluster)
    }

    /// What holds for ports that nothing names.
    pub fn other(&self) -> &Arc<PortPolicy> {
        &self.other
    }
}
