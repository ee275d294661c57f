//! Whose an address is, as far as pilot was asked, and who is called at one.

use mesh_config::{
    identity::SpiffeId,
    model::{Endpoint, Settings, Workload, workload::WorkloadInfo},
    name::Port,
};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// Workloads by address, and addresses of which pilot said that nobody has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Workloads(HashMap<IpAddr, Option<Arc<Workload>>>);

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Holder<'a> {
    /// Nobody has asked, or there is no answer yet.
    Unasked,
    /// No workload's that pilot knows.
    Nobody,
    /// This one's.
    Workload(&'a Arc<Workload>),
}

/// What a decision may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// All that would be good to know: also whose an address is.
    All,
    /// What it cannot do without: the rest was not to be had in time.
    Needed,
}

impl Workloads {
    /// With these answers; of several about one address the first counts.
    pub(super) fn new(answers: impl IntoIterator<Item = (IpAddr, Option<Arc<Workload>>)>) -> Self {
        let mut known = HashMap::new();
        for (address, workload) in answers {
            known.entry(address).or_insert(workload);
        }
        Workloads(known)
    }

    /// Whose this is.
    pub fn at(&self, address: IpAddr) -> Holder<'_> {
        match self.0.get(&address) {
            None => Holder::Unasked,
            Some(None) => Holder::Nobody,
            Some(Some(workload)) => Holder::Workload(workload),
        }
    }

    /// All answers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, Option<&Arc<Workload>>)> {
        self.0.iter().map(|(address, workload)| (*address, workload.as_ref()))
    }
}

/// Who is called at an address, as pilot said.
#[derive(Debug, Clone)]
pub enum Callee {
    /// An endpoint of the service that is called.
    Endpoint(Arc<Endpoint>),
    /// A workload that is called by its address, in no service.
    Workload(Arc<Workload>),
}

impl Callee {
    /// Whether the call of this port is made with the mesh's mutual TLS, unless rules say otherwise.
    pub fn takes_mutual_tls(&self, port: Option<Port>) -> bool {
        match self {
            Callee::Endpoint(endpoint) => endpoint.mutual_tls,
            Callee::Workload(workload) => port.is_some_and(|port| workload.takes_mutual_tls(port)),
        }
    }

    /// Whether it is, where no rule of the cluster says anything.
    pub fn is_secured(&self, settings: &Settings, port: Option<Port>) -> bool {
        settings.auto_mtls && self.takes_mutual_tls(port)
    }

    /// Who must answer.
    pub fn identity(&self) -> Option<&SpiffeId> {
        match self {
            Callee::Endpoint(endpoint) => endpoint.identity.as_ref(),
            Callee::Workload(workload) => workload.identity.as_ref(),
        }
    }

    /// What telemetry says about it.
    pub fn info(&self) -> Option<&Arc<WorkloadInfo>> {
        match self {
            Callee::Endpoint(endpoint) => endpoint.workload.as_ref(),
            Callee::Workload(workload) => Some(&workload.info),
        }
    }
}
