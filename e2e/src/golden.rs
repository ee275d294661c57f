//! Texts that are kept in files: compared, or taken over when `INSTA_UPDATE=always` is set.

use std::{fs, path::Path};

/// Compares `text` with the file; a missing file counts as empty.
///
/// # Panics
/// When they differ, with both texts.
pub fn check(file: &Path, text: &str) {
    if std::env::var("INSTA_UPDATE").is_ok_and(|v| v == "always") {
        fs::write(file, text).expect("the golden file can be written");
        return;
    }
    let kept = fs::read_to_string(file).unwrap_or_default();
    let difference = difference(&kept, text);
    assert!(difference.is_empty(), "{} differs (INSTA_UPDATE=always takes it over):\n{difference}", file.display());
}

/// Lines that only one of them has, by position.
fn difference(kept: &str, text: &str) -> String {
    let (mut a, mut b) = (kept.lines(), text.lines());
    let mut out = String::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return out,
            (a, b) if a == b => {}
            (a, b) => {
                a.into_iter().for_each(|line| out.push_str(&format!("-{line}\n")));
                b.into_iter().for_each(|line| out.push_str(&format!("+{line}\n")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_difference_names_both_lines() {
        assert_eq!(super::difference("a\nb\n", "a\nc\n"), "-b\n+c\n");
        assert_eq!(super::difference("a\n", "a\n"), "");
    }
}
