//! Objects written as they were written some releases ago, rewritten as they are written today: served versions,
//! names of fields, forms of values. Only what changes is touched: comments and layout stay.

mod rules;
mod tree;

use crate::{cli::ConvertArgs, files};
use anyhow::{Context as _, Result, bail};
use mesh_pilot::source::file::FileText;
use similar::TextDiff;
use std::fmt::Write as _;
use std::path::Path;
use tree::{Node, Value};

/// What there is to print, and what there is to say beside it.
pub(crate) struct Converted {
    /// For standard output: a diff, or the whole text.
    pub(crate) out: String,
    /// For standard error: what could not be converted.
    pub(crate) notes: String,
}

/// Shows what would change, or writes it.
///
/// # Errors
/// What could not be read or written, or is no YAML.
pub(crate) fn run(args: &ConvertArgs) -> Result<Converted> {
    if args.filename.is_empty() {
        bail!("name the objects to convert with -f FILE, -f DIRECTORY or -f -");
    }
    let (mut out, mut notes) = (String::new(), String::new());
    for (path, content) in files::read(&args.filename)? {
        let text = match content {
            FileText::Text(text) => text,
            FileText::Unreadable(reason) => bail!("cannot read {path}: {reason}"),
        };
        let (new, said) = convert(&text).with_context(|| format!("cannot read {path}"))?;
        for note in said {
            let _ = writeln!(notes, "{path}:{note}");
        }
        if args.write && &*path != "-" {
            if new != text {
                std::fs::write(Path::new(&*path), &new).with_context(|| format!("cannot write {path}"))?;
                let _ = writeln!(out, "{path}");
            }
        } else if args.whole {
            out.push_str(&new);
        } else if new != text {
            let diff = TextDiff::from_lines(&text, &new);
            let _ = write!(out, "{}", diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")));
        }
    }
    Ok(Converted { out, notes })
}

/// The text as it is written today, and what it could not say: `LINE: message`.
fn convert(text: &str) -> Result<(String, Vec<String>)> {
    let mut text = text.to_owned();
    loop {
        let mut edits = rules::Edits::new(&text);
        for document in tree::read(&text)? {
            objects(&document, &mut edits);
        }
        let (new, notes) = edits.finish();
        if new == text {
            return Ok((text, notes));
        }
        // A field that has its name now may be one that is superseded; no rule leads back, so this ends.
        text = new;
    }
}

/// The entries of a `List` are objects of their own.
fn objects(node: &Node, edits: &mut rules::Edits<'_>) {
    let is_list = node.get("kind").and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
    match node.get("items").map(|items| &items.value) {
        Some(Value::Seq(items)) if is_list => items.iter().for_each(|item| objects(item, edits)),
        _ => rules::object(node, edits),
    }
}

#[cfg(test)]
mod tests;
