//! Whether a compiled rule matches a call. What is not there matches nothing.

use super::{Attributes, HttpAttributes};
use crate::{
    lookup::{self, Found},
    snapshot::policy::{Check, CompiledRule, IdentityMatch, NamespaceMatch, Test, TokenPrincipal},
};
use ipnet::IpNet;
use memchr::memmem;
use mesh_config::{matcher::StringMatch, model::authorization::PathRule};
use serde_json::Value;
use std::{net::IpAddr, sync::Arc};

/// Where the claims of a validated token are.
const TOKEN_FILTER: &str = "envoy.filters.http.jwt_authn";
const TOKEN_PAYLOAD: &str = "payload";

/// Whether one alternative of each half holds.
pub(super) fn rule(rule: &CompiledRule, call: &Attributes<'_>) -> bool {
    let any = |alternatives: &[Vec<Check>]| alternatives.iter().any(|all| all.iter().all(|c| check(c, call)));
    any(&rule.operations) && any(&rule.sources)
}

fn check(check: &Check, call: &Attributes<'_>) -> bool {
    test(&check.test, call) != check.negated
}

fn test(test: &Test, call: &Attributes<'_>) -> bool {
    let http = call.http.as_ref();
    match test {
        Test::Port(ports) => ports.contains(&call.destination_port),
        Test::Identity(values) => call.peer.is_some_and(|p| values.iter().any(|v| identity(v, p.uri()))),
        Test::Method(values) => http.is_some_and(|h| values.iter().any(|v| v.matches(h.method))),
        Test::Path(values) => http.is_some_and(|h| path(values, h.path)),
        Test::Host(values) => {
            http.and_then(|h| h.authority).is_some_and(|host| values.iter().any(|v| v.matches_ignoring_case(host)))
        }
        Test::Header(name, values) => http.is_some_and(|h| header(h, name, values)),
        Test::SourceIp(blocks) => contains(blocks, call.source_ip),
        Test::RemoteIp(blocks) => contains(blocks, call.remote_ip),
        Test::DestinationIp(blocks) => contains(blocks, call.destination_ip),
        Test::Sni(values) => call.sni.is_some_and(|sni| values.iter().any(|v| text(v, sni))),
        Test::TokenPrincipal(values) => values.iter().any(|v| token_principal(v, call)),
        Test::Claim(path, values) => token(call).is_some_and(|payload| {
            let claim = descend(payload, path);
            claim.is_some_and(|c| is_text(c, values) || has_element(c, values))
        }),
        Test::Metadata { filter, path, texts, elements } => call
            .metadata
            .and_then(|m| m.get(&**filter))
            .and_then(|m| descend(m, path))
            .is_some_and(|v| is_text(v, texts) || has_element(v, elements)),
    }
}

/// `*` needs something to be there and not empty.
fn text(value: &StringMatch, text: &str) -> bool {
    value.matches(text.as_bytes()) && !(text.is_empty() && *value == StringMatch::Present)
}

fn contains(blocks: &[IpNet], ip: Option<IpAddr>) -> bool {
    ip.is_some_and(|ip| {
        let ip = ip.to_canonical();
        blocks.iter().any(|block| block.contains(&ip))
    })
}

fn path(values: &[PathRule], target: &[u8]) -> bool {
    let path = memchr::memchr2(b'?', b'#', target).map_or(target, |end| &target[..end]);
    values.iter().any(|value| match value {
        PathRule::Text(StringMatch::Present) => !path.is_empty(),
        PathRule::Text(text) => text.matches(path),
        PathRule::Template(template) => template.matches(path),
    })
}

/// `*` asks only whether it is there.
fn header(http: &HttpAttributes<'_>, name: &str, values: &[StringMatch]) -> bool {
    let matches = |value: &[u8]| values.iter().any(|v| v.matches(value));
    match name {
        ":method" => matches(http.method),
        ":path" => matches(http.path),
        ":authority" | "host" => http.authority.is_some_and(matches),
        _ => lookup::find(http.headers, name, matches) == Found::Wanted,
    }
}

