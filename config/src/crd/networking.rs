//! Traffic objects of `networking.istio.io`.

mod service_entry;
mod workload_entry;

pub use service_entry::{EntryPort, ServiceEntry};
pub use workload_entry::{EntryEndpoint, WorkloadEntry};

use super::{Object, ParseContext, Parsed, reader::Fields};

/// What reads the `spec` of a kind.
type Read = fn(&Object, &mut Fields<'_>, &ParseContext) -> Option<Parsed>;

/// What reads the `spec` of a kind of this group.
pub(super) fn reader(group: &str, kind: &str) -> Option<Read> {
    let _ = kind;
    (group == "networking.istio.io").then_some(|_, _, _| None)
}
