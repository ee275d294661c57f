//! Changes of path and host before a request is sent on.

use super::{MatchedPath, RuleEntry, matching::split_query};
use mesh_config::{matcher::Pattern, model::route::HeaderChange};
use regex::Regex;
use std::{borrow::Cow, sync::Arc};

/// A `uriRegexRewrite`, ready to run.
#[derive(Debug, Clone)]
pub struct PathSubstitution {
    pattern: Regex,
    replacement: String,
}

impl PathSubstitution {
    /// `None` when the pattern is too big to run.
    pub fn new(pattern: &Pattern, replacement: &str) -> Option<Self> {
        let pattern = regex::RegexBuilder::new(pattern.as_str()).size_limit(1 << 20).dfa_size_limit(1 << 18).build();
        Some(PathSubstitution { pattern: pattern.ok()?, replacement: own_syntax(replacement) })
    }

    fn apply<'a>(&self, path: &'a str) -> Cow<'a, str> {
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

/// The new path with query, where the rule rewrites it; `None` leaves it as it is.
pub fn path(rule: &RuleEntry, matched: &MatchedPath, path_and_query: &str) -> Option<String> {
    let rewrite = rule.rule().rewrite.as_ref()?;
    let (path, query) = split_query(path_and_query);
    let new = match (&rewrite.uri, rule.substitution()) {
        (Some(uri), _) => replace_matched(path, *matched, uri),
        (None, Some(substitution)) => substitution.apply(path).into_owned(),
        (None, None) => return None,
    };
    Some(match query {
        Some(query) => format!("{new}?{query}"),
        None => new,
    })
}

/// `new` in place of what was matched, taken literally: no slash is added or removed.
pub(super) fn replace_matched(path: &str, matched: MatchedPath, new: &str) -> String {
    match matched {
        MatchedPath::Prefix(length) => format!("{new}{}", path.get(length..).unwrap_or("")),
        MatchedPath::Whole => new.to_owned(),
    }
}

/// The host that replaces the request's: the rule's `rewrite.authority`, else its `headers.request.set` of
/// `:authority` or `host`, else the backend's.
pub fn authority(rule: &RuleEntry, backend: usize) -> Option<&Arc<str>> {
    let host =
        |change: &'_ HeaderChange| change.set.iter().position(|(name, _)| matches!(&**name, ":authority" | "host"));
    let own = rule.rule();
    if let Some(authority) = own.rewrite.as_ref().and_then(|r| r.authority.as_ref()) {
        return Some(authority);
    }
    let ops = [Some(&own.headers.request), rule.backend(backend).map(|b| &b.headers.request)];
    ops.into_iter().flatten().find_map(|change| host(change).map(|at| &change.set[at].1))
}

#[cfg(test)]
mod tests;
