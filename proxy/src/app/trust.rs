//! The identity as TLS uses it: our certificate as the authority gave it, with the roots that discovery says, which
//! may be more (or fewer) than those that came with the certificate.

use crate::snapshot::Snapshot;
use mesh_runtime::{
    drain, snapshot,
    tls::{
        material::{CaBundle, Identity, Roots, pem},
        server::TrustPolicy,
    },
};
use std::sync::Arc;

/// What is kept current.
pub(super) struct Kept {
    /// Who we are and whom we believe.
    pub(super) identity: snapshot::Publisher<Identity>,
    /// Whom we take for one of us.
    pub(super) policy: snapshot::Publisher<TrustPolicy>,
    /// Who vouches for the authority besides the file that names its roots: those of our trust domain, since the
    /// authority may get another root while we run.
    pub(super) authority: snapshot::Publisher<CaBundle>,
}

/// Keeps all of it current until drained.
pub(super) async fn follow(
    mut own: snapshot::Reader<Identity>,
    mut snapshots: snapshot::Reader<Snapshot>,
    kept: Kept,
    ending: drain::Watch,
) {
    let Kept { identity, policy, authority } = kept;
    let end = ending.signaled();
    tokio::pin!(end);
    loop {
        let snapshot = snapshots.get();
        let merged = merge(&own.get(), &snapshot);
        if let Some(roots) = merged.roots.get(&merged.material.identity.trust_domain) {
            authority.publish_if_changed(roots.clone());
        }
        if identity.publish_if_changed(Arc::new(merged)) {
            tracing::info!(serial = %identity.current().material.serial, "certificate or roots changed");
        }
        let trust_domains = snapshot.settings.trust_domain_aliases.clone();
        let require_tls13 = snapshot.settings.require_tls13;
        policy.publish_if_changed(Arc::new(TrustPolicy { trust_domains, require_tls13 }));
        tokio::select! {
            biased;
            () = &mut end => return,
            changed = own.changed() => if changed.is_err() { return },
            changed = snapshots.changed() => if changed.is_err() { return },
        }
    }
}

/// The authority's identity with the bundles of the snapshot. A bundle that cannot be read changes nothing.
fn merge(own: &Identity, snapshot: &Snapshot) -> Identity {
    let mut roots = Roots::clone(&own.roots);
    for bundle in snapshot.trust.iter().filter(|b| !b.roots.is_empty()) {
        let text: String = bundle.roots.iter().map(|der| pem("CERTIFICATE", der)).collect();
        match CaBundle::from_pem(text.as_bytes()) {
            Ok(read) => roots = roots.with(bundle.trust_domain.clone(), Arc::new(read)),
            Err(error) => tracing::warn!(trust_domain = %bundle.trust_domain, %error, "roots are not used"),
        }
    }
    Identity { material: own.material.clone(), roots: Arc::new(roots) }
}
