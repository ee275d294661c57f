//! The record of one request: begun before anything else, filled on the way, handed to the observer exactly once,
//! when it is dropped: after the last byte, a reset, a cancellation or a panic.
//!
//! No step on the path logs or counts; it writes a field here.

use crate::{
    body::Held,
    conn::{Connection, Upstream},
    connections::Activity,
    route::RouteMeta,
    snapshot::cluster::Cluster,
};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, uri::PathAndQuery};
use mesh_runtime::clock;
use std::{
    borrow::Cow,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// Reads finished exchanges; one a worker.
pub trait Sink {
    /// Called once for each exchange, at its end.
    fn record(&self, exchange: &Exchange);

    /// Whether [`Exchange::text`] is wanted (an access log is written). Asked once for each exchange.
    fn wants_text(&self) -> bool {
        false
    }
}

/// Forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Sink for Unobserved {
    fn record(&self, _exchange: &Exchange) {}
}

/// One request and its answer.
pub struct Exchange {
    sink: Rc<dyn Sink>,
    /// The connection it came on.
    pub conn: Rc<Connection>,
    /// The configuration that it was decided with; `None`: it never got that far.
    pub snapshot: Option<crate::snapshot::WorkerSnapshot>,
    /// When its head had been read.
    pub started: Instant,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`; `None`: the codec could not read it.
    pub protocol: Option<Version>,
    /// Content type `application/grpc`: status is in trailers, answers of our own have gRPC form.
    pub is_grpc: bool,
    /// The host as sent, with port. Kept when there is a log to write or no service's name to count under.
    pub authority: Option<HeaderValue>,
    /// What only a log needs; `None` unless [`Sink::wants_text`].
    pub text: Option<Box<Text>>,
    /// What the route table said.
    pub route: Option<Arc<RouteMeta>>,
    /// Where it went, or would have gone.
    pub cluster: Option<Arc<Cluster>>,
    /// The last upstream tried.
    pub upstream: Option<Rc<Upstream>>,
    /// Why the last connection could not be made, as said by the transport; empty: it could.
    pub transport_failure: Cow<'static, str>,
    /// Tries after the first that retry rules asked for.
    pub retries: u32,
    /// Tries after the first because the one before had certainly not been begun, or could be repeated safely.
    pub replays: u32,
    /// Some byte of the request may have reached an upstream.
    pub sent: bool,
    /// Sent to the client; `None`: nothing was.
    pub status: Option<StatusCode>,
    /// `grpc-status` of the answer: from trailers, else from headers.
    pub grpc_status: Option<u16>,
    /// What went wrong, in the order in which it did.
    pub flags: Flags,
    /// `response_code_details`; empty: not answered.
    pub details: Cow<'static, str>,
    /// Request head: names, values and the request line, as text.
    pub request_head_bytes: u64,
    /// Request body.
    pub request_body_bytes: u64,
    /// Answer's head.
    pub response_head_bytes: u64,
    /// Answer's body, as handed to the client's connection.
    pub response_body_bytes: u64,
    /// gRPC messages from the client.
    pub request_messages: u64,
    /// gRPC messages to the client.
    pub response_messages: u64,
    /// From the start until the whole request had been read.
    pub request_complete: Option<Duration>,
    /// From the end of the request (its start, if the answer came earlier) to the upstream's answer.
    pub service_time: Option<Duration>,
    /// From the start to the end.
    pub duration: Duration,
    /// The answer went out whole.
    pub complete: bool,
    /// It became a tunnel of raw bytes.
    pub upgraded: bool,
    /// The request's body, whose counts are read at the end.
    pub(crate) body: Option<Rc<Held>>,
    /// When it ended, where that was looked at already.
    pub(crate) ended: Option<Instant>,
    /// Keeps the connection from being taken for idle.
    pub(crate) activity: Option<Activity>,
}

/// What an access log prints of a request.
#[derive(Debug, Clone)]
pub struct Text {
    /// The time of day at the start.
    pub start: SystemTime,
    /// Method; `None`: none could be read.
    pub method: Option<Method>,
    /// Path and query as the client sent them.
    pub path: Option<PathAndQuery>,
    /// The target of a request that the codec could not read.
    pub unread: Option<Box<str>>,
    /// `user-agent`.
    pub user_agent: Option<HeaderValue>,
    /// `x-forwarded-for`, as forwarded.
    pub forwarded_for: Option<HeaderValue>,
    /// `x-request-id`, as forwarded.
    pub request_id: Option<HeaderValue>,
    /// The client as logs and rules know it (after `x-forwarded-for`); `None`: the direct peer.
    pub client: Option<std::net::IpAddr>,
}

impl Exchange {
    /// Begins the record.
    pub fn begin(sink: &Rc<dyn Sink>, conn: &Rc<Connection>, now: Instant) -> Box<Exchange> {
        Box::new(Exchange {
            sink: sink.clone(),
            conn: conn.clone(),
            snapshot: None,
            started: now,
            protocol: None,
            is_grpc: false,
            authority: None,
            text: None,
            route: None,
            cluster: None,
            upstream: None,
            transport_failure: Cow::Borrowed(""),
            retries: 0,
            replays: 0,
            sent: false,
            status: None,
            grpc_status: None,
            flags: Flags::default(),
            details: Cow::Borrowed(""),
            request_head_bytes: 0,
            request_body_bytes: 0,
            response_head_bytes: 0,
            response_body_bytes: 0,
            request_messages: 0,
            response_messages: 0,
            request_complete: None,
            service_time: None,
            duration: Duration::ZERO,
            complete: false,
            upgraded: false,
            body: None,
            ended: None,
            activity: None,
        })
    }

    /// Whether the observer wants [`Exchange::text`].
    pub fn wants_text(&self) -> bool {
        self.sink.wants_text()
    }

    /// `http`, or `grpc` where the request said so.
    pub fn request_protocol(&self) -> &'static str {
        if self.is_grpc { "grpc" } else { "http" }
    }

    /// The code as logs and metrics print it: 0 when nothing was sent.
    pub fn code(&self) -> u16 {
        self.status.map_or(0, |status| status.as_u16())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(clock::now);
        self.duration = now.saturating_duration_since(self.started);
        if let Some(body) = &self.body {
            self.request_body_bytes += body.bytes();
            self.request_messages = body.messages();
            self.request_complete = body.ended_at().map(|at| at.saturating_duration_since(self.started));
        }
        if let Some(activity) = &mut self.activity {
            activity.end(now, self.body.as_ref());
        }
        if !self.complete && self.flags.is_empty() {
            self.flags.set(Flag::DownstreamDisconnect);
            self.details = Cow::Borrowed("downstream_remote_disconnect");
        }
        self.sink.record(self);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("status", &self.status)
            .field("flags", &self.flags)
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

/// Bytes of a head as text: `name: value\r\n` for each field, and the empty line.
pub fn head_bytes(headers: &HeaderMap) -> u64 {
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    fields as u64 + 2
}

/// The gRPC status in a header or trailer block.
pub fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok())
}

/// What went wrong, as response flags of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `NR`
    NoRoute,
    /// `NC`
    NoCluster,
    /// `UH`
    NoHealthyUpstream,
    /// `UF`
    UpstreamConnectFailure,
    /// `UC`
    UpstreamConnectionTermination,
    /// `UR`
    UpstreamRemoteReset,
    /// `UPE`
    UpstreamProtocolError,
    /// `UO`
    UpstreamOverflow,
    /// `UT`
    UpstreamTimeout,
    /// `URX`
    UpstreamRetryLimit,
    /// `DC`
    DownstreamDisconnect,
    /// `DPE`
    DownstreamProtocolError,
    /// `DT`
    DownstreamDuration,
    /// `SI`
    StreamIdle,
    /// `DF`
    DnsFailure,
}

impl Flag {
    /// The letters that logs and metrics print.
    pub fn as_str(self) -> &'static str {
        match self {
            Flag::NoRoute => "NR",
            Flag::NoCluster => "NC",
            Flag::NoHealthyUpstream => "UH",
            Flag::UpstreamConnectFailure => "UF",
            Flag::UpstreamConnectionTermination => "UC",
            Flag::UpstreamRemoteReset => "UR",
            Flag::UpstreamProtocolError => "UPE",
            Flag::UpstreamOverflow => "UO",
            Flag::UpstreamTimeout => "UT",
            Flag::UpstreamRetryLimit => "URX",
            Flag::DownstreamDisconnect => "DC",
            Flag::DownstreamProtocolError => "DPE",
            Flag::DownstreamDuration => "DT",
            Flag::StreamIdle => "SI",
            Flag::DnsFailure => "DF",
        }
    }
}

/// Flags in the order in which they were set, each once; at most six are kept.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags {
    set: [Option<Flag>; 6],
}

impl Flags {
    /// Adds a flag unless it is there.
    pub fn set(&mut self, flag: Flag) {
        for place in &mut self.set {
            match place {
                Some(there) if *there == flag => return,
                Some(_) => {}
                None => {
                    *place = Some(flag);
                    return;
                }
            }
        }
    }

    /// Whether nothing went wrong.
    pub fn is_empty(&self) -> bool {
        self.set[0].is_none()
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: Flag) -> bool {
        self.set.contains(&Some(flag))
    }

    /// In the order in which they were set.
    pub fn iter(&self) -> impl Iterator<Item = Flag> {
        self.set.into_iter().flatten()
    }
}

impl fmt::Display for Flags {
    /// `-`, or letters joined by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (position, flag) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            f.write_str(flag.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_printed_in_the_order_in_which_they_were_set() {
        let mut flags = Flags::default();
        assert_eq!(flags.to_string(), "-");
        flags.set(Flag::UpstreamRetryLimit);
        flags.set(Flag::UpstreamConnectFailure);
        flags.set(Flag::UpstreamRetryLimit);
        assert_eq!(flags.to_string(), "URX,UF");
        assert!(flags.has(Flag::UpstreamConnectFailure) && !flags.has(Flag::NoRoute));
    }
}
