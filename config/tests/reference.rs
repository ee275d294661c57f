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

use mesh_config::crd::{self, ParseContext, form::Form, validate};
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

/// Kinds that have a form, with where their fields stand.
fn forms() -> impl Iterator<Item = (ObjectKind, &'static Form, &'static str)> {
    let at = |kind: ObjectKind| if crd::is_under_spec(kind) { "spec" } else { "" };
    ObjectKind::ALL.into_iter().filter_map(move |kind| Some((kind, crd::form(kind)?, at(kind))))
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
        | kind | group | versions | |\n| --- | --- | --- | --- |\n"
        .to_owned();
    for (kind, form, at) in forms() {
        let name = kind.label().to_lowercase();
        let mark = if crd::is_read_by_form(kind) { "no effect yet" } else { "" };
        let versions = kind.versions().join(", ");
        list.push_str(&format!("| [{}]({name}.md) | {} | {versions} | {mark} |\n", kind.label(), kind.group()));
        stale.extend(hold(&format!("docs/reference/kinds/{name}.md"), &page::of_kind(kind, form, at)));
    }
    stale.extend(hold("docs/reference/kinds/README.md", &list));
    assert_eq!(stale, Vec::<String>::new(), "run `make generate`");
}

#[test]
fn examples_hold_every_field_and_no_other() {
    let mut wrong = Vec::new();
    for (kind, form, at) in forms() {
        let should = samples::paths(form, at);
        let mut is = BTreeSet::new();
        let objects = samples::of_kind(&samples_in(), kind);
        if objects.is_empty() {
            continue;
        }
        for object in objects {
            let node = if at.is_empty() { Some(&object.root) } else { object.root.get("spec") };
            samples::paths_in(node.expect("an example has fields"), form, at, &mut is);
        }
        is.retain(|path| !at.is_empty() || !["apiVersion", "kind", "metadata", "status"].contains(&path.as_str()));
        wrong.extend(should.difference(&is).map(|path| format!("{kind:?}: no example has {path}")));
        wrong.extend(is.difference(&should).map(|path| format!("{kind:?}: no form has {path}")));
    }
    assert_eq!(wrong, Vec::<String>::new(), "see examples/fields");
}

#[test]
fn examples_may_be_written_and_what_has_no_effect_is_said() {
    let mut wrong = Vec::new();
    for (kind, form, at) in forms() {
        let mut inert = BTreeSet::new();
        samples::walk(form, at, &mut Vec::new(), &mut |path, is_inert| {
            if is_inert {
                inert.insert(path.to_owned());
            }
        });
        let mut said = BTreeSet::new();
        let mut held = BTreeSet::new();
        for object in samples::of_kind(&samples_in(), kind) {
            for finding in validate(&object, &ParseContext::default()) {
                if finding.severity == Severity::Error {
                    wrong.push(format!("{kind:?} {}: {} {}", object.meta.name, finding.field, finding.message));
                }
                if matches!(finding.code, "field-not-acted-on" | "field-not-served") {
                    said.insert(general(&finding.field));
                }
            }
            let node = if at.is_empty() { Some(&object.root) } else { object.root.get("spec") };
            samples::paths_in(node.expect("an example has fields"), form, at, &mut held);
        }
        if crd::is_read_by_form(kind) {
            continue;
        }
        let is_said = |path: &str| said.iter().any(|said| path == said || below(path, said));
        for path in held {
            match (inert.contains(&path), is_said(&path)) {
                (true, false) => wrong.push(format!("{kind:?}: {path} is marked and no finding says so")),
                (false, true) => {
                    wrong.push(format!("{kind:?}: a finding says that {path} has no effect and it is not marked"))
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
