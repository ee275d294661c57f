//! The understood mesh: names resolved, defaults applied, impossible states gone.
//!
//! Each user object becomes one part; children point at their parents (endpoint → service, route → gateway or
//! mesh, policy → target), so that a change is one small message. A part's value depends on inputs only, never on
//! the proxy that receives it; which proxy receives which part is pilot's `scope`.

pub mod authorization;
pub mod destination;
pub mod endpoint;
pub mod gateway;
pub mod index;
pub mod instance;
pub mod labels;
pub mod peer_authentication;
pub mod route;
pub mod secret;
pub mod selector;
pub mod service;
pub mod settings;
pub mod sidecar;
pub mod telemetry;
pub mod trust;
pub mod visibility;
pub mod workload;

pub use crate::kind::{Kind, Part, PartName};
pub use labels::Labels;
pub use service::{Protocol, ServiceKey};
pub use visibility::Visibility;

/// The models of the table of parts, by their own names.
macro_rules! models {
    ($(
        $(#[$doc:meta])*
        $kind:ident($module:ident::$model:ident as $message:ident $word:literal)
        $asked:ident $channel:ident $unread:ident $keep:ident $store:ident |$part:ident| $name:expr;
    )*) => {
        $(pub use $module::$model;)*
    };
}

crate::parts!(models);

use crate::name::Namespace;
use std::sync::Arc;

/// A workload, as policies select it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its namespace.
    pub namespace: &'a Namespace,
    /// Its labels.
    pub labels: &'a Labels,
    /// The namespace whose policies are the mesh's.
    pub root: &'a Namespace,
}

impl Subject<'_> {
    /// Whether policies of a namespace are for it at all: its own and the mesh's.
    pub fn is_under(&self, namespace: &Namespace) -> bool {
        namespace == self.namespace || namespace == self.root
    }
}

/// "Oldest wins": order between objects that say different things about the same subject. Objects without a
/// creation time are ordered by their position in their source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Precedence {
    /// Seconds since the epoch; 0 when the source has no creation times.
    pub created: i64,
    /// Path of the file and position in it, so that text order is source order; empty in a cluster.
    pub position: Arc<str>,
}
