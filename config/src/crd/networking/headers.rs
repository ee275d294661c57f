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

/// `headers` of a rule or destination.
pub(super) fn headers(f: &mut Fields<'_>) -> Headers {
    let read = |f: &mut Fields<'_>| {
        let mut authority = None;
        let request = f.object("request", |f| Some(change(f, Some(&mut authority)))).unwrap_or_default();
        let response = f.object("response", |f| Some(change(f, None))).unwrap_or_default();
        Some(Headers { ops: HeaderOps { request, response }, authority })
    };
    f.object("headers", read).unwrap_or_default()
}

fn change(f: &mut Fields<'_>, mut authority: Option<&mut Option<Arc<str>>>) -> HeaderChange {
    let set = f.map("set", |key, item| {
        let (name, value) = (name(key, &item)?, value(&item)?);
        match &mut authority {
            Some(authority) if &*name == ":authority" || &*name == "host" => {
                **authority = Some(value);
                None
            }
            _ => allowed(&name, &item).then_some((name, value)),
        }
    });
    let add = f.map("add", |key, item| {
        let (name, value) = (name(key, &item)?, value(&item)?);
        allowed(&name, &item).then_some((name, value))
    });
    let remove = f.list("remove", |item| {
        let name = name(&item.string()?, &item)?;
        allowed(&name, &item).then_some(name)
    });
    HeaderChange { remove, set, add }
}

fn name(text: &str, item: &Item<'_>) -> Option<Arc<str>> {
    if is_header_name(text) {
        Some(text.to_ascii_lowercase().into())
    } else {
        item.invalid(format!("{text:?} is not a header's name"))
    }
}

/// A header's value with `%…%` templates.
fn value(item: &Item<'_>) -> Option<Arc<str>> {
    let text = item.string()?;
    if text.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return item.invalid("a header's value is one line");
    }
    // Outside a template `%%` is a percent sign; any other percent sign opens a template.
    let mut rest = &*text;
    while let Some(at) = rest.find('%') {
        let tail = &rest[at + 1..];
        match tail.find('%') {
            Some(end) => rest = &tail[end + 1..],
            None => return item.invalid("holds a lone %: write %% for a percent sign, or close the template"),
        }
    }
    Some(text)
}

/// Pseudo-headers and the host are not changed by header operations.
fn allowed(name: &str, item: &Item<'_>) -> bool {
    let internal = name.starts_with(':') || name == "host";
    if internal {
        item.warn("no-effect", format!("{name} cannot be changed by header operations; use rewrite instead"));
    }
    !internal
}
