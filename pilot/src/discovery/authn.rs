//! Who a caller is: proved by its token or certificate, decided by what `app` hands in (the certificate authority's
//! own authenticator, so that both services believe the same callers). And what the cluster lets it read.

use mesh_config::name::{Namespace, NamespacedName};
use std::{future::Future, pin::Pin, sync::Arc, time::SystemTime};
use tokio::sync::watch;
use tonic::{Extensions, Status, metadata::MetadataMap};

/// What a caller has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    pub namespace: Namespace,
    pub service_account: Arc<str>,
    /// By what: `token` or `certificate`.
    pub proof: &'static str,
    /// When that comes to its end.
    pub until: SystemTime,
}

impl Proved {
    /// Whose it is.
    pub(crate) fn account(&self) -> NamespacedName {
        NamespacedName::new(self.namespace.as_str(), &self.service_account)
    }
}

/// The answer, in time.
pub type Answer = Pin<Box<dyn Future<Output = Result<Proved, Status>> + Send>>;

/// Decides from a call's metadata and what its connection has proved.
pub type Authenticate = Arc<dyn Fn(&MetadataMap, &Extensions) -> Answer + Send + Sync>;

/// Whether the cluster lets the account of a caller list the Secrets of its namespace; `None` while that is not known.
pub type Access = Arc<dyn Fn(&Proved) -> watch::Receiver<Option<bool>> + Send + Sync>;
