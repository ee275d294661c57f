//! Workloads in files, with the sidecar that the webhook would give their pods. The same function decides and renders;
//! here are its configuration, and where in a document the pod is.

mod configuration;
mod document;

use crate::{chart::object, cli::KubeInjectArgs, files};
use anyhow::{Result, bail};
use mesh_pilot::source::file::FileText;
use std::path::PathBuf;

/// The documents as they would be, and what is said of those that stay as they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Injected {
    /// The documents, each with a line `---` behind it.
    pub(crate) out: String,
    /// For standard error.
    pub(crate) notes: String,
}

/// Injects into the documents of a file, for a control plane in this namespace.
///
/// # Errors
/// The configuration or a document cannot be read, or a pod cannot be injected as it asks.
pub(crate) fn run(args: &KubeInjectArgs, namespace: &str) -> Result<Injected> {
    let Some(path) = &args.filename else { bail!("filename not specified (see --filename or -f)") };
    let injector = configuration::injector(args, namespace)?;
    let mut injected = Injected { out: String::new(), notes: String::new() };
    for text in files::read(&[PathBuf::from(path)])?.into_values() {
        let text = match text {
            FileText::Text(text) => text,
            FileText::Unreadable(reason) => bail!("cannot read {}: {reason}", path.display()),
        };
        // Lines end in one way, and a document in a line's end.
        let text = text.replace("\r\n", "\n");
        for one in object::documents(&text) {
            let one = one.strip_prefix("---").map_or(one, |rest| rest.trim_start_matches([' ', '\t']));
            let one = one.strip_prefix('\n').unwrap_or(one);
            if one.trim().is_empty() {
                continue;
            }
            injected.out.push_str(&document::inject(one, &injector, &mut injected.notes)?);
            injected.out.push_str(if injected.out.ends_with('\n') { "---\n" } else { "\n---\n" });
        }
    }
    if !injected.notes.is_empty() {
        injected.notes.insert(0, '\n');
    }
    Ok(injected)
}

#[cfg(test)]
mod tests;
