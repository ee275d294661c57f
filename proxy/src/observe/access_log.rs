//! The access log: one line a request or connection, in Istio's text form or as JSON.
//!
//! Lines collect in a buffer of the worker; a writer thread of the process appends whole buffers. When the writer
//! cannot keep up, buffers are dropped and the loss is logged: traffic never waits for a log.

mod writer;

pub use writer::Writer;

use super::{
    format::{self, Format, JSON, Operator, Piece},
    stream::Stream,
};
use crate::{
    conn::{Connection, Direction},
    exchange::{Exchange, Flags},
    snapshot::logs::Logs,
};
use http::Version;
use mesh_config::{
    model::telemetry::{EffectiveLog, LogAttribute, LogFilter, LogFormat, LogOutlet},
    time::Utc,
};
use mesh_runtime::clock;
use std::{fmt::Write as _, sync::Arc};

/// A buffer this large is handed over without waiting for the next flush.
const FULL: usize = 64 * 1024;
/// A worker's logs.
#[derive(Debug)]
pub struct AccessLog {
    writer: Writer,
    configured: Logs,
    outlets: Vec<Outlet>,
    client: Vec<Way>,
    server: Vec<Way>,
    lost: u64,
}

/// Where lines go, and those that wait to be handed over.
#[derive(Debug)]
struct Outlet {
    of: LogOutlet,
    line: Line,
    buffer: Vec<u8>,
}

/// To which of the outlets, and what goes there.
#[derive(Debug)]
struct Way {
    outlet: usize,
    filter: Option<LogFilter>,
}

impl AccessLog {
    /// Off until configured.
    pub fn new(writer: Writer) -> Self {
        AccessLog {
            writer,
            configured: Logs::default(),
            outlets: Vec::new(),
            client: Vec::new(),
            server: Vec::new(),
            lost: 0,
        }
    }

    /// Whether lines are written.
    pub fn is_on(&self) -> bool {
        !self.outlets.is_empty()
    }

    /// Takes over where lines go.
    pub fn configure(&mut self, logs: &Logs) {
        if self.configured == *logs {
            return;
        }
        self.flush();
        self.outlets.clear();
        self.client = ways(&logs.client, &mut self.outlets);
        self.server = ways(&logs.server, &mut self.outlets);
        self.configured = logs.clone();
    }

    /// Writes a request's lines.
    pub fn write(&mut self, exchange: &Exchange) {
        self.record(exchange.conn.direction, &RequestLine(exchange));
    }

    /// Writes a connection's lines.
    pub fn write_stream(&mut self, stream: &Stream) {
        self.record(stream.conn.direction, &StreamLine(stream));
    }

    /// Hands what has been collected to the writer.
    pub fn flush(&mut self) {
        for outlet in &mut self.outlets {
            self.lost += u64::from(!outlet.flush(&self.writer, self.lost));
        }
    }

    fn record(&mut self, direction: Direction, record: &dyn Record) {
        let ways = match direction {
            Direction::Inbound => &self.server,
            Direction::Outbound | Direction::Gateway => &self.client,
        };
        for way in ways {
            if way.filter.as_ref().is_some_and(|filter| !filter.passes(|attribute| record.attribute(attribute))) {
                continue;
            }
            let outlet = &mut self.outlets[way.outlet];
            let mut line = String::with_capacity(512);
            match &outlet.line {
                Line::Text(format) => text(&mut line, &format.pieces, record),
                Line::Json => json(&mut line, record),
                Line::Keys(keys) => json_of(&mut line, keys, record),
            }
            outlet.buffer.extend_from_slice(line.as_bytes());
            if outlet.buffer.len() >= FULL {
                self.lost += u64::from(!outlet.flush(&self.writer, self.lost));
            }
        }
    }
}

/// What a line of an outlet is made by.
#[derive(Debug)]
enum Line {
    Text(Format),
    /// Istio's keys.
    Json,
    Keys(Vec<(Arc<str>, Vec<Piece>)>),
}

