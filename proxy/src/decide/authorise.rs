//! Stages that requests and opaque connections share.

use super::{Caller, Direction, Refused};
use crate::{
    authz::{self, Attributes, HttpAttributes, Verdict},
    snapshot::{Local, Snapshot, inbound::Inbound},
};
use mesh_config::model::peer_authentication::MtlsMode;
use serde_json::Value;
use std::net::IpAddr;

/// Whether a connection that is open could still be opened, and what holds for the workload: if that is not known, none
/// could. What the connection proved when it began is held against what is required now.
pub fn stands<'s>(snapshot: &'s Snapshot, caller: &Caller<'_>) -> Result<&'s Local, Refused<'s>> {
    let local = snapshot.local().ok_or(Refused::NotKnown)?;
    if caller.direction == Direction::Outbound {
        return Ok(local);
    }
    if !caller.secured {
        return match caller.direction == Direction::Inbound && requires_mutual_tls(&local.inbound, caller) {
            true => Err(Refused::PlainText),
            false => Ok(local),
        };
    }
    let (Some(peer), Some(own)) = (caller.peer.and_then(|p| p.trust_domain()), caller.own) else { return Ok(local) };
    let home = own.strip_prefix("spiffe://").and_then(|rest| rest.split('/').next()).unwrap_or("");
    let aliases = || snapshot.settings.trust_domain_aliases.iter().map(|alias| alias.as_str());
    match std::iter::once(home).chain(aliases()).any(|accepted| accepted == peer) {
        true => Ok(local),
        false => Err(Refused::TrustDomain),
    }
}

fn requires_mutual_tls(inbound: &Inbound, caller: &Caller<'_>) -> bool {
    inbound.policy(caller.port).mtls.mode == MtlsMode::Strict
}

/// What the workload's policies say of a call; `None`: nothing forbids what leaves a workload but its destination.
pub(super) fn authorise<'s>(
    local: &'s Local,
    caller: &Caller<'_>,
    http: Option<HttpAttributes<'_>>,
    client: Option<IpAddr>,
    metadata: Option<&Value>,
) -> Option<Verdict<'s>> {
    if caller.direction == Direction::Outbound {
        return None;
    }
    let attributes = Attributes {
        http,
        peer: caller.peer,
        source_ip: caller.source,
        remote_ip: client.or(caller.source),
        destination_ip: caller.destination,
        destination_port: caller.port.get(),
        sni: caller.sni,
        metadata,
    };
    Some(authz::decide(&local.policies, &attributes))
}
