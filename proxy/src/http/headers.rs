//! What is done to every request's and answer's headers, whatever route they take: host, path, hop-by-hop headers,
//! who asked and through whom.
//!
//! One pass over the names finds what there is to do; usually that is nothing but an addition or two.

use crate::{
    conn::{Connection, Direction},
    error::{BadRequest, Error},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request::Parts, uri::PathAndQuery};
use mesh_config::{
    model::Settings,
    path::{Normalization, normalize},
};
use std::{borrow::Cow, fmt::Write as _, net::IpAddr};

/// Header that names the operation of a span.
pub const DECORATOR: HeaderName = HeaderName::from_static("x-envoy-decorator-operation");
/// Milliseconds that the upstream took.
pub const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
/// Identifies a request on all hops.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Set on answers to what a limit refused.
pub const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
/// How long the upstream may take, for its information.
pub const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Removed from every request: nothing outside the mesh's own machinery may set them.
const STRIPPED: [&str; 17] = [
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-ip-tags",
    "x-envoy-original-url",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-peer-metadata",
    "x-envoy-peer-metadata-id",
];

/// Removed at an edge besides.
const STRIPPED_AT_EDGE: [&str; 5] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-path",
    "x-envoy-original-host",
];

/// What one pass over a request's headers found.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    bytes: u64,
    hosts: u32,
    connection: bool,
    upgrade: bool,
    hop: bool,
    te: bool,
    envoy: bool,
    decorator: bool,
    request_id: bool,
    forwarded_for: bool,
    forwarded_proto: bool,
    client_cert: bool,
    length_and_chunked: (bool, bool),
    grpc: bool,
}

fn scan(headers: &HeaderMap) -> Seen {
    let mut seen = Seen { bytes: 2, ..Seen::default() };
    for (name, value) in headers {
        let name = name.as_str();
        seen.bytes += (name.len() + value.len() + 4) as u64;
        match name {
            "host" => seen.hosts += 1,
            "connection" => seen.connection = true,
            "upgrade" => seen.upgrade = true,
            "keep-alive" | "proxy-connection" => seen.hop = true,
            "transfer-encoding" => (seen.hop, seen.length_and_chunked.1) = (true, true),
            "content-length" => seen.length_and_chunked.0 = true,
            "te" => seen.te = true,
            "x-request-id" => seen.request_id = !value.is_empty(),
            "x-forwarded-for" => seen.forwarded_for = true,
            "x-forwarded-proto" => seen.forwarded_proto = true,
            "x-forwarded-client-cert" => seen.client_cert = true,
            "content-type" => {
                let rest = value.as_bytes().strip_prefix(b"application/grpc");
                seen.grpc = rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+')));
            }
            "x-envoy-decorator-operation" => seen.decorator = true,
            _ if name.starts_with("x-envoy-") => {
                seen.envoy |= STRIPPED.contains(&name) || STRIPPED_AT_EDGE.contains(&name);
            }
            _ => {}
        }
    }
    seen
}

/// What later steps need to know about a request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Bytes of the head as text, as it came.
    pub head_bytes: u64,
    /// The content type is gRPC's.
    pub is_grpc: bool,
    /// The client wants another protocol on this connection.
    pub upgrade: bool,
    /// The request named its operation itself: the answer need not.
    pub had_decorator: bool,
    /// The client as rules and logs know it; `None`: the direct peer.
    pub client: Option<IpAddr>,
}

/// Makes a request's head fit to be decided about and sent on. `random`: for a request id. `xfcc`: what the
/// connection adds to X-Forwarded-Client-Cert.
///
/// # Errors
/// [`Error::Bad`].
pub fn request(
    head: &mut Parts,
    conn: &Connection,
    settings: &Settings,
    random: impl FnOnce() -> u128,
    xfcc: impl FnOnce() -> Option<HeaderValue>,
) -> Result<Request, (Error, Request)> {
    let seen = scan(&head.headers);
    let line = head.method.as_str().len() + head.uri.path_and_query().map_or(1, |p| p.as_str().len()) + 12;
    let mut facts = Request {
        head_bytes: seen.bytes + line as u64,
        is_grpc: seen.grpc,
        upgrade: false,
        had_decorator: seen.decorator,
        client: None,
    };
    let bad = |bad: BadRequest| (Error::Bad(bad), facts);
    if seen.length_and_chunked == (true, true) {
        return Err(bad(BadRequest::LengthAndChunked));
    }
    authority(head, seen.hosts).map_err(bad)?;
    if head.method != Method::CONNECT {
        path(head, settings.path_normalization).map_err(bad)?;
    }
    if seen.connection || seen.upgrade || seen.hop || seen.te {
        facts.upgrade = hop_by_hop(head, &seen).map_err(bad)?;
    }
    let edge = conn.direction == Direction::Gateway;
    let headers = &mut head.headers;
    if seen.envoy {
        let edge_only = STRIPPED_AT_EDGE.iter().filter(|_| edge);
        for name in STRIPPED.iter().chain(edge_only) {
            headers.remove(*name);
        }
    }
    if seen.decorator && conn.direction != Direction::Outbound {
        headers.remove(DECORATOR);
    }
    facts.client = forwarded(headers, conn, settings.trusted_proxies, &seen);
    client_cert(headers, conn.direction, seen.client_cert, xfcc);
    if edge || !seen.request_id {
        headers.insert(REQUEST_ID, request_id(random()));
    }
    Ok(facts)
}

