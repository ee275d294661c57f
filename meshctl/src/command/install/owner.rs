//! Whose an object of the cluster is, by its labels and annotations.

use serde_json::Value;
use std::fmt;

/// Label of everything that our charts make, by Helm too.
pub(crate) const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "ferromesh");
/// Label that says which program writes the object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// This program.
const COMMAND: &str = "meshctl";
/// Annotations by which Helm knows what is of a release.
pub(crate) const RELEASE_NAME: &str = "meta.helm.sh/release-name";
pub(crate) const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
/// Label with the component, as installed.
const COMPONENT: &str = "ferromesh.io/component";
/// Label with the revision, `default` for the one without a name.
pub(crate) const REVISION: &str = "ferromesh.io/revision";

/// Component of what `tag` writes: no chart's, so that none takes it for something of its own.
pub(crate) const TAGS: &str = "revision-tags";

/// Who writes an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This command.
    Command,
    /// A release of Helm.
    Helm {
        release: Release,
        /// Whether the object is of our charts.
        is_ours: bool,
    },
    /// Whoever applied what Helm renders of our charts: kubectl, Argo CD.
    Applied,
    /// Somebody else.
    Other,
}

/// A release of Helm by its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Owner {
    /// Of an object as the API server has it.
    pub(crate) fn of(object: &Value) -> Owner {
        let metadata = &object["metadata"];
        let labels = &metadata["labels"];
        let is_ours = labels[PART_OF.0] == PART_OF.1;
        let annotation = |key: &str| metadata["annotations"][key].as_str().map(str::to_owned);
        if let Some(name) = annotation(RELEASE_NAME) {
            let namespace = annotation(RELEASE_NAMESPACE).unwrap_or_default();
            return Owner::Helm { release: Release { namespace, name }, is_ours };
        }
        match (is_ours, labels[MANAGED_BY] == COMMAND) {
            (true, true) => Owner::Command,
            (true, false) => Owner::Applied,
            (false, _) => Owner::Other,
        }
    }

    /// Whether `--adopt` takes over what is its.
    pub(crate) fn can_be_adopted(&self) -> bool {
        matches!(self, Owner::Helm { is_ours: true, .. } | Owner::Applied)
    }

    /// What whoever installs can do about it.
    pub(crate) fn mend(&self) -> String {
        match self {
            Owner::Command => String::new(),
            Owner::Helm { release, is_ours: true } => {
                format!(
                    "go on with helm upgrade {} -n {}, or take over what is Helm's with --adopt",
                    release.name, release.namespace
                )
            }
            Owner::Helm { .. } => {
                "it is of other charts: install beside it with --revision NAME, or in another namespace with -i"
                    .to_owned()
            }
            Owner::Applied => "go on with what applied it, or take it over with --adopt".to_owned(),
            Owner::Other => "install beside it with --revision NAME, or in another namespace with -i".to_owned(),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Command => f.write_str("meshctl"),
            Owner::Helm { release, .. } => write!(f, "the Helm release {release}"),
            Owner::Applied => f.write_str("whoever applied what Helm renders of these charts"),
            Owner::Other => f.write_str("another program"),
        }
    }
}

/// The labels of what this command writes.
pub(crate) fn labels(component: &str, revision: &str) -> [(&'static str, String); 4] {
    [
        (PART_OF.0, PART_OF.1.to_owned()),
        (MANAGED_BY, COMMAND.to_owned()),
        (COMPONENT, component.to_owned()),
        (REVISION, name(revision).to_owned()),
    ]
}

/// The component and the revision of which this command wrote an object.
pub(crate) fn part(object: &Value) -> Option<(&str, &str)> {
    let labels = &object["metadata"]["labels"];
    Some((labels[COMPONENT].as_str()?, labels[REVISION].as_str()?))
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

/// A revision as labels name it: `default` is the one without a name.
pub(crate) fn name(revision: &str) -> &str {
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
        let release = || Release { namespace: "istio-system".to_owned(), name: "istiod".to_owned() };
        assert_eq!(of(ours.clone(), Value::Null), Owner::Command);
        assert_eq!(of(ours, helm.clone()), Owner::Helm { release: release(), is_ours: true });
        assert_eq!(of(Value::Null, helm), Owner::Helm { release: release(), is_ours: false });
        assert_eq!(of(json!({"app.kubernetes.io/part-of": "ferromesh"}), Value::Null), Owner::Applied);
        assert_eq!(of(json!({"app.kubernetes.io/part-of": "istio"}), Value::Null), Owner::Other);
        assert_eq!(of(Value::Null, Value::Null), Owner::Other);
    }
}
