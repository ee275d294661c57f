//! The configuration of an installation that changes nothing: the charts' own templates and values.

use mesh_template::yaml;
use serde_json::{Value, json};

const TEMPLATES: [(&str, &str); 2] = [
    ("sidecar", include_str!("../../../charts/istiod/files/injection-sidecar.yaml")),
    ("gateway", include_str!("../../../charts/istiod/files/injection-gateway.yaml")),
];
const VALUES: &str = include_str!("../../../charts/istiod/values.yaml");

/// The charts' values, by the names under which they are set.
pub(crate) fn default_values() -> Value {
    let mut values = yaml::read(VALUES).unwrap();
    let mut values = values["_internal_defaults_do_not_set"].take();
    values["global"]["istioNamespace"] = json!("istio-system");
    values
}

/// Keys `config` and `values` of the ConfigMap, as the charts make them of `values`.
pub(crate) fn config_of_values(values: &Value) -> (Value, Value) {
    let webhook = &values["sidecarInjectorWebhook"];
    let mut templates: serde_json::Map<_, _> =
        TEMPLATES.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect();
    if let Value::Object(own) = &webhook["templates"] {
        templates.extend(own.iter().map(|(name, text)| (name.clone(), text.clone())));
    }
    let config = json!({
        "policy": values["global"]["proxy"]["autoInject"],
        "defaultTemplates": webhook["defaultTemplates"],
        "neverInjectSelector": webhook["neverInjectSelector"],
        "alwaysInjectSelector": webhook["alwaysInjectSelector"],
        "injectedAnnotations": webhook["injectedAnnotations"],
        "templates": templates,
    });
    let read = json!({
        "global": values["global"],
        "sidecarInjectorWebhook": webhook,
        "revision": values["revision"],
        "pilot": {"cni": values["cni"], "env": values["env"]},
        "gateways": values["gateways"],
    });
    (config, read)
}
