//! `/inject`: what is added to a pod before it is stored. [`crate::inject`] decides; here is who asks and how the answer is
//! put. A pod about which nothing can be decided is refused: it would run outside the mesh unnoticed.

use super::{
    follow::Standing,
    path::Environment,
    review::{Question, Verdict},
};
use crate::inject::{self, Outcome};
use serde_json::Value;

/// What is to be said about a pod, and whether it stays as it is.
pub(super) fn verdict(question: Question<Value>, environment: &Environment, standing: &Standing) -> (Verdict, bool) {
    let is_pod = question.kind.group.is_empty() && question.kind.kind == "Pod";
    if !is_pod || question.operation != "CREATE" {
        // A webhook that was set up for more than is here.
        return (Verdict::allowed(), true);
    }
    let Some(pod) = question.object else {
        return (Verdict::refused("the request has no object"), false);
    };
    let injector = match standing {
        Ok(injector) => injector,
        Err(reason) => return (Verdict::refused(format!("pods cannot be injected: {reason}")), false),
    };
    let own = pod.pointer("/metadata/namespace").and_then(Value::as_str).filter(|own| !own.is_empty());
    let namespace = own.unwrap_or(&question.namespace);
    match injector.inject(&inject::Question { pod: &pod, namespace, workload: None, environment }) {
        Ok(Outcome::Patch(patch)) => (Verdict { patch: Some(patch), ..Verdict::allowed() }, false),
        Ok(Outcome::Skip(reason)) => {
            tracing::debug!(namespace, ?reason, "a pod gets no proxy");
            (Verdict::allowed(), true)
        }
        Err(reason) => (Verdict::refused(reason), false),
    }
}