impl Outlet {
    fn new(of: &LogOutlet) -> Self {
        let (line, unknown) = match &of.format {
            LogFormat::Text(text) => {
                let format = Format::parse(text);
                let unknown = format.unknown.clone();
                (Line::Text(format), unknown)
            }
            LogFormat::Json(keys) if keys.is_empty() => (Line::Json, Vec::new()),
            LogFormat::Json(keys) => {
                let mut unknown = Vec::new();
                let keys = keys.iter().map(|(key, text)| (key.clone(), format::pieces(text, &mut unknown)));
                (Line::Keys(keys.collect()), unknown)
            }
        };
        if !unknown.is_empty() {
            tracing::warn!(operators = ?unknown, "access log operators that are not served print a dash");
        }
        Outlet { of: of.clone(), line, buffer: Vec::new() }
    }

    /// Hands the buffer to the writer; `false`: the writer is behind, and the lines are lost.
    fn flush(&mut self, writer: &Writer, lost: u64) -> bool {
        if self.buffer.is_empty() {
            return true;
        }
        let lines = std::mem::take(&mut self.buffer);
        let handed = writer.append(&self.of.file, lines);
        if !handed && (lost + 1).is_power_of_two() {
            tracing::warn!(buffers = lost + 1, "the access log's writer is behind: lines are lost");
        }
        handed
    }
}

/// The ways of one side, with outlets that both sides write to once.
fn ways(logs: &[EffectiveLog], outlets: &mut Vec<Outlet>) -> Vec<Way> {
    let way = |log: &EffectiveLog| {
        let outlet = outlets.iter().position(|outlet| outlet.of == log.outlet).unwrap_or_else(|| {
            outlets.push(Outlet::new(&log.outlet));
            outlets.len() - 1
        });
        Way { outlet, filter: log.filter.clone() }
    };
    logs.iter().map(way).collect()
}

/// What a line is made of.
trait Record {
    /// Appends a value; `false`: there is none.
    fn value(&self, operator: Operator, out: &mut String) -> bool;

    /// What a filter asks about; `None`: it is not there.
    fn attribute(&self, attribute: LogAttribute) -> Option<i64>;
}

fn text(line: &mut String, pieces: &[Piece], record: &dyn Record) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => line.push_str(text),
            Piece::Value(operator) => {
                let start = line.len();
                if !record.value(*operator, line) {
                    line.push('-');
                }
                escape(line, start);
            }
        }
    }
}

/// Makes what stands from `start` on one value of one line, whatever a peer put into it: no control characters, and no
/// quote that would end a quoted value. JSON does that by itself.
fn escape(line: &mut String, start: usize) {
    let harmful = |c: char| c.is_control() || matches!(c, '"' | '\u{2028}' | '\u{2029}');
    let plain = |b: &u8| (b' '..0x7f).contains(b) && *b != b'"';
    if line.as_bytes()[start..].iter().all(plain) || !line[start..].contains(harmful) {
        return;
    }
    let value = line.split_off(start);
    for c in value.chars() {
        match c {
            c if !harmful(c) => line.push(c),
            '"' => line.push_str("\\\""),
            control => line.extend(control.escape_default()),
        }
    }
}

fn json(line: &mut String, record: &dyn Record) {
    let mut value = String::new();
    for (position, (key, operator)) in JSON.iter().enumerate() {
        line.push(if position == 0 { '{' } else { ',' });
        let _ = write!(line, "\"{key}\":");
        json_value(line, *operator, record, &mut value);
    }
    line.push_str("}\n");
}

/// A number, a text or null.
fn json_value(line: &mut String, operator: Operator, record: &dyn Record, value: &mut String) {
    value.clear();
    match record.value(operator, value) {
        false => line.push_str("null"),
        true if operator.is_number() => line.push_str(value),
        true => line.push_str(&serde_json::Value::from(value.as_str()).to_string()),
    }
}

/// A value that is one operator is as under Istio's keys; any other is a text.
fn json_of(line: &mut String, keys: &[(Arc<str>, Vec<Piece>)], record: &dyn Record) {
    let mut value = String::new();
    for (position, (key, pieces)) in keys.iter().enumerate() {
        line.push(if position == 0 { '{' } else { ',' });
        let _ = write!(line, "{}:", serde_json::Value::from(&**key));
        match pieces[..] {
            [Piece::Value(operator)] => json_value(line, operator, record, &mut value),
            _ => {
                value.clear();
                text(&mut value, pieces, record);
                line.push_str(&serde_json::Value::from(value.as_str()).to_string());
            }
        }
    }
    line.push_str("}\n");
}

