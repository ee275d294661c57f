//! What all requests of one worker share.

use super::filters;
use crate::{
    connections::{Connections, Wish},
    exchange::Sink,
    snapshot::{Snapshot, WorkerSnapshot},
    upstream::Upstreams,
};
use mesh_config::model::ServiceKey;
use mesh_runtime::snapshot::{Cached, Reader};
use std::{cell::RefCell, future::Future, pin::Pin, rc::Rc, sync::Arc};
use tokio::time::Instant;

/// Asks for the details of a service.
pub trait Demand {
    /// Completes when they are in the published snapshot, or it is known that there are none. May never complete:
    /// the wait is bounded here.
    fn need(&self, service: &ServiceKey) -> Pin<Box<dyn Future<Output = ()>>>;
}

/// All that the requests of one worker share.
pub struct Requests {
    snapshots: RefCell<Cached<Snapshot>>,
    current: RefCell<WorkerSnapshot>,
    /// Live state of clusters.
    pub upstreams: Upstreams,
    /// Where records go.
    pub sink: Rc<dyn Sink>,
    /// Asks for details.
    pub demand: Rc<dyn Demand>,
    /// The worker's HTTP connections.
    pub connections: Rc<Connections>,
    pub(super) filters: filters::Cache,
}

impl Requests {
    /// Those of a worker without connections.
    pub fn new(
        snapshots: &Reader<Snapshot>,
        upstreams: Upstreams,
        sink: Rc<dyn Sink>,
        demand: Rc<dyn Demand>,
    ) -> Rc<Self> {
        let mut cached = snapshots.cached();
        let current = Rc::new(cached.load().clone());
        Rc::new(Requests {
            snapshots: RefCell::new(cached),
            current: RefCell::new(current),
            upstreams,
            sink,
            demand,
            connections: Rc::default(),
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
