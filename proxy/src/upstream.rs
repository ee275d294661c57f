//! The live side of clusters, one worker's: connections, who is busy, who may be picked. Made when a cluster is first
//! used, brought up to date by comparing pointers, never shared with another worker but for the counts in
//! [`shared`].

pub mod acquire;
pub mod balance;
pub mod cluster;
pub mod connect;
pub mod dns;
pub mod endpoint;
pub mod failure;
pub mod idle;
pub mod io;
pub mod lease;
mod pool;
mod secure;
pub mod shared;

pub use acquire::{StreamGuards, StreamLease, Want};
pub use cluster::WorkerCluster;
pub use connect::{Connector, Dial, Source};
pub use lease::Lease;
pub use shared::Shared;

use crate::snapshot::cluster::{Cluster, ClusterId};
use mesh_runtime::clock;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A cluster without connections that no request used so long is forgotten.
const FORGET: Duration = Duration::from_secs(600);
/// How often learned idle limits are relaxed.
const RELAX: Duration = Duration::from_secs(60);

/// All clusters that one worker uses.
pub struct Upstreams {
    shared: Arc<Shared>,
    connector: Connector,
    clusters: RefCell<Vec<Option<Rc<WorkerCluster>>>>,
    rng: RefCell<fastrand::Rng>,
    relaxed: Cell<Instant>,
}

impl Upstreams {
    /// With nothing in it.
    pub fn new(shared: Arc<Shared>, connector: Connector) -> Self {
        Upstreams {
            shared,
            connector,
            clusters: RefCell::default(),
            rng: RefCell::new(fastrand::Rng::new()),
            relaxed: Cell::new(clock::now()),
        }
    }

    /// The live side of a cluster, up to date.
    pub fn cluster(&self, cluster: &Arc<Cluster>, now: Instant) -> Rc<WorkerCluster> {
        let index = cluster.id.0 as usize;
        let known = self.clusters.borrow().get(index).cloned().flatten();
        if let Some(known) = known
            && known.refresh(cluster, self)
        {
            known.last_used.set(now);
            return known;
        }
        let new = WorkerCluster::new(cluster, self, now);
        let mut clusters = self.clusters.borrow_mut();
        if clusters.len() <= index {
            clusters.resize_with(index + 1, || None);
        }
        clusters[index] = Some(new.clone());
        new
    }

    /// Random numbers for this worker.
    pub fn draw(&self) -> u64 {
        self.rng.borrow_mut().u64(..)
    }

    /// Forgets clusters that are gone.
    pub fn retire(&self, gone: &[ClusterId]) {
        let mut clusters = self.clusters.borrow_mut();
        for id in gone {
            if let Some(place) = clusters.get_mut(id.0 as usize) {
                *place = None;
            }
        }
    }

    /// Closes connections that idled too long, forgets clusters that nobody uses. Once a second is right.
    pub fn sweep(&self, now: Instant) {
        let relax = now.saturating_duration_since(self.relaxed.get()) >= RELAX;
        if relax {
            self.relaxed.set(now);
        }
        for place in self.clusters.borrow_mut().iter_mut() {
            let Some(cluster) = place else { continue };
            let busy = cluster.sweep(now, relax);
            if !busy && now.saturating_duration_since(cluster.last_used.get()) > FORGET {
                *place = None;
            }
        }
    }
}