/// One host, in the `Host` header for HTTP/1 and in the URI for HTTP/2, of characters that hosts have.
fn authority(head: &mut Parts, hosts: u32) -> Result<(), BadRequest> {
    if head.version >= Version::HTTP_2 {
        if head.uri.authority().is_none() && hosts == 0 {
            return Err(BadRequest::MissingHost);
        }
        return valid_authority(authority_of(head).as_bytes());
    }
    if let Some(authority) = head.uri.authority().filter(|_| head.method != Method::CONNECT) {
        // An absolute URL: its authority replaces the header, its path is what is asked for.
        match head.uri.scheme_str() {
            Some("http" | "https") | None => {}
            Some(_) => return Err(BadRequest::Scheme),
        }
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| BadRequest::InvalidAuthority)?;
        head.headers.insert(header::HOST, host);
        head.uri = origin_form(head.uri.path_and_query().cloned());
    } else if hosts == 0 {
        return Err(BadRequest::MissingHost);
    } else if hosts > 1 {
        let all: Vec<&[u8]> = head.headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes).collect();
        let joined = HeaderValue::from_bytes(&all.join(&b","[..])).map_err(|_| BadRequest::InvalidAuthority)?;
        head.headers.insert(header::HOST, joined);
    }
    valid_authority(head.headers.get(header::HOST).map_or(&[], HeaderValue::as_bytes))
}

fn valid_authority(host: &[u8]) -> Result<(), BadRequest> {
    let fine = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%[]".contains(b);
    if host.iter().all(fine) { Ok(()) } else { Err(BadRequest::InvalidAuthority) }
}

/// The host as sent, with its port; empty when there is none.
pub fn authority_of(head: &Parts) -> &str {
    let from_uri = head.uri.authority().map(|authority| authority.as_str());
    from_uri.or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok())).unwrap_or("")
}

/// A URI that is a path only.
pub fn origin_form(path: Option<PathAndQuery>) -> Uri {
    Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
}

fn path(head: &mut Parts, mode: Normalization) -> Result<(), BadRequest> {
    let target = head.uri.path_and_query().map_or("/", |path| path.as_str());
    if target.bytes().any(|b| !(0x21..0x7f).contains(&b)) {
        return Err(BadRequest::InvalidCharacters);
    }
    if !target.starts_with('/') {
        return Err(if target == "*" { BadRequest::AbsolutePath } else { BadRequest::Codec });
    }
    let canonical = match normalize(target, mode).map_err(|_| BadRequest::Path)? {
        Cow::Borrowed(same) if same.len() == target.len() => return Ok(()),
        changed => changed.into_owned(),
    };
    set_path(&mut head.uri, canonical).map_err(|_| BadRequest::Path)
}

/// Replaces path and query, and nothing else.
///
/// # Errors
/// `path` cannot stand in a URI, which is left as it was.
pub fn set_path(uri: &mut Uri, path: String) -> Result<(), http::Error> {
    let path = PathAndQuery::try_from(path)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    *uri = Uri::from_parts(parts)?;
    Ok(())
}

/// Takes off what is meant for one hop; whether the client wants another protocol.
fn hop_by_hop(head: &mut Parts, seen: &Seen) -> Result<bool, BadRequest> {
    let headers = &mut head.headers;
    let mut wants_upgrade = false;
    let mut nominated: Vec<HeaderName> = Vec::new();
    let mut tokens = 0;
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty()) {
            tokens += 1;
            wants_upgrade |= token.eq_ignore_ascii_case(b"upgrade");
            let Ok(name) = HeaderName::from_bytes(token) else { return Err(BadRequest::ConnectionHeader) };
            if matches!(name.as_str(), "host" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-client-cert") {
                return Err(BadRequest::ConnectionHeader);
            }
            if !matches!(name.as_str(), "close" | "keep-alive" | "upgrade" | "te" | "content-length") {
                nominated.push(name);
            }
        }
    }
    if tokens >= 10 {
        return Err(BadRequest::ConnectionHeader);
    }
    for name in nominated {
        headers.remove(name);
    }
    let clear_text_h2 = headers.get(header::UPGRADE).is_some_and(|u| u.as_bytes().eq_ignore_ascii_case(b"h2c"));
    let upgrade = wants_upgrade && seen.upgrade && !clear_text_h2 && head.version == Version::HTTP_11;
    if !upgrade {
        headers.remove(header::CONNECTION);
        if headers.remove(header::UPGRADE).is_some() {
            headers.remove(HTTP2_SETTINGS);
        }
    }
    if seen.hop {
        headers.remove(KEEP_ALIVE);
        headers.remove(PROXY_CONNECTION);
        headers.remove(header::TRANSFER_ENCODING);
    }
    if seen.te {
        let trailers = headers
            .get_all(header::TE)
            .iter()
            .any(|te| te.as_bytes().split(|b| *b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"trailers")));
        match trailers {
            true => headers.insert(header::TE, HeaderValue::from_static("trailers")),
            false => headers.remove(header::TE),
        };
    }
    Ok(upgrade)
}