struct RequestLine<'a>(&'a Exchange);

impl Record for RequestLine<'_> {
    fn attribute(&self, attribute: LogAttribute) -> Option<i64> {
        let e = self.0;
        match attribute {
            LogAttribute::ResponseCode => Some(e.code().into()),
            LogAttribute::ResponseFlags => Some((e.flags != Flags::default()).into()),
            LogAttribute::GrpcStatus => e.grpc_status.map(Into::into),
            LogAttribute::MutualTls => Some(is_mutual(&e.conn)),
        }
    }

    fn value(&self, operator: Operator, out: &mut String) -> bool {
        use Operator as O;
        let (e, log) = (self.0, self.0.text.as_deref());
        match operator {
            O::StartTime => {
                show(out, Utc::of_millis(log.map_or_else(|| clock::system_now() - e.duration, |l| l.start)))
            }
            O::Method => push(out, log.and_then(|l| l.method.as_ref()).map(|m| m.as_str())),
            O::Path => push(out, log.and_then(|l| l.path.as_ref().map(|p| p.as_str()).or(l.unread.as_deref()))),
            O::Protocol => push(out, e.protocol.map(protocol)),
            O::ResponseCode => show(out, e.code()),
            O::ResponseFlags => flags(out, &e.flags),
            O::ResponseCodeDetails => text_or_none(out, &e.details),
            O::ConnectionTerminationDetails => false,
            O::UpstreamTransportFailureReason => text_or_none(out, &e.transport_failure),
            O::BytesReceived => show(out, e.request_body_bytes),
            O::BytesSent => show(out, e.response_body_bytes),
            O::Duration => show(out, e.duration.as_millis()),
            O::UpstreamServiceTime => e.service_time.is_some_and(|t| show(out, t.as_millis())),
            O::ForwardedFor => header(out, log.and_then(|l| l.forwarded_for.as_ref())),
            O::UserAgent => header(out, log.and_then(|l| l.user_agent.as_ref())),
            O::RequestId => header(out, log.and_then(|l| l.request_id.as_ref())),
            O::Authority => header(out, e.authority.as_ref()),
            O::UpstreamHost => e.upstream.as_ref().is_some_and(|u| show(out, &u.address)),
            O::UpstreamCluster => push(out, e.cluster.as_ref().map(|c| &*c.name)),
            O::UpstreamLocalAddress => e.upstream.as_ref().and_then(|u| u.local).is_some_and(|a| show(out, a)),
            O::DownstreamLocalAddress => show(out, e.conn.local),
            O::DownstreamRemoteAddress => match log.and_then(|l| l.client) {
                Some(ip) => show(out, std::net::SocketAddr::new(ip, 0)),
                None => show(out, e.conn.remote),
            },
            O::DownstreamDirectRemoteAddress => show(out, e.conn.remote),
            O::RequestedServerName => push(out, e.conn.sni()),
            O::RouteName => push(out, e.route.as_ref().map(|r| &*r.route).filter(|r| !r.is_empty())),
            O::DownstreamPeerUriSan => push(out, e.conn.peer_uri()),
            O::DownstreamLocalUriSan => push(out, e.conn.secured.as_ref().map(|s| &*s.own).filter(|u| !u.is_empty())),
            O::UpstreamPeerUriSan => push(out, e.upstream.as_ref().and_then(|u| u.peer_uri())),
            O::GrpcStatus => e.grpc_status.is_some_and(|s| show(out, s)),
            O::RequestAttemptCount => show(out, if e.upstream.is_some() { 1 + e.retries + e.replays } else { 0 }),
        }
    }
}

struct StreamLine<'a>(&'a Stream);

/// Whether the peer of a connection proved itself by a certificate.
fn is_mutual(conn: &Connection) -> i64 {
    i64::from(conn.peer_uri().is_some())
}

