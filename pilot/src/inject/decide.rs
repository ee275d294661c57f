//! Which pods get a sidecar.

use super::{
    Settings,
    settings::Policy,
    text::{annotation, label},
};
use mesh_config::{model::Labels, name::SYSTEM_NAMESPACES};
use serde_json::Value;
use std::fmt;

const INJECT: &str = "sidecar.istio.io/inject";

/// Whether a pod gets a sidecar, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it does.
    pub inject: bool,
    /// What decided.
    pub reason: Reason,
}

/// What decides over a pod, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It has the node's network, where a sidecar would capture the node's traffic.
    HostNetwork,
    /// Its namespace is one of [`SYSTEM_NAMESPACES`].
    SystemNamespace(String),
    /// The configuration's policy is no policy: nothing is injected.
    IllegalPolicy(String),
    /// Its label says so.
    Label(bool),
    /// Its annotation says so.
    Annotation(bool),
    /// A selector of pods that are never injected.
    NeverSelector,
    /// A selector of pods that always are.
    AlwaysSelector,
    /// The policy for all others.
    Policy(bool),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::HostNetwork => f.write_str("it has host networking enabled"),
            Reason::SystemNamespace(name) => write!(f, "namespace {name} is the cluster's own"),
            Reason::IllegalPolicy(policy) => {
                write!(f, "the injector's policy is {policy:?}, and must be enabled or disabled")
            }
            Reason::Label(value) => write!(f, "label {INJECT} is {value}"),
            Reason::Annotation(value) => write!(f, "annotation {INJECT} is {value}"),
            Reason::NeverSelector => f.write_str("neverInjectSelector matches its labels"),
            Reason::AlwaysSelector => f.write_str("alwaysInjectSelector matches its labels"),
            Reason::Policy(true) => f.write_str("the injector's policy is enabled"),
            Reason::Policy(false) => f.write_str("the injector's policy is disabled"),
        }
    }
}

/// Decides over a pod of a namespace. Labels of namespaces are not looked at: they decide which pods the API server
/// asks about.
pub fn decide(pod: &Value, namespace: &str, settings: &Settings) -> Decision {
    let (inject, reason) = decided(pod, namespace, settings);
    Decision { inject, reason }
}

fn decided(pod: &Value, namespace: &str, settings: &Settings) -> (bool, Reason) {
    if pod["spec"]["hostNetwork"] == true {
        return (false, Reason::HostNetwork);
    }
    if SYSTEM_NAMESPACES.contains(&namespace) {
        return (false, Reason::SystemNamespace(namespace.to_owned()));
    }
    if let Policy::Illegal(policy) = &settings.policy {
        return (false, Reason::IllegalPolicy(policy.clone()));
    }
    // A label counts as soon as it is there, even empty.
    let (said, by): (_, fn(bool) -> Reason) = match label(pod, INJECT) {
        Some(value) => (value, Reason::Label),
        None => (annotation(pod, INJECT).unwrap_or_default(), Reason::Annotation),
    };
    match said {
        "true" => return (true, by(true)),
        "false" => return (false, by(false)),
        _ => {}
    }
    let labels = pod["metadata"]["labels"].as_object().into_iter().flatten();
    let labels: Labels = labels.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect();
    if settings.never.iter().any(|selector| selector.selects(&labels)) {
        return (false, Reason::NeverSelector);
    }
    if settings.always.iter().any(|selector| selector.selects(&labels)) {
        return (true, Reason::AlwaysSelector);
    }
    let enabled = settings.policy == Policy::Enabled;
    (enabled, Reason::Policy(enabled))
}
