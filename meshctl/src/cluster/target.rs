//! Which pod is meant: `NAME[.NAMESPACE]` is a pod, `TYPE/NAME[.NAMESPACE]` the first running pod of what it names.

use super::Cluster;
use crate::{context::Context, usage::Usage};
use anyhow::{Context as _, Result, bail};
use kube::{
    Api,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A pod by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What has pods: words for it, and where it is.
const OWNERS: [(&[&str], &str, &str, &str, &str); 7] = [
    (&["deployment", "deployments", "deploy"], "apps", "v1", "Deployment", "deployments"),
    (&["statefulset", "statefulsets", "sts"], "apps", "v1", "StatefulSet", "statefulsets"),
    (&["daemonset", "daemonsets", "ds"], "apps", "v1", "DaemonSet", "daemonsets"),
    (&["replicaset", "replicasets", "rs"], "apps", "v1", "ReplicaSet", "replicasets"),
    (&["job", "jobs"], "batch", "v1", "Job", "jobs"),
    (&["service", "services", "svc"], "", "v1", "Service", "services"),
    (
        &["replicationcontroller", "replicationcontrollers", "rc"],
        "",
        "v1",
        "ReplicationController",
        "replicationcontrollers",
    ),
];

impl Cluster {
    /// The pod that a text means.
    ///
    /// # Errors
    /// [`Usage`] when it means nothing; when what it names is not there or has no running pod.
    pub(crate) async fn pod(&self, text: &str, context: &Context) -> Result<PodName> {
        let (kind, rest) = match text.split_once('/') {
            Some((kind, rest)) => (Some(kind), rest),
            None => (None, text),
        };
        let (name, namespace) = match rest.rsplit_once('.') {
            Some((name, namespace)) => (name, namespace.to_owned()),
            None => (rest, context.only_namespace().unwrap_or(&self.namespace).to_owned()),
        };
        if name.is_empty() || namespace.is_empty() {
            bail!(Usage::new(format!("{text:?} is not [TYPE/]NAME[.NAMESPACE]")));
        }
        let selector = match kind {
            None | Some("pod" | "pods" | "po") => return Ok(PodName { namespace, name: name.to_owned() }),
            Some("gateway" | "gateways" | "gtw") => format!("gateway.networking.k8s.io/gateway-name={name}"),
            Some(kind) => self.selector(kind, &namespace, name).await?,
        };
        let running = self.running(&namespace, &selector).await?;
        match running.into_iter().next() {
            Some(name) => Ok(PodName { namespace, name }),
            None => bail!("{text} has no running pod (labels {selector}) in namespace {namespace}"),
        }
    }

    async fn selector(&self, word: &str, namespace: &str, name: &str) -> Result<String> {
        let word = word.to_ascii_lowercase();
        let Some((_, group, version, kind, plural)) = OWNERS.iter().find(|owner| owner.0.contains(&&*word)) else {
            let known: Vec<&str> = OWNERS.iter().map(|owner| owner.0[0]).collect();
            bail!(Usage::new(format!(
                "{word:?} has no pods that could be found: use pod, gateway, {}",
                known.join(", ")
            )));
        };
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let owners: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let owner = owners.get(name).await;
        let owner = owner.map_err(|error| self.told(error, &format!("read {kind} {namespace}/{name}")))?;
        let selector = labels(&owner.data["spec"]["selector"]);
        selector.with_context(|| format!("{kind} {namespace}/{name} selects no pods by labels"))
    }
}

/// A selector as a list of labels: those of `matchLabels`, or the map itself.
fn labels(selector: &Value) -> Option<String> {
    let map = selector.get("matchLabels").unwrap_or(selector).as_object()?;
    let pairs: BTreeMap<&str, &str> = map.iter().filter_map(|(key, value)| Some((&**key, value.as_str()?))).collect();
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_of_both_kinds_of_selectors_are_read() {
        assert_eq!(labels(&json!({"matchLabels": {"b": "2", "a": "1"}})).as_deref(), Some("a=1,b=2"));
        assert_eq!(labels(&json!({"app": "cart"})).as_deref(), Some("app=cart"));
        assert_eq!(labels(&json!({"matchLabels": {}})), None);
        assert_eq!(labels(&Value::Null), None);
    }
}
