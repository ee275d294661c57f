//! The CustomResourceDefinitions of the kinds that the mesh brings along.

use super::schema;
use mesh_config::crd::{self, form::Form};
use mesh_config::kind::ObjectKind;
use serde_json::{Map, Value, json};

/// What a definition says beside the schema.
struct Extra {
    kind: ObjectKind,
    /// Stored version; the others are served too.
    stored: &'static str,
    /// Whether an object must have a `spec`.
    needs_spec: bool,
    /// Columns of `kubectl get`: title, type, path.
    columns: &'static [(&'static str, &'static str, &'static str)],
}

const AGE: (&str, &str, &str) = ("Age", "date", ".metadata.creationTimestamp");

const EXTRAS: [Extra; 15] = [
    Extra {
        kind: ObjectKind::VirtualService,
        stored: "v1",
        needs_spec: false,
        columns: &[("Gateways", "string", ".spec.gateways"), ("Hosts", "string", ".spec.hosts"), AGE],
    },
    Extra {
        kind: ObjectKind::DestinationRule,
        stored: "v1",
        needs_spec: false,
        columns: &[("Host", "string", ".spec.host"), AGE],
    },
    Extra { kind: ObjectKind::Gateway, stored: "v1", needs_spec: false, columns: &[] },
    Extra { kind: ObjectKind::Sidecar, stored: "v1", needs_spec: false, columns: &[] },
    Extra {
        kind: ObjectKind::ServiceEntry,
        stored: "v1",
        needs_spec: true,
        columns: &[
            ("Hosts", "string", ".spec.hosts"),
            ("Location", "string", ".spec.location"),
            ("Resolution", "string", ".spec.resolution"),
            AGE,
        ],
    },
    Extra {
        kind: ObjectKind::WorkloadEntry,
        stored: "v1",
        needs_spec: true,
        columns: &[AGE, ("Address", "string", ".spec.address")],
    },
    Extra { kind: ObjectKind::WorkloadGroup, stored: "v1", needs_spec: true, columns: &[AGE] },
    Extra { kind: ObjectKind::EnvoyFilter, stored: "v1alpha3", needs_spec: false, columns: &[] },
    Extra { kind: ObjectKind::ProxyConfig, stored: "v1beta1", needs_spec: false, columns: &[] },
    Extra {
        kind: ObjectKind::AuthorizationPolicy,
        stored: "v1",
        needs_spec: false,
        columns: &[("Action", "string", ".spec.action"), AGE],
    },
    Extra {
        kind: ObjectKind::PeerAuthentication,
        stored: "v1",
        needs_spec: false,
        columns: &[("Mode", "string", ".spec.mtls.mode"), AGE],
    },
    Extra { kind: ObjectKind::RequestAuthentication, stored: "v1", needs_spec: false, columns: &[] },
    Extra { kind: ObjectKind::Telemetry, stored: "v1alpha1", needs_spec: false, columns: &[AGE] },
    Extra { kind: ObjectKind::WasmPlugin, stored: "v1alpha1", needs_spec: true, columns: &[AGE] },
    Extra { kind: ObjectKind::TrafficExtension, stored: "v1alpha1", needs_spec: true, columns: &[AGE] },
];

/// One definition a kind.
pub(crate) fn definitions() -> Vec<Value> {
    EXTRAS.iter().filter_map(|extra| Some(definition(extra, crd::form(extra.kind)?))).collect()
}

fn definition(extra: &Extra, form: &Form) -> Value {
    let kind = extra.kind;
    let family = kind.group().split('.').next().unwrap_or_default();
    let mut names = json!({
        "kind": kind.word(),
        "listKind": format!("{}List", kind.word()),
        "plural": kind.plural(),
        "singular": kind.word().to_lowercase(),
        "categories": ["istio-io", format!("{family}-istio-io")],
    });
    if !kind.short_names().is_empty() {
        names["shortNames"] = json!(kind.short_names());
    }
    let mut labels = json!({"app": "istio-pilot", "chart": "istio", "heritage": "Tiller", "release": "istio"});
    if matches!(family, "security" | "telemetry") {
        labels["istio"] = json!(family);
    }
    let versions: Vec<Value> = kind.versions().iter().map(|version| served(extra, form, version)).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{}", kind.plural(), kind.group()),
            "labels": labels,
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {"group": kind.group(), "names": names, "scope": "Namespaced", "versions": versions},
    })
}

fn served(extra: &Extra, form: &Form, version: &str) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": {"spec": schema::of_form(form), "status": status(extra.kind)},
    });
    if extra.needs_spec {
        schema["required"] = json!(["spec"]);
    }
    let mut served = Map::new();
    served.insert("name".into(), json!(version));
    served.insert("served".into(), json!(true));
    served.insert("storage".into(), json!(version == extra.stored));
    served.insert("subresources".into(), json!({"status": {}}));
    if !extra.columns.is_empty() {
        let column = |(name, kind, path): &(&str, &str, &str)| json!({"name": name, "type": kind, "jsonPath": path});
        served.insert("additionalPrinterColumns".into(), extra.columns.iter().map(column).collect());
    }
    served.insert("schema".into(), json!({"openAPIV3Schema": schema}));
    served.into()
}

/// What the control plane writes; a user's tool may put more beside it.
fn status(kind: ObjectKind) -> Value {
    let text = |meaning: &str| json!({"type": "string", "description": meaning});
    let generation = |meaning: &str| {
        json!({
            "description": meaning,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true,
        })
    };
    let time = |meaning: &str| json!({"type": "string", "format": "date-time", "description": meaning});
    let mut fields = json!({
        "conditions": {
            "type": "array",
            "description": "What holds of the object now.",
            "items": {"type": "object", "properties": {
                "type": text("What this is about."),
                "status": text("True, False or Unknown."),
                "reason": text("Why, in one word."),
                "message": text("Why, in words."),
                "lastProbeTime": time("When it was looked at last."),
                "lastTransitionTime": time("Since when it is so."),
                "observedGeneration": generation("Generation of the object that this was found for."),
            }},
        },
        "observedGeneration": generation("Generation of the object that all of this was found for."),
        "validationMessages": {
            "type": "array",
            "description": "What analysis has to say about the object.",
            "items": {"type": "object", "properties": {
                "documentationUrl": text("Where more is said."),
                "level": {
                    "type": "string",
                    "description": "How grave it is.",
                    "enum": ["UNKNOWN", "ERROR", "WARNING", "INFO"],
                },
                "type": {"type": "object", "description": "What kind of message it is.", "properties": {
                    "code": text("Its code, such as IST0101."),
                    "name": text("Its name, for people."),
                }},
            }},
        },
    });
    if kind == ObjectKind::ServiceEntry {
        fields["addresses"] = json!({
            "type": "array",
            "description": "Addresses that the control plane has given to the hosts.",
            "items": {"type": "object", "required": ["value"], "properties": {
                "value": text("The address."),
                "host": text("The host that it stands for."),
            }},
        });
    }
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": fields})
}
