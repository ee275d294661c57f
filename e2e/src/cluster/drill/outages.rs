//! Parts of the mesh or of the cluster that go away for a while.

use super::{super::place::soon, Stage, deny};
use anyhow::{Context, Result, ensure};
use mesh_runtime::clock;
use std::{thread::sleep, time::Duration};

/// Ends every pilot without a chance to say so, waits for those that come in their place, and for a pod that is meshed by them.
///
/// # Errors
/// When they do not come back.
pub fn pilots_killed(stage: &Stage<'_>) -> Result<()> {
    let cluster = &stage.mesh.cluster;
    let pilots = ["--namespace", "istio-system"];
    cluster.kubectl(
        &[&pilots[..], &["delete", "pods", "--selector=app=istiod", "--force", "--grace-period=0"]].concat(),
    )?;
    cluster.kubectl(&[&pilots[..], &["rollout", "status", "deployment/istiod", "--timeout=120s"]].concat())?;
    super::rollouts::roll(&stage.inside, "server")
}

/// Ends the API server for so long; then how long it took, from its return on, until a change made at once was in force.
///
/// # Errors
/// When it does not come back.
pub fn api_server_away(stage: &Stage<'_>, time: Duration) -> Result<Duration> {
    let cluster = &stage.mesh.cluster;
    let local = cluster.local()?;
    let ended = local.kill("kube-apiserver")?;
    // A span of time is what this drill is about.
    sleep(time);
    local.begin(ended)?;
    soon("the API server answers", || cluster.kubectl(&["get", "--raw", "/readyz"]));
    let back = clock::now();
    let name = "after-the-outage";
    stage.inside.apply(&deny(name, &format!("/{name}")))?;
    soon("what was written then is in force", || denied(stage, name));
    let took = clock::since(back);
    stage.inside.kubectl(&["delete", "authorizationpolicy", name])?;
    Ok(took)
}

/// Ends a node's kubelet for so long.
///
/// # Errors
/// When the node is not ready again.
pub fn kubelet_away(stage: &Stage<'_>, node: &str, time: Duration) -> Result<()> {
    let cluster = &stage.mesh.cluster;
    let local = cluster.local()?;
    let ended = local.kill(&format!("kubelet-{node}"))?;
    sleep(time);
    local.begin(ended)?;
    let name = format!("node/{node}");
    cluster.kubectl(&["wait", "--for=condition=Ready", &name, "--timeout=120s"]).map(drop)
}

fn denied(stage: &Stage<'_>, name: &str) -> Result<()> {
    let said = stage.inside.call_whatever("pod/http1", &["--expect", "403", &format!("http://server/{name}")])?;
    ensure!(said.contains(": 403 "), "{said}");
    Ok(())
}

/// The node on which a pod of the server is.
///
/// # Errors
/// When there is none.
pub fn node_of_server(stage: &Stage<'_>) -> Result<String> {
    let query = "--output=jsonpath={.items[0].spec.nodeName}";
    let node = stage.inside.kubectl(&["get", "pods", "--selector=app=server", query])?;
    Some(node).filter(|node| !node.is_empty()).context("no pod of the server")
}
