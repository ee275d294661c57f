//! May this call go ahead? Pure decisions on borrowed attributes; nothing here waits or allocates on the usual path.
//!
//! A [`Permit`] is the proof of such a decision: sending anything on needs one, and only this module makes them.

pub mod attributes;
pub mod egress;
pub mod ingress;
mod matching;

pub use attributes::{Attributes, HeaderLookup, HttpAttributes};
pub use ingress::{Decision, Denial, Shadow, Verdict, decide};

/// Proof that a call was allowed.
#[derive(Debug)]
#[must_use = "a permit is there to be handed to what sends the call on"]
pub struct Permit(());
