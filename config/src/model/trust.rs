//! Root certificates. A bundle is a set from the start, so that rotation adds before it removes.

use crate::identity::TrustDomain;
use bytes::Bytes;
use std::collections::BTreeSet;

/// The roots of one trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustBundle {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// DER certificates.
    pub roots: BTreeSet<Bytes>,
}
