//! The version of a part: a hash of its value, so that equal values have equal versions whoever made them, also after
//! the control plane restarted.

use crate::{model::Kind, name::NameError};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// 128 bits over kind and encoded value; on the wire 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub [u8; 16]);

impl Version {
    /// Length of its text, in bytes.
    pub const TEXT: usize = 32;

    /// Of the encoded value of a part.
    pub fn of(kind: Kind, bytes: &[u8]) -> Self {
        // The zero byte keeps the end of the name apart from the beginning of the value.
        let hash = Sha256::new().chain_update(kind.type_url()).chain_update([0]).chain_update(bytes).finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        Version(first)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Version {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten()
            .map(|number| Version(number.to_be_bytes()))
            .ok_or_else(|| NameError(format!("version {text:.40?} must be 32 hexadecimal digits")))
    }
}
