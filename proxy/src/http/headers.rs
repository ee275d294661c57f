//! What is done to every request's headers, whatever route they take: the canonical head, then who asked and through
//! whom.
//!
//! One pass over the names finds what there is to do; usually that is nothing but an addition or two.

use super::{client_cert, head::canonical};
use crate::{
    conn::{Connection, Direction},
    error::Error,
    head::{STRIPPED, STRIPPED_AT_EDGE, Seen, scan},
};
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use mesh_config::model::Settings;
use std::{fmt::Write as _, net::IpAddr};

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
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");

/// What later steps need to know about a request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Bytes of the head as text, as it came.
    pub head_bytes: u64,
    /// The content type is gRPC's.
    pub is_grpc: bool,
    /// The client wants another protocol on this connection.
    pub upgrade: bool,
    /// The client waits to be asked for its body.
    pub expects: bool,
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
    let seen = scan(head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    let line = head.method.as_str().len() + head.uri.path_and_query().map_or(1, |p| p.as_str().len()) + 12;
    let mut facts = Request {
        head_bytes: seen.bytes + line as u64,
        is_grpc: seen.grpc,
        upgrade: false,
        expects: seen.expect,
        had_decorator: seen.decorator,
        client: None,
    };
    facts.upgrade =
        canonical(head, &seen, scheme(conn), settings.path_normalization).map_err(|bad| (Error::Bad(bad), facts))?;
    let edge = conn.direction == Direction::Gateway;
    let headers = &mut head.headers;
    if seen.stripped {
        let edge_only = STRIPPED_AT_EDGE.iter().filter(|_| edge);
        for name in STRIPPED.iter().chain(edge_only) {
            headers.remove(*name);
        }
    }
    if seen.decorator && conn.direction != Direction::Outbound {
        headers.remove(DECORATOR);
    }
    facts.client = forwarded(headers, conn, settings.trusted_proxies, &seen);
    client_cert::apply(headers, conn.direction, seen.client_cert, xfcc);
    if edge || !seen.request_id {
        headers.insert(REQUEST_ID, request_id(random()));
    }
    Ok(facts)
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

/// What this proxy calls itself in answers.
pub fn server_name(direction: Direction) -> HeaderValue {
    HeaderValue::from_static(match direction {
        Direction::Inbound | Direction::Gateway => "istio-envoy",
        Direction::Outbound => "envoy",
    })
}

#[cfg(test)]
mod tests;
