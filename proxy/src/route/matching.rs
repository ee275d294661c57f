//! Conditions of a rule against a request, to the letter of Istio's semantics.

use super::{MatchedPath, RequestView};
use crate::lookup::{self, Found};
use mesh_config::{
    matcher::StringMatch,
    model::route::{HeaderMatch, PathMatch, QueryMatch, RouteMatch},
};

/// The path without query, and the query without `?`.
pub fn split_query(path: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'?', path.as_bytes()) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

/// Whether all conditions hold, and how much of the path they matched. Conditions that were decided when the
/// snapshot was built (port, source, gateways) are not looked at again.
pub fn matches(conditions: &RouteMatch, request: &RequestView<'_>) -> Option<MatchedPath> {
    let (path, query) = split_query(request.path);
    let matched = match &conditions.path {
        None => MatchedPath::Prefix(usize::from(path.starts_with('/'))),
        Some(condition) => path_matches(condition, path)?,
    };
    let text =
        |condition: &Option<StringMatch>, value: &str| condition.as_ref().is_none_or(|c| c.matches(value.as_bytes()));
    let holds = text(&conditions.method, request.method)
        && text(&conditions.authority, request.authority)
        && text(&conditions.scheme, request.scheme)
        && conditions.headers.iter().all(|h| header_matches(h, request))
        && conditions.query.iter().all(|q| query_matches(q, query.unwrap_or("")));
    holds.then_some(matched)
}

fn path_matches(condition: &PathMatch, path: &str) -> Option<MatchedPath> {
    let value = path.as_bytes();
    let hit = match condition.ignore_case {
        true => condition.matcher.matches_ignoring_case(value),
        false => condition.matcher.matches(value),
    };
    hit.then(|| match &condition.matcher {
        StringMatch::Prefix(prefix) => MatchedPath::Prefix(prefix.len()),
        StringMatch::Present => MatchedPath::Prefix(1.min(path.len())),
        StringMatch::Exact(_) | StringMatch::Suffix(_) | StringMatch::Regex(_) => MatchedPath::Whole,
    })
}

/// Each value is tested on its own and any hit counts. Inverted, no value may match, and a header that is not
/// there counts as an empty value unless its presence is what is asked for.
fn header_matches(condition: &HeaderMatch, request: &RequestView<'_>) -> bool {
    let matches = |value: &[u8]| condition.matcher.matches(value);
    // What HTTP/2 calls a pseudo header may be named like any other.
    let hit = match &*condition.name {
        ":method" => matches(request.method.as_bytes()),
        ":authority" | "host" => matches(request.authority.as_bytes()),
        ":scheme" => matches(request.scheme.as_bytes()),
        ":path" => matches(request.path.as_bytes()),
        name => match lookup::find(request.headers, name, matches) {
            Found::Wanted => true,
            Found::Other => false,
            Found::Absent => condition.invert && condition.matcher != StringMatch::Present && matches(b""),
        },
    };
    hit != condition.invert
}

/// The first value of the name, not decoded; a name without `=` has an empty value.
fn query_matches(condition: &QueryMatch, query: &str) -> bool {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(name, _)| *name == &*condition.name)
        .is_some_and(|(_, value)| condition.matcher.matches(value.as_bytes()))
}

#[cfg(test)]
mod tests;
