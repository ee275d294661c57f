//! Traffic objects of `networking.istio.io`.

mod destination_rule;
mod gateway;
mod headers;
mod http_action;
mod matching;
mod names;
pub(super) mod retry;
mod service_entry;
mod sidecar;
pub(super) mod traffic_policy;
mod upstream_tls;
mod virtual_service;
mod workload_entry;

pub use service_entry::{EntryPort, ServiceEntry};
pub use workload_entry::{EntryEndpoint, WorkloadEntry};

use super::{Object, ParseContext, Parsed, reader::Fields};

/// What reads the `spec` of a kind.
type Read = fn(&Object, &mut Fields<'_>, &ParseContext) -> Option<Parsed>;

/// What reads the `spec` of a kind of this group.
pub(super) fn reader(group: &str, kind: &str) -> Option<Read> {
    if group != "networking.istio.io" {
        return None;
    }
    let read: Read = match kind {
        "VirtualService" => |o, f, c| virtual_service::virtual_service(o, f, c).map(Parsed::Route),
        "DestinationRule" => |o, f, c| destination_rule::destination_rule(o, f, c).map(Parsed::Destination),
        "Gateway" => |o, f, c| gateway::gateway(o, f, c).map(Parsed::Gateway),
        "Sidecar" => |o, f, c| sidecar::sidecar(o, f, c).map(Parsed::Sidecar),
        "ServiceEntry" => |o, f, c| service_entry::service_entry(o, f, c).map(Parsed::ServiceEntry),
        "WorkloadEntry" => |o, f, c| workload_entry::workload_entry(o, f, c).map(Parsed::WorkloadEntry),
        _ => return None,
    };
    Some(read)
}
