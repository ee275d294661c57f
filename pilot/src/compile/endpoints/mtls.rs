//! Where PeerAuthentication switches mutual TLS off, so that clients know before they dial.

use crate::compile::context::Inputs;
use mesh_config::{
    model::{
        Labels, PeerAuthentication, Settings, Subject,
        peer_authentication::{MtlsMode, effective},
    },
    name::{Namespace, Port},
};
use std::{collections::HashMap, sync::Arc};

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

    /// Whether a workload's port takes plain text only.
    pub(super) fn disabled(&self, namespace: &Namespace, labels: &Labels, port: Port) -> bool {
        let of = |ns: &Namespace| self.by_namespace.get(ns).map_or(&[][..], Vec::as_slice);
        let own = if *namespace == self.root { &[][..] } else { of(namespace) };
        let mesh = of(&self.root);
        if own.is_empty() && mesh.is_empty() {
            return false;
        }
        let policies = own.iter().chain(mesh);
        effective(policies, &Subject { namespace, labels, root: &self.root }, Some(port)).mode == MtlsMode::Disable
    }
}
