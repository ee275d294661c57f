//! Asks one question. Objects lose what is secret of them by their form before they are written as text.

use super::{plan, plan::What, redact};
use crate::{
    cli::BugReportArgs,
    cluster::Cluster,
    command::install::{owner, write},
    remote,
    usage::Usage,
};
use anyhow::{Context as _, Result};
use http::Method;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams, LogParams},
};
use serde_json::Value;

/// Longest log that is asked for, in bytes.
const LONGEST: i64 = 8 << 20;
/// Most Secrets whose names are asked for.
const MOST: u32 = 1000;

/// Which lines of logs.
pub(super) struct Logs(LogParams);

impl Logs {
    pub(super) fn new(args: &BugReportArgs) -> Result<Self> {
        let mut lines = LogParams { limit_bytes: Some(LONGEST), timestamps: true, ..LogParams::default() };
        lines.tail_lines = (args.tail > 0).then_some(args.tail);
        if let Some(text) = &args.start_time {
            let wrong = |_| Usage::new(format!("{text:?} is no time such as 2026-01-31T12:00:00Z"));
            lines.since_time = Some(text.parse().map_err(wrong)?);
        }
        if let Some(duration) = args.duration {
            lines.since_seconds = Some(i64::try_from(duration.as_secs().max(1)).unwrap_or(i64::MAX));
        }
        Ok(Logs(lines))
    }
}

/// The answer as text; empty where there is nothing.
pub(super) async fn answer(what: &What, logs: &Logs, cluster: &Cluster) -> Result<String> {
    match what {
        What::Kind(resource) => {
            let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), resource);
            let list = cluster.list(&api, ListParams::default(), &resource.plural).await?;
            documents(list.into_iter().map(|object| with_kind(object, &resource.api_version, &resource.kind)))
        }
        What::Installed => {
            let mut objects = Vec::new();
            for kind in crate::install::kind::Kind::made() {
                objects.extend(write::of_kind(cluster, kind.name, &owner::of_all()).await?);
            }
            // What definitions say is in the charts; that they are there, among kinds.
            objects.retain(|object| object.kind() != "CustomResourceDefinition");
            documents(objects.into_iter().map(|object| Ok(object.0)))
        }
        What::SecretNames => {
            let api: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.mesh_namespace);
            let list = api.list_metadata(&ListParams::default().limit(MOST)).await;
            let list = list.map_err(|error| cluster.told(error, "list the names of Secrets"))?;
            Ok(list.items.iter().map(|secret| format!("- {}\n", secret.name_any())).collect())
        }
        What::Pods => {
            let api: Api<Pod> = Api::all(cluster.client.clone());
            let list = cluster.list(&api, ListParams::default(), "pods").await?;
            documents(list.into_iter().map(|pod| with_kind(pod, "v1", "Pod")))
        }
        What::Events(namespace) => {
            let list = cluster.list(&plan::events(cluster, namespace), ListParams::default(), "events").await?;
            documents(list.into_iter().map(|event| with_kind(event, "v1", "Event")))
        }
        What::Page { pod, port, path } => {
            let body = remote::call(cluster, pod, *port, Method::GET, path).await?;
            Ok(match serde_json::from_slice::<Value>(&body) {
                Ok(mut value) if path.starts_with("/debug/") => {
                    redact::value(&mut value);
                    serde_json::to_string_pretty(&value).context("cannot write JSON")?
                }
                _ => String::from_utf8_lossy(&body).into_owned(),
            })
        }
        What::Log { pod, container, previous } => {
            let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &pod.namespace);
            let lines = LogParams { container: Some(container.clone()), previous: *previous, ..logs.0.clone() };
            let log = api.logs(&pod.name, &lines).await;
            log.map_err(|error| cluster.told(error, &format!("read the log of {container} in pod {}", pod.name)))
        }
    }
}

fn with_kind(object: impl serde::Serialize, api_version: &str, kind: &str) -> Result<Value> {
    let mut object = serde_json::to_value(object).context("what the API server has is no object")?;
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    Ok(object)
}

/// Objects as documents, without what is secret in them.
fn documents(objects: impl Iterator<Item = Result<Value>>) -> Result<String> {
    let mut text = String::new();
    for object in objects {
        let mut object = object?;
        redact::object(&mut object);
        text.push_str("---\n");
        text.push_str(&mesh_template::yaml::write(&object).map_err(anyhow::Error::msg)?);
    }
    Ok(text)
}
