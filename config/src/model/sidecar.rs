//! What a sidecar sees and listens on: one Istio `Sidecar`.

use super::{Labels, ServiceKey, service::Protocol, settings::OutboundPolicy};
use crate::name::{Host, Namespace, NamespacedName, Port};
use std::{net::IpAddr, net::SocketAddr, sync::Arc};

/// One Sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The object's name.
    pub name: NamespacedName,
    /// Which workloads of its namespace; `None`: all of them (root namespace: all of the mesh).
    pub workload_selector: Option<Labels>,
    /// Empty: the ports of the workload's services.
    pub ingress: Vec<IngressListener>,
    /// Empty: everything that is exported to the namespace.
    pub egress: Vec<EgressListener>,
    /// `None`: the mesh's.
    pub outbound_policy: Option<OutboundPolicy>,
}

/// An inbound listener of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressListener {
    /// The port that peers dial.
    pub port: Port,
    /// What is spoken.
    pub protocol: Protocol,
    /// Name of the port, may be empty.
    pub name: Arc<str>,
    /// The proxy binds this address itself (`captureMode: NONE`); `None`: captured on the inbound port.
    pub bind: Option<IpAddr>,
    /// Where the application listens.
    pub default_endpoint: IngressEndpoint,
}

/// Where the application listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressEndpoint {
    /// At the listener's own port, on loopback.
    Loopback,
    /// `127.0.0.1:P` or `[::1]:P`: on loopback. An instance address: as given.
    Address(SocketAddr),
    /// `0.0.0.0:P` or `[::]:P`: on the workload's own address.
    InstancePort(Port),
    /// `unix:///path`.
    Unix(Arc<str>),
}

/// An outbound listener, or the catch-all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressListener {
    /// `None`: all ports of the services selected.
    pub port: Option<Port>,
    /// Of the port.
    pub protocol: Protocol,
    /// Name of the port, may be empty.
    pub name: Arc<str>,
    /// The proxy binds this address itself (`captureMode: NONE`, or an explicit bind); `None`: captured.
    pub bind: Option<IpAddr>,
    /// What can be reached through it.
    pub hosts: Vec<EgressHost>,
}

/// An entry of `egress.hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressHost {
    /// `*` is `None`; `.` has become the Sidecar's namespace.
    pub namespace: Option<Namespace>,
    /// Which names.
    pub host: Host,
    /// `~namespace/host`: taken away from what the others give.
    pub exclude: bool,
}

impl EgressListener {
    /// Whether a name can be reached through this listener.
    pub fn selects(&self, key: &ServiceKey) -> bool {
        let hit =
            |h: &EgressHost| h.namespace.as_ref().is_none_or(|ns| *ns == key.namespace) && h.host.overlaps(&key.host);
        self.hosts.iter().any(|h| !h.exclude && hit(h)) && !self.hosts.iter().any(|h| h.exclude && hit(h))
    }
}
