//! The access log: one line a request or connection, in Istio's text form or as JSON.
//!
//! Lines collect in a buffer of the worker; a writer thread of the process appends whole buffers. When the writer
//! cannot keep up, buffers are dropped and the loss is logged: traffic never waits for a log.

use super::{
    format::{Format, JSON, Operator, Piece},
    stream::Stream,
};
use crate::exchange::{Exchange, Flags};
use http::Version;
use mesh_config::model::settings::{AccessLog as Settings, AccessLogEncoding};
use mesh_runtime::clock;
use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A buffer this large is handed over without waiting for the next flush.
const FULL: usize = 64 * 1024;
/// Buffers that may wait for the writer.
const QUEUE: usize = 64;

/// One buffer for one file.
type Batch = (Arc<str>, Vec<u8>);

/// Appends buffers to files, on a thread of its own.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: SyncSender<Batch>,
}

impl Writer {
    /// Starts the thread; it ends when the last clone is dropped and everything is written.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start() -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, batches) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || write_all(&batches))?;
        Ok((Writer { queue }, thread))
    }
}

fn write_all(batches: &Receiver<Batch>) {
    let mut files: HashMap<Arc<str>, Option<std::fs::File>> = HashMap::new();
    for (path, bytes) in batches {
        let written = match &*path {
            "/dev/stdout" => std::io::stdout().write_all(&bytes),
            "/dev/stderr" => std::io::stderr().write_all(&bytes),
            _ => match files.entry(path.clone()).or_insert_with(|| open(&path)) {
                Some(file) => file.write_all(&bytes),
                None => Ok(()),
            },
        };
        if let Err(error) = written {
            tracing::warn!(%path, %error, "access log lines are lost");
        }
    }
}

fn open(path: &str) -> Option<std::fs::File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.inspect_err(|error| tracing::error!(%path, %error, "cannot open the access log: nothing is written")).ok()
}

/// A worker's log.
#[derive(Debug)]
pub struct AccessLog {
    writer: Writer,
    settings: Settings,
    format: Format,
    path: Arc<str>,
    buffer: Vec<u8>,
    lost: u64,
}

impl AccessLog {
    /// Off until configured.
    pub fn new(writer: Writer) -> Self {
        AccessLog {
            writer,
            settings: Settings::default(),
            format: Format::parse(""),
            path: "".into(),
            buffer: Vec::new(),
            lost: 0,
        }
    }

    /// Whether lines are written.
    pub fn is_on(&self) -> bool {
        !self.path.is_empty()
    }

    /// Takes over new settings.
    pub fn configure(&mut self, settings: &Settings) {
        if self.settings == *settings {
            return;
        }
        self.flush();
        self.format = Format::parse(&settings.format);
        if !self.format.unknown.is_empty() {
            tracing::warn!(operators = ?self.format.unknown, "access log operators that are not supported print a dash");
        }
        self.path = settings.file.clone();
        self.settings = settings.clone();
    }

    /// Writes a request's line.
    pub fn write(&mut self, exchange: &Exchange) {
        self.line(&RequestLine(exchange));
    }

    /// Writes a connection's line.
    pub fn write_stream(&mut self, stream: &Stream) {
        self.line(&StreamLine(stream));
    }

    /// Hands the buffer to the writer.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.buffer);
        if self.writer.queue.try_send((self.path.clone(), lines)).is_err() {
            self.lost += 1;
            if self.lost.is_power_of_two() {
                tracing::warn!(buffers = self.lost, "the access log's writer is behind: lines are lost");
            }
        }
    }

    fn line(&mut self, record: &dyn Record) {
        let mut line = String::with_capacity(512);
        match self.settings.encoding {
            AccessLogEncoding::Text => text(&mut line, &self.format, record),
            AccessLogEncoding::Json => json(&mut line, record),
        }
        self.buffer.extend_from_slice(line.as_bytes());
        if self.buffer.len() >= FULL {
            self.flush();
        }
    }
}

/// What a line is made of.
trait Record {
    /// Appends a value; `false`: there is none.
    fn value(&self, operator: Operator, out: &mut String) -> bool;
}

fn text(line: &mut String, format: &Format, record: &dyn Record) {
    for piece in &format.pieces {
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
        value.clear();
        match record.value(*operator, &mut value) {
            false => line.push_str("null"),
            true if operator.is_number() => line.push_str(&value),
            true => line.push_str(&serde_json::Value::from(value.as_str()).to_string()),
        }
    }
    line.push_str("}\n");
}

struct RequestLine<'a>(&'a Exchange);

impl Record for RequestLine<'_> {
    fn value(&self, operator: Operator, out: &mut String) -> bool {
        use Operator as O;
        let (e, log) = (self.0, self.0.text.as_deref());
        match operator {
            O::StartTime => timestamp(out, log.map_or_else(|| clock::system_now() - e.duration, |l| l.start)),
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

impl Record for StreamLine<'_> {
    fn value(&self, operator: Operator, out: &mut String) -> bool {
        use Operator as O;
        let s = self.0;
        match operator {
            O::StartTime => timestamp(out, s.start),
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

/// `2026-11-21T04:22:14.458Z`.
pub(crate) fn timestamp(out: &mut String, time: SystemTime) -> bool {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = ((since.as_secs() / 86_400) as i64, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let millis = since.subsec_millis();
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z").is_ok()
}

/// Days since 1970-01-01 as year, month, day: counted in eras of 400 years that begin in March, so that the leap day
/// is the last of its year.
fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u64, day as u64)
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
        fn value(&self, operator: Operator, out: &mut String) -> bool {
            out.push_str(if operator.is_number() { "1" } else { "a\n\"b\"\r" });
            true
        }
    }

    #[test]
    fn no_operator_and_no_format_lets_a_line_be_forged() {
        let mut line = String::new();
        text(&mut line, &Format::parse(""), &Forged);
        assert_eq!((line.matches('\n').count(), line.contains('\r'), line.ends_with('\n')), (1, false, true), "{line}");
        let mut line = String::new();
        json(&mut line, &Forged);
        assert_eq!((line.matches('\n').count(), line.contains('\r')), (1, false), "{line}");
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        for (seconds, millis, want) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, 5, "2000-02-29T00:00:00.005Z"),
            (1_795_235_799, 458, "2026-11-21T04:36:39.458Z"),
        ] {
            let mut out = String::new();
            timestamp(&mut out, UNIX_EPOCH + Duration::new(seconds, millis * 1_000_000));
            assert_eq!(out, want);
        }
    }
}
