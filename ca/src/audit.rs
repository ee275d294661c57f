//! Exactly one structured line for each decision, under the target `audit`: who asked, how it proved that, what came of
//! it. No request, token or key is in it.

use crate::{authn::Caller, authority::Issued, error::Error};
use std::time::{Duration, SystemTime};

/// Says what came of a request. The caller is known once it was authenticated.
pub fn decision(caller: Option<&Caller>, outcome: &Result<Issued, Error>, now: SystemTime) {
    let identity = caller.map(|c| c.identity.uri());
    let (identity, proof) = (identity.as_deref().unwrap_or("-"), caller.map(|c| c.proof.to_string()));
    let proof = proof.as_deref().unwrap_or("-");
    match outcome {
        Ok(issued) => {
            let lifetime = issued.not_after.duration_since(now).unwrap_or(Duration::ZERO).as_secs();
            tracing::info!(target: "audit", decision = "issued", identity, proof, serial = issued.serial, lifetime);
        }
        Err(Error::Refused(refusal)) => {
            let reason = refusal.reason();
            tracing::warn!(target: "audit", decision = "refused", identity, proof, reason, detail = %refusal);
        }
        Err(Error::Failed(failure)) => {
            tracing::error!(target: "audit", decision = "failed", identity, proof, detail = %failure);
        }
    }
}
