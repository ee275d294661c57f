//! Policies of `security.istio.io`.

mod authorization;
mod condition;
mod peer_authentication;
mod request_authentication;
mod values;

pub(super) use authorization::AUTHORIZATION_POLICY;
pub use authorization::is_dry_run;
pub(super) use peer_authentication::PEER_AUTHENTICATION;
pub(super) use request_authentication::REQUEST_AUTHENTICATION;

use super::{Object, ParseContext, reader::Fields};
use crate::model::{self, Labels};

/// Reads an AuthorizationPolicy's `spec`. `None` without an error: it is for other targets than workloads.
pub(super) fn authorization_policy(
    object: &Object,
    fields: &mut Fields<'_>,
    _context: &ParseContext,
) -> Option<model::Authorization> {
    authorization::parse(object, fields)
}

/// Reads a PeerAuthentication's `spec`.
pub(super) fn peer_authentication(
    object: &Object,
    fields: &mut Fields<'_>,
    _context: &ParseContext,
) -> Option<model::PeerAuthentication> {
    peer_authentication::parse(object, fields)
}

/// `selector.matchLabels`; absent is empty.
fn selector(fields: &mut Fields<'_>) -> Labels {
    fields.object("selector", |f| Some(f.selector("matchLabels"))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
