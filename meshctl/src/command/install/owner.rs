//! Whose an object of the cluster is, by its labels and annotations.

use crate::install::Component;
use serde_json::Value;
use std::fmt;

/// Label of everything that our charts make, by Helm too.
pub(crate) const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "ferromesh");
/// Label that says which program writes the object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// This program.
const COMMAND: &str = "meshctl";
/// Label with the component, as installed.
const COMPONENT: &str = "ferromesh.io/component";
/// Label with the revision, `default` for the one without a name.
const REVISION: &str = "ferromesh.io/revision";

/// Who writes an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This command.
    Command,
    /// A release of Helm, namespace/name, of these charts or others.
    Helm(String),
    /// Somebody else.
    Other,
}

impl Owner {
    /// Of an object as the API server has it.
    pub(crate) fn of(object: &Value) -> Owner {
        let metadata = &object["metadata"];
        let annotation = |key: &str| metadata["annotations"][key].as_str();
        if let Some(name) = annotation("meta.helm.sh/release-name") {
            let namespace = annotation("meta.helm.sh/release-namespace").unwrap_or_default();
            return Owner::Helm(format!("{namespace}/{name}"));
        }
        let labels = &metadata["labels"];
        match labels[PART_OF.0] == PART_OF.1 && labels[MANAGED_BY] == COMMAND {
            true => Owner::Command,
            false => Owner::Other,
        }
    }

    /// What whoever installs can do about it.
    pub(crate) fn mend(&self) -> String {
        match self {
            Owner::Command => String::new(),
            Owner::Helm(_) => "upgrade it with helm, or uninstall it first".to_owned(),
            Owner::Other => "install beside it with --revision NAME, or in another namespace with -i".to_owned(),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Command => f.write_str("meshctl"),
            Owner::Helm(release) => write!(f, "the Helm release {release}"),
            Owner::Other => f.write_str("another program"),
        }
    }
}

/// The labels of what this command writes.
pub(crate) fn labels(component: &Component, revision: &str) -> [(&'static str, String); 4] {
    [
        (PART_OF.0, PART_OF.1.to_owned()),
        (MANAGED_BY, COMMAND.to_owned()),
        (COMPONENT, component.release.clone()),
        (REVISION, name(revision).to_owned()),
    ]
}

/// Selects what this command wrote of a component.
pub(crate) fn of_component(component: &str, revision: &str) -> String {
    format!("{},{COMPONENT}={component}", of_revision(revision))
}

/// Selects what this command wrote of a revision.
pub(crate) fn of_revision(revision: &str) -> String {
    format!("{}={},{MANAGED_BY}={COMMAND},{REVISION}={}", PART_OF.0, PART_OF.1, name(revision))
}

/// Selects everything of these charts, whoever wrote it.
pub(crate) fn of_all() -> String {
    format!("{}={}", PART_OF.0, PART_OF.1)
}

fn name(revision: &str) -> &str {
    match revision {
        "" => "default",
        revision => revision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_owner_is_known_by_what_it_writes_beside_the_object() {
        let of = |labels: Value, annotations: Value| {
            Owner::of(&json!({"metadata": {"labels": labels, "annotations": annotations}}))
        };
        let ours = json!({"app.kubernetes.io/part-of": "ferromesh", "app.kubernetes.io/managed-by": "meshctl"});
        let helm = json!({"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "istio-system"});
        assert_eq!(of(ours.clone(), Value::Null), Owner::Command);
        assert_eq!(of(ours, helm), Owner::Helm("istio-system/istiod".to_owned()));
        assert_eq!(of(json!({"app.kubernetes.io/part-of": "istio"}), Value::Null), Owner::Other);
        assert_eq!(of(Value::Null, Value::Null), Owner::Other);
    }
}
