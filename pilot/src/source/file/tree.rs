//! Reading the disk: every `.yaml`, `.yml` and `.json` under a directory.

use super::{FileText, Tree};
use crate::error::SourceError;
use mesh_config::crd::node::MAX_TEXT;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Most files that are read.
pub const MAX_FILES: usize = 20_000;
/// Deepest directory; also ends loops of symbolic links.
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
    let paths = list(root)?.into_keys();
    Ok(paths.filter_map(|path| Some((path.to_string_lossy().into(), text(&path)?))).collect())
}

/// The state of every file under `root`, without reading them.
pub fn fingerprint(root: &Path) -> Result<Fingerprint, SourceError> {
    list(root)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let length = fs::metadata(path)?.len();
    if length > MAX_TEXT as u64 {
        return Err(io::Error::other(format!("{length} bytes exceed the limit of {MAX_TEXT}; split the file")));
    }
    fs::read_to_string(path)
}

fn list(root: &Path) -> Result<Fingerprint, SourceError> {
    let mut found = Fingerprint::new();
    list_into(root, 0, &mut found)?;
    Ok(found)
}

fn list_into(directory: &Path, depth: usize, found: &mut Fingerprint) -> Result<(), SourceError> {
    let failed = |reason| SourceError::Unreadable { path: directory.into(), reason };
    if depth > MAX_DEPTH {
        return Err(SourceError::TooLarge { path: directory.into(), limit: MAX_DEPTH, of: "levels of directories" });
    }
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        // A link to nothing, or a file that went away in between, is no file.
        let Some(state) = (!hidden).then(|| fs::metadata(&path).ok()).flatten() else { continue };
        if state.is_dir() {
            match list_into(&path, depth + 1, found) {
                Err(SourceError::Unreadable { reason, .. }) if reason.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        } else if state.is_file() && is_ours(&path) {
            if found.len() == MAX_FILES {
                return Err(SourceError::TooLarge { path, limit: MAX_FILES, of: "files" });
            }
            found.insert(path, (state.len(), state.modified().ok()));
        }
    }
    Ok(())
}

fn is_ours(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|ours| e.eq_ignore_ascii_case(ours)))
}
