//! Objects that the command line names: files, directories, standard input.

use anyhow::{Context as _, Result, bail};
use mesh_pilot::source::file::{self, FileText, Tree};
use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

/// Most bytes that are read from one file or from standard input.
const MAX_INPUT: u64 = 64 << 20;

/// The texts of files and directories; `-` is standard input.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Tree> {
    let mut tree = Tree::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = text(io::stdin().lock()).context("cannot read standard input")?;
            tree.insert("-".into(), FileText::Text(text));
        } else if path.is_dir() {
            tree.extend(file::read_tree(path)?);
        } else {
            let text = File::open(path).map_err(Into::into).and_then(text);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            tree.insert(path.to_string_lossy().into(), FileText::Text(text));
        }
    }
    Ok(tree)
}

fn text(from: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_INPUT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_INPUT {
        bail!("it is longer than {MAX_INPUT} bytes; split it");
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let before = good.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        anyhow::anyhow!("line {line}, column {column}: what follows is not UTF-8; save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_text_is_told_with_its_place() {
        assert_eq!(text(&b"a: \xc3\xa4"[..]).unwrap(), "a: ä");
        let error = text(&b"a: 1\nb: \xc3\xa4 \xff"[..]).unwrap_err().to_string();
        assert_eq!(error, "line 2, column 6: what follows is not UTF-8; save the file as UTF-8");
    }

    #[test]
    fn what_never_ends_is_not_read_to_its_end() {
        let error = text(io::repeat(b'a')).unwrap_err().to_string();
        assert_eq!(error, "it is longer than 67108864 bytes; split it");
    }
}
