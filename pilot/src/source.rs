//! Where objects come from. A source says what is there and what is gone ([`Change`]); it interprets nothing.

pub mod file;
pub mod memory;

pub use crate::world::{Batch, Change, ObjectId, SourceId};
