//! Objects that the command line names: files, directories, standard input.

use anyhow::{Context as _, Result};
use mesh_pilot::source::file::{self, FileText, Tree};
use std::{
    io::{self, Read as _},
    path::PathBuf,
};

/// Most bytes that are read from standard input.
const MAX_INPUT: u64 = 64 << 20;

/// The texts of files and directories; `-` is standard input.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Tree> {
    let mut tree = Tree::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().take(MAX_INPUT).read_to_string(&mut text).context("cannot read standard input")?;
            tree.insert("-".into(), FileText::Text(text));
        } else if path.is_dir() {
            tree.extend(file::read_tree(path)?);
        } else {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            tree.insert(path.to_string_lossy().into(), FileText::Text(text));
        }
    }
    Ok(tree)
}
