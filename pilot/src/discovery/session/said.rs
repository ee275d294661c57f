//! How many names a client has brought up that pilot remembers, and what they take.

use super::Violation;
use mesh_config::model::Kind;

/// Names that a client may follow and say to hold, unless it is said otherwise.
pub const MAX_NAMES: usize = 100_000;
/// Bytes of one name: a namespace, a slash and a host fit.
pub(super) const MAX_NAME: usize = 512;
/// What a name takes besides its own bytes, about.
const NAME_ROOM: usize = 64;

/// Names that the client has brought up and pilot remembers.
#[derive(Debug)]
pub(super) struct Said {
    most: usize,
    names: usize,
    bytes: usize,
}

impl Default for Said {
    fn default() -> Self {
        Said::of(MAX_NAMES)
    }
}

impl Said {
    /// Of a client that may bring up so many.
    pub(super) fn of(most: usize) -> Self {
        Said { most, names: 0, bytes: 0 }
    }

    /// What they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// One that was not there.
    pub(super) fn add(&mut self, kind: Kind, name: &str) -> Result<(), Violation> {
        if name.len() > MAX_NAME {
            return Err(Violation::NameTooLong(kind));
        }
        if self.names >= self.most {
            return Err(Violation::TooManyNames(self.most));
        }
        self.names += 1;
        self.bytes += name.len() + NAME_ROOM;
        Ok(())
    }

    /// One that was there.
    pub(super) fn remove(&mut self, name: &str) {
        self.names -= 1;
        self.bytes -= name.len() + NAME_ROOM;
    }
}
