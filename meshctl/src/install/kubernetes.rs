//! `k8s` of an IstioOperator's component as values of its chart. A setting that no value stands for is refused by name;
//! `overlays` reaches whatever is left.

use super::put;
use anyhow::{Result, bail};
use serde_json::{Value, json};

/// Where settings of the control plane go: key of `k8s`, path of values.
const PILOT: &[(&str, &str)] = &[
    ("affinity", "pilot.affinity"),
    ("imagePullPolicy", "global.imagePullPolicy"),
    ("nodeSelector", "pilot.nodeSelector"),
    ("podAnnotations", "pilot.podAnnotations"),
    ("podDisruptionBudget", "pilot.pdb"),
    ("priorityClassName", "global.priorityClassName"),
    ("replicaCount", "pilot.replicaCount"),
    ("resources", "pilot.resources"),
    ("serviceAnnotations", "pilot.serviceAnnotations"),
    ("tolerations", "pilot.tolerations"),
];

/// The same of a gateway.
const GATEWAY: &[(&str, &str)] = &[
    ("affinity", "affinity"),
    ("imagePullPolicy", "imagePullPolicy"),
    ("nodeSelector", "nodeSelector"),
    ("podAnnotations", "podAnnotations"),
    ("podDisruptionBudget", "podDisruptionBudget"),
    ("priorityClassName", "priorityClassName"),
    ("readinessProbe", "readinessProbe"),
    ("replicaCount", "replicaCount"),
    ("resources", "resources"),
    ("securityContext", "securityContext"),
    ("serviceAnnotations", "service.annotations"),
    ("strategy", "strategy"),
    ("tolerations", "tolerations"),
];

/// Puts what the component says of the control plane into the values.
pub(super) fn pilot(values: &mut Value, component: &Value, notes: &mut Vec<String>) -> Result<()> {
    for key in ["hub", "tag"] {
        if component[key].is_string() {
            put(values, &format!("pilot.{key}"), component[key].clone());
        }
    }
    let own = |values: &mut Value, key: &str, setting: &Value| {
        match key {
            "hpaSpec" => replicas(values, setting, "pilot.autoscaleMin", "pilot.autoscaleMax"),
            "env" => environment(values, setting, "pilot.env", "pilot.envVarFrom"),
            "strategy" => {
                for (key, path) in
                    [("maxSurge", "pilot.rollingMaxSurge"), ("maxUnavailable", "pilot.rollingMaxUnavailable")]
                {
                    let said = &setting["rollingUpdate"][key];
                    if !said.is_null() {
                        put(values, path, said.clone());
                    }
                }
            }
            _ => return false,
        }
        true
    };
    settings(values, "components.pilot", &component["k8s"], PILOT, own, notes)
}

/// The same of a gateway.
pub(super) fn gateway(values: &mut Value, name: &str, component: &Value, notes: &mut Vec<String>) -> Result<()> {
    let own = |values: &mut Value, key: &str, setting: &Value| {
        match key {
            "hpaSpec" => replicas(values, setting, "autoscaling.minReplicas", "autoscaling.maxReplicas"),
            "env" => environment(values, setting, "env", "envVarFrom"),
            "service" => crate::chart::values::merge(&mut values["service"], setting),
            _ => return false,
        }
        true
    };
    settings(values, &format!("gateway {name}"), &component["k8s"], GATEWAY, own, notes)
}

fn settings(
    values: &mut Value,
    owner: &str,
    all: &Value,
    table: &[(&str, &str)],
    own: impl Fn(&mut Value, &str, &Value) -> bool,
    notes: &mut Vec<String>,
) -> Result<()> {
    for (key, setting) in all.as_object().into_iter().flatten() {
        if let Some((_, path)) = table.iter().find(|(of, _)| of == key) {
            put(values, path, setting.clone());
        } else if matches!(key.as_str(), "volumes" | "volumeMounts") {
            notes.push(format!("{owner}: k8s.{key} has no effect; the values volumes and volumeMounts have one"));
        } else if key != "overlays" && !own(values, key, setting) {
            bail!("{owner}: k8s.{key} is not served; k8s.overlays sets any field of an object");
        }
    }
    Ok(())
}

fn replicas(values: &mut Value, spec: &Value, least: &str, most: &str) {
    for (key, path) in [("minReplicas", least), ("maxReplicas", most)] {
        if spec[key].is_number() {
            put(values, path, spec[key].clone());
        }
    }
}

/// A list of variables: texts into a map, the rest as it is.
fn environment(values: &mut Value, list: &Value, texts: &str, others: &str) {
    let mut rest = Vec::new();
    for variable in list.as_array().into_iter().flatten() {
        match (variable["name"].as_str(), &variable["value"]) {
            // A name holds no dot, so it is one step of a path.
            (Some(name), value) if value.is_string() => put(values, &format!("{texts}.{name}"), value.clone()),
            _ => rest.push(variable.clone()),
        }
    }
    if !rest.is_empty() {
        put(values, others, json!(rest));
    }
}
