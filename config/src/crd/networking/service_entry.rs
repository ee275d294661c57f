//! ServiceEntry: names that the platform does not know.

use super::EntryEndpoint;
use crate::{
    crd::ObjectMeta,
    model::{Labels, Precedence, Visibility, service::{Resolution, ServicePort}},
    name::{Host, NamespacedName, Port},
};
use ipnet::IpNet;
use std::sync::Arc;

/// A ServiceEntry, understood but not yet linked: each of its hosts becomes a service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceEntry {
    /// The object's name.
    pub name: NamespacedName,
    /// The object's metadata.
    pub meta: ObjectMeta,
    /// Which wins where two name one host.
    pub precedence: Precedence,
    /// Never empty; fully qualified or `*.suffix`.
    pub hosts: Vec<Host>,
    /// Virtual addresses.
    pub addresses: Vec<IpNet>,
    /// In order.
    pub ports: Vec<EntryPort>,
    /// MESH_EXTERNAL.
    pub external: bool,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Inline endpoints; empty when `workload_selector` is set.
    pub endpoints: Vec<EntryEndpoint>,
    /// WorkloadEntries and pods of the namespace that are its endpoints.
    pub workload_selector: Option<Labels>,
    /// Which clients see it.
    pub visibility: Visibility,
    /// Names that the servers' certificates may carry.
    pub subject_alt_names: Vec<Arc<str>>,
}

/// A port of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPort {
    /// Number, name, protocol.
    pub port: ServicePort,
    /// Where endpoints listen that do not say otherwise; `None`: the number.
    pub target_port: Option<Port>,
}
