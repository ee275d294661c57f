//! What is to be written into one configuration, as operations of a JSON patch: of those fields alone, and only if the
//! object is still the one that was looked at.

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::api::{ApiResource, DynamicObject};
use serde_json::{Value, json};

/// Which kind of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Mutating,
    Validating,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Mutating => "MutatingWebhookConfiguration",
            Kind::Validating => "ValidatingWebhookConfiguration",
        }
    }

    pub(super) fn resource(self) -> ApiResource {
        ApiResource {
            group: "admissionregistration.k8s.io".into(),
            version: "v1".into(),
            api_version: "admissionregistration.k8s.io/v1".into(),
            kind: self.word().into(),
            plural: self.word().to_lowercase() + "s",
        }
    }

    /// Entries of others may stand in the same object.
    fn has_entry(self, name: &str) -> bool {
        match self {
            Kind::Mutating => name.ends_with("sidecar-injector.istio.io"),
            Kind::Validating => name.ends_with("validation.istio.io"),
        }
    }
}

/// Whose configurations are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    /// That of the Service that entries lead to.
    pub(super) namespace: String,
    /// The label's value.
    pub(super) revision: String,
}

/// What is to be written.
#[derive(Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) patch: json_patch::Patch,
    /// For the log.
    pub(super) what: &'static str,
}

/// `None`: everything is as it should be, or not this control plane's to say. The authority comes first: an API server
/// that fails closed must know whom to believe.
pub(super) fn decide(kind: Kind, object: &DynamicObject, own: &Own, bundle: &str, answers: bool) -> Option<Decision> {
    let labels = object.metadata.labels.as_ref()?;
    if labels.get("istio.io/rev") != Some(&own.revision) {
        return None;
    }
    let bundle = STANDARD.encode(bundle);
    let entries = object.data.get("webhooks")?.as_array()?.iter().enumerate();
    let ours: Vec<(usize, &Value)> = entries
        .filter(|(_, entry)| entry["name"].as_str().is_some_and(|name| kind.has_entry(name)) && is_own(entry, own))
        .collect();
    let unknown = ours.iter().filter(|(_, entry)| entry["clientConfig"]["caBundle"].as_str() != Some(&*bundle));
    // Who is reached by a URL may show a certificate of another authority; one that is said stays.
    let unknown = unknown.filter(|(_, entry)| {
        let config = &entry["clientConfig"];
        config["url"].is_null() || config["caBundle"].as_str().unwrap_or_default().is_empty()
    });
    let authority: Vec<Value> = unknown
        .map(|(i, _)| json!({"op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": bundle}))
        .collect();
    let (operations, what) = match (authority.is_empty(), kind, answers) {
        (false, ..) => (authority, "the authority of their certificates"),
        (true, Kind::Validating, true) => {
            let open = ours.iter().filter(|(_, entry)| entry["failurePolicy"] == "Ignore");
            let close = |(i, _): &(usize, &Value)| json!({"op": "replace", "path": format!("/webhooks/{i}/failurePolicy"), "value": "Fail"});
            (open.map(close).collect(), "that they answer")
        }
        (true, ..) => (Vec::new(), ""),
    };
    if operations.is_empty() {
        return None;
    }
    let same = json!({"op": "test", "path": "/metadata/resourceVersion", "value": object.metadata.resource_version});
    let all = [same].into_iter().chain(operations).collect();
    Some(Decision { patch: serde_json::from_value(all).expect("these are operations"), what })
}

/// Whether an entry leads to this control plane: another one of the same revision may stand in another namespace.
fn is_own(entry: &Value, own: &Own) -> bool {
    let config = &entry["clientConfig"];
    match config["service"]["namespace"].as_str() {
        Some(namespace) => namespace == own.namespace,
        None => config["url"].is_string(),
    }
}

#[cfg(test)]
mod tests;
