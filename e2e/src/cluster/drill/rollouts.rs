//! New pods in the place of others, and fewer of them.

use super::{super::place::Place, Stage};
use anyhow::Result;

/// Rolls the server out anew and takes most of it away, in turn, so many times each.
///
/// # Errors
/// When a rollout does not end.
pub fn rollouts(stage: &Stage<'_>, times: u32) -> Result<()> {
    for _ in 0..times {
        roll(&stage.inside, "server")?;
        scale(&stage.inside, 1)?;
        scale(&stage.inside, 3)?;
    }
    Ok(())
}

/// Rolls a Deployment out anew, and waits until its new pods alone are there.
///
/// # Errors
/// When it does not end.
pub fn roll(place: &Place<'_>, name: &str) -> Result<()> {
    let deployment = format!("deployment/{name}");
    place.kubectl(&["rollout", "restart", &deployment])?;
    place.kubectl(&["rollout", "status", &deployment, "--timeout=180s"]).map(drop)
}

fn scale(place: &Place<'_>, replicas: u32) -> Result<()> {
    place.kubectl(&["scale", "deployment/server", &format!("--replicas={replicas}")])?;
    place.kubectl(&["rollout", "status", "deployment/server", "--timeout=180s"])?;
    let all = format!("--for=jsonpath={{.status.replicas}}={replicas}");
    place.kubectl(&["wait", &all, "deployment/server", "--timeout=60s"]).map(drop)
}
