//! What a VirtualService's rule does with a request: forward, redirect, answer; and the rewrites on the way.

use super::{headers, headers::Headers, matching, names};
use crate::{
    crd::{
        Object, ParseContext,
        reader::{Fields, Item},
    },
    matcher::StringMatch,
    model::route::{
        Backend, DirectResponse, HeaderOps, Redirect, RedirectPath, RedirectPort, Rewrite, RouteAction, RouteMatch,
        Target,
    },
};
use base64::Engine;
use bytes::Bytes;
use std::sync::Arc;

/// Largest body of a direct response.
const MAX_BODY: usize = 1 << 20;
/// A body that is large enough to mention: every proxy holds it.
const LARGE_BODY: usize = 100 << 10;

/// What happens, with what happens on the way.
pub(super) struct Outcome {
    pub action: RouteAction,
    pub rewrite: Option<Rewrite>,
    pub headers: HeaderOps,
}

/// Inner `None`: the rule delegates, which is reported, and is left out.
pub(super) fn outcome(
    f: &mut Fields<'_>,
    object: &Object,
    context: &ParseContext,
    matches: &[RouteMatch],
) -> Option<Option<Outcome>> {
    exclusive(f)?;
    let of_rule = headers::headers(f);
    let rewrite = f.object("rewrite", rewrite);
    if f.has("delegate") {
        return Some(None);
    }
    if of_rule.authority.is_some() && rewrite.as_ref().is_some_and(|rewrite| rewrite.authority.is_some()) {
        f.refuse("rewrite.authority and the host in headers.request.set are mutually exclusive");
    }
    if of_rule.authority.is_some() && !f.has("route") {
        f.warn("no-effect", "setting the host in headers.request.set only affects forwarded requests");
    }
    if let Some(item) = f.item("redirect") {
        let redirect = item.object(|f| redirect(f, matches))?;
        let action = RouteAction::Redirect(redirect);
        return Some(Some(Outcome { action, rewrite: None, headers: of_rule.ops }));
    }
    if let Some(item) = f.item("directResponse") {
        let action = RouteAction::Respond(item.object(direct_response)?);
        return Some(Some(Outcome { action, rewrite: None, headers: of_rule.ops }));
    }
    forward(f, object, context, of_rule, rewrite).map(Some)
}

/// Exactly one of the four actions, and nothing beside it that could never happen.
fn exclusive(f: &mut Fields<'_>) -> Option<()> {
    let actions = ["route", "redirect", "directResponse", "delegate"];
    let given: Vec<_> = actions.into_iter().filter(|name| f.has(name)).collect();
    match given[..] {
        [] => {
            return f.one_is_required(&actions, "one of route, redirect, directResponse and delegate is required");
        }
        [_] => {}
        [first, second, ..] => return f.invalid(format!("{first} and {second} are mutually exclusive")),
    }
    for field in ["fault", "rewrite"] {
        if f.has(field) && (given == ["redirect"] || given == ["directResponse"]) {
            return f.invalid(format!("{} and {field} are mutually exclusive", given[0]));
        }
    }
    Some(())
}

fn forward(
    f: &mut Fields<'_>,
    object: &Object,
    context: &ParseContext,
    of_rule: Headers,
    mut rewrite: Option<Rewrite>,
) -> Option<Outcome> {
    let item = f.required("route")?;
    let before = f.errors();
    let destinations = item.list(|entry| entry.object(|f| destination(f, object, context)));
    if f.errors() > before {
        return None;
    }
    let single = destinations.len() == 1;
    let mut authority = of_rule.authority;
    let mut backends = Vec::new();
    for (backend, own_authority) in destinations {
        match own_authority {
            Some((own, _)) if single => authority = authority.or(Some(own)),
            Some((_, at)) => at.not_acted_on("a host set by one of several destinations"),
            None => {}
        }
        backends.push(backend);
    }
    let backends = weighted(&item, backends, |backend| &mut backend.weight)?;
    if let Some(authority) = authority {
        rewrite.get_or_insert_default().authority.get_or_insert(authority);
    }
    Some(Outcome { action: RouteAction::Forward(backends), rewrite, headers: of_rule.ops })
}

/// Destinations that have a share; one alone needs no weight.
pub(super) fn weighted<T>(
    item: &Item<'_>,
    mut destinations: Vec<T>,
    weight: impl Fn(&mut T) -> &mut u32,
) -> Option<Vec<T>> {
    match &mut destinations[..] {
        [] => return item.invalid("at least one destination is required"),
        [only] => *weight(only) = 1,
        _ => destinations.retain_mut(|destination| *weight(destination) > 0),
    }
    let total: u64 = destinations.iter_mut().map(|destination| u64::from(*weight(destination))).sum();
    if total == 0 || total > u64::from(u32::MAX) {
        return item.invalid(format!("the weights add up to {total}, which must be within 1 to {}", u32::MAX));
    }
    Some(destinations)
}

/// The destination with its weight as written, and the host that its headers set.
type Destination<'a> = (Backend, Option<(Arc<str>, Item<'a>)>);

fn destination<'a>(f: &mut Fields<'a>, object: &Object, context: &ParseContext) -> Option<Destination<'a>> {
    let target = f.required("destination").and_then(|item| target(&item, object, context));
    let weight = f.u32("weight").unwrap_or(0);
    let place = f.item("headers");
    let own = headers::headers(f);
    let backend = Backend { target: target?, weight, headers: own.ops };
    Some((backend, own.authority.zip(place)))
}

