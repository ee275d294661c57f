//! What needs the kernel to capture connections, as it does beside a real workload.

use mesh_e2e::faults::start::{Drill, STARTS, starts};
use std::time::Duration;

#[tokio::test]
async fn a_starting_sidecar_serves_nobody_whom_it_would_refuse() {
    let all = u32::try_from(STARTS.len()).unwrap();
    let drill = Drill { starts: all, rate: 10, time: Duration::from_secs(600) };
    let found = starts(drill).await.unwrap();
    assert_eq!((found.starts(), found.problems()), (all, Vec::new()), "{:?}", found.made);
}
