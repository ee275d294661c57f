//! Where PeerAuthentication switches mutual TLS off, so that clients know before they dial.

use crate::compile::{context::Inputs, workloads::Backing};
use mesh_config::{
    model::{
        PeerAuthentication, Settings, Subject,
        peer_authentication::{MtlsMode, effective},
    },
    name::{Namespace, Port},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// PeerAuthentications by namespace.
#[derive(PartialEq)]
pub(in crate::compile) struct PeerPolicies {
    by_namespace: HashMap<Namespace, Vec<Arc<PeerAuthentication>>>,
    root: Namespace,
}

impl PeerPolicies {
    pub(in crate::compile) fn new(inputs: &Inputs<'_>, settings: &Settings) -> Self {
        let mut by_namespace: HashMap<Namespace, Vec<Arc<PeerAuthentication>>> = HashMap::new();
        for input in &inputs.peer_authentications {
            let policy = Arc::new(input.value.clone());
            by_namespace.entry(policy.name.namespace.clone()).or_default().push(policy);
        }
        PeerPolicies { by_namespace, root: settings.root_namespace.clone() }
    }

    /// Whether a workload's port (`None`: those that no policy names) takes mutual TLS: its proxy can, and policies do
    /// not say DISABLE.
    pub(in crate::compile) fn take_mutual_tls(&self, backing: &Backing, port: Option<Port>) -> bool {
        if !backing.mutual_tls {
            return false;
        }
        let (own, mesh) = self.of(&backing.namespace);
        if own.is_empty() && mesh.is_empty() {
            return true;
        }
        effective(own.iter().chain(mesh), &self.subject(backing), port).mode != MtlsMode::Disable
    }

    /// Ports of a workload that policies name.
    pub(in crate::compile) fn named_ports(&self, backing: &Backing) -> BTreeSet<Port> {
        let (own, _) = self.of(&backing.namespace);
        let holding = own.iter().filter(|policy| policy.holds_for(&self.subject(backing)));
        holding.flat_map(|policy| policy.ports.keys().copied()).collect()
    }

    /// Those of a namespace that is not the root one, and those of the root namespace.
    fn of(&self, namespace: &Namespace) -> (&[Arc<PeerAuthentication>], &[Arc<PeerAuthentication>]) {
        let of = |ns: &Namespace| self.by_namespace.get(ns).map_or(&[][..], Vec::as_slice);
        (if *namespace == self.root { &[][..] } else { of(namespace) }, of(&self.root))
    }

    fn subject<'a>(&'a self, backing: &'a Backing) -> Subject<'a> {
        Subject { namespace: &backing.namespace, labels: &backing.workload.labels, root: &self.root }
    }
}
