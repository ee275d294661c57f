//! VirtualServices into entries of a virtual host: conditions that cannot change while the proxy lives (gateway,
//! port, the client's labels and namespace) are decided here.

use super::{Action, Author, Resolved, RouteEntry, RouteMeta, RuleEntry, VirtualHost};
use crate::snapshot::{Own, cluster::ClusterKey};
use mesh_config::{
    kind::object_of,
    matcher::StringMatch,
    model::{
        Route, Service,
        route::{Parent, RetryOn, RetryPolicy, RouteAction, RouteMatch, RouteRule, Target},
    },
    name::Port,
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Where rules are compiled for.
pub struct Place<'a> {
    /// All sidecars, or one gateway.
    pub parent: &'a Parent,
    /// The listener's port.
    pub port: Port,
    /// Whose proxy this is.
    pub own: &'a Own,
    /// Name of the route configuration.
    pub route_config: Arc<str>,
    /// Name of the virtual host.
    pub virtual_host: Arc<str>,
    /// Retries of rules that say nothing; `None`: none.
    pub default_retries: Option<Arc<RetryPolicy>>,
    /// What a destination is, by name.
    pub resolve: &'a dyn Fn(&Target, Port) -> Resolved,
}

/// Retries where neither rule nor mesh says anything.
pub fn built_in_retries() -> RetryPolicy {
    RetryPolicy {
        attempts: 2,
        per_try_timeout: None,
        on: RetryOn { connect_failure: true, refused_stream: true, grpc: vec![14, 1], ..RetryOn::default() },
        backoff: Duration::from_millis(25),
        avoid_previous: true,
    }
}

/// What a proxy sends to its own application again: only what the application certainly never began.
pub fn inbound_retries() -> RetryPolicy {
    RetryPolicy {
        attempts: 2,
        per_try_timeout: None,
        on: RetryOn { reset_before_request: true, ..RetryOn::default() },
        backoff: Duration::from_millis(25),
        avoid_previous: false,
    }
}

