//! What a set of changes touched: enough to know how soon to compile, and how much.

use crate::object::ObjectId;
use mesh_config::kind::{GroupKind, Lane};
use std::collections::BTreeSet;

/// What was touched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Objects that are new, gone, or say something else.
    pub(crate) objects: BTreeSet<ObjectId>,
    /// Something is to be said of an object, or was.
    pub(crate) findings: bool,
    rest: bool,
    /// Which objects count, or what they mean.
    pub(crate) everything: bool,
}

impl Touched {
    /// Something else than where endpoints are, and no object: trust, findings about sources.
    pub const REST: Touched = Touched { objects: BTreeSet::new(), findings: true, rest: true, everything: false };

    /// Any object may have changed.
    pub const EVERYTHING: Touched = Touched { objects: BTreeSet::new(), findings: true, rest: true, everything: true };

    /// One object.
    pub fn of(object: ObjectId) -> Self {
        let rest = match &object.kind {
            GroupKind::Of(kind) => kind.lane() == Lane::Rest,
            // It means nothing to the mesh, and there is a finding that says so.
            GroupKind::Foreign { .. } => true,
        };
        Touched { objects: [object].into(), rest, ..Touched::default() }
    }

    /// Nothing was touched.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && !self.rest
    }

    /// Only where endpoints are was touched.
    pub fn endpoints_only(&self) -> bool {
        !self.is_empty() && !self.rest
    }

    /// Something else than where endpoints are was touched.
    pub(crate) fn is_of_ground(&self) -> bool {
        self.rest
    }

    /// Both.
    pub fn merge(&mut self, other: Touched) {
        self.objects.extend(other.objects);
        self.findings |= other.findings;
        self.rest |= other.rest;
        self.everything |= other.everything;
    }
}
