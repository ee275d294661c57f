//! Pilot goes and comes back.

use super::{Loads, changes::Changes};
use crate::mesh::Mesh;

/// Ends pilot and starts it again, so many times. In between traffic goes on, and each new pilot is seen to be
/// listened to: a change made while it was away is in effect afterwards.
pub async fn pilot_restarts(mesh: &mut Mesh, loads: &Loads, times: u32, between: u64) {
    let mut changes = Changes::new(mesh).await;
    for _ in 0..times {
        mesh.kill_pilot().await;
        loads.more(between).await;
        changes.write_weights(mesh);
        loads.more(between).await;
        mesh.start_pilot().await;
        changes.weights_seen(mesh).await;
    }
    changes.end(mesh).await;
}
