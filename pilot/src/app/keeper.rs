//! What pilot keeps in its cluster for others, one pilot of several at a time: the roots in every namespace.

use crate::{
    kubernetes::{lease::Lease, owner::Owner, trust_bundle::TrustBundles},
    settings::Settings,
};
use kube::Client;
use mesh_runtime::drain;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::watch;

/// One for all revisions in a namespace, since they share the root, and none of Istio's.
const LEASE: &str = "ferromesh-trust-bundle";

/// Keeps it.
pub(super) struct Keeper {
    lease: Lease,
    bundles: TrustBundles,
}

impl Keeper {
    /// Keeps `roots` in the `chosen` namespaces of a cluster, or in all.
    pub(super) fn new(
        client: &Client,
        settings: &Settings,
        roots: watch::Receiver<Arc<str>>,
        chosen: watch::Receiver<Option<BTreeSet<Arc<str>>>>,
    ) -> Self {
        let holder = settings.pod_name.clone().unwrap_or_else(|| format!("pilot-{:016x}", fastrand::u64(..)));
        let owner = Owner::new(client.clone(), settings.cluster_role.clone());
        let (lease, leads) = Lease::new(client.clone(), owner.clone(), &settings.namespace, LEASE, &holder);
        let name = settings.trust_bundle_name.clone();
        Keeper { lease, bundles: TrustBundles { client: client.clone(), owner, name, roots, chosen, leads } }
    }

    /// Keeps it until drained.
    pub(super) async fn run(self, drain: drain::Watch) -> anyhow::Result<()> {
        tokio::join!(self.lease.run(drain.clone()), self.bundles.run(drain));
        Ok(())
    }
}
