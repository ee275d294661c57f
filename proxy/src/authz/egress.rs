//! Calls that leave this workload.
//!
//! What lies outside the mesh's index is refused or passed through by the outbound policy, which routing applies
//! before it comes here; no other rule forbids a call at its origin.

use super::Permit;

/// The permit for a call whose destination routing has found.
pub fn permit() -> Permit {
    Permit(())
}
