//! The standard metrics. Handles are looked up once for each label set and kept; a request then costs one counter
//! and three histograms.

use super::{labels, stream::Stream};
use crate::exchange::{Exchange, Flags};
use mesh_runtime::telemetry::metrics::{RegisterError, Registry};
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};
use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Envoy's default buckets.
const BUCKETS: [f64; 19] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0, 60000.0, 300000.0,
    600000.0, 1800000.0, 3600000.0,
];

/// Label sets before all further ones are counted together as `other`: clients choose hosts, and so labels.
const MOST_SETS: usize = 10_000;

/// The process's standard metrics.
#[derive(Debug)]
pub struct Standard {
    requests: IntCounterVec,
    duration: HistogramVec,
    request_bytes: HistogramVec,
    response_bytes: HistogramVec,
    request_messages: IntCounterVec,
    response_messages: IntCounterVec,
    opened: IntCounterVec,
    closed: IntCounterVec,
    sent: IntCounterVec,
    received: IntCounterVec,
    sets: Mutex<HashSet<u64>>,
}

/// The part of a label set that differs between requests to one upstream or on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    code: u16,
    is_grpc: bool,
    grpc_status: Option<u16>,
    flags: Flags,
}

impl Outcome {
    /// Of a finished exchange.
    pub fn of(exchange: &Exchange) -> Self {
        Outcome {
            code: exchange.code(),
            is_grpc: exchange.is_grpc,
            grpc_status: exchange.grpc_status,
            flags: exchange.flags,
        }
    }
}

/// The handles of one label set.
#[derive(Debug)]
pub struct RequestSeries {
    requests: IntCounter,
    duration: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
    messages: Option<(IntCounter, IntCounter)>,
}

impl RequestSeries {
    /// Counts one exchange.
    pub fn record(&self, exchange: &Exchange) {
        self.requests.inc();
        self.duration.observe(exchange.duration.as_millis() as f64);
        self.request_bytes.observe((exchange.request_head_bytes + exchange.request_body_bytes) as f64);
        self.response_bytes.observe((exchange.response_head_bytes + exchange.response_body_bytes) as f64);
        if let Some((request, response)) = &self.messages {
            request.inc_by(exchange.request_messages);
            response.inc_by(exchange.response_messages);
        }
    }
}

/// The handles of one label set of connections.
#[derive(Debug)]
pub struct StreamSeries {
    opened: IntCounter,
    closed: IntCounter,
    sent: IntCounter,
    received: IntCounter,
}

impl StreamSeries {
    /// Counts what a connection has moved since the last time; its opening the first time, its end when `closed`.
    pub fn record(&self, stream: &Stream, closed: bool) {
        if !stream.opened.replace(true) {
            self.opened.inc();
        }
        let now = (stream.moved.a_to_b.get(), stream.moved.b_to_a.get());
        let before = stream.reported.replace(now);
        self.received.inc_by(now.0 - before.0);
        self.sent.inc_by(now.1 - before.1);
        if closed {
            self.closed.inc();
        }
    }
}

impl Standard {
    /// Registers all of them.
    ///
    /// # Errors
    /// When one of the names is taken.
    pub fn new(registry: &Registry) -> Result<Arc<Self>, RegisterError> {
        let request_labels: Vec<&str> = labels::COMMON.into_iter().chain(labels::REQUEST).collect();
        let counter = |name: &str, help: &str, names: &[&str]| {
            registry.register(IntCounterVec::new(Opts::new(name, help), names)?)
        };
        let histogram = |name: &str, help: &str| {
            let opts = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            registry.register(HistogramVec::new(opts, &request_labels)?)
        };
        let messages = &labels::COMMON[..labels::MESSAGES];
        let tcp = &labels::COMMON[..];
        Ok(Arc::new(Standard {
            requests: counter("istio_requests_total", "Requests, at their end.", &request_labels)?,
            duration: histogram("istio_request_duration_milliseconds", "From the request's head to its end.")?,
            request_bytes: histogram("istio_request_bytes", "Size of requests, heads included.")?,
            response_bytes: histogram("istio_response_bytes", "Size of responses, heads included.")?,
            request_messages: counter("istio_request_messages_total", "gRPC messages from clients.", messages)?,
            response_messages: counter("istio_response_messages_total", "gRPC messages to clients.", messages)?,
            opened: counter("istio_tcp_connections_opened_total", "TCP connections opened.", tcp)?,
            closed: counter("istio_tcp_connections_closed_total", "TCP connections closed.", tcp)?,
            sent: counter("istio_tcp_sent_bytes_total", "Bytes to the downstream of TCP connections.", tcp)?,
            received: counter("istio_tcp_received_bytes_total", "Bytes from the downstream of TCP connections.", tcp)?,
            sets: Mutex::default(),
        }))
    }

    /// The handles for these values ([`labels::COMMON`], then [`labels::REQUEST`]).
    pub fn request_series(&self, values: &[String]) -> RequestSeries {
        let values = self.bounded(values);
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let grpc = values[labels::MESSAGES] == "grpc";
        RequestSeries {
            requests: self.requests.with_label_values(&texts),
            duration: self.duration.with_label_values(&texts),
            request_bytes: self.request_bytes.with_label_values(&texts),
            response_bytes: self.response_bytes.with_label_values(&texts),
            messages: grpc.then(|| {
                let texts = &texts[..labels::MESSAGES];
                (self.request_messages.with_label_values(texts), self.response_messages.with_label_values(texts))
            }),
        }
    }

    /// The handles for these values ([`labels::COMMON`]).
    pub fn stream_series(&self, values: &[String]) -> StreamSeries {
        let values = self.bounded(values);
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        StreamSeries {
            opened: self.opened.with_label_values(&texts),
            closed: self.closed.with_label_values(&texts),
            sent: self.sent.with_label_values(&texts),
            received: self.received.with_label_values(&texts),
        }
    }

    /// The values themselves, or all `other` once there are too many sets. Only look-ups that are not kept come here.
    fn bounded(&self, values: &[String]) -> Vec<String> {
        let mut hasher = std::hash::DefaultHasher::new();
        values.hash(&mut hasher);
        let hash = hasher.finish();
        let mut sets = self.sets.lock();
        if sets.len() < MOST_SETS || sets.contains(&hash) {
            sets.insert(hash);
            return values.to_vec();
        }
        values.iter().map(|_| "other".to_owned()).collect()
    }
}
