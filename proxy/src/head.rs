//! The one form that the head of a request has before anything is decided about it, whichever version of HTTP it came
//! in: one host, the path as policies compare it, one length, what is meant for one hop known by name.
//!
//! Pure, and free of any HTTP library's types: the proxy, `explain` and the fuzzers call the same two functions.
//! [`scan`] is the one pass over the fields, [`check`] says what the head comes to or why it is refused. What is sent
//! on is written from that, so what was decided about is what the next hop gets.

mod hop;
mod refused;

pub use hop::{Connection, connection};
pub use refused::BadRequest;

use mesh_config::path::{Normalization, normalize};
use std::borrow::Cow;

/// Fields of a head at most, as the HTTP/1 codec has it; the same in HTTP/2.
pub const MOST_FIELDS: usize = 100;
/// Bytes of a head at most, as text.
pub const MOST_BYTES: usize = 60 * 1024;

/// Removed from every request: nothing outside the mesh's own machinery may set them.
pub const STRIPPED: [&str; 17] = [
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
pub const STRIPPED_AT_EDGE: [&str; 5] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-path",
    "x-envoy-original-host",
];

/// The version of HTTP, as far as heads differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no upgrades.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// The request line of HTTP/1 or the pseudo-headers of HTTP/2, taken apart but not judged.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub version: Version,
    pub method: &'a str,
    /// Scheme of an absolute URL, `:scheme`.
    pub scheme: Option<&'a str>,
    /// Host of an absolute URL or of CONNECT, `:authority`.
    pub authority: Option<&'a str>,
    /// Path and query; `*`.
    pub path: Option<&'a str>,
    /// The first Host field.
    pub host: Option<&'a [u8]>,
}

/// What one pass over the fields found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// How many fields.
    pub fields: usize,
    /// Their bytes as text, with the empty line behind them.
    pub bytes: u64,
    /// Host fields.
    pub hosts: u32,
    /// Cookie fields: HTTP/2 splits them.
    pub cookies: u32,
    /// Content-Length fields.
    pub lengths: u32,
    length: u64,
    bad_length: bool,
    codings: u32,
    chunked: bool,
    padded: bool,
    /// `Connection` is there.
    pub connection: bool,
    upgrades: u32,
    websocket: bool,
    /// Another field that is meant for one hop.
    pub hop: bool,
    /// The client waits to be asked for its body.
    pub expect: bool,
    /// `TE` is there.
    pub te: bool,
    /// The content type is gRPC's.
    pub grpc: bool,
    /// A field of [`STRIPPED`] or [`STRIPPED_AT_EDGE`] is there.
    pub stripped: bool,
    /// `x-envoy-decorator-operation`.
    pub decorator: bool,
    /// `x-request-id`, not empty.
    pub request_id: bool,
    /// `x-forwarded-for`.
    pub forwarded_for: bool,
    /// `x-forwarded-proto`.
    pub forwarded_proto: bool,
    /// `x-forwarded-client-cert`.
    pub client_cert: bool,
}

impl Seen {
    /// Whether something has to be taken off because it is meant for one hop.
    pub fn hop_by_hop(&self) -> bool {
        self.connection || self.hop || self.te || self.upgrades > 0
    }
}

/// Looks at each field once. Names are lower-case.
pub fn scan<'a>(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Seen {
    let mut seen = Seen { bytes: 2, ..Seen::default() };
    for (name, value) in fields {
        seen.fields += 1;
        seen.bytes += (name.len() + value.len() + 4) as u64;
        seen.padded |= [value.first(), value.last()].iter().any(|end| matches!(end, Some(b' ' | b'\t')));
        match name {
            "host" => seen.hosts += 1,
            "cookie" => seen.cookies += 1,
            "content-length" => {
                let length = number(value);
                seen.bad_length |= length.is_none() || seen.lengths > 0 && length != Some(seen.length);
                (seen.lengths, seen.length) = (seen.lengths + 1, length.unwrap_or(0));
            }
            "transfer-encoding" => {
                (seen.hop, seen.codings) = (true, seen.codings + 1);
                seen.chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            "connection" => seen.connection = true,
            "upgrade" => {
                seen.upgrades += 1;
                seen.websocket = value.trim_ascii().eq_ignore_ascii_case(b"websocket");
            }
            "keep-alive" | "proxy-connection" | "http2-settings" => seen.hop = true,
            "te" => seen.te = true,
            "expect" => seen.expect = true,
            "content-type" => seen.grpc = is_grpc(value),
            "x-request-id" => seen.request_id = !value.is_empty(),
            "x-forwarded-for" => seen.forwarded_for = true,
            "x-forwarded-proto" => seen.forwarded_proto = true,
            "x-forwarded-client-cert" => seen.client_cert = true,
            _ if name.starts_with("x-envoy-") => {
                seen.decorator |= name == "x-envoy-decorator-operation";
                seen.stripped |= STRIPPED.contains(&name) || STRIPPED_AT_EDGE.contains(&name);
            }
            _ => {}
        }
    }
    seen
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    if digits.starts_with('+') { None } else { digits.parse().ok() }
}

fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

/// What a head comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Canonical<'a> {
    /// The host, with its port where one was sent.
    pub authority: &'a str,
    /// Path and query; `None`: CONNECT, which has none.
    pub path: Option<Cow<'a, str>>,
    /// The client asks for a WebSocket; everything else that Upgrade may name is ignored.
    pub upgrade: bool,
}

/// What a head comes to.
///
/// # Errors
/// Why it is refused.
pub fn check<'a>(
    target: &Target<'a>,
    seen: &Seen,
    connection: Connection,
    normalization: Normalization,
) -> Result<Canonical<'a>, BadRequest> {
    if seen.fields > MOST_FIELDS {
        return Err(BadRequest::TooManyHeaders);
    }
    if seen.bytes > MOST_BYTES as u64 {
        return Err(BadRequest::HeadersTooLarge);
    }
    // HTTP/1's codec takes the spaces off. A value that kept them would be one to policies and another to an
    // application behind HTTP/1 (RFC 9113, 8.2.1).
    if seen.padded {
        return Err(BadRequest::InvalidCharacters);
    }
    let authority = authority(target, seen)?;
    let path = match target.method {
        "CONNECT" => connect(target)?,
        // A host alone is a target for CONNECT.
        _ => Some(path(target.path.ok_or(BadRequest::Codec)?, normalization)?),
    };
    length(seen)?;
    let asked = connection.upgrade && seen.upgrades == 1 && seen.websocket;
    Ok(Canonical { authority, path, upgrade: asked && target.version == Version::Http11 })
}

/// One host. HTTP/1: the one Host field, replaced by the host of an absolute URL. HTTP/2: `:authority`, which a Host
/// field stands in for where there is none.
fn authority<'a>(target: &Target<'a>, seen: &Seen) -> Result<&'a str, BadRequest> {
    if seen.hosts > 1 {
        return Err(BadRequest::InvalidAuthority);
    }
    let host = match target.authority {
        Some(authority) => {
            let absolute = target.version != Version::Http2 && target.method != "CONNECT";
            if absolute && !matches!(target.scheme, Some("http" | "https") | None) {
                return Err(BadRequest::Scheme);
            }
            authority.as_bytes()
        }
        None => target.host.ok_or(BadRequest::MissingHost)?,
    };
    let fine = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%[]".contains(b);
    match std::str::from_utf8(host) {
        Ok(text) if host.iter().all(fine) => Ok(text),
        _ => Err(BadRequest::InvalidAuthority),
    }
}

/// CONNECT names a host and nothing else.
fn connect<'a>(target: &Target<'a>) -> Result<Option<Cow<'a, str>>, BadRequest> {
    match (target.authority, target.scheme, target.path) {
        (Some(authority), None, None) if !authority.is_empty() => Ok(None),
        _ => Err(BadRequest::ConnectTarget),
    }
}

fn path(target: &str, normalization: Normalization) -> Result<Cow<'_, str>, BadRequest> {
    if target.bytes().any(|b| !(0x21..0x7f).contains(&b)) {
        return Err(BadRequest::InvalidCharacters);
    }
    match target.as_bytes().first() {
        Some(b'/') => normalize(target, normalization).map_err(|_| BadRequest::Path),
        _ if target == "*" => Err(BadRequest::AbsolutePath),
        _ => Err(BadRequest::Codec),
    }
}

/// One length, or pieces that say theirs; no coding that the next hop would not learn of.
fn length(seen: &Seen) -> Result<(), BadRequest> {
    if seen.codings > 1 || (seen.codings == 1 && !seen.chunked) {
        return Err(BadRequest::TransferEncoding);
    }
    if seen.bad_length || (seen.lengths > 0 && seen.codings > 0) {
        return Err(BadRequest::ContentLength);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