/// X-Forwarded-For and -Proto; the client as rules know it, where that is not the direct peer.
fn forwarded(headers: &mut HeaderMap, conn: &Connection, trusted: u32, seen: &Seen) -> Option<IpAddr> {
    let scheme = HeaderValue::from_static(scheme(conn));
    if conn.direction != Direction::Gateway {
        if !seen.forwarded_proto {
            headers.insert(FORWARDED_PROTO, scheme);
        }
        return if seen.forwarded_for { from_right(headers, 0) } else { None };
    }
    let client = match trusted {
        0 => None,
        n => from_right(headers, n as usize - 1),
    };
    let direct = if conn.remote.ip().is_loopback() { conn.local.ip() } else { conn.remote.ip() };
    let appended = match joined(headers) {
        Some(mut earlier) => {
            let _ = write!(earlier, ",{direct}");
            earlier
        }
        None => direct.to_string(),
    };
    if let Ok(value) = HeaderValue::try_from(appended) {
        headers.insert(FORWARDED_FOR, value);
    }
    if trusted == 0 || !seen.forwarded_proto {
        headers.insert(FORWARDED_PROTO, scheme);
    }
    let external = client.unwrap_or_else(|| conn.remote.ip());
    if let Ok(value) = HeaderValue::try_from(external.to_string()) {
        headers.insert(EXTERNAL_ADDRESS, value);
    }
    client
}

/// All of X-Forwarded-For as one text.
fn joined(headers: &HeaderMap) -> Option<String> {
    let all: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// The address with `skip` others to its right.
fn from_right(headers: &HeaderMap, skip: usize) -> Option<IpAddr> {
    joined(headers)?.rsplit(',').nth(skip)?.trim().parse().ok()
}

/// Of the connection that the request came on.
pub fn scheme(conn: &Connection) -> &'static str {
    if conn.secured.is_some() { "https" } else { "http" }
}

fn client_cert(
    headers: &mut HeaderMap,
    direction: Direction,
    present: bool,
    own: impl FnOnce() -> Option<HeaderValue>,
) {
    if direction == Direction::Outbound {
        if present {
            headers.remove(CLIENT_CERT);
        }
        return;
    }
    let Some(own) = own() else {
        headers.remove(CLIENT_CERT);
        return;
    };
    let earlier: Vec<&[u8]> = match direction {
        Direction::Inbound if present => headers.get_all(CLIENT_CERT).iter().map(HeaderValue::as_bytes).collect(),
        _ => Vec::new(),
    };
    let value = match earlier.is_empty() {
        true => Ok(own),
        false => HeaderValue::from_bytes(&[&earlier.join(&b","[..]), &b","[..], own.as_bytes()].concat()),
    };
    if let Ok(value) = value {
        headers.insert(CLIENT_CERT, value);
    }
}

/// What a connection adds to X-Forwarded-Client-Cert; `None`: the client showed no certificate.
pub fn client_cert_element(conn: &Connection) -> Option<HeaderValue> {
    let secured = conn.secured.as_ref()?;
    let peer = secured.peer.as_ref()?;
    let mut text = String::new();
    if !secured.own.is_empty() {
        let _ = write!(text, "By={};", secured.own);
    }
    let _ = write!(text, "Hash={};", peer.hash);
    if conn.direction == Direction::Gateway {
        text.push_str("Cert=\"");
        let pem = mesh_runtime::tls::material::pem("CERTIFICATE", &peer.der);
        percent_encoded(&mut text, pem.as_bytes());
        text.push_str("\";");
    }
    let _ = write!(text, "Subject=\"{}\"", peer.subject.replace('\\', "\\\\").replace('"', "\\\""));
    match peer.uris.is_empty() {
        true => text.push_str(";URI="),
        false => peer.uris.iter().for_each(|uri| {
            let _ = write!(text, ";URI={uri}");
        }),
    }
    for dns in &peer.dns {
        let _ = write!(text, ";DNS={dns}");
    }
    HeaderValue::try_from(text).ok()
}

fn percent_encoded(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
}

/// A version 4 UUID in lower case.
fn request_id(random: u128) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let random = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            shift -= 4;
            *place = HEX[(random >> shift) as usize & 0xf];
        }
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes")
}

/// Makes an answer's headers fit for the client.
pub fn response(headers: &mut HeaderMap, downstream: Version, upgrade: bool) {
    if !upgrade {
        headers.remove(header::CONNECTION);
        headers.remove(header::UPGRADE);
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(PROXY_CONNECTION);
        if downstream >= Version::HTTP_2 {
            headers.remove(KEEP_ALIVE);
        }
    }
}

/// What this proxy calls itself in answers.
pub fn server_name(direction: Direction) -> HeaderValue {
    HeaderValue::from_static(match direction {
        Direction::Inbound | Direction::Gateway => "istio-envoy",
        Direction::Outbound => "envoy",
    })
}

#[cfg(test)]
mod tests;
