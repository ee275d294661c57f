//! Whether objects in files may be written. As istioctl, what there is to say goes to standard error, warnings alone
//! are no failure, and objects of other programs pass.

mod excerpt;

use crate::{cli::ValidateArgs, files};
use anyhow::{Result, bail};
use excerpt::Lines;
use mesh_config::{
    crd::{self, ParseContext},
    diagnostic::{Diagnostic, Severity},
};
use mesh_pilot::source::file::FileText;
use std::{fmt::Write as _, sync::Arc};

/// Most errors, and most warnings of one file, that are listed: who has mended these asks again.
const MAX_LISTED: usize = 1000;

/// What is to be said about objects that may be written.
///
/// # Errors
/// All that is wrong with the objects, or what could not be read.
pub(crate) fn run(args: &ValidateArgs) -> Result<String> {
    if args.filename.is_empty() {
        bail!("name the objects to validate with -f FILE, -f DIRECTORY or -f -");
    }
    let (mut said, mut errors) = (String::new(), List::default());
    for (path, content) in files::read(&args.filename)? {
        match content {
            FileText::Text(text) => said.push_str(&one(&path, &text, &mut errors)),
            FileText::Unreadable(reason) => errors.add(|| format!("\t* cannot read {path}: {reason}\n")),
        }
    }
    match errors.count {
        0 => Ok(said),
        1 => bail!("1 error occurred:\n{}", errors.text()),
        count => bail!("{count} errors occurred:\n{}", errors.text()),
    }
}

/// The verdict on a text without errors; those that it has are listed.
fn one(path: &Arc<str>, text: &str, errors: &mut List) -> String {
    let before = errors.count;
    let mut warnings = List::default();
    let mut lines = None;
    let mut tell = |mut found: Vec<Diagnostic>| {
        found.sort_by_key(|finding| (finding.origin.line, finding.origin.column));
        for finding in &found {
            match finding.severity {
                Severity::Error => {
                    let lines = lines.get_or_insert_with(|| Lines::of(text));
                    errors.add(|| line_of(finding) + &lines.excerpt(finding.origin.line, finding.origin.column));
                }
                Severity::Warning => warnings.add(|| line_of(finding)),
                Severity::Info => {}
            }
        }
    };
    let (objects, found) = crd::read_text(path, text);
    tell(found);
    let context = ParseContext::default();
    objects.iter().for_each(|object| tell(crd::validate(object, &context)));
    match (errors.count - before, warnings.count, &**path) {
        (0, 0, "-") => "validation succeed\n".to_owned(),
        (0, 0, path) => format!("{path:?} is valid\n"),
        (0, _, path) => format!("{path:?} has warnings:\n{}", warnings.text()),
        _ => String::new(),
    }
}

/// Object, field, reason, place.
fn line_of(finding: &Diagnostic) -> String {
    let mut line = "\t* ".to_owned();
    let object = &finding.object;
    if !object.kind.is_empty() {
        let _ = write!(line, "{}/{}/{}: ", object.kind, object.namespace, object.name);
    }
    if !finding.field.is_empty() {
        let _ = write!(line, "{}: ", finding.field);
    }
    let _ = writeln!(line, "{} ({})", finding.message, finding.origin);
    line
}

/// The first of many.
#[derive(Default)]
struct List {
    text: String,
    count: usize,
}

impl List {
    fn add(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.count <= MAX_LISTED {
            self.text.push_str(&line());
        }
    }

    fn text(mut self) -> String {
        if self.count > MAX_LISTED {
            let _ = writeln!(self.text, "\t* only the first {MAX_LISTED} are listed");
        }
        self.text
    }
}
