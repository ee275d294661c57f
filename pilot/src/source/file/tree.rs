//! Reading the disk: every `.yaml`, `.yml` and `.json` under a directory.

use super::{FileText, Tree};
use crate::error::SourceError;
use mesh_config::crd::node::MAX_TEXT;
use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Most files that are read.
pub const MAX_FILES: usize = 20_000;
/// Deepest directory.
const MAX_DEPTH: usize = 16;

/// Lengths and times of change by path: whether reading again can find anything new.
pub type Fingerprint = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Reads every file under `root`. Names that begin with a dot are left out (editors' files, and the directories
/// behind Kubernetes' mounted volumes, whose links are followed).
pub fn read_tree(root: &Path) -> Result<Tree, SourceError> {
    let text = |path: &Path| match read_bounded(path) {
        Ok(text) => Some(FileText::Text(text)),
        // Gone since it was listed.
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => Some(FileText::Unreadable(e.to_string())),
    };
    let paths = fingerprint(root)?.into_keys();
    Ok(paths.filter_map(|path| Some((path.to_string_lossy().into(), text(&path)?))).collect())
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
    Ok(listing.found)
}

/// What was found, and the directories that it was found in. A directory that several ways lead to, as links do, is
/// read once: by the first in the order of the names.
#[derive(Default)]
struct Listing {
    found: Fingerprint,
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
                self.found.insert(path, (state.len(), state.modified().ok()));
            }
        }
        Ok(())
    }
}

fn is_ours(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|ours| e.eq_ignore_ascii_case(ours)))
}