fn identity(value: &IdentityMatch, uri: &str) -> bool {
    match value {
        IdentityMatch::Any => !uri.is_empty(),
        IdentityMatch::Uri(whole) => uri == &**whole,
        IdentityMatch::UriPrefix(prefix) => uri.starts_with(&**prefix),
        IdentityMatch::SpiffeSuffix(suffix) => after_scheme(uri).is_some_and(|rest| rest.ends_with(&**suffix)),
        IdentityMatch::Namespace(value) => namespace(value, uri),
        IdentityMatch::Account { namespace, account: name } => account(namespace, name, uri),
        IdentityMatch::TrustDomain(value) => {
            after_scheme(uri).and_then(|rest| rest.split_once('/')).is_some_and(|(domain, _)| text(value, domain))
        }
    }
}

fn after_scheme(uri: &str) -> Option<&str> {
    uri.strip_prefix("spiffe://")
}

fn find(text: &str, what: &str) -> Option<usize> {
    memmem::find(text.as_bytes(), what.as_bytes())
}

fn namespace(value: &NamespaceMatch, uri: &str) -> bool {
    // A wildcard may stand for slashes too: these are the meanings of `.*/ns/VALUE/.*`, the first place found is enough.
    match value {
        NamespaceMatch::Exact(segment) => find(uri, segment).is_some(),
        NamespaceMatch::Prefix(start) => find(uri, start).is_some_and(|at| uri[at + start.len()..].contains('/')),
        NamespaceMatch::Suffix(end) => find(uri, "/ns/").is_some_and(|at| find(&uri[at + 4..], end).is_some()),
        NamespaceMatch::Any => find(uri, "/ns/").is_some_and(|at| uri[at + 4..].contains('/')),
        NamespaceMatch::Pattern(whole) => whole.matches(uri.as_bytes()),
    }
}

/// `spiffe://.+NAMESPACE(.+/|)ACCOUNT(/.+)?`, the namespace with its slashes.
fn account(namespace: &str, account: &str, uri: &str) -> bool {
    let Some(rest) = after_scheme(uri) else { return false };
    let ends_well = |tail: &str| tail.is_empty() || tail.len() > 1 && tail.starts_with('/');
    // Each place of the namespace, at least one character behind the scheme; after it, each place of the account that
    // begins a segment.
    let mut from = rest.chars().next().map_or(1, char::len_utf8);
    while let Some(at) = rest.get(from..).and_then(|r| find(r, namespace)) {
        let behind = &rest[from + at + namespace.len()..];
        let mut start = 0;
        while let Some(found) = find(&behind[start..], account) {
            let place = start + found;
            let begins_segment = place == 0 || place > 1 && behind.as_bytes()[place - 1] == b'/';
            if begins_segment && ends_well(&behind[place + account.len()..]) {
                return true;
            }
            start = place + account.len();
        }
        from += at + namespace.len() - 1;
    }
    false
}

fn token<'a>(call: &Attributes<'a>) -> Option<&'a Value> {
    call.metadata?.get(TOKEN_FILTER)?.get(TOKEN_PAYLOAD)
}

fn token_principal(value: &TokenPrincipal, call: &Attributes<'_>) -> bool {
    token(call).is_some_and(|payload| {
        let claim = |name: &str, matches: &StringMatch| {
            payload.get(name).and_then(Value::as_str).is_some_and(|claim| text(matches, claim))
        };
        claim("iss", &value.issuer) && claim("sub", &value.subject)
    })
}

fn descend<'a>(mut value: &'a Value, path: &[Arc<str>]) -> Option<&'a Value> {
    for key in path {
        value = value.as_object()?.get(&**key)?;
    }
    Some(value)
}

fn is_text(value: &Value, texts: &[StringMatch]) -> bool {
    value.as_str().is_some_and(|value| texts.iter().any(|t| text(t, value)))
}

fn has_element(value: &Value, texts: &[StringMatch]) -> bool {
    value.as_array().is_some_and(|list| list.iter().any(|element| is_text(element, texts)))
}
