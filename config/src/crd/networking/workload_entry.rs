//! WorkloadEntry: a workload that is no pod; also the inline endpoints of a ServiceEntry.

use crate::{
    crd::ObjectMeta,
    model::{Labels, endpoint::EndpointAddress, workload::Locality},
    name::{NamespacedName, Port},
};
use std::{collections::BTreeMap, sync::Arc};

/// A WorkloadEntry.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadEntry {
    /// The object's name.
    pub name: NamespacedName,
    /// The object's metadata.
    pub meta: ObjectMeta,
    /// What it describes; labels of the metadata are not among its labels.
    pub endpoint: EntryEndpoint,
}

/// Where a workload listens and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryEndpoint {
    /// Where it listens; `None` when only its network is known.
    pub address: Option<EndpointAddress>,
    /// By the name of the service's port; others listen on the service's target port.
    pub ports: BTreeMap<Arc<str>, Port>,
    /// Its labels.
    pub labels: Labels,
    /// Empty in a flat network.
    pub network: Arc<str>,
    /// Where it runs.
    pub locality: Locality,
    /// Relative weight, at least 1.
    pub weight: u32,
    /// Empty when not given.
    pub service_account: Arc<str>,
}
