//! What can go wrong before and beside compiling. Compiling itself never fails: it has diagnostics.

#![warn(clippy::wildcard_enum_match_arm)]

use std::path::PathBuf;

/// A source of objects cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The directory, or one of its entries, cannot be listed.
    #[error("cannot read the objects in {path}: {reason}; check that it is a directory that this process may read")]
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The tree is deeper or larger than what is read.
    #[error("{path} holds more than {limit} {of}; point the source at a smaller directory")]
    TooLarge {
        /// Where the limit was reached.
        path: PathBuf,
        /// How many are read.
        limit: usize,
        /// Of what.
        of: &'static str,
    },
    /// Part of the source has ended, by a mistake of its own.
    #[error("objects are no longer watched: {reason}")]
    Stopped {
        /// What became of it.
        reason: String,
    },
}
