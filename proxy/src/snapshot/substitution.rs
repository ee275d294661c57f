//! A route's `uriRegexRewrite` in the form in which it runs: compiled once for each version of its rule, not for each
//! request.

use mesh_config::matcher::Pattern;
use regex::bytes::Regex;
use std::borrow::Cow;

/// A `uriRegexRewrite`, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct PathSubstitution {
    pattern: Regex,
    replacement: String,
}

impl PathSubstitution {
    pub(super) fn new(pattern: &Pattern, replacement: &str) -> Self {
        PathSubstitution { pattern: pattern.anywhere(), replacement: own_syntax(replacement) }
    }

    /// The path with every match replaced.
    pub(crate) fn apply<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match self.pattern.replace_all(path.as_bytes(), self.replacement.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(path),
            // An expression over bytes may cut a character in two, which would leave no text.
            Cow::Owned(bytes) => String::from_utf8(bytes).map_or(Cow::Borrowed(path), Cow::Owned),
        }
    }
}

/// RE2's `\1` as `${1}`, everything else literally.
fn own_syntax(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len() + 8);
    let mut letters = replacement.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '$' => out.push_str("$$"),
            '\\' => match letters.next() {
                Some(group) if group.is_ascii_digit() => out.push_str(&format!("${{{group}}}")),
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}
