//! Matchers on texts, shared by routing and authorisation.

use regex::bytes::{Regex, RegexBuilder};
use std::{fmt, sync::Arc};

/// A regular expression as RE2 has it: classes such as `\d` and letters in either case are of ASCII, and its size is
/// bounded. The one way to compile one: what another way took would depend on which tables of Unicode a program happens
/// to be built with.
///
/// # Errors
/// When it is none, or too large.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn expression(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).size_limit(1 << 20).dfa_size_limit(1 << 18).build()
}

/// A regular expression (RE2's syntax and linear time) over a whole text, compiled when it is read.
/// Two are equal when their texts are.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    whole: Regex,
}

/// A pattern could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub String);

impl Pattern {
    /// Longest pattern text that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 1024;

    /// Compiles `text`, at most [`Self::MAX_LENGTH`] bytes, with a bound on the compiled size.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(PatternError(format!("regular expression is longer than {} bytes", Self::MAX_LENGTH)));
        }
        let compile = |pattern: &str| {
            expression(pattern).map_err(|e| PatternError(format!("regular expression {text:?} cannot be used: {e}")))
        };
        // On its own first: `a)(b` must not close the group that is put around it.
        compile(text)?;
        let whole = compile(&format!("^(?s:{text})$"))?;
        Ok(Pattern { text: text.into(), whole })
    }

    /// The expression by itself, to be found anywhere in a text.
    pub fn anywhere(&self) -> Regex {
        expression(&self.text).expect("it was compiled when the pattern was made")
    }

    /// As the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.whole.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// On one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringMatch {
    /// The very text.
    Exact(Arc<str>),
    /// Begins with it.
    Prefix(Arc<str>),
    /// Ends with it.
    Suffix(Arc<str>),
    /// The whole text matches.
    Regex(Pattern),
    /// Is there (routing: even empty; authorisation: not empty).
    Present,
}

impl StringMatch {
    /// Whether `value` matches; [`StringMatch::Present`] matches every value.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            StringMatch::Exact(text) => value == text.as_bytes(),
            StringMatch::Prefix(text) => value.starts_with(text.as_bytes()),
            StringMatch::Suffix(text) => value.ends_with(text.as_bytes()),
            StringMatch::Regex(pattern) => pattern.matches(value),
            StringMatch::Present => true,
        }
    }

    /// As [`Self::matches`], letters compared without case (ASCII). Patterns keep their case.
    pub fn matches_ignoring_case(&self, value: &[u8]) -> bool {
        match self {
            StringMatch::Exact(text) => value.eq_ignore_ascii_case(text.as_bytes()),
            StringMatch::Prefix(text) => {
                value.len() >= text.len() && value[..text.len()].eq_ignore_ascii_case(text.as_bytes())
            }
            StringMatch::Suffix(text) => {
                value.len() >= text.len() && value[value.len() - text.len()..].eq_ignore_ascii_case(text.as_bytes())
            }
            StringMatch::Regex(_) | StringMatch::Present => self.matches(value),
        }
    }
}

/// A path with `{*}` (one segment) and `{**}` (zero or more segments), compiled when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    text: Arc<str>,
    whole: Pattern,
}

impl PathTemplate {
    /// Compiles a template; whether its operators stand where they may is the caller's check.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let mut pattern = String::with_capacity(text.len() + 16);
        let mut rest = text;
        while let Some(at) = rest.find("{*") {
            pattern.push_str(&regex::escape(&rest[..at]));
            if let Some(tail) = rest[at..].strip_prefix("{**}") {
                pattern.push_str(".*");
                rest = tail;
            } else if let Some(tail) = rest[at..].strip_prefix("{*}") {
                pattern.push_str("[^/]+");
                rest = tail;
            } else {
                return Err(PatternError(format!("path template {text:?}: after {{* must come }} or *}}")));
            }
        }
        pattern.push_str(&regex::escape(rest));
        Ok(PathTemplate { text: text.into(), whole: Pattern::new(&pattern)? })
    }

    /// As the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.whole.matches(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_whole_text() {
        let p = Pattern::new("a|b.").unwrap();
        assert!(p.matches(b"a") && p.matches(b"bx") && !p.matches(b"xa") && !p.matches(b"ab"));
        assert!(Pattern::new("a.b").unwrap().matches(b"a\nb"));
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::new("a)(b").is_err());
        assert!(Pattern::new(&"a".repeat(1025)).is_err());
    }

    #[test]
    fn classes_and_cases_are_of_ascii() {
        let digits = Pattern::new("(?i)/a\\d+\\w").unwrap();
        assert!(digits.matches(b"/A12x") && !digits.matches("/a\u{0661}x".as_bytes()));
        assert!(digits.anywhere().is_match(b"x/A1bc"));
    }

    #[test]
    fn templates_stand_for_segments() {
        let t = PathTemplate::new("/a/{*}/b/{**}").unwrap();
        assert!(t.matches(b"/a/x/b/") && t.matches(b"/a/x/b/c/d") && !t.matches(b"/a/x/y/b/") && !t.matches(b"/a//b/"));
        assert!(PathTemplate::new("/{*x}").is_err());
    }

    #[test]
    fn case_is_ignored_where_asked() {
        let m = StringMatch::Suffix("Example".into());
        assert!(m.matches_ignoring_case(b"a.eXAMPLE") && !m.matches(b"a.eXAMPLE"));
    }
}
