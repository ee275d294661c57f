//! What all requests of one worker share.

use super::filters;
use crate::{
    connections::{Connections, Wish},
    decide::{self, Ask, Fetch},
    exchange::Sink,
    live::{Asked, Live},
    snapshot::{Snapshot, WorkerSnapshot},
    upstream::Upstreams,
};
use mesh_runtime::{
    clock,
    snapshot::{Cached, Reader},
};
use std::{cell::RefCell, future::Future, pin::Pin, rc::Rc, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a call waits for whose address it is made to, a part of what it waits for details: pilot answers within a
/// round trip, and what is called is hardly ever a workload, so that nobody should notice when pilot is away.
pub const WHOSE: Duration = Duration::from_millis(250);

/// Has configuration fetched.
pub trait Demand {
    /// Completes when it is in the published snapshot, or it is known that there is none; with `false` when it is not
    /// to be had. May never complete: the wait is bounded here.
    fn need(&self, ask: &Ask) -> Pin<Box<dyn Future<Output = bool>>>;
}

/// All that the requests of one worker share.
pub struct Requests {
    snapshots: RefCell<Cached<Snapshot>>,
    changes: Reader<Snapshot>,
    current: RefCell<WorkerSnapshot>,
    /// Live state of clusters.
    pub upstreams: Upstreams,
    /// Where records go.
    pub sink: Rc<dyn Sink>,
    /// Has more of it fetched.
    pub demand: Rc<dyn Demand>,
    /// The worker's HTTP connections.
    pub connections: Rc<Connections>,
    /// Opaque connections and tunnels that are being carried.
    pub live: Rc<Live>,
    pub(super) filters: filters::Cache,
}

/// Fetches for the one who waits, until a moment.
pub struct Fetching<'a> {
    requests: &'a Requests,
    until: Instant,
}

impl Fetch for Fetching<'_> {
    type Held = WorkerSnapshot;

    fn newest(&self) -> WorkerSnapshot {
        self.requests.snapshot()
    }

    async fn fetch(&mut self, ask: &Ask) -> bool {
        let until = match ask {
            Ask::Details(_) => self.until,
            Ask::Workload(_) => self.until.min(clock::now() + WHOSE),
        };
        let in_time = tokio::time::timeout_at(until, self.requests.demand.need(ask)).await.unwrap_or(false);
        // Others run before it is looked at again: what is said to be here may not be yet.
        tokio::task::yield_now().await;
        in_time
    }
}

impl Requests {
    /// Those of a worker without connections.
    pub fn new(
        snapshots: &Reader<Snapshot>,
        upstreams: Upstreams,
        sink: Rc<dyn Sink>,
        demand: Rc<dyn Demand>,
        connections: Connections,
    ) -> Rc<Self> {
        let mut cached = snapshots.cached();
        let current = Rc::new(cached.load().clone());
        Rc::new(Requests {
            snapshots: RefCell::new(cached),
            changes: snapshots.clone(),
            current: RefCell::new(current),
            upstreams,
            sink,
            demand,
            connections: Rc::new(connections),
            live: Rc::default(),
            filters: filters::Cache::default(),
        })
    }

    /// The newest snapshot, counted in this worker only.
    pub fn snapshot(&self) -> WorkerSnapshot {
        let mut cached = self.snapshots.borrow_mut();
        let newest = cached.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current) {
            *current = Rc::new(newest.clone());
        }
        current.clone()
    }

    /// Whether it is known what holds for the workload. Until it is nothing is carried: the first configuration is waited
    /// for, but no longer than this.
    pub async fn configured(&self, patience: Duration) -> bool {
        let mut changes = self.changes.fresh();
        let known = async {
            while changes.get().local().is_none() {
                if changes.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(patience, known).await.unwrap_or(false)
    }

    /// Has more of the configuration fetched, but waits no longer than this.
    pub fn fetching(&self, patience: Duration) -> Fetching<'_> {
        Fetching { requests: self, until: clock::now() + patience }
    }

    /// The configuration has changed: what is open is held against it. Bytes that are carried end at once where they may
    /// not go on; connections that could not be opened any more end when the requests on them have.
    pub fn look_again(&self) {
        self.live.ask(Asked { look: true, ..Asked::default() });
        let snapshot = self.snapshot();
        self.connections.finish_unless(|conn| decide::stands(&snapshot, &conn.caller()).is_ok());
    }

    /// What has to be done from time to time: idle connections end, on both sides. Once a second is right.
    pub fn tick(&self, now: Instant) {
        self.upstreams.sweep(now);
        self.connections.sweep(now);
    }

    /// The next answer on each connection is its last; connections that wait for a request go on waiting.
    pub fn drain(&self) {
        self.connections.ask_all(Wish::Last);
    }

    /// As [`Requests::finish`], but the application's own connections go on: it may need others to answer.
    pub fn finish_arrived(&self) {
        self.connections.ask_arrived(Wish::Finish);
    }

    /// Requests that run may end, connections without one end now.
    pub fn finish(&self) {
        self.connections.ask_all(Wish::Finish);
    }

    /// Connections end now, and the requests on them.
    pub fn end(&self) {
        self.connections.ask_all(Wish::End);
    }
}