/// `destination`: host, port, subset.
pub(super) fn target(item: &Item<'_>, object: &Object, context: &ParseContext) -> Option<Target> {
    item.object(|f| {
        let host = f.required("host").and_then(|item| match names::service_host(&item, object, context)? {
            host if host.as_str().starts_with("*-") => item.not_served("a destination with a wildcard"),
            host if host.is_wildcard() => item.invalid("a destination must be a single host, not a wildcard"),
            host => Some(host),
        });
        let port = f.object("port", |f| f.required("number").and_then(|item| item.port()));
        let subset = f.item("subset").and_then(|item| {
            let subset = item.string().filter(|subset| !subset.is_empty())?;
            if !names::is_subset(&subset) {
                item.refuse(format!("{subset:.80?} is not a valid name of a subset, so there is none of it"));
            }
            Some(subset)
        });
        Some(Target { host: host?, port, subset })
    })
}

fn rewrite(f: &mut Fields<'_>) -> Option<Rewrite> {
    let uri = f.opt_string("uri").filter(|uri| !uri.is_empty());
    let uri_regex = f.object("uriRegexRewrite", |f| {
        let pattern = f.required("match").and_then(|item| matching::pattern(&item));
        let rewrite = f.required("rewrite").and_then(|item| {
            let text = item.string()?;
            if text.is_empty() {
                item.refuse("must not be empty");
            }
            Some(text)
        });
        Some((pattern?, rewrite?))
    });
    let authority = f.opt_string("authority").filter(|a| !a.is_empty());
    if uri.is_some() && f.has("uriRegexRewrite") {
        return f.invalid("uri and uriRegexRewrite are mutually exclusive");
    }
    if !(uri.is_some() || f.has("uriRegexRewrite") || authority.is_some()) {
        let message = "one of uri, uriRegexRewrite and authority is required";
        return f.one_is_required(&["uri", "uriRegexRewrite", "authority"], message);
    }
    Some(Rewrite { uri, uri_regex, authority })
}

fn redirect(f: &mut Fields<'_>, matches: &[RouteMatch]) -> Option<Redirect> {
    let changes = ["uri", "prefixRewrite", "authority", "scheme", "port", "derivePort"];
    if !changes.into_iter().any(|name| f.has(name)) {
        f.refuse(format!("changes nothing: one of {} is required", changes.join(", ")));
    }
    let uri = f.opt_string("uri").filter(|text| !text.is_empty());
    let prefix = f.item("prefixRewrite").and_then(|item| {
        let text = item.non_empty()?;
        let prefixed = |m: &RouteMatch| m.path.as_ref().is_some_and(|p| matches!(p.matcher, StringMatch::Prefix(_)));
        let is_regex = |m: &RouteMatch| m.path.as_ref().is_some_and(|p| matches!(p.matcher, StringMatch::Regex(_)));
        if matches.iter().any(is_regex) {
            return item.invalid("needs a uri prefix to replace, and a match of the rule has a regular expression");
        }
        if matches.is_empty() || !matches.iter().all(prefixed) {
            return item.not_served("prefixRewrite without a uri prefix in every match of the rule");
        }
        Some(text)
    });
    if f.has("prefixRewrite") && uri.is_some() {
        return f.invalid("uri and prefixRewrite are mutually exclusive");
    }
    if f.has("port") && f.has("derivePort") {
        return f.invalid("port and derivePort are mutually exclusive");
    }
    let number = f.port("port").map(RedirectPort::Number);
    let derived = f.enum_of(
        "derivePort",
        &[("FROM_PROTOCOL_DEFAULT", RedirectPort::ProtocolDefault), ("FROM_REQUEST_PORT", RedirectPort::RequestPort)],
    );
    let scheme = f.item("scheme").and_then(|item| match &*item.string()?.to_ascii_lowercase() {
        "" => None,
        scheme @ ("http" | "https") => Some(Arc::from(scheme)),
        other => item.invalid(format!("{other:?} is not http or https")),
    });
    let code = f.item("redirectCode").and_then(|item| match item.u32()? {
        0 => None,
        code @ (301 | 302 | 303 | 307 | 308) => u16::try_from(code).ok(),
        code @ 300..=399 => item.not_served(format!("a redirect with {code}")),
        other => item.invalid(format!("{other} is not one of 301, 302, 303, 307 and 308")),
    });
    Some(Redirect {
        path: prefix.map(RedirectPath::Prefix).or(uri.map(RedirectPath::Full)),
        authority: f.opt_string("authority").filter(|text| !text.is_empty()),
        port: number.or(derived).unwrap_or_default(),
        scheme,
        code: code.unwrap_or(301),
    })
}

fn direct_response(f: &mut Fields<'_>) -> Option<DirectResponse> {
    let status = f.required("status").and_then(|item| match item.u32()? {
        code @ 200..=599 => u16::try_from(code).ok(),
        other => item.invalid(format!("{other} is not within 200 to 599")),
    });
    let body = f.item("body").and_then(|item| {
        let body = item.object(body)?;
        if body.len() >= MAX_BODY {
            return item.invalid(format!("is {} bytes long; a body must be smaller than {MAX_BODY}", body.len()));
        }
        if body.len() > LARGE_BODY {
            item.warn("large-value", format!("is {} bytes long, and every proxy holds it in memory", body.len()));
        }
        Some(body)
    });
    Some(DirectResponse { status: status?, body: body.unwrap_or_default() })
}

fn body(f: &mut Fields<'_>) -> Option<Bytes> {
    if f.has("string") == f.has("bytes") {
        return f.one_is_required(&["string", "bytes"], "one of string and bytes is required");
    }
    if let Some(item) = f.item("string") {
        return item.string().map(|text| Bytes::copy_from_slice(text.as_bytes()));
    }
    let item = f.item("bytes")?;
    let text = item.string()?;
    match base64::engine::general_purpose::STANDARD.decode(text.as_bytes()) {
        Ok(bytes) => Some(bytes.into()),
        Err(e) => item.invalid(format!("is not base64: {e}")),
    }
}
