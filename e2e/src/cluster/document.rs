//! YAML as the JSON that an API server is sent, by the reader that the mesh itself uses.

use super::handle;
use anyhow::{Context, Result, anyhow};
use mesh_config::crd::node;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every document of a file.
///
/// # Errors
/// When it cannot be read, or one of them is broken.
pub fn of_file(file: &Path) -> Result<Vec<serde_json::Value>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let documents = node::read(&text).into_iter().map(|document| match document {
        Ok(document) => Ok(serde_json::to_value(&document.node)?),
        Err(broken) => Err(anyhow!("{}: {broken}", file.display())),
    });
    documents.collect()
}

/// The definitions of kinds in the charts of this checkout.
///
/// # Errors
/// When they cannot be read.
pub fn our_kinds() -> Result<Vec<serde_json::Value>> {
    of_file(&handle::top().join("charts/base/files/crds.yaml"))
}

/// The YAML files of a folder and those beneath it, in order.
///
/// # Errors
/// When a folder cannot be read.
pub fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_under(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
