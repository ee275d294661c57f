//! Whole meshes in one process, for tests that need more than one component and for the storm.
//!
//! [`mesh`]: pilot, its certificate authority and proxies on a directory of objects, each on loopback addresses of
//! its own. [`workload`]: the applications. [`client`]: calls as an application without a mesh would make them.
//! [`cluster`]: Kubernetes itself, for what an API server decides.
//! [`traffic`]: load that does not wait for answers. [`faults`]: drills, what is done to a mesh under load.
//! Everything here panics rather than returns errors where a test could not go on.

pub mod by_address;
pub mod client;
pub mod cluster;
pub mod command;
pub mod faults;
pub mod golden;
pub mod mesh;
pub mod namespace;
pub mod offline;
pub mod program;
pub mod traffic;
pub mod workload;

use mesh_runtime::clock;
use std::time::Duration;

/// How long tests wait for what must come; generous, as machines are loaded.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until `probe` says yes; gives its answer.
///
/// # Panics
/// With `what` and the last answer when [`PATIENCE`] is over.
pub async fn until<T: std::fmt::Debug, F: Future<Output = Result<T, E>>, E: std::fmt::Debug>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let end = clock::now() + PATIENCE;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(last) if clock::now() > end => panic!("{what}: not within {PATIENCE:?}; last: {last:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
