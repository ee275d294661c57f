//! Header operations of rules and destinations.

use super::matching::is_header_name;
use crate::{
    crd::reader::{Fields, Item},
    model::route::{HeaderChange, HeaderOps},
};
use std::sync::Arc;

/// Operations, and the host that `set` of `:authority` or `host` asks for.
#[derive(Default)]
pub(super) struct Headers {
    pub ops: HeaderOps,
    pub authority: Option<Arc<str>>,
}

/// Which headers a value is made from and for.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Request,
    Response,
}

/// Commands without an argument that proxies serve in a header's value, on both sides.
const COMMANDS: [&str; 15] = [
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "PROTOCOL",
    "UPSTREAM_HOST",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_CLUSTER",
    "ROUTE_NAME",
    "REQUESTED_SERVER_NAME",
    "DOWNSTREAM_PEER_URI_SAN",
    "START_TIME",
    "RESPONSE_CODE",
];

/// `headers` of a rule or destination.
pub(super) fn headers(f: &mut Fields<'_>) -> Headers {
    let read = |f: &mut Fields<'_>| {
        let mut authority = None;
        let request = f.object("request", |f| Some(change(f, Side::Request, Some(&mut authority)))).unwrap_or_default();
        let response = f.object("response", |f| Some(change(f, Side::Response, None))).unwrap_or_default();
        Some(Headers { ops: HeaderOps { request, response }, authority })
    };
    f.object("headers", read).unwrap_or_default()
}

fn change(f: &mut Fields<'_>, side: Side, mut authority: Option<&mut Option<Arc<str>>>) -> HeaderChange {
    let set = f.map("set", |key, item| {
        let (name, value) = (name(key, &item)?, value(&item, side)?);
        match &mut authority {
            Some(authority) if &*name == ":authority" || &*name == "host" => {
                **authority = Some(value);
                None
            }
            _ => allowed(&name, &item, false).then_some((name, value)),
        }
    });
    let add = f.map("add", |key, item| {
        let (name, value) = (name(key, &item)?, value(&item, side)?);
        allowed(&name, &item, side == Side::Request).then_some((name, value))
    });
    let remove = f.list("remove", |item| {
        let name = name(&item.string()?, &item)?;
        allowed(&name, &item, false).then_some(name)
    });
    HeaderChange { remove, set, add }
}

fn name(text: &str, item: &Item<'_>) -> Option<Arc<str>> {
    if is_header_name(text) {
        Some(text.to_ascii_lowercase().into())
    } else {
        item.invalid(format!("{text:?} is not a valid header name"))
    }
}

/// A header's value with `%…%` templates.
fn value(item: &Item<'_>, side: Side) -> Option<Arc<str>> {
    let text = item.string()?;
    if text.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return item.invalid("a header value must be a single line");
    }
    // Outside a template `%%` is a percent sign; any other percent sign opens a template.
    let mut rest = &*text;
    while let Some(at) = rest.find('%') {
        let tail = &rest[at + 1..];
        match tail.find('%') {
            Some(end) => {
                check_command(item, side, &tail[..end]);
                rest = &tail[end + 1..];
            }
            None => return item.invalid("contains a lone %: write %% for a percent sign, or close the template"),
        }
    }
    Some(text)
}

/// Says so when what stands between two percent signs adds nothing to the value.
fn check_command(item: &Item<'_>, side: Side, text: &str) {
    let warn = |why: &str| item.warn("field-not-acted-on", format!("%{text}% {why}: it adds nothing to the value"));
    let (command, is_bounded) = match text.rsplit_once("):") {
        Some((head, most)) => (head, most.parse::<usize>().is_ok()),
        None => (text.strip_suffix(')').unwrap_or(text), true),
    };
    match command.split_once('(') {
        _ if !is_bounded => warn("needs a whole number after its colon"),
        Some(("REQ", _)) if side == Side::Response => warn("asks for a request's header in a response's"),
        Some(("RESP", _)) if side == Side::Request => warn("asks for a response's header in a request's"),
        Some(("REQ", names)) if names.split('?').all(is_request_header) && names.split('?').count() <= 2 => {}
        Some(("RESP", name)) if is_plain_header(name) => {}
        Some(("REQ" | "RESP", _)) => warn("does not name a header that is served"),
        None if text.is_empty() || COMMANDS.contains(&text) => {}
        _ => warn("is not served"),
    }
}

fn is_request_header(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || is_plain_header(name)
}

fn is_plain_header(name: &str) -> bool {
    is_header_name(name) && !name.starts_with(':')
}

/// Pseudo-headers and the host are not changed by header operations, and must not be written there; the host may where
/// it says so.
fn allowed(name: &str, item: &Item<'_>, may_be_host: bool) -> bool {
    let internal = name.starts_with(':') || name == "host";
    if internal {
        let message = format!("{name} cannot be changed by header operations; use rewrite instead");
        if may_be_host && matches!(name, ":authority" | "host") {
            item.warn("no-effect", message);
        } else {
            item.refuse(message);
        }
    }
    !internal
}
