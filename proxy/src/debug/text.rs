//! Short texts for tables.

use mesh_config::{matcher::StringMatch, model::route::RouteMatch};
use std::time::{SystemTime, UNIX_EPOCH};

/// `/prefix*`, `/exact`, `regex /a.*`, with a mark for further conditions.
pub(super) fn conditions(conditions: &RouteMatch) -> String {
    let path = conditions.path.as_ref().map_or_else(|| "/*".to_owned(), |p| pattern(&p.matcher));
    let more = conditions.method.is_some()
        || conditions.scheme.is_some()
        || conditions.authority.is_some()
        || !conditions.headers.is_empty()
        || !conditions.query.is_empty();
    if more { format!("{path} (and more)") } else { path }
}

fn pattern(matcher: &StringMatch) -> String {
    match matcher {
        StringMatch::Exact(text) => text.to_string(),
        StringMatch::Prefix(text) => format!("{text}*"),
        StringMatch::Suffix(text) => format!("*{text}"),
        StringMatch::Regex(pattern) => format!("regex {}", pattern.as_str()),
        StringMatch::Present => "/*".to_owned(),
    }
}

/// `2026-11-21T04:22:14Z`.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    mesh_config::time::Utc::of_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)).to_string()
}
