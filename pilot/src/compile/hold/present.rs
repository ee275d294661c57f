//! What exists, for routes to name: now, and in the mesh before.

use crate::{
    compile::services::Registry,
    mesh::{ByHost, Mesh},
};
use mesh_config::{
    model::{Destination, route::Target},
    name::{Host, Port},
};
use std::{fmt, sync::Arc};

/// What a route names and what does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// No service has the host.
    Host(Host),
    /// The service has no such port.
    Port(Host, Port),
    /// No rule for the host defines the subset.
    Subset(Host, Arc<str>),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Host(host) => write!(f, "there is no service {host}"),
            Missing::Port(host, port) => write!(f, "service {host} has no port {port}"),
            Missing::Subset(host, subset) => write!(f, "no DestinationRule for {host} has a subset {subset}"),
        }
    }
}

/// Services and rules as written, and the rules of the mesh before.
pub(super) struct Present<'a> {
    registry: &'a Registry,
    rules: ByHost<&'a Destination>,
    before: Option<&'a ByHost<Arc<Destination>>>,
}

impl<'a> Present<'a> {
    pub(super) fn new(registry: &'a Registry, rules: &'a [Destination], previous: Option<&'a Mesh>) -> Self {
        let mut by_host = ByHost::default();
        for rule in rules {
            by_host.insert(&rule.host, rule);
        }
        Present { registry, rules: by_host, before: previous.map(|mesh| &mesh.lookups().destinations) }
    }

    /// What of a target neither exists nor can be held.
    pub(super) fn missing(&self, target: &Target) -> Option<Missing> {
        let host = &target.host;
        if self.registry.with_host(host).next().is_none() {
            return Some(Missing::Host(host.clone()));
        }
        if let Some(port) = target.port
            && !self.registry.with_host(host).any(|service| service.port(port).is_some())
        {
            return Some(Missing::Port(host.clone(), port));
        }
        let subset = target.subset.as_ref()?;
        let there = self.defined(host, subset) || self.only_before(target).next().is_some();
        (!there).then(|| Missing::Subset(host.clone(), subset.clone()))
    }

    /// Rules of the mesh before that define the target's subset, when none does now.
    pub(super) fn only_before<'s>(
        &'s self,
        target: &'s Target,
    ) -> impl Iterator<Item = (&'s Arc<Destination>, &'s Arc<str>)> {
        let host = &target.host;
        let exists = self.registry.with_host(host).next().is_some();
        let subset = target.subset.as_ref().filter(|subset| exists && !self.defined(host, subset));
        let defining = move |subset: &'s Arc<str>| {
            let rules = self.before.into_iter().flat_map(move |before| before.covering(host));
            let rules = rules.flat_map(|(_, rules)| rules).filter(move |rule| rule.subset(subset).is_some());
            rules.map(move |rule| (rule, subset))
        };
        subset.into_iter().flat_map(defining)
    }

    fn defined(&self, host: &Host, subset: &str) -> bool {
        self.rules.covering(host).flat_map(|(_, rules)| rules).any(|rule| rule.subset(subset).is_some())
    }
}
