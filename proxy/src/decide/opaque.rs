//! What a connection may do whose bytes are not looked at.

use super::{Caller, Permit, Refused, authorise};
use crate::{
    authz::Verdict,
    snapshot::{
        Snapshot,
        listener::DestinationKey,
        outbound::{Destination, lookup},
    },
};
use serde_json::Value;

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
    let local = authorise::known(snapshot)?;
    authorise::stands(snapshot, caller)?;
    *verdict = authorise::authorise(local, caller, None, None, metadata);
    if let Some(verdict) = verdict {
        verdict.allowed().map_err(Refused::Policy)?;
    }
    registered(snapshot, caller)
}

/// A destination outside the registry may be one that must not be reached any more.
fn registered<'s>(snapshot: &Snapshot, caller: &Caller<'_>) -> Result<(), Refused<'s>> {
    match caller.key {
        DestinationKey::Unknown(address) if matches!(lookup(snapshot, *address), Destination::Refused(_)) => {
            Err(Refused::OutsideRegistry)
        }
        _ => Ok(()),
    }
}
