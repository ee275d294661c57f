//! Consumers of finished records; nobody else counts or logs.
//!
//! One [`Observer`] a worker. What it computes for a connection or upstream it keeps with them, so that a request
//! costs a short look-up and a few additions.

pub mod access_log;
pub mod format;
pub mod labels;
pub mod metrics;
pub mod peers;
pub mod stream;

use crate::{
    exchange::{Exchange, Sink},
    snapshot::{Snapshot, logs::Logs},
};
use access_log::AccessLog;
use labels::Reporter;
use metrics::{Outcome, RequestSeries, Standard, StreamSeries};
use peers::Peers;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};
use stream::Stream;

/// Series that a worker keeps outside of connections before it starts over.
const MOST_LOOSE: usize = 1024;

/// Writes metrics and the access log of one worker.
pub struct Observer {
    metrics: Arc<Standard>,
    peers: Arc<Peers>,
    log: RefCell<AccessLog>,
    logs: Cell<bool>,
    /// Series of requests that reached no upstream, by label values.
    loose: RefCell<HashMap<Vec<String>, Rc<RequestSeries>>>,
    /// Series of opaque connections, by label values.
    streams: RefCell<HashMap<Vec<String>, Rc<StreamSeries>>>,
}

/// Series kept with an upstream or a connection: few, so a scan is the fastest look-up.
struct Kept {
    generation: u64,
    cluster: Option<u32>,
    series: RefCell<Vec<(Outcome, Rc<RequestSeries>)>>,
}

impl Observer {
    /// An observer that counts into `metrics`.
    pub fn new(metrics: Arc<Standard>, peers: Arc<Peers>, log: AccessLog) -> Self {
        Observer {
            metrics,
            peers,
            log: RefCell::new(log),
            logs: Cell::new(false),
            loose: RefCell::default(),
            streams: RefCell::default(),
        }
    }

    /// Takes over another configuration. Before the workload is known MeshConfig's log is in force.
    pub fn configure(&self, snapshot: &Snapshot) {
        match snapshot.local() {
            Some(local) => self.log.borrow_mut().configure(&local.logs),
            None => self.log.borrow_mut().configure(&Logs::of_mesh(&snapshot.settings)),
        }
        self.logs.set(self.log.borrow().is_on());
    }

    /// Hands what the access log has collected to its writer.
    pub fn flush(&self) {
        self.log.borrow_mut().flush();
    }

    /// Whose addresses are known to be whose.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// A TCP connection has begun: counted when its peer is known, at the latest at its end.
    pub fn stream(&self, stream: &Stream, closed: bool) {
        let values = labels::of_stream(Reporter::of(stream.conn.direction), stream, &self.peers);
        let known = self.streams.borrow().get(&values).cloned();
        let series = known.unwrap_or_else(|| {
            let series = Rc::new(self.metrics.stream_series(&values));
            keep(&self.streams, values, &series);
            series
        });
        series.record(stream, closed);
        if closed && self.logs.get() {
            self.log.borrow_mut().write_stream(stream);
        }
    }

    /// A connection was closed before it was anything: a line of the access log, no series.
    pub fn not_accepted(&self, stream: &Stream) {
        if self.logs.get() {
            self.log.borrow_mut().write_stream(stream);
        }
    }

    /// The series of an exchange: kept with its upstream on the client's side, with its connection on the server's.
    fn series(&self, exchange: &Exchange) -> Rc<RequestSeries> {
        let reporter = Reporter::of(exchange.conn.direction);
        let memo = match (reporter, &exchange.upstream) {
            (Reporter::Destination, _) => &exchange.conn.memo,
            (Reporter::Source, Some(upstream)) => &upstream.memo,
            (Reporter::Source, None) => return self.loose_series(reporter, exchange),
        };
        let (generation, cluster) = (self.peers.generation(), exchange.cluster.as_ref().map(|c| c.id.0));
        let current = |kept: &Rc<Kept>| kept.generation == generation && kept.cluster == cluster;
        let kept = memo.get::<Kept>().filter(current).unwrap_or_else(|| {
            let fresh = Rc::new(Kept { generation, cluster, series: RefCell::default() });
            memo.set(fresh.clone());
            fresh
        });
        let outcome = Outcome::of(exchange);
        if let Some((_, series)) = kept.series.borrow().iter().find(|(o, _)| *o == outcome) {
            return series.clone();
        }
        let series = self.loose_series(reporter, exchange);
        kept.series.borrow_mut().push((outcome, series.clone()));
        series
    }

    fn loose_series(&self, reporter: Reporter, exchange: &Exchange) -> Rc<RequestSeries> {
        let values = labels::of_request(reporter, exchange, &self.peers);
        if let Some(series) = self.loose.borrow().get(&values) {
            return series.clone();
        }
        let series = Rc::new(self.metrics.request_series(&values));
        keep(&self.loose, values, &series);
        series
    }
}

/// Remembers handles by their label values; starts over when there are too many.
fn keep<T>(known: &RefCell<HashMap<Vec<String>, Rc<T>>>, values: Vec<String>, series: &Rc<T>) {
    let mut known = known.borrow_mut();
    if known.len() >= MOST_LOOSE {
        known.clear();
    }
    known.insert(values, series.clone());
}

impl Sink for Observer {
    fn record(&self, exchange: &Exchange) {
        self.series(exchange).record(exchange);
        if self.logs.get() {
            self.log.borrow_mut().write(exchange);
        }
    }

    fn wants_text(&self) -> bool {
        self.logs.get()
    }
}
