//! What every source emits.

use mesh_config::{crd::Object, diagnostic::Diagnostic, name::NamespacedName};
use std::sync::Arc;

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
#[derive(Debug, Clone, PartialEq)]
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
