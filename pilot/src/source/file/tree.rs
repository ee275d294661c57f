//! Reading the disk: every `.yaml`, `.yml` and `.json` under a directory.

use super::{FileText, Tree};
use crate::error::SourceError;
use mesh_config::crd::node::MAX_TEXT;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most files that are read.
pub const MAX_FILES: usize = 20_000;
/// Deepest directory.
const MAX_DEPTH: usize = 16;

/// A file as it looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    length: u64,
    /// Device and inode.
    file: (u64, u64),
    /// Seconds and nanoseconds of the time of the last change of any kind, which no program can set.
    pub(super) changed: (i64, i64),
}

/// Files by path as they look from outside: whether reading again can find anything new.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub(super) BTreeMap<Arc<str>, State>);

/// Reads every file under `root`. Names that begin with a dot are left out (editors' files, and the directories
/// behind Kubernetes' mounted volumes, whose links are followed).
pub fn read_tree(root: &Path) -> Result<Tree, SourceError> {
    Ok(read(&fingerprint(root)?, &BTreeSet::new()))
}

/// Reads the files but for these.
pub(super) fn read(files: &Fingerprint, but: &BTreeSet<Arc<str>>) -> Tree {
    let text = |path: &Path| match read_bounded(path) {
        Ok(text) => Some(FileText::Text(text)),
        // Gone since it was listed.
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => Some(FileText::Unreadable(e.to_string())),
    };
    let wanted = files.0.keys().filter(|path| !but.contains(*path));
    wanted.filter_map(|path| Some((path.clone(), text(Path::new(&**path))?))).collect()
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let length = fs::metadata(path)?.len();
    if length > MAX_TEXT as u64 {
        return Err(io::Error::other(format!("{length} bytes exceed the limit of {MAX_TEXT}; split the file")));
    }
    fs::read_to_string(path)
}

/// The state of every file under `root`, without reading them.
pub fn fingerprint(root: &Path) -> Result<Fingerprint, SourceError> {
    let mut listing = Listing::default();
    listing.add(root, 0)?;
    Ok(Fingerprint(listing.found))
}

/// What was found, and the directories that it was found in. A directory that several ways lead to, as links do, is
/// read once: by the first in the order of the names.
#[derive(Default)]
struct Listing {
    found: BTreeMap<Arc<str>, State>,
    /// Device and inode.
    read: HashSet<(u64, u64)>,
}

impl Listing {
    fn add(&mut self, directory: &Path, depth: usize) -> Result<(), SourceError> {
        let failed = |reason| SourceError::Unreadable { path: directory.into(), reason };
        let state = fs::metadata(directory).map_err(failed)?;
        if !self.read.insert((state.dev(), state.ino())) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(SourceError::TooLarge {
                path: directory.into(),
                limit: MAX_DEPTH,
                of: "levels of directories",
            });
        }
        let entries = fs::read_dir(directory).map_err(failed)?.map(|entry| Ok(entry?.path()));
        let mut paths = entries.collect::<io::Result<Vec<PathBuf>>>().map_err(failed)?;
        paths.sort();
        for path in paths {
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            // A link to nothing or to itself, or a file that went away in between, is no file.
            let Some(state) = (!hidden).then(|| fs::metadata(&path).ok()).flatten() else { continue };
            if state.is_dir() {
                match self.add(&path, depth + 1) {
                    Err(SourceError::Unreadable { reason, .. }) if reason.kind() == io::ErrorKind::NotFound => {}
                    other => other?,
                }
            } else if state.is_file() && is_ours(&path) {
                if self.found.len() == MAX_FILES {
                    return Err(SourceError::TooLarge { path, limit: MAX_FILES, of: "files" });
                }
                let of = State {
                    length: state.len(),
                    file: (state.dev(), state.ino()),
                    changed: (state.ctime(), state.ctime_nsec()),
                };
                self.found.insert(path.to_string_lossy().into(), of);
            }
        }
        Ok(())
    }
}

fn is_ours(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|ours| e.eq_ignore_ascii_case(ours)))
}
