//! The archive: a tar (POSIX ustar) in gzip, written as files come. Everything passes [`redact::text`] on its way in: there is no
//! other way into it. Only its owner may read it, and it has its name when it is whole.

use super::redact;
use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, write::GzEncoder};
use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

const BLOCK: usize = 512;
/// Folder inside, and name of the file.
const NAME: &str = "bug-report";
/// Longest file inside, in bytes; the rest is cut off, and said.
const LONGEST: usize = 64 << 20;
/// Most bytes inside, before they are packed.
const WHOLE: usize = 512 << 20;

pub(super) struct Archive {
    out: GzEncoder<BufWriter<File>>,
    path: PathBuf,
    part: PathBuf,
    size: usize,
}

impl Archive {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let about = || format!("cannot write {}", folder.join(NAME).display());
        fs::create_dir_all(folder).with_context(about)?;
        let (path, part) =
            (folder.join(format!("{NAME}.tar.gz")), folder.join(format!(".{NAME}.{}", std::process::id())));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).with_context(about)?;
        Ok(Archive { out: GzEncoder::new(BufWriter::new(file), Compression::fast()), path, part, size: 0 })
    }

    /// Whether a text of this length goes in.
    pub(super) fn has_room(&self, text: &str) -> bool {
        self.size + text.len().min(LONGEST) <= WHOLE
    }

    /// Adds a text without what is secret in it.
    pub(super) fn add(&mut self, file: &str, text: &str) -> Result<()> {
        let mut text = redact::text(text);
        if text.len() > LONGEST {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push_str("\n[cut off here: it is longer]\n");
        }
        self.size += text.len();
        let path = format!("{NAME}/{file}");
        let header = header(&path, text.len()).with_context(|| format!("{path} cannot be archived"))?;
        let padding = text.len().next_multiple_of(BLOCK) - text.len();
        for bytes in [&header[..], text.as_bytes(), &[0; BLOCK][..padding]] {
            self.out.write_all(bytes).context("cannot write the archive")?;
        }
        Ok(())
    }

    /// Where it is.
    pub(super) fn finish(mut self) -> Result<PathBuf> {
        let about = || format!("cannot write {}", self.path.display());
        self.out.write_all(&[0; 2 * BLOCK]).with_context(about)?;
        self.out.try_finish().with_context(about)?;
        self.out.get_mut().flush().with_context(about)?;
        fs::rename(&self.part, &self.path).with_context(about)?;
        Ok(self.path.clone())
    }
}

impl Drop for Archive {
    /// What is not whole is nothing to keep; what is has another name by now.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

fn header(path: &str, length: usize) -> Result<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let (prefix, name) = split(path);
    put(&mut header[0..100], name)?;
    put(&mut header[100..108], "0000600")?;
    put(&mut header[108..116], "0000000")?;
    put(&mut header[116..124], "0000000")?;
    put(&mut header[124..136], &format!("{length:011o}"))?;
    put(&mut header[136..148], "00000000000")?;
    header[148..156].fill(b' ');
    header[156] = b'0';
    put(&mut header[257..263], "ustar")?;
    header[263..265].copy_from_slice(b"00");
    put(&mut header[345..500], prefix)?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header[148..155], &format!("{sum:06o}"))?;
    Ok(header)
}

/// A path as the format has it: what stands before some slash, and what after.
fn split(path: &str) -> (&str, &str) {
    if path.len() < 100 {
        return ("", path);
    }
    let at = path.match_indices('/').map(|(at, _)| at).find(|at| path.len() - at <= 100);
    at.map_or(("", path), |at| (&path[..at], &path[at + 1..]))
}

/// A field that ends in NUL.
fn put(field: &mut [u8], text: &str) -> Result<()> {
    ensure!(text.len() < field.len(), "{text:?} is longer than {} bytes", field.len() - 1);
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}
