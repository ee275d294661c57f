//! To which namespaces an object is visible (`exportTo`).

use crate::name::Namespace;
use std::{collections::BTreeSet, sync::Arc};

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
    /// What a list of names says of an object of the namespace `own`.
    pub fn named(names: &[Arc<str>], own: &str) -> Self {
        if names.iter().any(|name| &**name == "*") {
            return Visibility::Everywhere;
        }
        let resolve = |name: &Arc<str>| if &**name == "." { own.into() } else { (&**name).into() };
        Visibility::Namespaces(names.iter().filter(|name| &***name != "~").map(resolve).collect())
    }

    /// Whether a client in `namespace` may see the object.
    pub fn includes(&self, namespace: &Namespace) -> bool {
        match self {
            Visibility::Everywhere => true,
            Visibility::Namespaces(set) => set.contains(namespace),
        }
    }
}

/// How an object came to be visible to a client. Where several of one host are visible, what was written for the client
/// more closely counts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// To its own namespace, which is the client's.
    Private,
    /// To the client's namespace, by its name.
    Named,
    /// To everybody.
    Public,
}

impl Visibility {
    /// How an object of the namespace `own` reaches clients in `client`; `None`: not at all.
    pub fn reach(&self, own: &Namespace, client: &Namespace) -> Option<Reach> {
        match self {
            Visibility::Everywhere => Some(Reach::Public),
            Visibility::Namespaces(set) if !set.contains(client) => None,
            Visibility::Namespaces(_) if own == client => Some(Reach::Private),
            Visibility::Namespaces(_) => Some(Reach::Named),
        }
    }
}
