//! To which namespaces an object is visible (`exportTo`).

use crate::name::Namespace;
use std::collections::BTreeSet;

/// Resolved `exportTo`: `.` has become the object's namespace, `*` is [`Visibility::Everywhere`], `~` is an empty
/// set of namespaces (nobody, not even the own namespace).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// All namespaces.
    Everywhere,
    /// Just these.
    Namespaces(BTreeSet<Namespace>),
}

impl Visibility {
    /// Whether a client in `namespace` may see the object.
    pub fn includes(&self, namespace: &Namespace) -> bool {
        match self {
            Visibility::Everywhere => true,
            Visibility::Namespaces(set) => set.contains(namespace),
        }
    }
}
