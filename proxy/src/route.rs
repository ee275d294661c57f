//! Which rule holds for a request and where it goes. Pure: a snapshot, a key and a request give a [`Selection`].

pub mod matching;
pub mod redirect;
pub mod rewrite;
pub mod select;
pub mod split;

pub use crate::snapshot::virtual_host::{RouteMeta, RuleEntry};
pub use select::select;

use crate::{lookup::HeaderLookup, snapshot::cluster::Cluster};
use bytes::Bytes;
use mesh_config::{
    model::{ServiceKey, route::RetryPolicy},
    name::Port,
};
use std::{sync::Arc, time::Duration};

/// What routing looks at, borrowed from wherever it stands.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host or authority as sent, with its port.
    pub authority: &'a str,
    /// The normalised path, with its query.
    pub path: &'a str,
    pub headers: &'a dyn HeaderLookup,
    /// The port that the connection came in on, as rules see it.
    pub listener_port: Port,
}

/// How much of the path the rule matched: a rewrite replaces just that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchedPath {
    /// So many bytes from the start.
    Prefix(usize),
    /// The path whole (without query).
    Whole,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Routed {
    /// Names of what was selected.
    pub meta: Arc<RouteMeta>,
    /// The user's rule; `None` for services without rules, inbound and passthrough.
    pub rule: Option<Arc<RuleEntry>>,
    /// Which of the rule's backends; 0 where there is no rule.
    pub backend: usize,
    /// The cluster. Every retry stays in it.
    pub cluster: Arc<Cluster>,
    /// All tries together; `None`: no limit.
    pub timeout: Option<Duration>,
    /// `None`: no retries at all.
    pub retries: Option<Arc<RetryPolicy>>,
    /// What a rewrite replaces.
    pub matched: Option<MatchedPath>,
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Sent on.
    Forward(Routed),
    /// The proxy answers by itself.
    Answer(Answer),
    /// The destination exists, its details are not here: subscribe, wait (bounded), select again.
    Pending {
        /// What to subscribe to.
        service: ServiceKey,
    },
}

/// An answer of the proxy's own, as rules or their absence give it.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A rule sends the client elsewhere.
    Redirect {
        /// Names of what was selected.
        meta: Arc<RouteMeta>,
        /// The rule; `None`: a gateway's `httpsRedirect`.
        rule: Option<Arc<RuleEntry>>,
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Absolute.
        location: String,
    },
    /// A rule answers.
    Respond {
        /// Names of what was selected.
        meta: Arc<RouteMeta>,
        rule: Arc<RuleEntry>,
        status: u16,
        /// May be empty.
        body: Bytes,
    },
    /// 404, flag NR, `route_not_found`.
    NotFound {
        /// Names of the virtual host, if the host was known.
        meta: Option<Arc<RouteMeta>>,
    },
    /// 502: the host is unknown and unknown hosts may not be reached.
    Blocked {
        /// Names: `block_all`.
        meta: Arc<RouteMeta>,
    },
    /// 503, flag NC: the rule's destination does not exist.
    ClusterNotFound {
        /// Names of what was selected.
        meta: Arc<RouteMeta>,
        /// The rule; `None` for a service without rules whose port is gone.
        rule: Option<Arc<RuleEntry>>,
        /// Name of the cluster that is missing.
        cluster: Arc<str>,
    },
}
