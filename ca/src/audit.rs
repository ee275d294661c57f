//! A structured line for each decision, under the target `audit`: who asked, how it proved that, what came of it. No
//! request, token or key is in it. Every certificate that was issued has its line; refusals that are alike share one,
//! which says how many went before it.

use crate::{authn::Caller, authority::Issued, error::Error};
use mesh_runtime::telemetry::repeated::Repeated;
use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

/// Says what came of a request from `source`. The caller is known once it was authenticated.
pub fn decision(
    caller: Option<&Caller>,
    source: Option<IpAddr>,
    outcome: &Result<Issued, Error>,
    now: SystemTime,
    lines: &Repeated,
) {
    let identity = caller.map(|c| c.identity.uri());
    let (identity, proof) = (identity.as_deref().unwrap_or("-"), caller.map(|c| c.proof.to_string()));
    let proof = proof.as_deref().unwrap_or("-");
    let from = source.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let source = &*from;
    let who = if caller.is_some() { identity } else { source };
    match outcome {
        Ok(issued) => {
            let lifetime = issued.not_after.duration_since(now).unwrap_or(Duration::ZERO).as_secs();
            tracing::info!(target: "audit", decision = "issued", identity, proof, serial = issued.serial, lifetime);
        }
        Err(Error::Refused(refusal)) => {
            let reason = refusal.reason();
            if let Some(left_out) = lines.due(reason, who) {
                tracing::warn!(target: "audit", decision = "refused", identity, proof, reason, source, left_out, detail = %refusal);
            }
        }
        Err(Error::Failed(failure)) => {
            if let Some(left_out) = lines.due("failed", who) {
                tracing::error!(target: "audit", decision = "failed", identity, proof, source, left_out, detail = %failure);
            }
        }
    }
}
