//! One endpoint as a worker sees it: its connections, how long they may idle, how busy it is.

use super::{
    balance::Candidate,
    idle::IdleLimit,
    pool::{H1, H2},
};
use crate::{
    conn::PeerAddress,
    limit::{Gauge, Held, Load},
    snapshot::workloads::Callee,
};
use mesh_runtime::clock;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// How long others are picked once nobody took a connection somewhere: longer than pilot needs to tell that a pod ends.
const PASSED_OVER: Duration = Duration::from_secs(1);

/// An endpoint with its connections.
pub struct Host {
    /// Where it is.
    pub address: PeerAddress,
    /// Who is there, as pilot says; `None` for the application and for who is not known.
    pub callee: Option<Callee>,
    load: Load,
    idle: RefCell<Vec<Idle>>,
    idle_limit: Cell<IdleLimit>,
    /// Until when others are picked, where there are others.
    passed_over: Cell<Option<Instant>>,
    pub(super) h2: RefCell<Vec<Rc<H2>>>,
    /// Who waits for the HTTP/2 connection that is being made; `None`: none is.
    pub(super) connecting: RefCell<Option<Vec<oneshot::Sender<()>>>>,
}

struct Idle {
    connection: Box<H1>,
    since: Instant,
}

/// An endpoint and its share.
pub(super) struct Member {
    pub(super) host: Rc<Host>,
    pub(super) weight: u32,
}

impl Candidate for Member {
    fn weight(&self) -> u32 {
        self.weight
    }

    fn active(&self) -> u32 {
        self.host.load.0.get()
    }
}

/// Which connections may be taken.
pub(super) struct Wanted<'a> {
    pub(super) now: Instant,
    pub(super) generation: u32,
    pub(super) server_name: Option<&'a Arc<str>>,
    pub(super) idle_timeout: Duration,
    pub(super) max_requests: Option<u32>,
    pub(super) max_age: Option<Duration>,
}

impl Host {
    pub(super) fn new(address: PeerAddress, callee: Option<Callee>, load: Load) -> Rc<Self> {
        Rc::new(Host {
            address,
            callee,
            load,
            idle: RefCell::default(),
            idle_limit: Cell::default(),
            passed_over: Cell::default(),
            h2: RefCell::default(),
            connecting: RefCell::new(None),
        })
    }

    /// Requests it has now, from all workers.
    pub fn active(&self) -> u32 {
        self.load.0.get()
    }

    /// Nobody takes connections there just now. An application that ends does so at once, while the word of it is on its way.
    pub fn pass_over(&self) {
        self.passed_over.set(Some(clock::now() + PASSED_OVER));
    }

    /// Whether that was a moment ago.
    pub(super) fn is_passed_over(&self) -> bool {
        let Some(until) = self.passed_over.get() else { return false };
        let is = clock::now() < until;
        if !is {
            self.passed_over.set(None);
        }
        is
    }

    /// Idle connections of this worker.
    pub fn idle_connections(&self) -> usize {
        self.idle.borrow().len()
    }

    pub(super) fn count(&self) -> Held<Load> {
        Gauge::enter(&self.load, None).expect("there is no limit")
    }

    /// The youngest idle connection that may be used, and how long it was idle.
    pub(super) fn take_idle(&self, wanted: &Wanted<'_>) -> Option<(Box<H1>, Duration)> {
        let limit = self.idle_limit.get().current(wanted.idle_timeout);
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let entry = &idle[at];
            let age = wanted.now.saturating_duration_since(entry.since);
            let h1 = &entry.connection;
            if h1.sender.is_closed() {
                let dead = idle.swap_remove(at);
                self.learn(&dead);
            } else if age > limit || !wanted.allows(&h1.facts, h1.served) {
                idle.swap_remove(at);
            } else if h1.sender.is_ready() && h1.facts.server_name.as_ref() == wanted.server_name {
                let mut taken = idle.remove(at);
                taken.connection.served = taken.connection.served.saturating_add(1);
                return Some((taken.connection, age));
            }
        }
        None
    }

    /// A connection that was just taken turned out to be closed.
    pub(super) fn was_closed(&self, connection: Box<H1>, since: Instant) {
        self.learn(&Idle { connection, since });
    }

    /// Gives a connection back.
    pub(super) fn put_back(&self, connection: Box<H1>, now: Instant) {
        if connection.sender.is_closed() {
            return;
        }
        let slots = connection.facts.slot.slots.clone();
        self.idle.borrow_mut().push(Idle { connection, since: now });
        slots.wake_one();
    }

    /// An HTTP/2 connection with room for a stream.
    pub(super) fn take_h2(&self, wanted: &Wanted<'_>, streams: u32) -> Option<Rc<H2>> {
        let mut all = self.h2.borrow_mut();
        all.retain(|h2| !h2.sender.borrow().is_closed() && wanted.allows(&h2.facts, h2.served.get()));
        all.iter()
            .find(|h2| {
                let room = usize::try_from(streams).unwrap_or(usize::MAX).min(h2.allowed.get());
                (h2.active.get() as usize) < room && h2.facts.server_name.as_ref() == wanted.server_name
            })
            .cloned()
    }

    pub(super) fn idle_announced(&self, timeout: Duration) {
        self.change_limit(|limit| limit.announced(timeout));
    }

    /// Closes what has been idle too long. `relax`: once a minute.
    pub(super) fn sweep(&self, now: Instant, idle_timeout: Duration, relax: bool) {
        if relax {
            self.change_limit(IdleLimit::relax);
        }
        let limit = self.idle_limit.get().current(idle_timeout);
        let (closed, kept): (Vec<Idle>, Vec<Idle>) = std::mem::take(&mut *self.idle.borrow_mut())
            .into_iter()
            .filter(|idle| now.saturating_duration_since(idle.since) <= limit || idle.connection.sender.is_closed())
            .partition(|idle| idle.connection.sender.is_closed());
        closed.iter().for_each(|dead| self.learn(dead));
        *self.idle.borrow_mut() = kept;
        self.h2.borrow_mut().retain(|h2| {
            let idle = h2.active.get() == 0 && now.saturating_duration_since(h2.idle_since.get()) > limit;
            !idle && !h2.sender.borrow().is_closed()
        });
    }

    pub(super) fn has_connections(&self) -> bool {
        !self.idle.borrow().is_empty() || !self.h2.borrow().is_empty()
    }

    fn learn(&self, dead: &Idle) {
        if let Some(closed) = dead.connection.meter.closed_by_peer() {
            let age = closed.saturating_duration_since(dead.since);
            self.change_limit(|limit| limit.closed_after(age));
        }
    }

    fn change_limit(&self, change: impl FnOnce(&mut IdleLimit)) {
        let mut limit = self.idle_limit.get();
        change(&mut limit);
        self.idle_limit.set(limit);
    }
}

impl Wanted<'_> {
    fn allows(&self, facts: &super::pool::Facts, served: u32) -> bool {
        facts.generation == self.generation
            && self.max_requests.is_none_or(|max| max == 0 || served < max)
            && self.max_age.is_none_or(|max| self.now.saturating_duration_since(facts.created) < max)
    }
}
