//! Traffic objects of `networking.istio.io`.

mod destination_rule;
mod envoy_filter;
mod forms;
mod gateway;
mod headers;
mod http_action;
mod matching;
mod names;
mod opaque_rule;
mod proxy_config;
pub(super) mod retry;
mod service_entry;
mod sidecar;
pub(super) mod traffic_policy;
mod upstream_tls;
mod virtual_service;
mod workload_entry;
mod workload_group;

pub use service_entry::{EntryPort, ServiceEntry};
pub use workload_entry::{EntryEndpoint, WorkloadEntry};

pub(super) use destination_rule::destination_rule;
pub(super) use envoy_filter::ENVOY_FILTER;
pub(super) use forms::{DESTINATION_RULE, KEEPALIVE, LOCALITY, OUTLIERS, POOL, VIRTUAL_SERVICE};
pub(super) use gateway::form::GATEWAY;
pub(super) use gateway::gateway;
pub(super) use proxy_config::PROXY_CONFIG;
pub(super) use retry::RETRIES;
pub(super) use service_entry::form::SERVICE_ENTRY;
pub(super) use service_entry::service_entry;
pub(super) use sidecar::form::SIDECAR;
pub(super) use sidecar::sidecar;
pub(super) use virtual_service::virtual_service;
pub(super) use workload_entry::form::WORKLOAD_ENTRY;
pub(super) use workload_entry::workload_entry;
pub(super) use workload_group::WORKLOAD_GROUP;
