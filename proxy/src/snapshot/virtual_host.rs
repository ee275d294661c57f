//! Routing rules in executable form: what can be decided before a request comes is decided, destinations are
//! resolved, names for logs are made.

pub mod compile;
pub mod table;

use super::{cluster::Cluster, substitution::PathSubstitution};
use mesh_config::{
    kind::ObjectKind,
    model::{
        Route, ServiceKey,
        route::{Backend, RetryPolicy, RouteMatch, RouteRule},
    },
    name::NamespacedName,
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Names of what was selected, as logs, metrics and `explain` show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMeta {
    /// `<port>`, `<fqdn>:<port>`, `inbound|<port>||`, `http.<port>`, …
    pub route_config: Arc<str>,
    /// `<fqdn>:<port>`, `inbound|http|<port>`, `allow_any`, `block_all`, `blackhole:<port>`.
    pub virtual_host: Arc<str>,
    /// Name of the rule (`<rule>.<match>`), `default` where it has none; empty where no rule was reached.
    pub route: Arc<str>,
    /// The object that the rule is from.
    pub object: Option<Author>,
    /// Operation name of spans: `<fqdn>:<port>/*`; empty where no service is involved.
    pub operation: Arc<str>,
}

/// An object that a rule is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// What it is.
    pub kind: ObjectKind,
    /// Its own name.
    pub name: NamespacedName,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What a destination resolved to when the snapshot was built.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// Its cluster.
    Ready(Arc<Cluster>),
    /// In the index, details not here.
    Pending(ServiceKey),
    /// Nothing of this name: the service, its port or its subset does not exist. Holds the cluster's name.
    Missing(Arc<str>),
}

/// As lists show it.
impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resolved::Ready(cluster) => f.write_str(&cluster.name),
            Resolved::Pending(service) => write!(f, "{service} (not loaded)"),
            Resolved::Missing(name) => write!(f, "{name} (missing)"),
        }
    }
}

impl Resolved {
    pub(super) fn same(&self, other: &Resolved) -> bool {
        match (self, other) {
            (Resolved::Ready(a), Resolved::Ready(b)) => Arc::ptr_eq(a, b),
            (Resolved::Pending(a), Resolved::Pending(b)) => a == b,
            (Resolved::Missing(a), Resolved::Missing(b)) => a == b,
            _ => false,
        }
    }
}

/// One rule of a VirtualService, compiled for one virtual host.
#[derive(Debug, Clone)]
pub struct RuleEntry {
    /// The VirtualService.
    pub route: Arc<Route>,
    /// Which of its rules.
    pub position: usize,
    /// Where each backend leads; as many as the rule's backends, none for redirects and direct responses.
    pub backends: Vec<Resolved>,
    /// Sum of weights.
    pub total_weight: u64,
    /// Whole request; `None`: no limit.
    pub timeout: Option<Duration>,
    /// In force; `None`: no retries at all.
    pub retries: Option<Arc<RetryPolicy>>,
    /// `uriRegexRewrite`, compiled at its first use: most snapshots come and go without one.
    substitution: OnceLock<PathSubstitution>,
}

impl RuleEntry {
    /// The rule's `uriRegexRewrite`, ready to run.
    pub(crate) fn substitution(&self) -> Option<&PathSubstitution> {
        let (pattern, replacement) = self.rule().rewrite.as_ref()?.uri_regex.as_ref()?;
        Some(self.substitution.get_or_init(|| PathSubstitution::new(pattern, replacement)))
    }

    /// The rule as understood.
    pub fn rule(&self) -> &RouteRule {
        &self.route.rules[self.position]
    }

    /// One of the rule's backends.
    pub fn backend(&self, position: usize) -> Option<&Backend> {
        match &self.rule().action {
            mesh_config::model::route::RouteAction::Forward(backends) => backends.get(position),
            _ => None,
        }
    }

    fn same(&self, other: &RuleEntry) -> bool {
        (Arc::ptr_eq(&self.route, &other.route) || self.route == other.route)
            && self.position == other.position
            && self.timeout == other.timeout
            && self.retries == other.retries
            && self.backends.len() == other.backends.len()
            && self.backends.iter().zip(&other.backends).all(|(a, b)| a.same(b))
    }
}

/// What a match leads to.
#[derive(Debug, Clone)]
pub enum Action {
    /// A user's rule.
    Rule(Arc<RuleEntry>),
    /// A service without rules: straight to it.
    Service {
        /// The service.
        to: Resolved,
        /// In force; `None`: no retries at all.
        retries: Option<Arc<RetryPolicy>>,
    },
}

/// One thing to try; the first that matches wins.
#[derive(Debug, Clone)]
pub struct RouteEntry {
    /// Which of the rule's matches must hold; `None`: everything matches.
    pub condition: Option<usize>,
    /// Its names.
    pub meta: Arc<RouteMeta>,
    /// What follows.
    pub action: Action,
}

impl RouteEntry {
    /// The conditions that must hold, if any.
    pub fn conditions(&self) -> Option<&RouteMatch> {
        match (&self.action, self.condition) {
            (Action::Rule(rule), Some(position)) => rule.rule().matches.get(position),
            _ => None,
        }
    }

    /// Whether the two decide the same with the same clusters.
    pub fn same(&self, other: &RouteEntry) -> bool {
        self.condition == other.condition
            && self.meta == other.meta
            && match (&self.action, &other.action) {
                (Action::Rule(a), Action::Rule(b)) => Arc::ptr_eq(a, b) || a.same(b),
                (Action::Service { to: a, retries: r }, Action::Service { to: b, retries: s }) => a.same(b) && r == s,
                _ => false,
            }
    }
}

/// The rules of one set of names.
#[derive(Debug, Clone)]
pub struct VirtualHost {
    /// Names for a request that no rule matches.
    pub meta: Arc<RouteMeta>,
    /// The names it answers to; wildcards start with `*`.
    pub domains: Vec<Arc<str>>,
    /// In order.
    pub entries: Vec<RouteEntry>,
    /// Plain-text requests are sent to https before any rule is looked at.
    pub https_redirect: bool,
}

impl VirtualHost {
    /// Whether the two decide the same with the same clusters.
    pub fn same(&self, other: &VirtualHost) -> bool {
        self.meta == other.meta
            && self.https_redirect == other.https_redirect
            && self.domains == other.domains
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|(a, b)| a.same(b))
    }
}
