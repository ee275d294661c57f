//! `k8s` of an IstioOperator's component as values of its chart. A setting that no value stands for is refused by name;
//! `overlays` reaches whatever is left.

use super::put;
use crate::chart::Chart;
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

/// Where its `hpaSpec` goes, and that of a gateway.
const PILOT_SCALING: &[(&str, &str)] = &[
    ("minReplicas", "pilot.autoscaleMin"),
    ("maxReplicas", "pilot.autoscaleMax"),
    ("behavior", "pilot.autoscaleBehavior"),
];
const GATEWAY_SCALING: &[(&str, &str)] = &[
    ("minReplicas", "autoscaling.minReplicas"),
    ("maxReplicas", "autoscaling.maxReplicas"),
    ("behavior", "autoscaling.autoscaleBehavior"),
];

/// Puts what the component says of the control plane into the values.
pub(super) fn pilot(values: &mut Value, component: &Value, notes: &mut Vec<String>) -> Result<()> {
    for key in ["hub", "tag"] {
        if component[key].is_string() {
            put(values, &format!("pilot.{key}"), component[key].clone());
        }
    }
    let own = |values: &mut Value, key: &str, setting: &Value| {
        Some(match key {
            "hpaSpec" => each(values, key, setting, PILOT_SCALING),
            "env" => environment(values, setting, "pilot.env", "pilot.envVarFrom"),
            "strategy" => strategy(values, setting),
            _ => return None,
        })
    };
    settings(values, "components.pilot", &component["k8s"], PILOT, own, notes)
}

/// The same of a gateway.
pub(super) fn gateway(values: &mut Value, name: &str, component: &Value, notes: &mut Vec<String>) -> Result<()> {
    let own = |values: &mut Value, key: &str, setting: &Value| {
        Some(match key {
            "hpaSpec" => each(values, key, setting, GATEWAY_SCALING),
            "env" => environment(values, setting, "env", "envVarFrom"),
            "service" => service(values, setting),
            _ => return None,
        })
    };
    settings(values, &format!("gateway {name}"), &component["k8s"], GATEWAY, own, notes)
}

fn settings(
    values: &mut Value,
    owner: &str,
    all: &Value,
    table: &[(&str, &str)],
    own: impl Fn(&mut Value, &str, &Value) -> Option<Vec<String>>,
    notes: &mut Vec<String>,
) -> Result<()> {
    for (key, setting) in all.as_object().into_iter().flatten() {
        if let Some((_, path)) = table.iter().find(|(of, _)| of == key) {
            put(values, path, setting.clone());
        } else if matches!(key.as_str(), "volumes" | "volumeMounts") {
            notes.push(format!("{owner}: k8s.{key} has no effect; the values volumes and volumeMounts have one"));
        } else if key != "overlays" {
            let Some(left) = own(values, key, setting) else {
                bail!("{owner}: k8s.{key} is not served; k8s.overlays sets any field of an object");
            };
            let of_left = |path| format!("{owner}: k8s.{path} has no effect; k8s.overlays sets any field of an object");
            notes.extend(left.into_iter().map(of_left));
        }
    }
    Ok(())
}

/// Puts each key of a setting where the table says. What it does not name is left, and given back.
fn each(values: &mut Value, of: &str, setting: &Value, table: &[(&str, &str)]) -> Vec<String> {
    let mut left = Vec::new();
    for (key, said) in setting.as_object().into_iter().flatten().filter(|(_, said)| !said.is_null()) {
        match table.iter().find(|(known, _)| known == key) {
            Some((_, path)) => put(values, path, said.clone()),
            None => left.push(format!("{of}.{key}")),
        }
    }
    left
}

/// How pods of the control plane are replaced: one after the other, with bounds.
fn strategy(values: &mut Value, setting: &Value) -> Vec<String> {
    let rolling = [("maxSurge", "pilot.rollingMaxSurge"), ("maxUnavailable", "pilot.rollingMaxUnavailable")];
    let mut left = each(values, "strategy.rollingUpdate", &setting["rollingUpdate"], &rolling);
    let mut rest = setting.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("rollingUpdate");
        rest.retain(|key, said| key != "type" || said != "RollingUpdate");
    }
    left.extend(each(values, "strategy", &rest, &[]));
    left
}

/// A gateway's Service, by the chart's own names. What the chart has no value for is left.
fn service(values: &mut Value, setting: &Value) -> Vec<String> {
    let known = Chart::Gateway.defaults();
    let left = setting.as_object().into_iter().flatten();
    let left = left.filter(|(key, _)| known["service"].get(key.as_str()).is_none());
    let left = left.map(|(key, _)| format!("service.{key}")).collect();
    crate::chart::values::merge(&mut values["service"], setting);
    left
}

/// A list of variables: texts into a map, the rest as it is.
fn environment(values: &mut Value, list: &Value, texts: &str, others: &str) -> Vec<String> {
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
    Vec::new()
}
