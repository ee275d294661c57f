//! Waiting until what was written is ready: definitions are served, pods of workloads answer.

use crate::{chart::object::Object, cluster::Cluster};
use anyhow::{Context as _, Result, bail};
use k8s_openapi::{
    api::apps::v1::{DaemonSet, Deployment},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    runtime::{
        conditions,
        wait::{Condition, await_condition},
    },
};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Waits for all of them, together that long.
///
/// # Errors
/// The first that is not ready in time, and what is said of it.
pub(super) async fn ready(cluster: &Cluster, objects: &[Object], limit: Duration) -> Result<()> {
    let end = mesh_runtime::clock::now() + limit;
    for object in objects {
        match object.kind() {
            "CustomResourceDefinition" => {
                let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
                until(api, object, conditions::is_crd_established(), end).await.map(drop)
            }
            "Deployment" => {
                let namespace = object.namespace().context("a Deployment has a namespace")?;
                let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
                match until(api.clone(), object, is_ready, end).await {
                    Err(error) => Err(error.context(why_not(api.get_opt(object.name()).await.ok().flatten()))),
                    done => done,
                }
            }
            "DaemonSet" => {
                let namespace = object.namespace().context("a DaemonSet has a namespace")?;
                let api: Api<DaemonSet> = Api::namespaced(cluster.client.clone(), namespace);
                until(api, object, is_everywhere, end)
                    .await
                    .context("its pods are not ready; kubectl describe pods says why")
            }
            _ => Ok(()),
        }
        .with_context(|| format!("resources not ready after {limit:?}: {}", object.title()))?;
    }
    Ok(())
}

async fn until<K>(api: Api<K>, object: &Object, condition: impl Condition<K>, end: Instant) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    match timeout_at(end, await_condition(api, object.name(), condition)).await {
        Ok(done) => done.map(drop).context("it cannot be watched"),
        Err(_) => bail!("the time is up"),
    }
}

/// Whether its newest pods are all that there are, and answer.
fn is_ready(deployment: Option<&Deployment>) -> bool {
    let Some(deployment) = deployment else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return false };
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) >= wanted
        && status.available_replicas.unwrap_or(0) >= wanted
        && status.replicas.unwrap_or(0) == status.updated_replicas.unwrap_or(0)
}

/// Whether its newest pod is on every node where one belongs, and answers.
fn is_everywhere(daemon: Option<&DaemonSet>) -> bool {
    let Some(DaemonSet { metadata, status: Some(status), .. }) = daemon else { return false };
    let wanted = status.desired_number_scheduled;
    status.observed_generation >= metadata.generation
        && status.updated_number_scheduled.unwrap_or(0) >= wanted
        && status.number_available.unwrap_or(0) >= wanted
}

/// What the API server says about it.
fn why_not(deployment: Option<Deployment>) -> String {
    let conditions = deployment.and_then(|deployment| deployment.status?.conditions).unwrap_or_default();
    let bad =
        conditions.into_iter().filter(|condition| condition.status != "True" || condition.type_ == "ReplicaFailure");
    let said: Vec<String> = bad.filter_map(|condition| condition.message).collect();
    match said.is_empty() {
        true => "its pods are not ready; kubectl describe pods says why".to_owned(),
        false => said.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_daemon_set_is_ready_when_its_newest_pods_are_on_every_node() {
        let of = |status: serde_json::Value| {
            let whole =
                json!({"metadata": {"generation": 2}, "spec": {"selector": {}, "template": {}}, "status": status});
            is_everywhere(Some(&serde_json::from_value(whole).unwrap()))
        };
        let status = |seen: i64, updated: i64, available: i64| {
            json!({
                "currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2, "desiredNumberScheduled": 2,
                "observedGeneration": seen, "updatedNumberScheduled": updated, "numberAvailable": available,
            })
        };
        assert!(of(status(2, 2, 2)));
        assert!(!of(status(1, 2, 2)) && !of(status(2, 1, 2)) && !of(status(2, 2, 1)));
        assert!(!is_everywhere(None));
    }

    #[test]
    fn a_deployment_is_ready_when_its_newest_pods_alone_are_there() {
        let of = |status: serde_json::Value| {
            let whole = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": status});
            is_ready(Some(&serde_json::from_value(whole).unwrap()))
        };
        assert!(of(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})));
        assert!(!of(json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})));
        assert!(!of(json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3})));
        assert!(!of(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1})));
        assert!(!of(json!({})));
        assert!(!is_ready(None));
    }
}
