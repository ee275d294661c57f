//! Requests that the codec could not read. hyper answers them by itself; they are recorded like any other exchange, and
//! named in the log as far as they could be read.

use super::server::Served;
use crate::{
    error::{BadRequest, Error},
    exchange::{Exchange, Flag, Text},
    head::MOST_FIELDS,
};
use http::{HeaderValue, Method};
use mesh_runtime::clock;

/// The first bytes of a head that are kept for this.
pub(super) const KEPT: usize = 512;

/// Records what hyper refused. `first`: its first bytes; `left`: what hyper had not taken off its buffer.
pub(super) fn record(error: &hyper::Error, first: &[u8], left: &[u8], served: &Served) {
    if !error.is_parse() {
        tracing::trace!(%error, "downstream HTTP/1 connection ended");
        return;
    }
    let bad = match error.is_parse_too_large() {
        true if fields(left) > MOST_FIELDS => BadRequest::TooManyHeaders,
        true => BadRequest::HeadersTooLarge,
        false => BadRequest::Codec,
    };
    let error = Error::Bad(bad);
    let mut exchange = Exchange::begin(&served.requests.sink, &served.conn, clock::now());
    exchange.flags.set(Flag::DownstreamProtocolError);
    exchange.details = error.details();
    exchange.status = Some(error.status());
    exchange.complete = true;
    if exchange.wants_text() {
        let read = read(first);
        exchange.authority = read.host.and_then(|host| HeaderValue::from_bytes(host).ok());
        exchange.text = Some(Box::new(Text {
            start: clock::system_now(),
            method: read.method,
            path: None,
            unread: read.target.map(|target| String::from_utf8_lossy(target).into()),
            user_agent: read.user_agent.and_then(|agent| HeaderValue::from_bytes(agent).ok()),
            forwarded_for: None,
            request_id: None,
            client: None,
        }));
    }
}

/// Lines of a head after the first.
fn fields(head: &[u8]) -> usize {
    let lines = head.split(|b| *b == b'\n').skip(1);
    lines.take_while(|line| !line.trim_ascii().is_empty()).count()
}

#[derive(Debug, Default, PartialEq)]
struct Read<'a> {
    method: Option<Method>,
    target: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
}

/// What the beginning of a head says, whole or not.
fn read(first: &[u8]) -> Read<'_> {
    // What has no end was cut, and so is not said.
    let mut lines = first.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n"));
    let mut read = Read::default();
    let Some(line) = lines.next() else { return read };
    let line = line.trim_ascii();
    if let Some(at) = line.iter().position(|b| *b == b' ') {
        read.method = Method::from_bytes(&line[..at]).ok();
        let rest = line[at..].trim_ascii();
        let end = rest.windows(6).rposition(|w| w == b" HTTP/").unwrap_or(rest.len());
        read.target = Some(&rest[..end]).filter(|target| !target.is_empty());
    }
    for line in lines {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"host") {
            read.host = Some(value);
        } else if name.eq_ignore_ascii_case(b"user-agent") {
            read.user_agent = Some(value);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_far_as_it_goes() {
        let head = b"GET /a b\x01?q HTTP/1.1\r\nHost: a\r\nno colon\r\nUSER-AGENT:  x y\r\ncookie: cut";
        let want =
            Read { method: Some(Method::GET), target: Some(b"/a b\x01?q"), host: Some(b"a"), user_agent: Some(b"x y") };
        assert_eq!(read(head), want);
        assert_eq!(read(b"GET /cu"), Read::default());
        assert_eq!(read(b"nonsense\n"), Read::default());
        assert_eq!(read(b"P\xff /\n"), Read { target: Some(b"/"), ..Read::default() });
        assert_eq!(read(b""), Read::default());
    }

    #[test]
    fn fields_are_the_lines_before_the_empty_one() {
        assert_eq!(fields(b"GET / HTTP/1.1\r\na: b\r\nc: d\r\n\r\nbody\r\n"), 2);
        assert_eq!(fields(b"GET / HTTP/1.1"), 0);
    }
}
