//! What a set of changes touched: enough to know how soon to compile, and how much.

use mesh_config::kind::{GroupKind, Lane};

/// Which lanes were touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Touched {
    endpoints: bool,
    rest: bool,
}

impl Touched {
    /// Something else than where endpoints are: settings, routes, policies, trust, findings.
    pub const REST: Touched = Touched { endpoints: false, rest: true };

    /// Where endpoints are.
    pub const ENDPOINTS: Touched = Touched { endpoints: true, rest: false };

    /// One object of a kind.
    pub fn of(kind: &GroupKind) -> Self {
        match kind {
            GroupKind::Of(kind) => match kind.lane() {
                Lane::Endpoints => Touched::ENDPOINTS,
                Lane::Rest => Touched::REST,
            },
            // It means nothing to the mesh, and there is a finding that says so.
            GroupKind::Foreign { .. } => Touched::REST,
        }
    }

    /// Nothing was touched.
    pub fn is_empty(self) -> bool {
        self == Touched::default()
    }

    /// Only where endpoints are was touched.
    pub fn endpoints_only(self) -> bool {
        self.endpoints && !self.rest
    }

    /// Both.
    pub fn merge(&mut self, other: Touched) {
        self.endpoints |= other.endpoints;
        self.rest |= other.rest;
    }
}