impl Place<'_> {
    /// Names of an entry.
    pub fn meta(&self, route: Arc<str>, object: Option<Author>, operation: Arc<str>) -> Arc<RouteMeta> {
        Arc::new(RouteMeta {
            route_config: self.route_config.clone(),
            virtual_host: self.virtual_host.clone(),
            route,
            object,
            operation,
        })
    }

    /// A virtual host of these entries.
    pub fn virtual_host(&self, domains: Vec<Arc<str>>, entries: Vec<RouteEntry>, https_redirect: bool) -> VirtualHost {
        let meta = self.meta("".into(), None, "".into());
        VirtualHost { meta, domains, entries, https_redirect }
    }

    /// The one entry of a service without rules.
    pub fn service_entry(&self, service: &Service, to: Resolved) -> RouteEntry {
        let operation = format!("{}:{}/*", service.key.host, self.port).into();
        RouteEntry {
            condition: None,
            meta: self.meta("default".into(), None, operation),
            action: Action::Service { to, retries: self.default_retries.clone() },
        }
    }

    /// The entries of a VirtualService, in order; nothing follows one that matches everything.
    pub fn entries(&self, route: &Arc<Route>) -> Vec<RouteEntry> {
        let mut entries = Vec::new();
        for (position, rule) in route.rules.iter().enumerate() {
            let conditions: Vec<Option<usize>> = if rule.matches.is_empty() {
                vec![None]
            } else {
                (0..rule.matches.len()).filter(|i| self.applies(&rule.matches[*i])).map(Some).collect()
            };
            if conditions.is_empty() {
                continue;
            }
            let compiled = Arc::new(self.rule(route, position, rule));
            for condition in conditions {
                let matched = condition.map(|i| &rule.matches[i]);
                let catch_all = matched.is_none_or(is_catch_all);
                entries.push(RouteEntry {
                    condition: if catch_all { condition.filter(|_| names_path(matched)) } else { condition },
                    meta: self.meta(
                        route_name(rule, matched),
                        Some(Author { kind: route.object, name: object_of(&route.name) }),
                        self.operation(route, &compiled, matched),
                    ),
                    action: Action::Rule(compiled.clone()),
                });
                if catch_all {
                    return entries;
                }
            }
        }
        entries
    }

    /// Whether the conditions that do not depend on a request hold.
    fn applies(&self, m: &RouteMatch) -> bool {
        let here = if m.parents.is_empty() {
            m.source_labels.selects(&self.own.labels)
                && m.source_namespace.as_ref().is_none_or(|ns| *ns == self.own.namespace)
        } else {
            m.parents.contains(self.parent)
        };
        here && m.port.is_none_or(|port| port == self.port)
    }

    fn rule(&self, route: &Arc<Route>, position: usize, rule: &RouteRule) -> RuleEntry {
        let (backends, total_weight) = match &rule.action {
            RouteAction::Forward(backends) => (
                backends.iter().map(|b| (self.resolve)(&b.target, self.port)).collect(),
                backends.iter().map(|b| u64::from(b.weight)).sum(),
            ),
            RouteAction::Redirect(_) | RouteAction::Respond(_) => (Vec::new(), 0),
        };
        RuleEntry {
            route: route.clone(),
            position,
            backends,
            total_weight,
            timeout: rule.timeout.filter(|t| !t.is_zero()),
            retries: match &rule.retries {
                Some(policy) => (policy.attempts > 0).then(|| Arc::new(policy.clone())),
                None => self.default_retries.clone(),
            },
            substitution: OnceLock::new(),
        }
    }

    /// With one destination the destination, else the VirtualService; then the path that was asked for.
    fn operation(&self, route: &Route, rule: &RuleEntry, matched: Option<&RouteMatch>) -> Arc<str> {
        let path = match matched.and_then(|m| m.path.as_ref()).map(|p| &p.matcher) {
            None | Some(StringMatch::Present | StringMatch::Suffix(_)) => "/*".to_owned(),
            Some(StringMatch::Exact(path)) => path.to_string(),
            Some(StringMatch::Prefix(path)) => format!("{path}*"),
            Some(StringMatch::Regex(pattern)) => pattern.as_str().to_owned(),
        };
        let only = match (&rule.rule().action, &rule.backends[..]) {
            (RouteAction::Forward(backends), [resolved]) => Some((&backends[0].target, resolved)),
            _ => None,
        };
        match only {
            Some((_, Resolved::Ready(cluster))) => match &cluster.key {
                ClusterKey::Outbound { service, port, .. } => format!("{}:{port}{path}", service.host).into(),
                _ => format!("{}{path}", cluster.name).into(),
            },
            Some((target, _)) => format!("{}:{}{path}", target.host, target.port.unwrap_or(self.port)).into(),
            None => format!("{}:{}{path}", route.name.name, self.port).into(),
        }
    }
}

fn route_name(rule: &RouteRule, matched: Option<&RouteMatch>) -> Arc<str> {
    match matched.map(|m| &m.name).filter(|name| !name.is_empty()) {
        Some(name) if rule.name.is_empty() => name.clone(),
        Some(name) => format!("{}.{name}", rule.name).into(),
        None if rule.name.is_empty() => "default".into(),
        None => rule.name.clone(),
    }
}

/// Whether every request matches: nothing but perhaps the prefix `/`.
pub fn is_catch_all(m: &RouteMatch) -> bool {
    let any_path = m.path.as_ref().is_none_or(|p| match &p.matcher {
        StringMatch::Prefix(prefix) => &**prefix == "/",
        StringMatch::Present => true,
        StringMatch::Regex(pattern) => matches!(pattern.as_str(), ".*" | "/.*"),
        StringMatch::Exact(_) | StringMatch::Suffix(_) => false,
    });
    any_path
        && m.scheme.is_none()
        && m.method.is_none()
        && m.authority.is_none()
        && m.headers.is_empty()
        && m.query.is_empty()
}

/// A pattern over the path decides how a rewrite replaces it, so that it must be kept even where all paths match.
fn names_path(m: Option<&RouteMatch>) -> bool {
    m.is_some_and(|m| matches!(m.path.as_ref().map(|p| &p.matcher), Some(StringMatch::Regex(_))))
}
