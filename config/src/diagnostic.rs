//! What is wrong, or might be, with an object: one vocabulary for logs, status, webhook and command line.

use std::{fmt, sync::Arc};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The object, or the part named, is not in effect.
    Error,
    /// In effect, but likely not as meant; or a field that is read and not acted on.
    Warning,
    /// Good to know.
    Info,
}

/// Where an object came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Origin {
    /// Path of the file as given, empty when the object did not come from a file.
    pub file: Arc<str>,
    /// Line, counted from 1; 0 when unknown.
    pub line: u32,
    /// Column in characters, counted from 1; 0 when unknown.
    pub column: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        match self.column {
            0 => Ok(()),
            column => write!(f, ":{column}"),
        }
    }
}

/// Which object a diagnostic is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// `VirtualService`, `Service`, …; empty for a file that could not be read at all.
    pub kind: Arc<str>,
    /// Empty for objects without one.
    pub namespace: Arc<str>,
    /// Empty when it could not be read.
    pub name: Arc<str>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable short name for the kind of finding, e.g. `field-not-acted-on`, `invalid-field`, `duplicate-object`.
    pub code: &'static str,
    /// The object.
    pub object: ObjectRef,
    /// Path of the field inside the object, e.g. `spec.http[0].route[1].weight`; empty for the whole object.
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
    /// File and line of the field where known, otherwise of the object.
    pub origin: Origin,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.severity {
            Severity::Error => "Error",
            Severity::Warning => "Warning",
            Severity::Info => "Info",
        };
        write!(f, "{level} [{}] ({}", self.code, self.object.kind)?;
        match (self.object.namespace.is_empty(), self.object.name.is_empty()) {
            (false, false) => write!(f, " {}/{}", self.object.namespace, self.object.name)?,
            (true, false) => write!(f, " {}", self.object.name)?,
            _ => {}
        }
        if !self.origin.file.is_empty() {
            write!(f, " {}", self.origin)?;
        }
        f.write_str(") ")?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}
