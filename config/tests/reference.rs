//! What is made from the forms of the kinds: the definitions for API servers and the pages of the reference, which must be
//! current (`make generate` writes them), and examples that hold every field.

#[path = "reference/manifest.rs"]
mod manifest;
#[path = "reference/page.rs"]
mod page;
#[path = "reference/samples.rs"]
mod samples;
#[path = "reference/schema.rs"]
mod schema;

use mesh_config::crd::{
    self, Object, ParseContext,
    form::Form,
    mesh_config::{MESH_CONFIG, MESH_NETWORKS},
    node::{self, Node},
    validate,
};
use mesh_config::diagnostic::Severity;
use mesh_config::kind::ObjectKind;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the workspace").to_owned()
}

fn samples_in() -> PathBuf {
    root().join("examples/fields")
}

/// Compares a file with what it should say; writes it instead where `GENERATE` is set.
fn hold(path: &str, should: &str) -> Option<String> {
    let file = root().join(path);
    let is = std::fs::read_to_string(&file).unwrap_or_default();
    if is == should {
        return None;
    }
    if std::env::var_os("GENERATE").is_some() {
        std::fs::create_dir_all(file.parent().expect("a file stands in a folder")).expect("the folder can be made");
        std::fs::write(&file, should).expect("the file can be written");
        return None;
    }
    Some(path.to_owned())
}

/// Something that has a form: a kind of object, or a text within one.
struct Subject {
    /// As people call it.
    name: String,
    form: &'static Form,
    /// Path of its fields in findings.
    at: &'static str,
    /// Whether nothing acts on it at all.
    is_inert: bool,
    /// Head of its page.
    head: String,
    /// Where its examples are.
    examples: Vec<Object>,
}

impl Subject {
    fn of_kind(kind: ObjectKind, form: &'static Form) -> Self {
        let group = if kind.group().is_empty() { "core" } else { kind.group() };
        let versions: Vec<_> = kind.versions().iter().map(|version| format!("`{version}`")).collect();
        Subject {
            name: kind.label().to_owned(),
            form,
            at: if crd::is_under_spec(kind) { "spec" } else { "" },
            is_inert: crd::is_read_by_form(kind),
            head: format!("Group `{group}`, versions {}; every field is in each of them.", versions.join(", ")),
            examples: samples::of_kind(&samples_in(), kind.label()),
        }
    }

    /// A key of the mesh's ConfigMap.
    fn of_text(name: &str, form: &'static Form, at: &'static str, is_inert: bool) -> Self {
        let key = at.rsplit('.').next().unwrap_or_default();
        Subject {
            name: name.to_owned(),
            form,
            at,
            is_inert,
            head: format!(
                "Key `{key}` of ConfigMap `istio` (with `--revision REV`: `istio-REV`) of pilot's own namespace, as YAML."
            ),
            examples: samples::of_kind(&samples_in(), "MeshConfig"),
        }
    }

    /// Its fields in an example.
    fn node(&self, object: &Object) -> Option<Node> {
        match self.at.strip_prefix("data.") {
            Some(key) => {
                let text = object.root.get("data")?.get(key)?.as_str()?.to_owned();
                Some(node::read(&text).into_iter().next()?.ok()?.node)
            }
            None if self.at.is_empty() => Some(object.root.clone()),
            None => object.root.get(self.at).cloned(),
        }
    }

    fn places(&self) -> Vec<samples::Place> {
        samples::places(self.form, self.at)
    }

    /// Paths of the fields that its examples hold.
    fn held(&self) -> BTreeSet<String> {
        let mut held = BTreeSet::new();
        for node in self.examples.iter().filter_map(|object| self.node(object)) {
            samples::paths_in(&node, self.form, self.at, &mut held);
        }
        if self.at.is_empty() {
            held.retain(|path| !["apiVersion", "kind", "metadata", "status"].contains(&path.as_str()));
        }
        held
    }
}

fn subjects() -> Vec<Subject> {
    let mut subjects: Vec<_> =
        ObjectKind::ALL.into_iter().filter_map(|kind| Some(Subject::of_kind(kind, crd::form(kind)?))).collect();
    subjects.push(Subject::of_text("MeshConfig", &MESH_CONFIG, "data.mesh", false));
    subjects.push(Subject::of_text("MeshNetworks", &MESH_NETWORKS, "data.meshNetworks", true));
    subjects
}

