//! Whether an object may be written at all: one answer for the command line, and for webhook and statuses after it.
//!
//! This is not whether it is in force: what is well-formed and not served is taken here, and said; what must not be
//! written and is harmless where it stands is refused here alone.

use super::{Object, ParseContext, parse, reader::REFUSED};
use crate::diagnostic::{Diagnostic, Severity};

/// Codes of findings that keep an object out of force although nothing is wrong with it.
const WELL_FORMED: [&str; 1] = ["field-not-served"];

/// All that is to be said about one object. It is refused if there is an error among it.
pub fn validate(object: &Object, context: &ParseContext) -> Vec<Diagnostic> {
    let (_, mut found) = parse(object, context);
    // Objects of other programs are none of the mesh's business.
    found.retain(|finding| finding.code != "unknown-kind");
    for finding in &mut found {
        match finding.code {
            code if WELL_FORMED.contains(&code) => finding.severity = Severity::Warning,
            REFUSED => finding.severity = Severity::Error,
            _ => {}
        }
    }
    found
}