impl Record for StreamLine<'_> {
    fn attribute(&self, attribute: LogAttribute) -> Option<i64> {
        let s = self.0;
        match attribute {
            LogAttribute::ResponseCode => Some(0),
            LogAttribute::ResponseFlags => Some((s.flags != Flags::default()).into()),
            LogAttribute::GrpcStatus => None,
            LogAttribute::MutualTls => Some(is_mutual(&s.conn)),
        }
    }

    fn value(&self, operator: Operator, out: &mut String) -> bool {
        use Operator as O;
        let s = self.0;
        match operator {
            O::StartTime => show(out, Utc::of_millis(s.start)),
            O::ResponseCode => show(out, 0),
            O::ResponseFlags => flags(out, &s.flags),
            O::ConnectionTerminationDetails => text_or_none(out, &s.termination),
            O::UpstreamTransportFailureReason => text_or_none(out, &s.transport_failure),
            O::BytesReceived => show(out, s.moved.a_to_b.get()),
            O::BytesSent => show(out, s.moved.b_to_a.get()),
            O::Duration => show(out, s.duration.as_millis()),
            O::UpstreamHost => s.upstream.as_ref().is_some_and(|u| show(out, &u.address)),
            O::UpstreamCluster => push(out, s.cluster.as_ref().map(|c| &*c.name)),
            O::UpstreamLocalAddress => s.upstream.as_ref().and_then(|u| u.local).is_some_and(|a| show(out, a)),
            O::DownstreamLocalAddress => show(out, s.conn.local),
            O::DownstreamRemoteAddress | O::DownstreamDirectRemoteAddress => show(out, s.conn.remote),
            O::RequestedServerName => push(out, s.conn.sni()),
            O::DownstreamPeerUriSan => push(out, s.conn.peer_uri()),
            O::DownstreamLocalUriSan => push(out, s.conn.secured.as_ref().map(|s| &*s.own).filter(|u| !u.is_empty())),
            O::UpstreamPeerUriSan => push(out, s.upstream.as_ref().and_then(|u| u.peer_uri())),
            O::RequestAttemptCount => show(out, u8::from(s.upstream.is_some())),
            O::Method
            | O::Path
            | O::Protocol
            | O::ResponseCodeDetails
            | O::UpstreamServiceTime
            | O::ForwardedFor
            | O::UserAgent
            | O::RequestId
            | O::Authority
            | O::RouteName
            | O::GrpcStatus => false,
        }
    }
}

fn push(out: &mut String, text: Option<&str>) -> bool {
    text.inspect(|t| out.push_str(t)).is_some()
}

fn show(out: &mut String, value: impl std::fmt::Display) -> bool {
    write!(out, "{value}").is_ok()
}

fn text_or_none(out: &mut String, text: &str) -> bool {
    out.push_str(text);
    !text.is_empty()
}

/// `-` is the value itself when there are no flags, in JSON too.
fn flags(out: &mut String, flags: &Flags) -> bool {
    show(out, flags)
}

fn header(out: &mut String, value: Option<&http::HeaderValue>) -> bool {
    value.inspect(|v| out.push_str(&String::from_utf8_lossy(v.as_bytes()))).is_some()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_become_another_value_or_line() {
        let check = |value: &str, want: &str| {
            let mut line = format!("\"before {value}");
            escape(&mut line, 8);
            assert_eq!(line, format!("\"before {want}"));
        };
        check("plain/1.0 (x; y)", "plain/1.0 (x; y)");
        check("zürich", "zürich");
        check("spiffe://a\r\n[2026] forged", "spiffe://a\\r\\n[2026] forged");
        check("a\" 200 - \"b", "a\\\" 200 - \\\"b");
        check("a\tb\u{1b}[0m\u{7f}\u{85}\u{2028}", "a\\tb\\u{1b}[0m\\u{7f}\\u{85}\\u{2028}");
    }

    /// A record whose every value is what a peer made up.
    struct Forged;

    impl Record for Forged {
        fn attribute(&self, _: LogAttribute) -> Option<i64> {
            None
        }

        fn value(&self, operator: Operator, out: &mut String) -> bool {
            out.push_str(if operator.is_number() { "1" } else { "a\n\"b\"\r" });
            true
        }
    }

    #[test]
    fn no_operator_and_no_format_lets_a_line_be_forged() {
        let mut line = String::new();
        text(&mut line, &Format::parse("").pieces, &Forged);
        assert_eq!((line.matches('\n').count(), line.contains('\r'), line.ends_with('\n')), (1, false, true), "{line}");
        let mut line = String::new();
        json(&mut line, &Forged);
        assert_eq!((line.matches('\n').count(), line.contains('\r')), (1, false), "{line}");
    }
}