#[test]
fn what_is_generated_is_current() {
    let mut stale = Vec::new();
    let definitions: String = manifest::definitions()
        .iter()
        .map(|definition| format!("---\n{}", serde_saphyr::to_string(definition).expect("it is plain data")))
        .collect();
    let header = "# Made from the forms of the kinds in config; `make generate` writes it.\n";
    stale.extend(hold("charts/base/files/crds.yaml", &format!("{header}{definitions}")));
    let mut list = "# Kinds\n\nEvery kind and field that is read. Made from the declarations of the code; `make generate` writes it.\n\n\
        A field acts unless it is marked **No effect yet**: then it is read and checked, `meshctl validate` and pilot say so, and the rest of \
        the object is in force unless a finding says otherwise. A kind that is marked is checked and has no effect yet at all.\n\n\
        | kind | |\n| --- | --- |\n"
        .to_owned();
    for subject in subjects() {
        let file = format!("{}.md", subject.name.to_lowercase());
        let mark = if subject.is_inert { "no effect yet" } else { "" };
        list.push_str(&format!("| [{}]({file}) | {mark} |\n", subject.name));
        let page = page::of(&subject.name, &subject.head, subject.is_inert, subject.form, page_at(subject.at));
        stale.extend(hold(&format!("docs/reference/kinds/{file}"), &page));
    }
    stale.extend(hold("docs/reference/kinds/README.md", &list));
    assert_eq!(stale, Vec::<String>::new(), "run `make generate`");
}

/// On its page a text's fields stand at the top.
fn page_at(at: &str) -> &str {
    if at.starts_with("data.") { "" } else { at }
}

#[test]
fn examples_hold_every_field_and_no_other() {
    let mut wrong = Vec::new();
    let everywhere = subjects().iter().flat_map(|s| samples::held_fields(&s.places(), &s.held())).collect();
    for subject in subjects() {
        let (name, places, is) = (&subject.name, subject.places(), subject.held());
        let should: BTreeSet<_> = places.iter().map(|place| place.path.clone()).collect();
        // What is read by forms alone is read alike wherever a message stands.
        let missing = match subject.is_inert {
            true => samples::missing(&places, &is),
            false => samples::missing_beside_marks(&places, &is, &everywhere),
        };
        wrong.extend(missing.iter().map(|path| format!("{name}: no example has {path}")));
        wrong.extend(is.difference(&should).map(|path| format!("{name}: no form has {path}")));
    }
    assert_eq!(wrong, Vec::<String>::new(), "see examples/fields");
}

#[test]
fn examples_may_be_written_and_what_has_no_effect_is_said() {
    let mut wrong = Vec::new();
    for subject in subjects() {
        let name = &subject.name;
        let mut said = BTreeSet::new();
        for object in &subject.examples {
            for finding in validate(object, &ParseContext::default()) {
                if finding.severity == Severity::Error {
                    wrong.push(format!("{name} {}: {} {}", object.meta.name, finding.field, finding.message));
                }
                if matches!(finding.code, "field-not-acted-on" | "field-not-served") {
                    said.insert(general(&finding.field));
                }
            }
        }
        if subject.is_inert {
            continue;
        }
        let inert: BTreeSet<_> =
            subject.places().into_iter().filter(|place| place.is_inert).map(|place| place.path).collect();
        let is_said = |path: &str| said.iter().any(|said| path == said || below(path, said));
        for path in subject.held() {
            match (inert.contains(&path), is_said(&path)) {
                (true, false) => wrong.push(format!("{name}: {path} is marked and no finding says so")),
                (false, true) => {
                    wrong.push(format!("{name}: a finding says that {path} has no effect and it is not marked"))
                }
                _ => {}
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A finding's path as forms have it: `spec.http[0].retries` is `spec.http[].retries`.
fn general(path: &str) -> String {
    let mut general = String::new();
    let mut within = false;
    for c in path.chars() {
        match c {
            '[' => general.push('['),
            ']' => general.push(']'),
            _ if within => {}
            _ => general.push(c),
        }
        within = c == '[' || (within && c != ']');
    }
    general
}

fn below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(['.', '[']))
}
