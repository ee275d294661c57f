//! Changes of path and host before a request is sent on.

use super::{MatchedPath, RuleEntry, matching::split_query};
use mesh_config::model::route::HeaderChange;
use std::sync::Arc;

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
