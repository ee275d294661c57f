//! Files: regular ones, read up to a bound; and a process's own, replaced whole so that nobody ever reads half of one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// The content of a regular file of at most `most` bytes. Anything else is not even opened: a pipe would keep us
/// waiting, and a device has no end.
///
/// # Errors
/// When it cannot be read; [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("the file is above {} MiB", most >> 20)));
    }
    Ok(content)
}

/// Makes a directory, and those above it, that its owner alone can look into.
///
/// # Errors
/// When it is neither there nor can be made.
pub fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Replaces a file whole, readable by its owner alone, and on disk before it returns.
///
/// # Errors
/// When it cannot be written; the old content then stands.
pub fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    // Left over from a crash; its mode might be another one.
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_private_also_over_what_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        make_private_dir(&inner).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
        let path = inner.join("key.pem");
        fs::write(inner.join(format!("key.new-{}", std::process::id())), "left over").unwrap();
        for content in ["one", "another"] {
            replace_private(&path, content.as_bytes()).unwrap();
            assert_eq!(read(&path, 1 << 20).unwrap(), content.as_bytes());
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn only_regular_files_and_links_to_them_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "content").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link, 100).unwrap(), b"content");
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for other in [&pipe, dir.path(), Path::new("/dev/zero")] {
            let error = read(other, 100).unwrap_err();
            assert_eq!(error.to_string(), "it is not a regular file", "{}", other.display());
        }
    }

    #[test]
    fn a_file_above_its_bound_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        fs::write(&path, vec![0; (1 << 20) + 1]).unwrap();
        let error = read(&path, 1 << 20).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::FileTooLarge, "the file is above 1 MiB")
        );
        assert_eq!(read(&path, (1 << 20) + 1).unwrap().len(), (1 << 20) + 1);
    }
}
