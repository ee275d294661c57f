//! Root certificates, and certificates with their keys, in files that configuration names. The configuration's author
//! need not be this machine's, so a file may be anything: it is read up to a bound, away from the threads that carry
//! traffic. What was read is kept until the files change. Callers that come while somebody looks share the next look.

use super::material::{CaBundle, Certificate, MaterialError};
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

/// Why files give nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Nobody is believed.
    #[error("roots in {path} cannot be used: {reason}")]
    Roots {
        /// Which file.
        path: Arc<str>,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing to show.
    #[error("the certificate in {chain} with the key in {key} cannot be used: {reason}")]
    Certificate {
        /// File of the chain.
        chain: Arc<str>,
        /// File of the key.
        key: Arc<str>,
        /// What is wrong with one of them.
        reason: String,
    },
}

/// What is known of keys in files.
#[derive(Debug, Default)]
pub struct KeyFiles {
    roots: Known<1, CaBundle>,
    certificates: Known<2, Certificate>,
}

impl KeyFiles {
    /// The roots in a file as it stands now.
    ///
    /// # Errors
    /// [`KeyFileError::Roots`]: also where the file was good before, since whom it named may be believed no more.
    pub async fn roots(&self, path: &Arc<str>) -> Result<Arc<CaBundle>, KeyFileError> {
        let parse = |[text]: [Vec<u8>; 1]| CaBundle::from_pem(&text);
        let found = self.roots.get([path.clone()], parse).await;
        found.now.map_err(|reason| KeyFileError::Roots { path: path.clone(), reason })
    }

    /// The certificate in two files as they stand now, or as they stood when they last went together: two files are never
    /// replaced at once.
    ///
    /// # Errors
    /// [`KeyFileError::Certificate`].
    pub async fn certificate(&self, chain: &Arc<str>, key: &Arc<str>) -> Result<Arc<Certificate>, KeyFileError> {
        let parse = |[chain, key]: [Vec<u8>; 2]| Certificate::from_pem(&chain, &key);
        let Found { now, kept, is_news } = self.certificates.get([chain.clone(), key.clone()], parse).await;
        let error = |reason| KeyFileError::Certificate { chain: chain.clone(), key: key.clone(), reason };
        match (now.map_err(error), kept) {
            (Err(error), Some(kept)) => {
                if is_news {
                    tracing::warn!(%error, serial = kept.leaf().serial, "the certificate before goes on being shown");
                }
                Ok(kept)
            }
            (now, _) => now,
        }
    }
}

/// Values by the files that they are made of.
#[derive(Debug)]
struct Known<const N: usize, T>(Mutex<HashMap<[Arc<str>; N], Arc<Files<N, T>>>>);

#[derive(Debug)]
struct Files<const N: usize, T> {
    /// Looks that have begun.
    begun: AtomicU64,
    seen: tokio::sync::Mutex<Seen<N, T>>,
}

/// What a look at files gave.
struct Found<T> {
    now: Result<Arc<T>, String>,
    /// What they were when they last were good.
    kept: Option<Arc<T>>,
    /// No look before gave the same.
    is_news: bool,
}

#[derive(Debug)]
struct Seen<const N: usize, T> {
    /// What the last look found; none: it was given up.
    last: Option<Result<Arc<T>, String>>,
    kept: Option<Kept<N, T>>,
}

#[derive(Debug)]
struct Kept<const N: usize, T> {
    versions: [Version; N],
    value: Arc<T>,
}

/// Tells one content of a file from the next: device, inode, length, and when content and inode changed.
type Version = (u64, u64, u64, (i64, i64), (i64, i64));

impl<const N: usize, T> Default for Known<N, T> {
    fn default() -> Self {
        Known(Mutex::default())
    }
}

impl<const N: usize, T> Clone for Kept<N, T> {
    fn clone(&self) -> Self {
        Kept { versions: self.versions, value: self.value.clone() }
    }
}

