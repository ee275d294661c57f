//! What a set of changes touched: enough to know how soon to compile, and how much.

/// Kinds whose changes add and remove endpoints and nothing else.
const ENDPOINT_KINDS: [&str; 3] = ["EndpointSlice", "Pod", "WorkloadEntry"];

/// Which lanes were touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Touched {
    endpoints: bool,
    rest: bool,
}

impl Touched {
    /// Something else than where endpoints are: settings, routes, policies, trust, findings.
    pub const REST: Touched = Touched { endpoints: false, rest: true };

    /// One object of a kind.
    pub fn of_kind(kind: &str) -> Self {
        let endpoints = ENDPOINT_KINDS.contains(&kind);
        Touched { endpoints, rest: !endpoints }
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
