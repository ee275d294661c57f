//! What a set of changes touched: enough to know how soon to compile.

use std::{collections::BTreeSet, sync::Arc};

/// Kinds whose changes add and remove endpoints and nothing else.
const ENDPOINT_KINDS: [&str; 3] = ["EndpointSlice", "Pod", "WorkloadEntry"];

/// Kinds of objects that were touched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    kinds: BTreeSet<Arc<str>>,
}

impl Touched {
    /// One object of a kind; an empty text for what is no object.
    pub fn of_kind(kind: &str) -> Self {
        Touched { kinds: [Arc::from(kind)].into() }
    }

    /// Nothing was touched.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Only where endpoints are was touched.
    pub fn endpoints_only(&self) -> bool {
        !self.is_empty() && self.kinds.iter().all(|kind| ENDPOINT_KINDS.contains(&&**kind))
    }

    /// Both.
    pub fn merge(&mut self, other: Touched) {
        self.kinds.extend(other.kinds);
    }
}
