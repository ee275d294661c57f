//! What was asked for: IstioOperator files and Helm's values files, `--set`, `--revision`.

use crate::{
    chart::{object, values},
    files,
};
use anyhow::{Context as _, Result, bail};
use mesh_config::{
    crd::{self, ParseContext},
    diagnostic::Severity,
};
use mesh_pilot::source::file::FileText;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    /// `spec` of an IstioOperator, of all files and flags together.
    pub(crate) tree: Value,
    /// Values of charts: those of values files, below those of the tree.
    pub(crate) values: Value,
    /// What is accepted and has no effect, and with `force` what is wrong.
    pub(crate) notes: Vec<String>,
}

impl Spec {
    /// Of files in their order, then of `PATH=VALUE` below `spec`.
    ///
    /// # Errors
    /// What cannot be read; without `force` also fields that an IstioOperator does not have, and values of a wrong form.
    pub(crate) fn read(filenames: &[PathBuf], sets: &[String], revision: Option<&str>, force: bool) -> Result<Self> {
        let (mut tree, mut of_files) = (json!({}), json!({}));
        // One by one: of a folder's files the order of names counts, of what was named the order in which it was.
        let named = filenames.iter().map(|file| files::read(std::slice::from_ref(file)));
        for (path, content) in named.collect::<Result<Vec<_>>>()?.into_iter().flatten() {
            let text = match content {
                FileText::Text(text) => text,
                FileText::Unreadable(reason) => bail!("cannot read {path}: {reason}"),
            };
            let document = object::yaml(&text).with_context(|| format!("cannot read {path}"))?;
            match document["kind"].as_str() {
                Some("IstioOperator") if document["spec"].is_object() => values::merge(&mut tree, &document["spec"]),
                Some("IstioOperator") => {}
                Some(kind) => {
                    bail!("{path} holds a {kind}; installing reads an IstioOperator, or values as Helm reads them")
                }
                None => values::merge(&mut of_files, &document),
            }
        }
        for text in sets {
            values::set(&mut tree, text)?;
        }
        if let Some(revision) = revision {
            tree["revision"] = revision.into();
        }
        let notes = checked(&tree, force)?;
        let mut all = of_files;
        for more in ["values", "unvalidatedValues"] {
            if tree[more].is_object() {
                values::merge(&mut all, &tree[more]);
            }
        }
        Ok(Spec { tree, values: all, notes })
    }
}

/// What is to be said about the whole, as `validate` says it.
fn checked(tree: &Value, force: bool) -> Result<Vec<String>> {
    let whole = json!({
        "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "metadata": {"name": "installed"}, "spec": tree,
    });
    let text = whole.to_string();
    let (objects, mut found) = crd::read_text(&"spec".into(), &text);
    let context = ParseContext::default();
    found.extend(objects.iter().flat_map(|object| crd::validate(object, &context)));
    let mut notes = Vec::new();
    let mut errors = Vec::new();
    for finding in found {
        let said = format!("{}: {}", finding.field, finding.message);
        match finding.severity {
            // That no process acts on the file is nothing new to who installs by it.
            Severity::Warning if finding.field == "spec" => {}
            Severity::Error if !force => errors.push(said),
            Severity::Info => {}
            _ => notes.push(said),
        }
    }
    match errors.is_empty() {
        true => Ok(notes),
        false => bail!("{}\nWith --force it is installed all the same", errors.join("\n")),
    }
}
