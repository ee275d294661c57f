//! One document: where its pod is, and the document with the injected one.

use anyhow::{Result, anyhow};
use mesh_pilot::inject::{Injector, Question, Reason, Workload};
use mesh_template::yaml;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt::Write as _};

/// A document, injected where it is a workload, and as it was where it is not.
pub(super) fn inject(text: &str, injector: &Injector, notes: &mut String) -> Result<String> {
    let mut document = yaml::read(text).map_err(|error| anyhow!("cannot read a document: {error}"))?;
    if !touch(&mut document, injector, notes)? {
        return Ok(text.to_owned());
    }
    yaml::write(&document).map_err(|error| anyhow!(error))
}

/// Injects in place. Returns whether it is of a kind that has pods.
fn touch(document: &mut Value, injector: &Injector, notes: &mut String) -> Result<bool> {
    let kind = document["kind"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "List" => {
            for item in document["items"].as_array_mut().into_iter().flatten() {
                touch(item, injector, notes)?;
            }
            Ok(true)
        }
        "Pod" => one(document, None, injector, notes),
        "Deployment"
        | "DaemonSet"
        | "ReplicaSet"
        | "StatefulSet"
        | "Job"
        | "ReplicationController"
        | "DeploymentConfig" => {
            let workload = workload(document);
            if document["spec"]["template"].is_null() {
                if matches!(kind.as_str(), "ReplicationController" | "DeploymentConfig") {
                    return Err(anyhow!("{kind} {}: spec.template is required value", workload.name));
                }
                document["spec"]["template"] = json!({});
            }
            one(&mut document["spec"]["template"], Some(workload), injector, notes)
        }
        "CronJob" => {
            let workload = workload(document);
            let job = &mut document["spec"]["jobTemplate"];
            // Labels and annotations are the job's, as istioctl has it.
            let mut pod = json!({"metadata": job["metadata"], "spec": job["spec"]["template"]["spec"]});
            one(&mut pod, Some(workload), injector, notes)?;
            job["metadata"] = pod["metadata"].take();
            job["spec"]["template"]["spec"] = pod["spec"].take();
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn workload(document: &Value) -> Workload {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Workload {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        name: text("/metadata/name"),
        namespace: text("/metadata/namespace"),
    }
}

fn one(pod: &mut Value, workload: Option<Workload>, injector: &Injector, notes: &mut String) -> Result<bool> {
    let metadata = pod["metadata"].clone();
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let environment = BTreeMap::new();
    let question = Question { pod, namespace, workload: workload.clone(), environment: &environment };
    match injector.injected(&question).map_err(|error| anyhow!(error))? {
        Ok(injected) => *pod = injected,
        Err(reason) => {
            let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
            let of = workload.unwrap_or_else(|| Workload {
                kind: "Pod".to_owned(),
                name: text("name"),
                namespace: text("namespace"),
                ..Workload::default()
            });
            let why =
                if reason == Reason::HostNetwork { "host networking enabled" } else { "sidecar injection disabled" };
            let _ = writeln!(
                notes,
                "===> Skipping injection because {} \"{}/{}\" has {why} ({reason})",
                of.kind, of.namespace, of.name
            );
        }
    }
    if let Some(map) = pod.as_object_mut() {
        remove_nulls(map);
    }
    Ok(true)
}

/// Looking at what is not there leaves nulls behind.
fn remove_nulls(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
}
