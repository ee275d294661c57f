//! What every source emits.

use mesh_config::{crd::Object, diagnostic::Diagnostic, name::NamespacedName};
use std::{fmt, sync::Arc};

/// Which object: API group, kind, namespace and name. The API version does not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Empty for Kubernetes' core.
    pub group: Arc<str>,
    /// E.g. `VirtualService`.
    pub kind: Arc<str>,
    /// Namespace and name.
    pub name: NamespacedName,
}

impl ObjectId {
    /// Of an object.
    pub fn of(object: &Object) -> Self {
        ObjectId { group: object.group().into(), kind: object.kind.clone(), name: object.name() }
    }
}

/// What every source emits.
#[derive(Clone, PartialEq)]
pub enum Change {
    /// New, or different from before.
    Upsert(Arc<Object>),
    /// Gone.
    Delete(ObjectId),
    /// What is wrong with the source itself, such as a file that cannot be read. Replaces what it said before.
    Notes(Vec<Diagnostic>),
    /// Everything that was there at the start has been handed over.
    Synced,
}

// An object may be a Secret, so its content is never printed.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Upsert(object) => write!(f, "Upsert({} {})", object.kind, object.name()),
            Change::Delete(id) => write!(f, "Delete({} {})", id.kind, id.name),
            Change::Notes(notes) => f.debug_tuple("Notes").field(notes).finish(),
            Change::Synced => f.write_str("Synced"),
        }
    }
}