impl<const N: usize, T> Seen<N, T> {
    fn found(&self, now: Result<Arc<T>, String>, is_news: bool) -> Found<T> {
        Found { now, kept: self.kept.as_ref().map(|kept| kept.value.clone()), is_news }
    }
}

impl<const N: usize, T: Send + Sync + 'static> Known<N, T> {
    /// What the files are now; callers who come together share a look.
    async fn get(&self, paths: [Arc<str>; N], parse: fn([Vec<u8>; N]) -> Result<T, MaterialError>) -> Found<T> {
        let files = self.files(&paths);
        let arrived = files.begun.load(Ordering::Acquire);
        let mut seen = files.seen.lock().await;
        if files.begun.load(Ordering::Acquire) > arrived
            && let Some(last) = &seen.last
        {
            return seen.found(last.clone(), false);
        }
        files.begun.fetch_add(1, Ordering::AcqRel);
        let before = seen.last.take();
        let kept = seen.kept.clone();
        let looked = spawn_blocking(move || look(&paths, kept, parse).map_err(|e| e.to_string())).await;
        let looked = looked.unwrap_or_else(|e| Err(e.to_string()));
        if let Ok(kept) = &looked {
            seen.kept = Some(kept.clone());
        }
        let now = looked.map(|kept| kept.value);
        let reason = |of: &Result<Arc<T>, String>| of.as_ref().err().cloned();
        let is_news = before.is_none_or(|before| reason(&before) != reason(&now));
        seen.last = Some(now.clone());
        seen.found(now, is_news)
    }

    fn files(&self, paths: &[Arc<str>; N]) -> Arc<Files<N, T>> {
        let mut all = self.0.lock();
        if all.len() >= FILES && !all.contains_key(paths) {
            all.clear();
        }
        let new = || Files { begun: AtomicU64::new(0), seen: tokio::sync::Mutex::new(Seen { last: None, kept: None }) };
        all.entry(paths.clone()).or_insert_with(|| Arc::new(new())).clone()
    }
}

/// The machine's own roots, see [`CaBundle::system`].
///
/// # Errors
/// [`KeyFileError::Roots`].
pub async fn system() -> Result<Arc<CaBundle>, KeyFileError> {
    let unusable = |reason: String| KeyFileError::Roots { path: "the system's store".into(), reason };
    match CaBundle::system_if_read() {
        Some(read) => read.map_err(|e| unusable(e.to_string())),
        None => match spawn_blocking(CaBundle::system).await {
            Ok(read) => read.map_err(|e| unusable(e.to_string())),
            Err(error) => Err(unusable(error.to_string())),
        },
    }
}

