//! May this call go ahead? Pure decisions on borrowed attributes; nothing here waits or allocates on the usual path.
//!
//! What a verdict is worth, a permit or a refusal, is said in [`crate::decide`], together with all else that is decided.

pub mod attributes;
pub mod ingress;
mod matching;

pub use attributes::{Attributes, HeaderLookup, HttpAttributes};
pub use ingress::{Decision, Denial, Shadow, Verdict, decide};
