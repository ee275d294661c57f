//! What of a world outlives the process: good versions of the objects that narrow access. They are kept as parts,
//! whose encoding is bounded, checked when read, and carries a level.

use super::ObjectId;
use mesh_config::{
    crd::{Head, ObjectMeta, Parsed},
    diagnostic::Origin,
    kind::ObjectKind,
    model::Part,
    name::NamespacedName,
};
use std::sync::Arc;

/// As it is kept; `None`: of another kind.
pub(super) fn part_of(parsed: &Parsed) -> Option<Part> {
    match parsed {
        Parsed::AuthorizationPolicy(policy) => Some(Part::Authorization(Arc::new(policy.clone()))),
        Parsed::PeerAuthentication(policy) => Some(Part::PeerAuthentication(Arc::new(policy.clone()))),
        Parsed::Sidecar(sidecar) => Some(Part::Sidecar(Arc::new(sidecar.clone()))),
        _ => None,
    }
}

/// The object that a part was kept of, and its meaning. `None`: parts of this kind are not kept.
pub(super) fn object_of(part: Part) -> Option<(ObjectId, Arc<Head>, Parsed)> {
    let (kind, name, parsed) = match part {
        Part::Authorization(policy) => {
            let policy = Arc::unwrap_or_clone(policy);
            (ObjectKind::AuthorizationPolicy, policy.name.clone(), Parsed::AuthorizationPolicy(policy))
        }
        Part::PeerAuthentication(policy) => {
            let policy = Arc::unwrap_or_clone(policy);
            (ObjectKind::PeerAuthentication, policy.name.clone(), Parsed::PeerAuthentication(policy))
        }
        Part::Sidecar(sidecar) => {
            let sidecar = Arc::unwrap_or_clone(sidecar);
            (ObjectKind::Sidecar, sidecar.name.clone(), Parsed::Sidecar(sidecar))
        }
        _ => return None,
    };
    let head = placeholder(kind, &name);
    Some((ObjectId::local(&head), Arc::new(head), parsed))
}

fn placeholder(kind: ObjectKind, name: &NamespacedName) -> Head {
    Head {
        api_version: kind.api_version().into(),
        kind: kind.word().into(),
        meta: ObjectMeta {
            name: name.name.clone(),
            namespace: name.namespace.as_str().into(),
            ..ObjectMeta::default()
        },
        origin: Origin::default(),
        position: "".into(),
    }
}
