//! Values of the chart `gateway` for a gateway of an IstioOperator, whose objects keep the names that Istio gives them.

use super::{Kind, kubernetes, put};
use anyhow::{Result, bail};
use serde_json::{Value, json};

/// Where values below `gateways.NAME` go.
const VALUES: &[(&str, &str)] = &[
    ("autoscaleEnabled", "autoscaling.enabled"),
    ("autoscaleMax", "autoscaling.maxReplicas"),
    ("autoscaleMin", "autoscaling.minReplicas"),
    ("externalTrafficPolicy", "service.externalTrafficPolicy"),
    ("loadBalancerIP", "service.loadBalancerIP"),
    ("loadBalancerSourceRanges", "service.loadBalancerSourceRanges"),
    ("nodeSelector", "nodeSelector"),
    ("podAnnotations", "podAnnotations"),
    ("ports", "service.ports"),
    ("replicaCount", "replicaCount"),
    ("resources", "resources"),
    ("serviceAnnotations", "service.annotations"),
    ("tolerations", "tolerations"),
    ("type", "service.type"),
    ("env", "env"),
];

/// The values; what cannot be said with them is refused by name.
pub(super) fn values(kind: Kind, name: &str, component: &Value, all: &Value, notes: &mut Vec<String>) -> Result<Value> {
    let label = name.strip_prefix("istio-").unwrap_or(name);
    let mut labels = json!({ "app": name, "istio": label });
    if let Some(own) = component["label"].as_object() {
        own.iter().for_each(|(key, value)| labels[key] = value.clone());
    }
    let mut values = json!({
        "name": name,
        "labels": labels,
        "serviceAccount": { "name": format!("{name}-service-account") },
        "service": {},
    });
    if kind == Kind::Egress {
        values["service"]["type"] = "ClusterIP".into();
    }
    for key in ["profile", "platform", "compatibilityVersion", "revision"] {
        if !all[key].is_null() {
            values[key] = all[key].clone();
        }
    }
    for key in ["imagePullPolicy", "imagePullSecrets", "platform", "networkPolicy"] {
        let value = &all["global"][key];
        match key {
            _ if value.is_null() => {}
            "imagePullPolicy" => put(&mut values, key, value.clone()),
            "imagePullSecrets" => {
                let named = value.as_array().into_iter().flatten().map(|name| json!({ "name": name }));
                put(&mut values, key, named.collect());
            }
            _ => put(&mut values, &format!("global.{key}"), value.clone()),
        }
    }
    for (key, value) in all["gateways"][name].as_object().into_iter().flatten() {
        match VALUES.iter().find(|(of, _)| of == key) {
            Some((_, path)) => put(&mut values, path, value.clone()),
            None if matches!(key.as_str(), "enabled" | "name") => {}
            None => bail!("values.gateways.{name}.{key} is not served; the chart gateway has values of its own"),
        }
    }
    for key in ["hub", "tag"] {
        if component[key].is_string() {
            notes.push(format!("gateway {name}: {key} has no effect; injection puts in the proxy's image"));
        }
    }
    kubernetes::gateway(&mut values, name, component, notes)?;
    Ok(values)
}
