//! Whether objects in files may be written. As istioctl, what there is to say goes to standard error, warnings alone
//! are no failure, and objects of other programs pass.

use crate::{cli::ValidateArgs, files};
use anyhow::{Result, bail};
use mesh_config::{
    crd::{self, ParseContext},
    diagnostic::{Diagnostic, Severity},
};
use mesh_pilot::source::file::FileText;
use std::{fmt::Write as _, sync::Arc};

/// What is to be said about objects that may be written.
///
/// # Errors
/// All that is wrong with the objects, or what could not be read.
pub(crate) fn run(args: &ValidateArgs) -> Result<String> {
    if args.filename.is_empty() {
        bail!("name the objects to validate with -f FILE, -f DIRECTORY or -f -");
    }
    let (mut text, mut errors) = (String::new(), Vec::new());
    for (path, content) in files::read(&args.filename)? {
        let lines = match content {
            FileText::Text(text) => text,
            FileText::Unreadable(reason) => bail!("cannot read {path}: {reason}"),
        };
        let (wrong, dubious): (Vec<_>, Vec<_>) =
            found(&path, &lines).into_iter().partition(|finding| finding.severity == Severity::Error);
        if wrong.is_empty() {
            text.push_str(&verdict(&path, &dubious));
        }
        errors.extend(wrong.iter().map(|finding| line_of(finding, Some(&lines))));
    }
    if errors.is_empty() {
        return Ok(text);
    }
    let count =
        if errors.len() == 1 { "1 error occurred".to_owned() } else { format!("{} errors occurred", errors.len()) };
    bail!("{count}:\n{}", errors.concat())
}

fn found(path: &Arc<str>, text: &str) -> Vec<Diagnostic> {
    let (objects, mut found) = crd::read_text(path, text);
    let context = ParseContext::default();
    found.extend(objects.iter().flat_map(|object| crd::validate(object, &context)));
    found.retain(|finding| finding.severity != Severity::Info);
    found.sort_by_key(|finding| finding.origin.line);
    found
}

fn verdict(path: &str, warnings: &[Diagnostic]) -> String {
    match (path, warnings.is_empty()) {
        ("-", true) => "validation succeed\n".to_owned(),
        (_, true) => format!("{path:?} is valid\n"),
        (_, false) => {
            let lines: String = warnings.iter().map(|finding| line_of(finding, None)).collect();
            format!("{path:?} has warnings:\n{lines}")
        }
    }
}

/// Object, field, reason, place; with the line as it is written where there is a text.
fn line_of(finding: &Diagnostic, text: Option<&str>) -> String {
    let mut line = "\t* ".to_owned();
    let object = &finding.object;
    if !object.kind.is_empty() {
        let _ = write!(line, "{}/{}/{}: ", object.kind, object.namespace, object.name);
    }
    if !finding.field.is_empty() {
        let _ = write!(line, "{}: ", finding.field);
    }
    let _ = writeln!(line, "{} ({}:{})", finding.message, finding.origin.file, finding.origin.line);
    let number = usize::try_from(finding.origin.line).unwrap_or_default();
    let written = text.and_then(|text| text.lines().nth(number.checked_sub(1)?));
    if let Some(written) = written {
        let shown: String = written.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(line, "\t\t{number} | {shown}");
    }
    line
}
