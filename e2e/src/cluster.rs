//! Kubernetes for tests: components built from source (`.ci/cluster` builds them), started as processes of this machine
//! on loopback.
//!
//! [`api_server`]: etcd and an API server. [`client`]: calls to it. [`certificates`]: who is who in a cluster.
//! [`process`]: programs that do not outlive whoever started them, also when that one is killed. [`document`]: YAML as the JSON
//! that an API server is sent. Errors are values here: a cluster is also started by programs that are no tests.

pub mod api_server;
pub mod certificates;
pub mod client;
pub mod document;
pub mod process;
