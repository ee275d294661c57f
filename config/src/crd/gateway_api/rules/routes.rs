//! Routes: their parents, rules, matches and backends.

use super::super::values::{PATH as PATH_CHARACTERS, expression};
use super::filters::are_compatible;
use super::{are_apart, entries, filled, has, own, repeated, text};
use crate::crd::node::{Node, Value};
use crate::crd::reader::Fields;
use crate::time::duration;
use regex::bytes::Regex;
use std::net::IpAddr;
use std::sync::LazyLock;

/// Whether a text is a DNS name in lower case.
pub(super) fn is_host(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-'))
}

/// What holds of every route.
pub(in super::super) fn route(f: &mut Fields<'_>) {
    let key = |node: &Node| {
        let group = text(node, "group").unwrap_or("gateway.networking.k8s.io");
        let kind = text(node, "kind").unwrap_or("Gateway");
        [group, kind, filled(node, "name"), filled(node, "namespace")].map(str::to_owned).to_vec()
    };
    let port = |node: &Node| match node.get("port").map(|port| &port.value) {
        Some(Value::Int(port)) => port.to_string(),
        _ => String::new(),
    };
    let part = |node: &Node| vec![filled(node, "sectionName").to_owned(), port(node)];
    are_apart(f, "parentRefs", key, part, "sectionName or port");
    let names = entries(f.node("rules")).iter().filter_map(|rule| text(rule, "name"));
    if let Some(name) = repeated(names) {
        f.invalid::<()>(format!("two rules are called {name}"));
    }
}

/// A route of requests: its rules have few matches together.
pub(in super::super) fn request_route(f: &mut Fields<'_>) {
    route(f);
    let count: usize = entries(f.node("rules")).iter().map(|rule| entries(rule.get("matches")).len()).sum();
    if count > 128 {
        f.invalid::<()>(format!("the rules have {count} matches, of which there may be 128"));
    }
}

pub(in super::super) fn tls_route(f: &mut Fields<'_>) {
    route(f);
    for host in entries(f.node("hostnames")).iter().filter_map(Node::as_str) {
        if host.parse::<IpAddr>().is_ok() {
            f.invalid::<()>(format!("hostnames have {host}, which is an IP address"));
        }
    }
}

pub(in super::super) fn grpc_rule(f: &mut Fields<'_>) {
    are_compatible(f);
}

pub(in super::super) fn http_rule(f: &mut Fields<'_>) {
    are_compatible(f);
    let filters = entries(f.node("filters"));
    let backends = entries(f.node("backendRefs"));
    if !backends.is_empty() && filters.iter().any(|filter| has(filter, "requestRedirect")) {
        f.invalid::<()>("a filter RequestRedirect leaves nothing for backendRefs");
    }
    let matches = f.node("matches").filter(|node| node.value != Value::Null);
    let is_prefix = |one: &Node| {
        let path = one.get("path");
        path.and_then(|path| text(path, "type")).unwrap_or("PathPrefix") == "PathPrefix"
    };
    let is_one_prefix = match matches {
        None => true,
        Some(_) => matches!(entries(matches), [one] if is_prefix(one)),
    };
    let swaps = |filter: &Node, name: &str| {
        filter.get(name).and_then(|change| change.get("path")).is_some_and(|path| has(path, "replacePrefixMatch"))
    };
    let all = filters.iter().chain(backends.iter().flat_map(|backend| entries(backend.get("filters"))));
    for filter in all {
        if !is_one_prefix && (swaps(filter, "requestRedirect") || swaps(filter, "urlRewrite")) {
            f.invalid::<()>("replacePrefixMatch needs exactly one match, of type PathPrefix");
        }
    }
}

/// A Service has many ports.
pub(in super::super) fn backend(f: &mut Fields<'_>) {
    let is_service = own(f, "group").unwrap_or_default().is_empty() && own(f, "kind").unwrap_or("Service") == "Service";
    if is_service && !f.has("port") {
        f.invalid::<()>("a Service needs port");
    }
}

/// A backend that has filters of its own.
pub(in super::super) fn request_backend(f: &mut Fields<'_>) {
    backend(f);
    are_compatible(f);
}

pub(in super::super) fn path_match(f: &mut Fields<'_>) {
    static PATH: LazyLock<Regex> = LazyLock::new(|| expression(PATH_CHARACTERS));
    let is = own(f, "type").unwrap_or("PathPrefix");
    let value = own(f, "value").unwrap_or("/");
    if is == "RegularExpression" {
        return;
    }
    if !value.starts_with('/') {
        f.invalid::<()>(format!("value {value} must begin with / for type {is}"));
        return;
    }
    let within = ["//", "/./", "/../", "%2f", "%2F", "#"].into_iter().find(|part| value.contains(part));
    let end = ["/..", "/."].into_iter().find(|part| value.ends_with(part));
    if let Some(part) = within.or(end) {
        f.invalid::<()>(format!("value {value} must not have {part} for type {is}"));
    } else if !PATH.is_match(value.as_bytes()) {
        f.invalid::<()>(format!("value {value} has characters that paths cannot have"));
    }
}

pub(in super::super) fn method_match(f: &mut Fields<'_>) {
    static SERVICE: LazyLock<Regex> = LazyLock::new(|| expression("^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$"));
    static METHOD: LazyLock<Regex> = LazyLock::new(|| expression("^[A-Za-z_][A-Za-z_0-9]*$"));
    if !f.has("service") && !f.has("method") {
        f.invalid::<()>("needs service or method");
    }
    if own(f, "type").unwrap_or("Exact") != "Exact" {
        return;
    }
    if own(f, "service").is_some_and(|service| !SERVICE.is_match(service.as_bytes())) {
        f.invalid::<()>("service is no name of a gRPC service");
    }
    if own(f, "method").is_some_and(|method| !METHOD.is_match(method.as_bytes())) {
        f.invalid::<()>("method is no name of a gRPC method");
    }
}

pub(in super::super) fn timeouts(f: &mut Fields<'_>) {
    let read = |name: &str| own(f, name).and_then(duration);
    if let (Some(whole), Some(one)) = (read("request"), read("backendRequest"))
        && !whole.is_zero()
        && one > whole
    {
        f.invalid::<()>("backendRequest is longer than request");
    }
}

pub(in super::super) fn session(f: &mut Fields<'_>) {
    let Some(cookie) = f.node("cookieConfig").filter(|node| node.value != Value::Null) else { return };
    if own(f, "type").is_some_and(|is| is != "Cookie") {
        f.invalid::<()>("cookieConfig is only for type: Cookie");
    }
    if text(cookie, "lifetimeType") == Some("Permanent") && !f.has("absoluteTimeout") {
        f.invalid::<()>("a cookie of lifetimeType Permanent needs absoluteTimeout");
    }
}
