//! A directory with Istio's file names, the same for a root of our own and for one that somebody else made. Files are
//! readable by their owner alone and replaced whole; the signing certificate comes last, so that its presence says
//! that the rest is there.

use super::{Store, StoreError, Stored};
use mesh_runtime::file;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The certificate that signs.
pub const CERTIFICATE: &str = "ca-cert.pem";
/// The private key that belongs to it.
pub const KEY: &str = "ca-key.pem";
/// The way up to the root.
pub const CHAIN: &str = "cert-chain.pem";
/// What proxies trust, several while a root is replaced.
pub const ROOTS: &str = "root-cert.pem";

/// No file may be longer.
const MAX_FILE: u64 = 1 << 20;

/// Key material in a directory.
#[derive(Debug, Clone)]
pub struct FileStore(PathBuf);

impl FileStore {
    /// In this directory, which is made when something is saved.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        FileStore(dir.into())
    }

    fn optional(&self, name: &str) -> Result<Option<String>, StoreError> {
        match read(&self.0.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(StoreError { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Store for FileStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        let Some(certificate) = self.optional(CERTIFICATE)? else { return Ok(None) };
        Ok(Some(Stored {
            certificate,
            key: read(&self.0.join(KEY))?.into(),
            chain: self.optional(CHAIN)?.unwrap_or_default(),
            roots: self.optional(ROOTS)?.unwrap_or_default(),
        }))
    }

    fn save_new(&self, stored: Stored) -> Result<Stored, StoreError> {
        let made = file::make_private_dir(&self.0);
        made.map_err(|error| StoreError { path: self.0.clone(), error })?;
        // Two processes that start at once must agree on one root. Released when the file is closed.
        let _lock = lock(&self.0.join(".lock"))?;
        if let Some(there) = self.load()? {
            return Ok(there);
        }
        write_private(&self.0.join(KEY), stored.key.text())?;
        write_private(&self.0.join(ROOTS), &stored.roots)?;
        if !stored.chain.is_empty() {
            write_private(&self.0.join(CHAIN), &stored.chain)?;
        }
        write_private(&self.0.join(CERTIFICATE), &stored.certificate)?;
        Ok(stored)
    }

    fn place(&self) -> String {
        self.0.display().to_string()
    }
}

/// The text of a file of bounded size.
///
/// # Errors
/// When it cannot be read or is too long.
pub(crate) fn read(path: &Path) -> Result<String, StoreError> {
    let text = file::read(path, MAX_FILE).and_then(|content| String::from_utf8(content).map_err(io::Error::other));
    text.map_err(|error| StoreError { path: path.to_owned(), error })
}

/// [`file::replace_private`] with a text.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), StoreError> {
    file::replace_private(path, text.as_bytes()).map_err(|error| StoreError { path: path.to_owned(), error })
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let open = || {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|error| StoreError { path: path.to_owned(), error })
}
