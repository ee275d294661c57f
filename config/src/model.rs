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
pub mod service;
pub mod settings;
pub mod sidecar;
pub mod telemetry;
pub mod trust;
pub mod visibility;
pub mod workload;

pub use authorization::Authorization;
pub use destination::Destination;
pub use endpoint::Endpoint;
pub use gateway::Gateway;
pub use index::IndexEntry;
pub use instance::Instance;
pub use labels::Labels;
pub use peer_authentication::PeerAuthentication;
pub use route::Route;
pub use secret::Credential;
pub use service::{Protocol, Service, ServiceKey};
pub use settings::Settings;
pub use sidecar::Sidecar;
pub use telemetry::Telemetry;
pub use trust::TrustBundle;
pub use visibility::Visibility;
pub use workload::Workload;

pub use crate::kind::{Kind, Part, PartName};

use std::sync::Arc;

/// "Oldest wins": order between objects that say different things about the same subject. Objects without a
/// creation time are ordered by their position in their source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Precedence {
    /// Seconds since the epoch; 0 when the source has no creation times.
    pub created: i64,
    /// Path of the file and position in it, so that text order is source order; empty in a cluster.
    pub position: Arc<str>,
}
