//! Names of fields, and their paths in findings.

use crate::crd::form::snake_case;

/// By its name, or as protobuf has it: JSON made from protobuf messages may have either.
pub(super) fn is_called(key: &str, name: &str) -> bool {
    key == name || (key.contains('_') && snake_case(name) == key)
}

/// `path.key`, with keys that hold dots in brackets.
pub(super) fn join(path: &str, key: &str) -> String {
    match (path.is_empty(), key.contains(['.', '[', '/'])) {
        (_, true) => format!("{path}[{key:?}]"),
        (true, false) => key.to_owned(),
        (false, false) => format!("{path}.{key}"),
    }
}