/// Reads the files, unless they are still those whose value is kept. Versions are taken before the content: a file that
/// changes in between is read once more by the next look.
fn look<const N: usize, T>(
    paths: &[Arc<str>; N],
    kept: Option<Kept<N, T>>,
    parse: fn([Vec<u8>; N]) -> Result<T, MaterialError>,
) -> io::Result<Kept<N, T>> {
    let mut versions = [Version::default(); N];
    for (version, path) in versions.iter_mut().zip(paths) {
        let meta = fs::metadata(&**path)?;
        *version =
            (meta.dev(), meta.ino(), meta.len(), (meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    }
    if let Some(kept) = kept.filter(|kept| kept.versions == versions) {
        return Ok(kept);
    }
    let mut texts = [const { Vec::new() }; N];
    for (text, path) in texts.iter_mut().zip(paths) {
        *text = file::read(Path::new(&**path), MAX_FILE)?;
    }
    let value = parse(texts).map_err(io::Error::other)?;
    Ok(Kept { versions, value: Arc::new(value) })
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
        let files = KeyFiles::default();
        let missing = files.roots(&path).await.unwrap_err();
        assert_eq!(
            missing.to_string(),
            format!("roots in {path} cannot be used: No such file or directory (os error 2)")
        );

        let (one, other) = (TestCa::new("one"), TestCa::new("other"));
        fs::write(&*path, one.root_pem()).unwrap();
        let first = files.roots(&path).await.unwrap();
        assert_eq!(first, one.bundle());
        assert!(Arc::ptr_eq(&first, &files.roots(&path).await.unwrap()));

        let next = dir.path().join("next");
        fs::write(&next, other.root_pem()).unwrap();
        fs::rename(&next, &*path).unwrap();
        assert_eq!(files.roots(&path).await.unwrap(), other.bundle());
        fs::write(&*path, "no roots").unwrap();
        files.roots(&path).await.unwrap_err();
    }

    #[tokio::test]
    async fn callers_who_come_together_share_looks_at_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path: Arc<str> = dir.path().join("roots.pem").to_str().unwrap().into();
        let ca = TestCa::new("td");
        fs::write(&*path, ca.root_pem()).unwrap();
        let files = KeyFiles::default();
        let file = files.roots.files(std::array::from_ref(&path));
        // A look is under way while they come.
        file.begun.fetch_add(1, Ordering::Relaxed);
        let under_way = file.seen.lock().await;
        let (all, ()) = tokio::join!(join_all((0..100).map(|_| files.roots(&path))), async move { drop(under_way) });
        assert!(all.into_iter().all(|roots| roots == Ok(ca.bundle())));
        assert_eq!(file.begun.load(Ordering::Relaxed), 2, "one for all of them");
    }

    #[tokio::test]
    async fn what_is_no_file_or_too_long_gives_no_roots() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, long) = (dir.path().join("pipe"), dir.path().join("long"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::File::create(&long).unwrap().set_len(1 << 40).unwrap();
        let files = KeyFiles::default();
        let ask = async |path: &Path| match files.roots(&path.to_str().unwrap().into()).await {
            Err(KeyFileError::Roots { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(ask(&pipe).await, "it is not a regular file");
        assert_eq!(ask(Path::new("/dev/zero")).await, "it is not a regular file");
        assert_eq!(ask(&long).await, "the file is above 1 MiB");
    }

    #[tokio::test]
    async fn a_certificate_follows_its_files_and_the_one_before_stays_while_they_do_not_go_together() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| -> Arc<str> { dir.path().join(name).to_str().unwrap().into() };
        let (chain, key) = (place("chain.pem"), place("key.pem"));
        let ca = TestCa::new("td");
        let [first, second] = [ca.server_certificate(&["one"]), ca.server_certificate(&["two"])];
        let put = |path: &str, text: String| {
            fs::write(place("next").as_ref(), text).unwrap();
            fs::rename(place("next").as_ref(), path).unwrap();
        };
        let files = KeyFiles::default();
        put(&chain, first.chain_pem());
        let missing = files.certificate(&chain, &key).await.unwrap_err().to_string();
        assert_eq!(
            missing,
            format!(
                "the certificate in {chain} with the key in {key} cannot be used: No such file or directory (os error 2)"
            )
        );
        put(&key, second.key_pem());
        let apart = files.certificate(&chain, &key).await.unwrap_err().to_string();
        assert!(apart.contains("the private key does not belong to the certificate"), "{apart}");

        put(&key, first.key_pem());
        let shown = files.certificate(&chain, &key).await.unwrap();
        assert_eq!(shown, first);
        assert!(Arc::ptr_eq(&shown, &files.certificate(&chain, &key).await.unwrap()));
        put(&chain, second.chain_pem());
        assert_eq!(files.certificate(&chain, &key).await.unwrap(), first);
        assert_eq!(files.certificate(&chain, &key).await.unwrap(), first, "for as long as it lasts");
        put(&key, second.key_pem());
        assert_eq!(files.certificate(&chain, &key).await.unwrap(), second);
        fs::remove_file(&*key).unwrap();
        assert_eq!(files.certificate(&chain, &key).await.unwrap(), second);
    }
}
