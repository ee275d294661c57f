//! A route's `uriRegexRewrite` in the form in which it runs: compiled once for each version of its rule, not for each
//! request.

use mesh_config::matcher::Pattern;
use regex::Regex;
use std::borrow::Cow;

/// A `uriRegexRewrite`, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct PathSubstitution {
    pattern: Regex,
    replacement: String,
}

impl PathSubstitution {
    /// `None` when the pattern is too big to run.
    pub(super) fn new(pattern: &Pattern, replacement: &str) -> Option<Self> {
        let pattern = regex::RegexBuilder::new(pattern.as_str()).size_limit(1 << 20).dfa_size_limit(1 << 18).build();
        Some(PathSubstitution { pattern: pattern.ok()?, replacement: own_syntax(replacement) })
    }

    /// The path with every match replaced.
    pub(crate) fn apply<'a>(&self, path: &'a str) -> Cow<'a, str> {
        self.pattern.replace_all(path, self.replacement.as_str())
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
