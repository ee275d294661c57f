//! Root certificates in files that configuration names. The configuration's author need not be this machine's, so the
//! file may be anything: it is read up to a bound, away from the threads that carry traffic. Its roots are kept until
//! the file changes. Callers that come while somebody looks at the file share the next look.

use super::material::CaBundle;
use crate::file;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::task::spawn_blocking;

/// The largest file that is read: four times what distributions ship.
const MAX_FILE: u64 = 1 << 20;

/// Files remembered at most; when there are more, all are forgotten.
const FILES: usize = 1024;

/// Why a file gives no roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("roots in {path} cannot be used: {reason}")]
pub struct RootsError {
    /// Which file.
    pub path: Arc<str>,
    /// What is wrong with it.
    pub reason: String,
}

/// What is known of root certificates in files.
#[derive(Debug, Default)]
pub struct RootFiles {
    files: Mutex<HashMap<Arc<str>, Arc<RootFile>>>,
}

#[derive(Debug, Default)]
struct RootFile {
    /// Looks that have begun.
    begun: AtomicU64,
    seen: tokio::sync::Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// What the last look found; none: it was given up.
    last: Option<Result<Arc<CaBundle>, RootsError>>,
    kept: Option<Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    version: Version,
    roots: Arc<CaBundle>,
}

/// Tells one content of a file from the next: device, inode, length, and when content and inode changed.
type Version = (u64, u64, u64, (i64, i64), (i64, i64));

impl RootFiles {
    /// The roots in a file as it stands now.
    ///
    /// # Errors
    /// [`RootsError`].
    pub async fn get(&self, path: &Arc<str>) -> Result<Arc<CaBundle>, RootsError> {
        let file = self.file(path);
        let arrived = file.begun.load(Ordering::Acquire);
        let mut seen = file.seen.lock().await;
        if file.begun.load(Ordering::Acquire) > arrived
            && let Some(last) = &seen.last
        {
            return last.clone();
        }
        file.begun.fetch_add(1, Ordering::AcqRel);
        seen.last = None;
        let (at, kept) = (path.clone(), seen.kept.clone());
        let looked = spawn_blocking(move || look(Path::new(&*at), kept).map_err(|e| e.to_string())).await;
        let looked = looked.unwrap_or_else(|e| Err(e.to_string()));
        seen.kept = looked.as_ref().ok().cloned();
        let last = looked.map(|kept| kept.roots).map_err(|reason| RootsError { path: path.clone(), reason });
        seen.last = Some(last.clone());
        last
    }

    fn file(&self, path: &Arc<str>) -> Arc<RootFile> {
        let mut files = self.files.lock();
        if files.len() >= FILES && !files.contains_key(path) {
            files.clear();
        }
        files.entry(path.clone()).or_default().clone()
    }
}

/// The machine's own roots, see [`CaBundle::system`].
///
/// # Errors
/// [`RootsError`].
pub async fn system() -> Result<Arc<CaBundle>, RootsError> {
    let unusable = |reason: String| RootsError { path: "the system's store".into(), reason };
    match CaBundle::system_if_read() {
        Some(read) => read.map_err(|e| unusable(e.to_string())),
        None => match spawn_blocking(CaBundle::system).await {
            Ok(read) => read.map_err(|e| unusable(e.to_string())),
            Err(error) => Err(unusable(error.to_string())),
        },
    }
}

/// Reads the file, unless it is still the one whose roots are kept. The version is taken before the content: a file
/// that changes in between is read once more by the next look.
fn look(path: &Path, kept: Option<Kept>) -> io::Result<Kept> {
    let meta = fs::metadata(path)?;
    let version =
        (meta.dev(), meta.ino(), meta.len(), (meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    if let Some(kept) = kept.filter(|kept| kept.version == version) {
        return Ok(kept);
    }
    let content = file::read(path, MAX_FILE)?;
    let roots = CaBundle::from_pem(&content).map_err(io::Error::other)?;
    Ok(Kept { version, roots: Arc::new(roots) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;
    use futures_util::future::join_all;

    #[tokio::test]
    async fn roots_are_kept_until_their_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path: Arc<str> = dir.path().join("roots.pem").to_str().unwrap().into();
        let files = RootFiles::default();
        let missing = files.get(&path).await.unwrap_err();
        assert_eq!(
            missing.to_string(),
            format!("roots in {path} cannot be used: No such file or directory (os error 2)")
        );

        let (one, other) = (TestCa::new("one"), TestCa::new("other"));
        fs::write(&*path, one.root_pem()).unwrap();
        let first = files.get(&path).await.unwrap();
        assert_eq!(first, one.bundle());
        assert!(Arc::ptr_eq(&first, &files.get(&path).await.unwrap()));

        let next = dir.path().join("next");
        fs::write(&next, other.root_pem()).unwrap();
        fs::rename(&next, &*path).unwrap();
        assert_eq!(files.get(&path).await.unwrap(), other.bundle());
        fs::write(&*path, "no roots").unwrap();
        files.get(&path).await.unwrap_err();
    }

    #[tokio::test]
    async fn callers_who_come_together_share_looks_at_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path: Arc<str> = dir.path().join("roots.pem").to_str().unwrap().into();
        let ca = TestCa::new("td");
        fs::write(&*path, ca.root_pem()).unwrap();
        let files = RootFiles::default();
        let file = files.file(&path);
        // A look is under way while they come.
        file.begun.fetch_add(1, Ordering::Relaxed);
        let under_way = file.seen.lock().await;
        let (all, ()) = tokio::join!(join_all((0..100).map(|_| files.get(&path))), async move { drop(under_way) });
        assert!(all.into_iter().all(|roots| roots == Ok(ca.bundle())));
        assert_eq!(file.begun.load(Ordering::Relaxed), 2, "one for all of them");
    }

    #[tokio::test]
    async fn what_is_no_file_or_too_long_gives_no_roots() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, long) = (dir.path().join("pipe"), dir.path().join("long"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::File::create(&long).unwrap().set_len(1 << 40).unwrap();
        let files = RootFiles::default();
        let ask = async |path: &Path| files.get(&path.to_str().unwrap().into()).await.unwrap_err().reason;
        assert_eq!(ask(&pipe).await, "it is not a regular file");
        assert_eq!(ask(Path::new("/dev/zero")).await, "it is not a regular file");
        assert_eq!(ask(&long).await, "the file is above 1 MiB");
    }
}
