//! Last good versions of policies and Sidecars in a directory, so that they outlive the process.
//!
//! One file, replaced whole and readable by its owner alone: a JSON list of `{type, value}`, the type URL of a part and
//! its encoding in base64. A version that can no longer be read is left out, and said.

use crate::world::World;
use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use mesh_config::{
    model::{Kind, Part, PartName},
    wire::{self, Version},
};
use mesh_runtime::file;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;
/// Most versions that are kept.
const MAX_VERSIONS: usize = 50_000;

/// Where good versions are kept.
pub(super) struct Keep {
    path: PathBuf,
    /// What the file holds; `None`: that is not known.
    saved: Option<BTreeSet<(Kind, PartName, Version)>>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    r#type: String,
    value: String,
}

impl Keep {
    /// Opens the directory, made when it is not there, and reads what it keeps.
    ///
    /// # Errors
    /// When it cannot be made or read: what has errors would be narrowed without need.
    pub(super) fn open(dir: &Path) -> anyhow::Result<(Self, Vec<Part>)> {
        let path = dir.join("last-good.json");
        let read = file::make_private_dir(dir).and_then(|()| match file::read(&path, MAX_FILE) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        });
        let content = read.with_context(|| format!("no last good versions in {}", path.display()))?;
        Ok((Keep { path, saved: None }, content.map(|content| parts(&content)).unwrap_or_default()))
    }

    /// Saves what is good now, unless the file says it already. A failure is logged, and tried again the next time.
    pub(super) fn save(&mut self, world: &World) {
        let good: Vec<_> = world.to_keep().take(MAX_VERSIONS).map(|part| wire::encode(&part)).collect();
        let now: BTreeSet<_> = good.iter().map(|part| (part.kind, part.name.clone(), part.version)).collect();
        if self.saved.as_ref() == Some(&now) {
            return;
        }
        let entries: Vec<Entry> = good
            .iter()
            .map(|part| Entry { r#type: part.type_url.to_owned(), value: STANDARD.encode(&part.bytes) })
            .collect();
        let text = serde_json::to_vec(&entries).map_err(std::io::Error::other);
        match text.and_then(|text| file::replace_private(&self.path, &text)) {
            Ok(()) => self.saved = Some(now),
            Err(error) => {
                self.saved = None;
                tracing::warn!(%error, path = %self.path.display(), "last good versions cannot be saved");
            }
        }
    }
}

fn parts(content: &[u8]) -> Vec<Part> {
    let entries: Vec<Entry> = match serde_json::from_slice(content) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, "kept versions of policies cannot be read, and are forgotten");
            return Vec::new();
        }
    };
    let part = |entry: Entry| {
        let bytes = STANDARD.decode(entry.value).map_err(|error| error.to_string());
        let part = bytes.and_then(|bytes| wire::decode(&entry.r#type, bytes.into()).map_err(|error| error.to_string()));
        part.inspect_err(|reason| tracing::warn!(reason, "a kept version cannot be read, and is forgotten")).ok()
    };
    entries.into_iter().take(MAX_VERSIONS).filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory;
    use std::{fs, os::unix::fs::PermissionsExt};

    const POLICY: &str = "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, \
                          metadata: {name: a, namespace: shop}, spec: {mtls: {mode: STRICT}}}\n";

    #[test]
    fn good_versions_are_read_again_and_what_cannot_be_read_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state");
        let (mut keep, none) = Keep::open(&dir).unwrap();
        assert_eq!(none, []);
        let mut world = World::default();
        world.apply(memory::batch("f", POLICY));
        keep.save(&world);
        let (_, kept) = Keep::open(&dir).unwrap();
        assert_eq!(kept, world.to_keep().collect::<Vec<_>>());

        let path = dir.join("last-good.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen('[', "[{\"type\": \"x\", \"value\": \"AAAA\"},", 1)).unwrap();
        assert_eq!(Keep::open(&dir).unwrap().1, kept);
        fs::write(&path, "half of a fi").unwrap();
        assert_eq!(Keep::open(&dir).unwrap().1, []);
    }

    #[test]
    fn an_unchanged_world_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut keep, _) = Keep::open(dir.path()).unwrap();
        let mut world = World::default();
        world.apply(memory::batch("f", POLICY));
        keep.save(&world);
        fs::remove_file(dir.path().join("last-good.json")).unwrap();
        keep.save(&world);
        assert!(!dir.path().join("last-good.json").exists());
        world.apply(memory::batch("f", &POLICY.replace("STRICT", "DISABLE")));
        keep.save(&world);
        assert!(dir.path().join("last-good.json").exists());
    }
}
