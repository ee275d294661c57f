//! Connections of one worker to one endpoint: idle HTTP/1 connections, the youngest used first, and HTTP/2
//! connections that requests share.

use super::io::Meter;
use crate::{
    body::RequestBody,
    conn::Upstream,
    limit::{Connections, Held},
};
use hyper::client::conn::{http1, http2};
use mesh_runtime::clock;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
};
use tokio::{sync::oneshot, time::Instant};

/// One HTTP/1 connection.
pub(super) struct H1 {
    pub(super) sender: http1::SendRequest<RequestBody>,
    pub(super) meter: Arc<Meter>,
    pub(super) upstream: Rc<Upstream>,
    pub(super) facts: Facts,
    pub(super) served: u32,
}

/// One HTTP/2 connection.
pub(super) struct H2 {
    pub(super) sender: RefCell<http2::SendRequest<RequestBody>>,
    pub(super) upstream: Rc<Upstream>,
    pub(super) facts: Facts,
    pub(super) served: Cell<u32>,
    /// Streams now.
    pub(super) active: Rc<Cell<u32>>,
    /// Streams that the upstream lets us have.
    pub(super) allowed: Rc<Cell<usize>>,
    pub(super) idle_since: Cell<Instant>,
}

/// What decides whether a connection may still be used.
pub(super) struct Facts {
    /// The name that the server was asked for, where the request's host decides it.
    pub(super) server_name: Option<Arc<str>>,
    /// Of the cluster's TLS settings when it was made.
    pub(super) generation: u32,
    pub(super) created: Instant,
    pub(super) slot: Slot,
}

impl H2 {
    pub(super) fn enter(&self) {
        self.active.set(self.active.get() + 1);
        self.served.set(self.served.get().saturating_add(1));
    }

    pub(super) fn leave(&self) {
        self.active.set(self.active.get().saturating_sub(1));
        if self.active.get() == 0 {
            self.idle_since.set(clock::now());
        }
        self.facts.slot.slots.wake_one();
    }
}

/// The connections that this worker has to a cluster, and who waits for one.
#[derive(Default)]
pub(super) struct Slots {
    own: Cell<u32>,
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
}

impl Slots {
    /// Connections of this worker.
    pub(super) fn own(&self) -> u32 {
        self.own.get()
    }

    /// Completes when a connection became free or ended.
    pub(super) fn wait(&self) -> oneshot::Receiver<()> {
        let (tx, rx) = oneshot::channel();
        self.waiting.borrow_mut().push_back(tx);
        rx
    }

    pub(super) fn wake_one(&self) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        while let Some(next) = waiting.pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
    }
}

/// Counts one connection of a cluster, here and in the process.
pub(super) struct Slot {
    pub(super) slots: Rc<Slots>,
    _counted: Held<Connections>,
}

impl Slot {
    pub(super) fn new(slots: &Rc<Slots>, counted: Held<Connections>) -> Self {
        slots.own.set(slots.own.get() + 1);
        Slot { slots: slots.clone(), _counted: counted }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.own.set(self.slots.own.get() - 1);
        self.slots.wake_one();
    }
}
