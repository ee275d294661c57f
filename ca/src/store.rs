//! Where the authority's key material lives. A store knows places and bytes; what they mean is [`crate::root`]'s.

pub mod file;
pub mod memory;

use std::{fmt, io, path::PathBuf};

/// A private key in PEM. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPem(String);

impl KeyPem {
    /// The text, for parsing and saving.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl From<String> for KeyPem {
    fn from(text: String) -> Self {
        KeyPem(text)
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(…)")
    }
}

/// Key material as texts in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The certificate that signs.
    pub certificate: String,
    /// The private key that belongs to it.
    pub key: KeyPem,
    /// From the signing certificate upwards; may be empty, may include the signing certificate and the root.
    pub chain: String,
    /// Every root that is trusted; empty: the signing certificate is the root.
    pub roots: String,
}

/// A store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct StoreError {
    /// Which file.
    pub path: PathBuf,
    /// What happened.
    pub error: io::Error,
}

/// A place for key material.
pub trait Store {
    /// What is there; `None` when there is nothing.
    ///
    /// # Errors
    /// When it cannot be read, or is there in part.
    fn load(&self) -> Result<Option<Stored>, StoreError>;

    /// Saves, unless something is there by now; gives back what is there in the end.
    ///
    /// # Errors
    /// When it cannot be written.
    fn save_new(&self, stored: Stored) -> Result<Stored, StoreError>;

    /// For messages.
    fn place(&self) -> String;
}
