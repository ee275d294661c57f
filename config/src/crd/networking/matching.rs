//! What a VirtualService's rule matches on.

use super::{forms, names};
use crate::{
    crd::{
        Object,
        reader::{Fields, Item},
    },
    matcher::{Pattern, StringMatch},
    model::route::{HeaderMatch, Parent, PathMatch, QueryMatch, RouteMatch},
};
use std::sync::Arc;

/// One entry of `match`.
pub(super) fn route_match(f: &mut Fields<'_>, object: &Object, parents: &[Parent]) -> Option<RouteMatch> {
    let ignore_case = f.bool("ignoreUriCase").unwrap_or(false);
    let path = f.item("uri").and_then(|item| string_match(&item, Regex::MustCompile));
    let text = |f: &mut Fields<'_>, name| f.item(name).and_then(|item| string_match(&item, Regex::MustCompile));
    let mut headers = header_matches(f, "headers", false, parents);
    headers.extend(header_matches(f, "withoutHeaders", true, parents));
    forms::HTTP_MATCH.read_inert(f);
    Some(RouteMatch {
        name: f.opt_string("name").unwrap_or_default(),
        // An empty match on the path asks for nothing: every request has one.
        path: path.filter(|m| *m != StringMatch::Present).map(|matcher| PathMatch { matcher, ignore_case }),
        scheme: text(f, "scheme"),
        method: text(f, "method"),
        authority: text(f, "authority"),
        headers,
        query: f.map("queryParams", query_match),
        port: f.port("port"),
        source_labels: names::labels(f, "sourceLabels"),
        source_namespace: names::source_namespace(f),
        parents: match_parents(f, object, parents),
    })
}

/// `gateways` of a match: some of the VirtualService's own.
pub(super) fn match_parents(f: &mut Fields<'_>, object: &Object, of_route: &[Parent]) -> Vec<Parent> {
    f.list("gateways", |item| {
        let parent = names::parent(&item, object)?;
        if !of_route.contains(&parent) {
            item.warn("never-matches", "the VirtualService is not bound to this gateway, so this never matches");
        }
        Some(parent)
    })
}

fn header_matches(f: &mut Fields<'_>, field: &'static str, invert: bool, parents: &[Parent]) -> Vec<HeaderMatch> {
    f.map(field, |key, item| {
        if key.starts_with("@request.auth.claims") {
            if parents.iter().all(|parent| *parent == Parent::Mesh) {
                item.refuse("a token's claims are matched at gateways alone, and this VirtualService is for none");
            }
            return item.not_served("matching on a token's claims");
        }
        if !is_header_name(key) {
            return item.invalid(format!("{key:?} is not a valid header name"));
        }
        let matcher = string_match(&item, Regex::StarIsPresence)?;
        Some(HeaderMatch { name: key.to_ascii_lowercase().into(), matcher, invert })
    })
}

fn query_match(key: &str, item: Item<'_>) -> Option<QueryMatch> {
    if key.is_empty() {
        return item.invalid("a query parameter needs a name");
    }
    let matcher = string_match(&item, Regex::StarIsPresence)?;
    Some(QueryMatch { name: key.into(), matcher })
}

/// What the expression `*` means, which is none by itself.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Regex {
    /// That the value is there.
    StarIsPresence,
    /// Nothing: it is refused.
    MustCompile,
}

/// `exact`, `prefix` or `regex`; none of them asks for presence.
pub(super) fn string_match(item: &Item<'_>, star: Regex) -> Option<StringMatch> {
    item.object(|f| {
        let exact = f.item("exact").map(|item| item.string().map(StringMatch::Exact));
        let prefix = f.item("prefix").map(|item| match &*item.string()? {
            // Everything begins with nothing.
            "" if star == Regex::MustCompile => Some(StringMatch::Present),
            _ => item.non_empty().map(StringMatch::Prefix),
        });
        let regex = f.item("regex").map(|item| match &*item.non_empty()? {
            "*" if star == Regex::StarIsPresence => Some(StringMatch::Present),
            _ => pattern(&item).map(StringMatch::Regex),
        });
        let mut given = [exact, prefix, regex].into_iter().flatten();
        match (given.next(), given.next()) {
            (None, _) => Some(StringMatch::Present),
            (Some(matcher), None) => matcher,
            (Some(_), Some(_)) => f.invalid("only one of exact, prefix and regex may be given"),
        }
    })
}

/// A regular expression that can be used.
pub(super) fn pattern(item: &Item<'_>) -> Option<Pattern> {
    let text: Arc<str> = item.non_empty()?;
    if repeats_a_repetition(&text) {
        item.refuse("repeats what is a repetition already, which RE2 does not take");
    }
    Pattern::new(&text).map_err(|e| item.invalid::<()>(e.to_string())).ok()
}

/// Whether a repetition follows another one, as in `a++`. RE2 refuses that; a question mark after one means "as few as
/// possible".
pub(super) fn repeats_a_repetition(pattern: &str) -> bool {
    #[derive(PartialEq)]
    enum Before {
        Other,
        Repetition,
        Lazy,
    }
    let (mut before, mut in_class, mut escaped) = (Before::Other, false, false);
    for byte in pattern.bytes() {
        if std::mem::take(&mut escaped) {
            before = Before::Other;
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            b'[' if !in_class => in_class = true,
            b']' if in_class => in_class = false,
            b'?' if !in_class && before == Before::Repetition => {
                before = Before::Lazy;
                continue;
            }
            b'*' | b'+' | b'?' if !in_class => {
                if before != Before::Other {
                    return true;
                }
                before = Before::Repetition;
                continue;
            }
            _ => {}
        }
        before = Before::Other;
    }
    false
}

/// A token in the sense of RFC 9110; pseudo-headers begin with a colon.
pub(super) fn is_header_name(name: &str) -> bool {
    let token = name.strip_prefix(':').unwrap_or(name);
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
