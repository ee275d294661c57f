//! Where objects come from. A source says what is there and what is gone ([`Change`]); it interprets nothing.

pub mod file;
#[cfg(feature = "serve")]
pub mod kubernetes;
pub mod memory;

pub use crate::world::{Batch, Change, ObjectId, SourceId};
