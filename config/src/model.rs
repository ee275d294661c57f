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
pub use trust::TrustBundle;
pub use visibility::Visibility;
pub use workload::Workload;

use std::{borrow::Borrow, fmt, sync::Arc};

/// The kinds of parts, in the order in which one push carries them: what others refer to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Mesh-wide settings; one part named `mesh`.
    Settings,
    /// Root certificates of one trust domain.
    Trust,
    /// What pilot knows about the very workload that asks.
    Instance,
    /// One user `Sidecar`.
    Sidecar,
    /// One user `PeerAuthentication`.
    PeerAuthentication,
    /// One user `AuthorizationPolicy`.
    Authorization,
    /// A key pair for a gateway's TLS; secure channel only.
    Secret,
    /// One name that exists in the proxy's scope.
    Index,
    /// One user `DestinationRule` (rules of one namespace and host merged).
    Destination,
    /// Membership of a workload in a service port.
    Endpoint,
    /// One service, in detail. Sent after its children, so its arrival says that they are complete.
    Service,
    /// One workload, asked for by address.
    Workload,
    /// One user `Gateway`.
    Gateway,
    /// One user `VirtualService`.
    Route,
}

impl Kind {
    /// Every kind, in push order.
    pub const ALL: [Kind; 14] = [
        Kind::Settings,
        Kind::Trust,
        Kind::Instance,
        Kind::Sidecar,
        Kind::PeerAuthentication,
        Kind::Authorization,
        Kind::Secret,
        Kind::Index,
        Kind::Destination,
        Kind::Endpoint,
        Kind::Service,
        Kind::Workload,
        Kind::Gateway,
        Kind::Route,
    ];

    /// Whether parts of this kind may only travel over an authenticated, encrypted channel.
    pub fn is_secret(self) -> bool {
        self == Kind::Secret
    }
}

/// The name of a part within its kind. Forms: services, index entries `namespace/host`; endpoints
/// `namespace/host/port/id`; objects `namespace/name`; workloads and instances their uid; settings `mesh`;
/// trust bundles the trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartName(pub Arc<str>);

impl PartName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for PartName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One part of the mesh, shared.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant holds the type of its name")]
pub enum Part {
    Settings(Arc<Settings>),
    Trust(Arc<TrustBundle>),
    Instance(Arc<Instance>),
    Sidecar(Arc<Sidecar>),
    PeerAuthentication(Arc<PeerAuthentication>),
    Authorization(Arc<Authorization>),
    Secret(Arc<Credential>),
    Index(Arc<IndexEntry>),
    Destination(Arc<Destination>),
    Endpoint(Arc<Endpoint>),
    Service(Arc<Service>),
    Workload(Arc<Workload>),
    Gateway(Arc<Gateway>),
    Route(Arc<Route>),
}

impl Part {
    /// The part's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Part::Settings(_) => Kind::Settings,
            Part::Trust(_) => Kind::Trust,
            Part::Instance(_) => Kind::Instance,
            Part::Sidecar(_) => Kind::Sidecar,
            Part::PeerAuthentication(_) => Kind::PeerAuthentication,
            Part::Authorization(_) => Kind::Authorization,
            Part::Secret(_) => Kind::Secret,
            Part::Index(_) => Kind::Index,
            Part::Destination(_) => Kind::Destination,
            Part::Endpoint(_) => Kind::Endpoint,
            Part::Service(_) => Kind::Service,
            Part::Workload(_) => Kind::Workload,
            Part::Gateway(_) => Kind::Gateway,
            Part::Route(_) => Kind::Route,
        }
    }

    /// The part's name within its kind.
    pub fn name(&self) -> PartName {
        let text = match self {
            Part::Settings(_) => settings::NAME.to_owned(),
            Part::Trust(t) => t.trust_domain.to_string(),
            Part::Instance(i) => i.workload.uid.to_string(),
            Part::Sidecar(s) => s.name.to_string(),
            Part::PeerAuthentication(p) => p.name.to_string(),
            Part::Authorization(a) => a.name.to_string(),
            Part::Secret(c) => c.name.to_string(),
            Part::Index(e) => e.key.to_string(),
            Part::Destination(d) => d.name.to_string(),
            Part::Endpoint(e) => e.key.to_string(),
            Part::Service(s) => s.key.to_string(),
            Part::Workload(w) => w.uid.to_string(),
            Part::Gateway(g) => g.name.to_string(),
            Part::Route(r) => r.name.to_string(),
        };
        PartName(text.into())
    }
}

/// "Oldest wins": order between objects that say different things about the same subject. Objects without a
/// creation time are ordered by where they stand in their source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Precedence {
    /// Seconds since the epoch; 0 when the source has no creation times.
    pub created: i64,
    /// Path of the file and position in it, so that text order is source order; empty in a cluster.
    pub position: Arc<str>,
}
