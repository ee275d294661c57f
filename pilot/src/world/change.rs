//! What sources emit, and which source counts where two have the same object.

use crate::object::ObjectId;
use mesh_config::{crd::PackedObject, diagnostic::Diagnostic};
use std::{fmt, sync::Arc};

/// Where objects come from. Of an object that several sources have, the version of the first in this order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceId {
    /// A directory of YAML, watched.
    Files,
    /// Texts in memory: offline commands and tests.
    Memory,
    /// An API server of Kubernetes.
    ApiServer,
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourceId::Files => "files",
            SourceId::Memory => "memory",
            SourceId::ApiServer => "API server",
        })
    }
}

/// Changes of one source that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Whose they are.
    pub source: SourceId,
    /// In order.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Clone, PartialEq)]
pub enum Change {
    /// New, or different from before.
    Upsert(ObjectId, Arc<PackedObject>),
    /// Gone.
    Delete(ObjectId),
    /// What is wrong with the source itself, such as a file that cannot be read. Replaces what it said before.
    Notes(Vec<Diagnostic>),
    /// Everything that was there at the source's start has been handed over.
    Synced,
}

// An object may be a Secret, so its content is never printed.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Upsert(id, _) => write!(f, "Upsert({} {})", id.kind, id.name),
            Change::Delete(id) => write!(f, "Delete({} {})", id.kind, id.name),
            Change::Notes(notes) => f.debug_tuple("Notes").field(notes).finish(),
            Change::Synced => f.write_str("Synced"),
        }
    }
}
