//! What needs the kernel to capture connections, as it does beside a real workload.

use mesh_e2e::faults::start::{Drill, starts};
use std::time::Duration;

#[tokio::test]
async fn a_captured_call_reaches_the_application_through_its_sidecar() {
    let found = starts(Drill { starts: 2, rate: 20, time: Duration::from_secs(60) }).await.unwrap();
    let (admitted, outcome) = &found.outcomes[0];
    assert!(*admitted == "admitted" && outcome.ok > 0, "{outcome:?}");
    assert_eq!(found.starts(), 2);
}
