//! What pilot keeps in its cluster for others, one pilot of several at a time: the roots in every namespace, and where
//! Ingresses are reached.

use crate::{
    kubernetes::{
        ingress_status::IngressStatuses,
        lease::Lease,
        owner::Owner,
        trust_bundle::{Standing, TrustBundles},
    },
    object::Reached,
    settings::Settings,
};
use kube::Client;
use mesh_config::name::of_revision;
use mesh_runtime::drain;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::watch;

/// One for all revisions in a namespace, since they share the root, and none of Istio's.
const ROOTS: &str = "ferromesh-trust-bundle";
/// One for each revision, as each has Ingresses and a gateway of its own.
const INGRESSES: &str = "ferromesh-ingress-status";

/// Keeps it.
pub(super) struct Keeper {
    leases: [Lease; 2],
    bundles: TrustBundles,
    ingresses: IngressStatuses,
}

/// What it is kept by.
pub(super) struct Kept {
    /// In every namespace that is chosen.
    pub(super) roots: watch::Receiver<Arc<str>>,
    /// Namespaces; `None`: all.
    pub(super) chosen: watch::Receiver<Option<BTreeSet<Arc<str>>>>,
    /// In the status of Ingresses.
    pub(super) reached: watch::Receiver<Arc<Reached>>,
}

impl Keeper {
    pub(super) fn new(client: &Client, settings: &Settings, kept: Kept) -> Self {
        let Kept { roots, chosen, reached } = kept;
        let holder = settings.pod_name.clone().unwrap_or_else(|| format!("pilot-{:016x}", fastrand::u64(..)));
        let owner = Owner::new(client.clone(), settings.cluster_role.clone());
        let lease = |name: &str| Lease::new(client.clone(), owner.clone(), &settings.namespace, name, &holder);
        let (of_roots, leads) = lease(ROOTS);
        let name = settings.trust_bundle_name.clone();
        let client = client.clone();
        let standing = watch::Sender::new(Standing::default());
        let bundles =
            TrustBundles { client: client.clone(), owner: owner.clone(), name, roots, chosen, leads, standing };
        let (of_ingresses, leads) = lease(&of_revision(INGRESSES, settings.named_revision().unwrap_or_default()));
        let ingresses = IngressStatuses { client, reached, leads };
        Keeper { leases: [of_roots, of_ingresses], bundles, ingresses }
    }

    /// Whether this pilot is the one that writes.
    pub(super) fn leads(&self) -> watch::Receiver<bool> {
        self.bundles.leads.clone()
    }

    /// How far the roots are in the namespaces.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.bundles.standing.subscribe()
    }

    /// Keeps it until drained.
    pub(super) async fn run(self, drain: drain::Watch) -> anyhow::Result<()> {
        let Keeper { leases: [of_roots, of_ingresses], bundles, ingresses } = self;
        tokio::join!(
            of_roots.run(drain.clone()),
            of_ingresses.run(drain.clone()),
            bundles.run(drain.clone()),
            ingresses.run(drain)
        );
        Ok(())
    }
}
