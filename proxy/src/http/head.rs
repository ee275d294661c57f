//! The canonical head, applied to the HTTP library's types: what [`crate::head`] decides about a request is written
//! back, so that everything after it, and the next hop, sees that and nothing else. The answer's head is cleaned here
//! too.
//!
//! The host is in one place: in the URI, where HTTP/2 has it, or else in the one Host field.

use crate::head::{self, BadRequest, Seen, Target, Version as Spoken};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use mesh_config::path::Normalization;
use std::borrow::Cow;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Gives a request its canonical head; whether it asks for a WebSocket. `scheme`: the connection's.
///
/// # Errors
/// Why it is refused; then the head is as it came, as far as it was not changed yet.
pub(super) fn canonical(
    head: &mut Parts,
    seen: &Seen,
    scheme: &'static str,
    normalization: Normalization,
) -> Result<bool, BadRequest> {
    let mut ends_here = Vec::new();
    let connection = match seen.connection {
        false => head::Connection::default(),
        true => {
            let values = head.headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
            head::connection(values, |name| ends_here.extend(HeaderName::from_bytes(name)))?
        }
    };
    let uri = &head.uri;
    let target = Target {
        version: match head.version {
            Version::HTTP_10 => Spoken::Http10,
            Version::HTTP_2 => Spoken::Http2,
            _ => Spoken::Http11,
        },
        method: head.method.as_str(),
        scheme: uri.scheme_str(),
        authority: uri.authority().map(Authority::as_str),
        path: uri.path_and_query().map(PathAndQuery::as_str),
        host: head.headers.get(header::HOST).map(HeaderValue::as_bytes),
    };
    let checked = head::check(&target, seen, connection, normalization)?;
    let path = match checked.path {
        Some(Cow::Borrowed(same)) if Some(same) == target.path => None,
        Some(changed) => Some(changed.into_owned()),
        None => None,
    };
    let upgrade = checked.upgrade;
    host(head, seen, scheme)?;
    if let Some(path) = path {
        set_path(&mut head.uri, path).map_err(|_| BadRequest::Path)?;
    }
    if seen.hop_by_hop() {
        hop_by_hop(&mut head.headers, seen, ends_here, upgrade);
    }
    if seen.cookies > 1 {
        join_cookies(&mut head.headers);
    }
    if seen.lengths > 1
        && let Some(length) = head.headers.remove(header::CONTENT_LENGTH)
    {
        head.headers.insert(header::CONTENT_LENGTH, length);
    }
    Ok(upgrade)
}

/// The host where it belongs, once.
fn host(head: &mut Parts, seen: &Seen, scheme: &'static str) -> Result<(), BadRequest> {
    let http2 = head.version == Version::HTTP_2;
    if head.uri.authority().is_some() {
        if http2 || head.method == Method::CONNECT {
            if seen.hosts > 0 {
                head.headers.remove(header::HOST);
            }
            // The scheme is the connection's: plain text does not become secure by saying so.
            if scheme == "http" && head.uri.scheme() == Some(&Scheme::HTTPS) {
                let mut parts = std::mem::take(&mut head.uri).into_parts();
                parts.scheme = Some(Scheme::HTTP);
                head.uri = Uri::from_parts(parts).map_err(|_| BadRequest::Codec)?;
            }
            return Ok(());
        }
        return into_host_field(head);
    }
    if http2 { into_uri(head, scheme == "https") } else { Ok(()) }
}

/// Moves the host from the URI into the Host field, as HTTP/1 has it.
///
/// # Errors
/// It cannot stand there.
pub(super) fn into_host_field(head: &mut Parts) -> Result<(), BadRequest> {
    if let Some(authority) = head.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| BadRequest::InvalidAuthority)?;
        head.headers.insert(header::HOST, host);
        head.uri = origin_form(head.uri.path_and_query().cloned());
    }
    Ok(())
}

/// Moves the host from the Host field into the URI, as HTTP/2 has it.
///
/// # Errors
/// It cannot stand there.
pub(super) fn into_uri(head: &mut Parts, secured: bool) -> Result<(), BadRequest> {
    let host = head.headers.remove(header::HOST);
    if head.uri.authority().is_none() {
        let host = host.ok_or(BadRequest::MissingHost)?;
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| BadRequest::InvalidAuthority)?);
        parts.scheme = Some(if secured { Scheme::HTTPS } else { Scheme::HTTP });
        head.uri = Uri::from_parts(parts).map_err(|_| BadRequest::InvalidAuthority)?;
    }
    Ok(())
}

/// The host as sent, with its port; empty when there is none.
pub(super) fn authority_of(head: &Parts) -> &str {
    let from_uri = head.uri.authority().map(|authority| authority.as_str());
    from_uri.or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok())).unwrap_or("")
}

/// A URI that is a path only.
pub(super) fn origin_form(path: Option<PathAndQuery>) -> Uri {
    Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
}

/// Replaces path and query, and nothing else.
///
/// # Errors
/// `path` cannot be part of a URI, which is left as it was.
pub(super) fn set_path(uri: &mut Uri, path: String) -> Result<(), http::Error> {
    let path = PathAndQuery::try_from(path)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    *uri = Uri::from_parts(parts)?;
    Ok(())
}

/// Takes off what is meant for one hop, and writes again what the next one needs of it.
fn hop_by_hop(headers: &mut HeaderMap, seen: &Seen, ends_here: Vec<HeaderName>, upgrade: bool) {
    for name in ends_here {
        headers.remove(name);
    }
    match upgrade {
        true => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"))),
        false => {
            headers.remove(header::CONNECTION);
            headers.remove(header::UPGRADE);
        }
    }
    if seen.hop {
        headers.remove(KEEP_ALIVE);
        headers.remove(PROXY_CONNECTION);
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(HTTP2_SETTINGS);
    }
    if seen.te {
        let is_trailers = |te: &[u8]| te.trim_ascii().eq_ignore_ascii_case(b"trailers");
        let trailers =
            headers.get_all(header::TE).iter().any(|te| te.as_bytes().split(|b| *b == b',').any(is_trailers));
        match trailers {
            true => headers.insert(header::TE, HeaderValue::from_static("trailers")),
            false => headers.remove(header::TE),
        };
    }
}

/// One cookie field, as HTTP/1 and all who compare it expect (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    // One without a value would leave a space at the end.
    let all = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).filter(|one| !one.is_empty());
    let all: Vec<&[u8]> = all.collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Takes off an answer's head what was meant for the last hop. `upgrade`: it is the 101 that was asked for.
pub(super) fn answer(headers: &mut HeaderMap, upgrade: bool) {
    if headers.remove(header::TRANSFER_ENCODING).is_some() {
        // The pieces say how long it is.
        headers.remove(header::CONTENT_LENGTH);
    }
    if headers.contains_key(header::CONNECTION) {
        let values = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
        let tokens = values.flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
        let named: Vec<HeaderName> = tokens.filter_map(|token| HeaderName::from_bytes(token).ok()).collect();
        let framing = |name: &HeaderName| *name == header::CONTENT_LENGTH || (upgrade && *name == header::UPGRADE);
        named.iter().filter(|name| !framing(name)).for_each(|name| drop(headers.remove(name)));
        headers.remove(header::CONNECTION);
    }
    match upgrade {
        true => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"))),
        false => drop(headers.remove(header::UPGRADE)),
    }
    headers.remove(PROXY_CONNECTION);
    headers.remove(KEEP_ALIVE);
}

#[cfg(test)]
mod tests;
