//! The `location` of redirects.

use super::{MatchedPath, RequestView, matching::split_query, rewrite::replace_matched};
use mesh_config::{
    model::route::{Redirect, RedirectPath, RedirectPort},
    name::{Port, split_authority},
};

/// Where a rule's redirect points: absolute; what the rule does not name is the request's.
pub fn location(redirect: &Redirect, matched: MatchedPath, request: &RequestView<'_>) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme);
    let (path, query) = split_query(request.path);
    let new_path = match &redirect.path {
        None => request.path.to_owned(),
        Some(RedirectPath::Full(full)) if full.contains('?') => full.to_string(),
        Some(RedirectPath::Full(full)) => with_query(full.to_string(), query),
        Some(RedirectPath::Prefix(prefix)) => with_query(replace_matched(path, matched, prefix), query),
    };
    let host = host(redirect, scheme, request);
    format!("{scheme}://{host}{new_path}")
}

/// Where a gateway's `httpsRedirect` points.
pub fn to_https(request: &RequestView<'_>) -> String {
    let host = without_default_port(request.authority, request.scheme, "https");
    format!("https://{host}{}", request.path)
}

fn with_query(path: String, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

fn host(redirect: &Redirect, scheme: &str, request: &RequestView<'_>) -> String {
    let given = redirect.authority.as_deref();
    let port = match redirect.port {
        RedirectPort::Keep => {
            return match given {
                Some(authority) => authority.to_owned(),
                None => without_default_port(request.authority, request.scheme, scheme).to_owned(),
            };
        }
        RedirectPort::ProtocolDefault => None,
        RedirectPort::Number(port) => Some(port),
        RedirectPort::RequestPort => Some(request.listener_port),
    };
    let (name, _) = split_authority(given.unwrap_or(request.authority));
    match port.filter(|port| Some(port.get()) != default_port(scheme)) {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

fn without_default_port<'a>(authority: &'a str, old_scheme: &str, new_scheme: &str) -> &'a str {
    let (name, port) = split_authority(authority);
    let was_default = port.map(Port::get) == default_port(old_scheme) && port.is_some();
    if old_scheme != new_scheme && was_default { name } else { authority }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
