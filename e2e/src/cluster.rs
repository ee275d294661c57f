//! Kubernetes for tests: components built from source (`.ci/cluster` builds them), started as processes of this machine.
//!
//! [`api_server`]: etcd and an API server alone, on loopback. [`local`]: a whole cluster with nodes. [`provider`]: that one, or one
//! from elsewhere. [`handle`]: a cluster in the hand of a test, [`place`]: a namespace of one. [`client`]: calls to an API server.
//! [`certificates`]: who is who in a cluster. [`process`]: programs that do not outlive whoever started them, also when that
//! one is killed, and those that do. [`document`]: YAML as the JSON that an API server is sent. [`drill`]: what is done to a mesh
//! under load. Errors are values here: a cluster is also started by programs that are no tests.

pub mod api_server;
pub mod certificates;
pub mod client;
mod control_plane;
pub mod document;
pub mod drill;
pub mod handle;
pub mod local;
pub mod mesh;
pub mod place;
pub mod process;
pub mod provider;
pub mod times;

pub use handle::Cluster;
