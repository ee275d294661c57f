//! Rules over several fields of a message. They stand on the values as they are written and know the defaults that an API
//! server would fill in.

mod backends;
mod filters;
mod listeners;
mod routes;

pub(super) use backends::{
    alt_name, backend_tls_policy, budget, external_host, rate, validation, x_backend, x_tls, x_traffic_policy,
};
pub(super) use filters::{cors, external_auth, filter, fraction, mirror, path_change, redirect};
pub(super) use listeners::{address, gateway, infrastructure, listener, listener_set, listener_tls};
pub(super) use routes::{
    backend, grpc_rule, http_rule, method_match, path_match, request_backend, request_route, route, session, timeouts,
    tls_route,
};

use crate::crd::node::{Node, Value};
use crate::crd::reader::Fields;
use std::collections::BTreeSet;

/// A text of a message.
fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.get(name)?.as_str()
}

/// As [`text`]; absent and empty are the same.
fn filled<'a>(node: &'a Node, name: &str) -> &'a str {
    text(node, name).unwrap_or_default()
}

/// A text of the message that is read.
fn own<'a>(f: &Fields<'a>, name: &str) -> Option<&'a str> {
    f.node(name)?.as_str()
}

/// Entries of a list; none if it is absent.
fn entries(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.value) {
        Some(Value::Seq(items)) => items,
        _ => &[],
    }
}

fn has(node: &Node, name: &str) -> bool {
    node.get(name).is_some_and(|node| node.value != Value::Null)
}

/// The first of these that stood before.
fn repeated<T: Ord + Clone>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    all.into_iter().find(|one| !seen.insert(one.clone()))
}

/// A field that must be there for one word of another field, and must not be otherwise.
fn goes_with(f: &Fields<'_>, field: &str, of: &str, word: &str, is: &str) {
    match (f.has(field), is == word) {
        (true, false) => drop(f.invalid::<()>(format!("{field} is only for {of}: {word}"))),
        (false, true) => drop(f.invalid::<()>(format!("{of}: {word} needs {field}"))),
        _ => {}
    }
}

/// So many references are held against each other; a longer list is refused for its length.
const COMPARED: usize = 64;

/// References that repeat need a part of the object each, and another one each.
fn are_apart(
    f: &Fields<'_>,
    list: &str,
    key: impl Fn(&Node) -> Vec<String>,
    part: impl Fn(&Node) -> Vec<String>,
    parts: &str,
) {
    let all = entries(f.node(list));
    let all = &all[..all.len().min(COMPARED)];
    for (i, one) in all.iter().enumerate() {
        for other in &all[..i] {
            if key(one) != key(other) {
                continue;
            }
            let (one, other) = (part(one), part(other));
            if one == other {
                f.invalid::<()>(format!("{list}[{i}] repeats an object without another {parts}"));
                return;
            }
            // The same parts must be set on both.
            if one.iter().zip(&other).any(|(a, b)| a.is_empty() != b.is_empty()) {
                f.invalid::<()>(format!("{list} name an object twice: each needs {parts}"));
                return;
            }
        }
    }
}
