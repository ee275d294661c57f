//! Why bytes are no part of the mesh. Every error names the field, so that a refusal sent back to the control plane
//! can be acted on.

#![warn(clippy::wildcard_enum_match_arm)]

use crate::model::Kind;

/// Bytes from a peer are not a part that this program understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not one of our resource types.
    #[error("{type_url:?} is not a resource type of this mesh")]
    UnknownType {
        /// As it came.
        type_url: String,
    },
    /// Larger than any resource may be.
    #[error(
        "a {kind} of {bytes} bytes is larger than the {} bytes that one resource may have",
        super::MAX_RESOURCE_BYTES
    )]
    TooLarge {
        /// What it claims to be.
        kind: Kind,
        /// Its size.
        bytes: usize,
    },
    /// Not an encoding of the message.
    #[error("the bytes are not a valid {kind}: {source}")]
    Malformed {
        /// What it claims to be.
        kind: Kind,
        /// Where decoding failed.
        source: prost::DecodeError,
    },
    /// Uses fields that this program does not know; acting on the rest could widen a policy.
    #[error("this {kind} needs level {level}, this program understands up to {}: upgrade it", super::LEVEL)]
    TooNew {
        /// What it is.
        kind: Kind,
        /// The level it asks for.
        level: u32,
    },
    /// A field has a value that cannot be.
    #[error("{path}: {what}")]
    Field {
        /// For example `route.rules[2].matches[0].path`.
        path: String,
        /// What is wrong with it.
        what: String,
    },
}

/// As [`DecodeError::Field`], with the path as far as it is known on the way up.
#[derive(Debug)]
pub(super) struct FieldError {
    path: String,
    what: String,
}

impl FieldError {
    pub(super) fn new(what: impl ToString) -> Self {
        FieldError { path: String::new(), what: what.to_string() }
    }

    /// The field must be there and is not, or a choice has none of its alternatives.
    pub(super) fn unset() -> Self {
        FieldError::new("is not set")
    }

    /// With the root of the path put in front.
    pub(super) fn below(self, root: &str) -> DecodeError {
        let FieldError { path, what } = self.inside(root);
        DecodeError::Field { path, what }
    }

    fn inside(mut self, segment: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{segment}{dot}{}", self.path);
        self
    }
}

/// Puts the place of an error in front of its path.
pub(super) trait At {
    /// Inside this field.
    fn at(self, field: &str) -> Self;
    /// Inside this item of a list.
    fn at_item(self, index: usize) -> Self;
    /// Inside this alternative of a choice, which the message has in lower case.
    fn at_choice(self, variant: &str) -> Self;
}

impl<T> At for Result<T, FieldError> {
    fn at(self, field: &str) -> Self {
        self.map_err(|e| e.inside(field))
    }

    fn at_item(self, index: usize) -> Self {
        self.map_err(|e| e.inside(&format!("[{index}]")))
    }

    fn at_choice(self, variant: &str) -> Self {
        self.map_err(|e| {
            let mut field = String::new();
            for letter in variant.chars() {
                if letter.is_ascii_uppercase() && !field.is_empty() {
                    field.push('_');
                }
                field.push(letter.to_ascii_lowercase());
            }
            e.inside(&field)
        })
    }
}
