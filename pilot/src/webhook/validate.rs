//! `/validate`: whether an object may be stored, by the same functions as `meshctl validate`.
//!
//! Kinds that are none of the mesh's groups pass. What is being deleted passes as it is: its last update removes what
//! holds it back, and must not fail for what is wrong with it.

use super::review::{GroupVersionKind, Question, Verdict};
use mesh_config::{
    crd::{
        self, Object, ParseContext,
        node::{FromServer, Node, Value},
    },
    diagnostic::{Diagnostic, Severity},
    kind::ObjectKind,
};
use std::fmt::Write as _;

/// API groups whose objects are checked.
const GROUPS: [&str; 4] = ["extensions.istio.io", "networking.istio.io", "security.istio.io", "telemetry.istio.io"];
/// Most errors that one refusal lists.
const MOST_ERRORS: usize = 20;
/// On the object by which pilot asks the API server whether this is called: it is refused whatever it says.
pub(super) const ALWAYS_REFUSED: &str = "internal.istio.io/webhook-always-reject";

/// The kind asked about, if it is one that is checked.
pub(super) fn kind(asked: &GroupVersionKind) -> Option<ObjectKind> {
    ObjectKind::of(&asked.group, &asked.kind).filter(|kind| GROUPS.contains(&kind.group()))
}

/// Whether the object may be stored.
pub(super) fn verdict(question: Question<FromServer>, context: &ParseContext) -> Verdict {
    if !matches!(&*question.operation, "CREATE" | "UPDATE") || !GROUPS.contains(&&*question.kind.group) {
        return Verdict::allowed();
    }
    let Some(kind) = kind(&question.kind) else {
        let GroupVersionKind { group, kind, .. } = question.kind;
        return Verdict::refused(format!("{kind:.100} is no kind of {group}; the control plane does not know it"));
    };
    let Some(FromServer(mut root)) = question.object else {
        return Verdict::refused("the request has no object");
    };
    let spec = |node: &Node| node.get("spec").map(|spec| spec.value.clone());
    let before = question.old_object.map(|FromServer(old)| spec(&old));
    if metadata(&root, "deletionTimestamp").is_some() && before.is_some_and(|before| before == spec(&root)) {
        return Verdict::allowed();
    }
    complete(&mut root, &question.namespace);
    match Object::from_server(root, kind, &question.kind.version) {
        Ok(object) if object.meta.annotations.get(ALWAYS_REFUSED).is_some_and(|said| &**said == "true") => {
            Verdict::refused(format!("annotation {ALWAYS_REFUSED} asks for it"))
        }
        Ok(object) => of_findings(&crd::validate(&object, context)),
        Err(found) => of_findings(&found),
    }
}

/// What an API server has not put into the object yet: a name that it makes itself, and the namespace.
fn complete(root: &mut Node, namespace: &str) {
    let name = match (metadata(root, "name"), metadata(root, "generateName")) {
        (None, Some(prefix)) => Some(format!("{prefix}generated")),
        _ => None,
    };
    let namespace = (metadata(root, "namespace").is_none() && !namespace.is_empty()).then(|| namespace.to_owned());
    let Value::Map(entries) = &mut root.value else { return };
    let Some(Value::Map(metadata)) = entries.iter_mut().find(|(key, _)| key == "metadata").map(|(_, m)| &mut m.value)
    else {
        return;
    };
    for (key, said) in [("name", name), ("namespace", namespace)] {
        if let Some(said) = said {
            metadata.retain(|(known, _)| known != key);
            metadata.push((key.to_owned(), Node::new(0, Value::String(said))));
        }
    }
}

fn metadata<'n>(root: &'n Node, key: &str) -> Option<&'n str> {
    root.get("metadata")?.get(key)?.as_str().filter(|text| !text.is_empty())
}

fn of_findings(found: &[Diagnostic]) -> Verdict {
    let of = |severity| found.iter().filter(move |finding| finding.severity == severity);
    let errors: Vec<String> = of(Severity::Error).map(line).collect();
    let refused = match &errors[..] {
        [] => None,
        [one] => Some(format!("configuration is invalid: {one}")),
        several => {
            let mut text = format!("configuration is invalid: {} errors occurred:", several.len());
            for error in several.iter().take(MOST_ERRORS) {
                let _ = write!(text, "\n\t* {error}");
            }
            if several.len() > MOST_ERRORS {
                let _ = write!(text, "\n\t* and {} more", several.len() - MOST_ERRORS);
            }
            Some(text)
        }
    };
    Verdict { refused, warnings: of(Severity::Warning).map(line).collect(), patch: None }
}

/// Field and mend; the client knows which object it is about.
fn line(finding: &Diagnostic) -> String {
    match &*finding.field {
        "" => finding.message.clone(),
        field => format!("{field}: {}", finding.message),
    }
}
