//! What is found about one object while its fields are read.

use crate::crd::node::Place;
use crate::diagnostic::{Diagnostic, ObjectRef, Origin, Severity};
use std::{
    cell::{Cell, RefCell},
    cmp::Ordering,
    sync::Arc,
};

/// Most findings listed about one object.
const MAX_FINDINGS: usize = 200;

/// Findings about one object, as they are gathered.
#[derive(Debug)]
pub struct Report {
    object: ObjectRef,
    file: Arc<str>,
    found: RefCell<Vec<Diagnostic>>,
    errors: Cell<usize>,
    /// Those among them that take an entry out of force, and leave the rest of the object in it.
    apart: Cell<usize>,
    /// What is wrong keeps nothing out of force; see [`Item::leniently`].
    pub(super) lenient: Cell<bool>,
}

/// Code of findings about what must not be written, and keeps an object that is there all the same in force: nothing
/// acts on it, or it always had a meaning.
pub(in crate::crd) const REFUSED: &str = "refused-by-validation";

impl Report {
    /// For one object of one file.
    pub fn new(object: ObjectRef, file: Arc<str>) -> Self {
        Report {
            object,
            file,
            found: RefCell::default(),
            errors: Cell::new(0),
            apart: Cell::new(0),
            lenient: Cell::new(false),
        }
    }

    /// Adds a finding.
    pub fn add(&self, severity: Severity, code: &'static str, at: (&str, Place), message: impl Into<String>) {
        let (severity, code) = match severity {
            Severity::Error if self.lenient.get() => (Severity::Warning, REFUSED),
            _ => (severity, code),
        };
        if severity == Severity::Error {
            self.errors.set(self.errors.get() + 1);
        }
        let mut found = self.found.borrow_mut();
        let (code, field, message) = match found.len().cmp(&MAX_FINDINGS) {
            Ordering::Less => (code, at.0.to_owned(), message.into()),
            Ordering::Equal => {
                ("more-findings", String::new(), format!("only the first {MAX_FINDINGS} findings are listed"))
            }
            Ordering::Greater => return,
        };
        let origin = Origin { file: self.file.clone(), line: at.1.line, column: at.1.column };
        found.push(Diagnostic { severity, code, object: self.object.clone(), field, message, origin });
    }

    /// Whether no more findings are listed.
    pub(super) fn is_full(&self) -> bool {
        self.found.borrow().len() > MAX_FINDINGS
    }

    /// How many errors were found so far.
    pub fn errors(&self) -> usize {
        self.errors.get()
    }

    /// How many of them are about the object as a whole.
    pub(super) fn about_all(&self) -> usize {
        self.errors.get() - self.apart.get()
    }

    /// Counts errors as about an entry alone.
    pub(super) fn set_apart(&self, errors: usize) {
        self.apart.set(self.apart.get() + errors);
    }

    /// Whether nothing is wrong but entries that can be left out.
    pub fn is_usable(&self) -> bool {
        self.about_all() == 0
    }

    /// Everything found, in order.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}
