//! Certificates on disk under Istio's file names: made by an external authority and re-read as they change, or saved
//! by ourselves to survive a restart while the authority is away.

use crate::{
    drain, file,
    snapshot::Publisher,
    tls::material::{Identity, Material, MaterialError, Roots},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The chain, leaf first.
pub const CHAIN: &str = "cert-chain.pem";
/// The private key.
pub const KEY: &str = "key.pem";
/// The roots of our trust domain.
pub const ROOTS: &str = "root-cert.pem";

/// No file of key material may be longer.
const MAX_FILE: u64 = 4 << 20;

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading or writing failed.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The content is not usable.
    #[error("{path}: {error}")]
    Content {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        error: MaterialError,
    },
}

impl FileError {
    /// Whether there simply is nothing yet.
    pub fn is_absent(&self) -> bool {
        matches!(self, FileError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads an identity from a directory and checks that it is valid at `now`.
///
/// # Errors
/// [`FileError`].
pub fn load(dir: &Path, now: SystemTime) -> Result<Identity, FileError> {
    let (chain, key, roots) = (read(&dir.join(CHAIN))?, read(&dir.join(KEY))?, read(&dir.join(ROOTS))?);
    let material = Material::from_pem(&chain, &key, now);
    let material = material.map_err(|error| FileError::Content { path: dir.to_owned(), error })?;
    let roots = Roots::from_pem(material.identity.trust_domain.clone(), &roots);
    let roots = roots.map_err(|error| FileError::Content { path: dir.join(ROOTS), error })?;
    Ok(Identity { material: Arc::new(material), roots: Arc::new(roots) })
}

/// Saves an identity (of its roots those of its own trust domain) so that [`load`] finds it, readable by the owner
/// alone. Each file is replaced whole; a crash between two of them leaves a key that does not fit, which `load` says.
///
/// # Errors
/// [`FileError::Io`].
pub fn save(dir: &Path, identity: &Identity) -> Result<(), FileError> {
    let made = file::make_private_dir(dir);
    made.map_err(|error| FileError::Io { path: dir.to_owned(), error })?;
    let certificate = identity.material.certificate();
    let roots = identity.roots.get(&identity.material.identity.trust_domain);
    replace(&dir.join(ROOTS), &roots.map(|roots| roots.pem()).unwrap_or_default())?;
    replace(&dir.join(KEY), &certificate.key_pem())?;
    replace(&dir.join(CHAIN), &certificate.chain_pem())
}

/// Re-reads a directory every `interval` and publishes what differs, until drained. What cannot be used is logged once
/// and leaves the last good identity in force.
pub async fn follow(dir: PathBuf, publisher: Publisher<Identity>, interval: Duration, drain: drain::Watch) {
    let mut said = String::new();
    loop {
        tokio::select! {
            () = drain.signaled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        match load(&dir, crate::clock::system_now()) {
            Ok(identity) => {
                said.clear();
                let serial = identity.material.serial.clone();
                if publisher.publish_if_changed(Arc::new(identity)) {
                    tracing::info!(serial, dir = %dir.display(), "certificate read from disk");
                }
            }
            Err(error) if error.to_string() != said => {
                said = error.to_string();
                tracing::warn!(%error, "certificate on disk cannot be used; the last one stays in force");
            }
            Err(_) => {}
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    file::read(path, MAX_FILE).map_err(|error| FileError::Io { path: path.to_owned(), error })
}

fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    file::replace_private(path, text.as_bytes()).map_err(|error| FileError::Io { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::testing::{TestCa, eventually};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_saved_is_loaded_and_only_the_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state");
        let identity = TestCa::new("cluster.local").identity("shop", "cart");
        save(&dir, &identity).unwrap();
        save(&dir, &identity).unwrap();
        assert_eq!(load(&dir, clock::system_now()).unwrap(), *identity);
        for entry in fs::read_dir(&dir).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn absence_is_told_from_unusable_content() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), clock::system_now()).unwrap_err().is_absent());
        for name in [CHAIN, KEY, ROOTS] {
            fs::write(dir.path().join(name), "nothing").unwrap();
        }
        assert!(!load(dir.path(), clock::system_now()).unwrap_err().is_absent());
    }

    #[tokio::test]
    async fn a_directory_is_followed_and_a_broken_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::new("cluster.local");
        let (first, second) = (ca.identity("shop", "cart"), ca.identity("shop", "cart"));
        let (publisher, reader) = crate::snapshot::publisher(first.clone());
        let (_signal, watch) = drain::channel();
        fs::write(dir.path().join(CHAIN), "broken").unwrap();
        let task = tokio::spawn(follow(dir.path().to_owned(), publisher, Duration::from_millis(1), watch));
        save(dir.path(), &second).unwrap();
        eventually(Duration::from_secs(20), || *reader.get() == *second).await;
        task.abort();
    }
}
