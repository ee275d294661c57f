//! Archives of files as `tar` writes them (POSIX ustar): sorted, without dates, everything of user and group 0.

use anyhow::{Context, ensure};
use std::collections::BTreeMap;

const BLOCK: usize = 512;

/// A file of an image or an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// From the root, without a leading `/`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    pub content: Content,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    /// A symbolic link to this.
    Link(String),
    Folder,
}

impl File {
    /// A plain file.
    pub fn new(path: &str, mode: u32, bytes: Vec<u8>) -> Self {
        File { path: path.to_owned(), mode, content: Content::Bytes(bytes) }
    }

    /// A symbolic link.
    pub fn link(path: &str, to: &str) -> Self {
        File { path: path.to_owned(), mode: 0o777, content: Content::Link(to.to_owned()) }
    }

    /// A folder, where its mode matters or nothing is in it.
    pub fn folder(path: &str, mode: u32) -> Self {
        File { path: path.to_owned(), mode, content: Content::Folder }
    }
}

/// The archive of these files and of the folders above them; of two files of one path the later one.
///
/// # Errors
/// When a path is longer than the format allows, or leaves the root.
pub(super) fn with_folders(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let mut entries = BTreeMap::new();
    for file in files {
        let odd = file.path.is_empty() || file.path.split('/').any(|part| matches!(part, "" | "." | ".."));
        ensure!(!odd, "{:?} is no path inside an archive", file.path);
        for (at, _) in file.path.match_indices('/') {
            let above = &file.path[..at];
            entries.entry(above.to_owned()).or_insert_with(|| File::folder(above, 0o755));
        }
        entries.insert(file.path.clone(), file.clone());
    }
    let mut out = Vec::new();
    for file in entries.values() {
        entry(&mut out, file).with_context(|| format!("{} cannot be archived", file.path))?;
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Ok(out)
}

fn entry(out: &mut Vec<u8>, file: &File) -> anyhow::Result<()> {
    let (kind, bytes, target, slash) = match &file.content {
        Content::Bytes(bytes) => (b'0', bytes.as_slice(), "", ""),
        Content::Link(target) => (b'2', &[][..], target.as_str(), ""),
        Content::Folder => (b'5', &[][..], "", "/"),
    };
    let mut header = [0u8; BLOCK];
    put(&mut header[0..100], &format!("{}{slash}", file.path))?;
    put(&mut header[100..108], &format!("{:07o}", file.mode))?;
    put(&mut header[108..116], "0000000")?;
    put(&mut header[116..124], "0000000")?;
    put(&mut header[124..136], &format!("{:011o}", bytes.len()))?;
    put(&mut header[136..148], "00000000000")?;
    header[148..156].fill(b' ');
    header[156] = kind;
    put(&mut header[157..257], target)?;
    put(&mut header[257..263], "ustar")?;
    header[263..265].copy_from_slice(b"00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header[148..155], &format!("{sum:06o}"))?;
    out.extend_from_slice(&header);
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    Ok(())
}

/// A field that ends in NUL.
fn put(field: &mut [u8], text: &str) -> anyhow::Result<()> {
    ensure!(text.len() < field.len(), "{text} is longer than {} bytes", field.len() - 1);
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}
