//! What a connection may do whose bytes are not looked at, and where a rule sends it.

use super::{Ask, Asking, Caller, Permit, Refused, authorise};
use crate::{
    authz::Verdict,
    route::split,
    snapshot::{
        Snapshot,
        cluster::Cluster,
        listener::DestinationKey,
        outbound::{Destination, Said, Way, by_opening, lookup},
        stream::StreamRoute,
        virtual_host::Resolved,
    },
};
use serde_json::Value;
use std::sync::Arc;

/// Where a rule sends a connection.
#[derive(Debug, Clone)]
pub enum Onward {
    /// Fetch this, and decide again.
    Ask(Ask),
    /// There.
    To(Arc<Cluster>),
    /// Nowhere: its destination, by name, does not exist.
    Missing(Arc<str>),
}

/// Chooses one of a rule's destinations. `draw` is a random number; a connection that is decided on again brings the same.
pub fn onward(rule: &StreamRoute, draw: u64) -> Onward {
    let weights = rule.backends.iter().map(|(_, weight)| *weight);
    match &rule.backends[split::pick(weights, rule.total_weight, draw)].0 {
        Resolved::Ready(cluster) => Onward::To(cluster.clone()),
        Resolved::Pending(service) => Onward::Ask(Ask::Details(service.clone())),
        Resolved::Missing(name) => Onward::Missing(name.clone()),
    }
}

/// Whether the connection may be carried, and what policies said. Asked when it begins, and again when they change.
pub fn opaque<'s>(
    snapshot: &'s Snapshot,
    caller: &Caller<'_>,
    metadata: Option<&Value>,
) -> (Result<Permit, Refused<'s>>, Option<Verdict<'s>>) {
    let mut verdict = None;
    let permit = stages(snapshot, caller, metadata, &mut verdict).map(|()| Permit(()));
    (permit, verdict)
}

fn stages<'s>(
    snapshot: &'s Snapshot,
    caller: &Caller<'_>,
    metadata: Option<&Value>,
    verdict: &mut Option<Verdict<'s>>,
) -> Result<(), Refused<'s>> {
    let local = authorise::stands(snapshot, caller)?;
    *verdict = authorise::authorise(local, caller, None, None, metadata);
    if let Some(verdict) = verdict {
        verdict.allowed().map_err(Refused::Policy)?;
    }
    registered(snapshot, caller)
}

/// A destination outside the registry may be one that must not be reached any more.
fn registered<'s>(snapshot: &Snapshot, caller: &Caller<'_>) -> Result<(), Refused<'s>> {
    let DestinationKey::Unknown(address) = caller.key else { return Ok(()) };
    let found = match lookup(snapshot, *address, Asking::Needed) {
        Destination::Opening(_) => by_opening(snapshot, Way::Captured(*address), Said::Tls(caller.sni), Asking::Needed),
        found => found,
    };
    match found {
        Destination::Refused(_) => Err(Refused::OutsideRegistry),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
