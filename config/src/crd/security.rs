//! Policies of `security.istio.io`.

use super::{Object, ParseContext, reader::Fields};
use crate::model;

/// Reads an AuthorizationPolicy's `spec`.
pub(super) fn parse_authorization_policy(
    _object: &Object,
    fields: &mut Fields<'_>,
    _context: &ParseContext,
) -> Option<model::Authorization> {
    fields.invalid("AuthorizationPolicy cannot be read yet")
}

/// Reads a PeerAuthentication's `spec`.
pub(super) fn parse_peer_authentication(
    _object: &Object,
    fields: &mut Fields<'_>,
    _context: &ParseContext,
) -> Option<model::PeerAuthentication> {
    fields.invalid("PeerAuthentication cannot be read yet")
}
