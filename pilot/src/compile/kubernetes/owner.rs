//! What a pod's object says besides its parsed fields.

use mesh_config::crd::node::{Node, Value};
use std::sync::Arc;

/// The name of what made the pod: a ReplicaSet's Deployment, else the controller itself.
pub(super) fn name(pod: &Node) -> Option<Arc<str>> {
    let metadata = pod.get("metadata")?;
    let Value::Seq(owners) = &metadata.get("ownerReferences")?.value else { return None };
    let controls = |owner: &&Node| owner.get("controller").is_some_and(|c| c.value == Value::Bool(true));
    let owner = owners.iter().find(controls)?;
    let name = owner.get("name").and_then(Node::as_str)?;
    let hash = metadata.get("labels").and_then(|labels| labels.get("pod-template-hash")).and_then(Node::as_str);
    let deployment = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
    Some(deployment.unwrap_or(name).into())
}

/// Hand-written pods often have no conditions; they count as ready.
pub(super) fn says_no_conditions(pod: &Node) -> bool {
    pod.get("status").and_then(|status| status.get("conditions")).is_none()
}
