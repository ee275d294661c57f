//! The HTTP connections of one worker, so that a drain and idle limits reach them. A connection pays nothing a
//! request for either: no timer, no channel; it is woken when there is something to do.

mod activity;
mod late;

pub use activity::Activity;
pub use late::Counted;

use crate::{
    body::{Held, Room},
    conn::{Connection, Direction},
    limit::clients::Bounds,
};
use late::{Late, Look, Receiving};
use mesh_runtime::clock;
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// An HTTP/1 connection that idles longer gives its buffers back.
pub const QUIET: Duration = Duration::from_secs(1);
/// A new connection's first request is on the way for so long.
pub const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// A connection that was asked to finish for a clock may take so long.
const FINISHING: Duration = Duration::from_secs(60);
/// So many connections are asked to rest at once: many that fall quiet together must not hold up the worker, and the
/// allocator gives memory back to the system only when more is freed later.
const AT_ONCE: usize = 512;

/// What a connection is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Go on.
    Serve,
    /// The next answer is the last: HTTP/1 says `connection: close` with it, HTTP/2 sends GOAWAY. A connection that
    /// waits for a request is left alone: its client may be sending one right now, and would lose it.
    Last,
    /// Finish what runs, take nothing new; a connection without a request ends, one whose first request may be on
    /// the way only after [`FIRST_REQUEST`].
    Finish,
    /// End now.
    End,
}

/// All of a worker's.
#[derive(Debug)]
pub struct Connections {
    all: RefCell<Slab<Rc<Entry>>>,
    /// What connections of the application are asked.
    outbound: Cell<Wish>,
    /// What connections of others are asked.
    arrived: Cell<Wish>,
    bounds: Bounds,
    /// What may be held for all clients.
    room: Rc<Room>,
    counted: Option<Counted>,
}

/// One connection.
#[derive(Debug)]
pub struct Entry {
    conn: Rc<Connection>,
    wish: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
    active: Cell<u32>,
    begun: Cell<bool>,
    last: Cell<Instant>,
    rest: Cell<Rest>,
    /// Bytes came that belong to no request that has begun.
    heard: Cell<bool>,
    /// All that was written went out.
    flushed: Cell<bool>,
    /// A head has begun and not ended; as seen by the sweep.
    half_since: Cell<Option<Instant>>,
    /// Whether bodies that come on it have a clock.
    watches_bodies: bool,
    /// The bodies that have one and have not ended.
    receiving: RefCell<Vec<Receiving>>,
    /// What may be held for this client.
    room: Rc<Room>,
}

/// Whether a connection holds no more than its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It cannot.
    Never,
    /// Not now.
    Awake,
    /// It should, as soon as it can.
    Asked,
    /// It does.
    Resting,
}

impl Default for Connections {
    fn default() -> Self {
        Connections::new(Bounds::default(), None)
    }
}

impl Connections {
    /// None yet, under these bounds.
    pub fn new(bounds: Bounds, counted: Option<Counted>) -> Self {
        Connections {
            all: RefCell::default(),
            outbound: Cell::new(Wish::Serve),
            arrived: Cell::new(Wish::Serve),
            room: Room::new(bounds.held),
            bounds,
            counted,
        }
    }

    /// What more may be held for clients.
    #[cfg(any(test, feature = "testing"))]
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Registers a connection until the guard is dropped.
    pub fn add(self: &Rc<Self>, conn: &Rc<Connection>, now: Instant) -> Registered {
        let wish = if conn.direction == Direction::Outbound { &self.outbound } else { &self.arrived };
        let entry = Rc::new(Entry {
            conn: conn.clone(),
            wish: Cell::new(wish.get()),
            waker: RefCell::new(None),
            active: Cell::new(0),
            begun: Cell::new(false),
            last: Cell::new(now),
            rest: Cell::new(Rest::Never),
            heard: Cell::new(false),
            flushed: Cell::new(true),
            half_since: Cell::new(None),
            watches_bodies: self.bounds.body.is_some() && conn.direction != Direction::Outbound,
            receiving: RefCell::default(),
            room: self.room.part(self.bounds.held_by_connection),
        });
        let key = self.all.borrow_mut().insert(entry.clone());
        Registered { connections: self.clone(), key, entry }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// Asks all, and those to come.
    pub fn ask_all(&self, wish: Wish) {
        self.outbound.set(self.outbound.get().max(wish));
        self.ask_arrived(wish);
        // Waking only queues tasks: nobody changes the list meanwhile.
        self.all.borrow().iter().for_each(|(_, entry)| entry.ask(wish));
    }

    /// Asks those that do not come from the application, and those to come.
    pub fn ask_arrived(&self, wish: Wish) {
        self.arrived.set(self.arrived.get().max(wish));
        let all = self.all.borrow();
        all.iter().filter(|(_, e)| e.conn.direction != Direction::Outbound).for_each(|(_, entry)| entry.ask(wish));
    }

    /// Asks those of which this does not hold.
    pub fn finish_unless(&self, holds: impl Fn(&Connection) -> bool) {
        let all = self.all.borrow();
        all.iter().filter(|(_, entry)| !holds(&entry.conn)).for_each(|(_, entry)| entry.ask(Wish::Finish));
    }

    /// How many hold no more than their socket.
    pub fn resting(&self) -> usize {
        self.all.borrow().iter().filter(|(_, entry)| entry.rest.get() == Rest::Resting).count()
    }

    /// Gives up bodies that do not come; asks those that are quiet to rest, and those that idle too long to finish; wakes
    /// those that were asked to finish when their first request has not come.
    pub fn sweep(&self, now: Instant) {
        let mut asked = 0;
        let count = |late| self.counted.iter().for_each(|counted| counted.ended(late));
        for (_, entry) in self.all.borrow().iter() {
            if let Some(limit) = self.bounds.body {
                (0..entry.give_up_bodies(now, limit)).for_each(|_| count(Late::Body));
            }
            if let Some((late, wish)) = entry.late(now, &self.bounds)
                && entry.wish() < wish
            {
                // One that was asked to finish, and has not, is counted.
                if late == Late::Head || entry.wish() < Wish::Finish {
                    count(late);
                }
                entry.ask(wish);
            }
            if entry.active.get() > 0 {
                continue;
            }
            let idle = now.saturating_duration_since(entry.last.get());
            if entry.wish() == Wish::Finish && !entry.has_begun() {
                entry.wake();
            } else if idle > QUIET && entry.rest.get() == Rest::Awake && asked < AT_ONCE {
                asked += 1;
                entry.rest.set(Rest::Asked);
                entry.wake();
            }
        }
    }
}

impl Entry {
    /// What the connection is asked to do.
    pub fn wish(&self) -> Wish {
        self.wish.get()
    }

    /// What it has to do now: [`Wish::Finish`] waits for a first request that may be on the way.
    pub(crate) fn due(&self) -> Wish {
        match self.wish.get() {
            // The clock is looked at only here: this is asked at every poll.
            Wish::Finish if !self.begun.get() && clock::since(self.last.get()) < FIRST_REQUEST => Wish::Last,
            wish => wish,
        }
    }

    /// Whether a request has ever begun.
    pub fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Whom to wake when that changes.
    pub fn wake_with(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        match &*slot {
            Some(known) if known.will_wake(waker) => {}
            _ => *slot = Some(waker.clone()),
        }
    }

    /// It is served, and can rest when it is quiet.
    pub(crate) fn serves(&self) {
        self.rest.set(Rest::Awake);
        self.heard.set(false);
        self.flushed.set(true);
    }

    /// It holds no more than its socket.
    pub(crate) fn rests(&self) {
        self.rest.set(Rest::Resting);
        self.receiving.take();
    }

    /// Whether it was asked to rest and can: no request, none half here, no answer half out.
    pub(crate) fn may_rest(&self) -> bool {
        self.rest.get() == Rest::Asked && self.active.get() == 0 && !self.heard.get() && self.flushed.get()
    }

    /// Gives up the bodies that the client is late with; how many.
    fn give_up_bodies(&self, now: Instant, limit: Duration) -> usize {
        let mut late = 0;
        self.receiving.borrow_mut().retain_mut(|receiving| {
            let look = receiving.look(now, limit);
            late += usize::from(look == Look::Late);
            look == Look::Coming
        });
        late
    }

    /// What the client is late with, and what the connection is asked to do about it. Clocks but the idle one are for those
    /// that come from elsewhere.
    fn late(&self, now: Instant, bounds: &Bounds) -> Option<(Late, Wish)> {
        let over = |since: Instant, limit: Option<Duration>| {
            limit.is_some_and(|limit| now.saturating_duration_since(since) > limit)
        };
        let (arrived, last) = (self.conn.direction != Direction::Outbound, self.last.get());
        if self.active.get() > 0 {
            return None;
        }
        // Of HTTP/2 it is not known: what is left of a request there is not the beginning of the next.
        let half = self.heard.get() && matches!(self.rest.get(), Rest::Awake | Rest::Asked);
        match self.half_since.get().filter(|_| half) {
            None => self.half_since.set(half.then_some(now)),
            Some(since) if arrived && over(since, bounds.head) => return Some((Late::Head, Wish::End)),
            Some(_) => {}
        }
        // A client that does not read, or does not answer the farewell of HTTP/2, keeps its connection from finishing.
        let asked = self.wish() == Wish::Finish;
        let finish = |limit: Option<Duration>| match asked && over(last, limit.map(|limit| limit + FINISHING)) {
            true => Wish::End,
            false => Wish::Finish,
        };
        if arrived && !self.begun.get() && over(last, bounds.first_request) {
            return Some((Late::FirstRequest, if half { Wish::End } else { finish(bounds.first_request) }));
        }
        over(last, bounds.idle).then(|| (Late::Idle, finish(bounds.idle)))
    }

    /// A request is over, and its body too: where that is not, its clock goes on for as long as somebody reads it.
    fn received(&self, body: &Rc<Held>) {
        let mut receiving = self.receiving.borrow_mut();
        if let Some(place) = receiving.iter().position(|receiving| receiving.is_of(body)) {
            receiving.swap_remove(place);
        }
    }

    /// What may be held for this client.
    pub(crate) fn room(&self) -> &Rc<Room> {
        &self.room
    }

    /// Bytes were read.
    pub(crate) fn heard(&self) {
        self.heard.set(true);
    }

    /// Whether bytes came that belong to no request that was read whole.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.get()
    }

    /// Whether no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.active.get() == 0
    }

    /// Bytes were written (`false`), or all that were are out.
    pub(crate) fn flushed(&self, all: bool) {
        self.flushed.set(all);
    }

    /// A request begins.
    pub fn begin(self: &Rc<Self>) -> Activity {
        self.active.set(self.active.get() + 1);
        self.begun.set(true);
        self.half_since.set(None);
        if self.rest.get() == Rest::Asked {
            self.rest.set(Rest::Awake);
        }
        Activity::new(self)
    }

    /// The answer under way is the last.
    pub(crate) fn ends_with_this(&self) {
        self.ask(Wish::Last);
    }

    fn ask(&self, wish: Wish) {
        if self.wish.get() >= wish {
            return;
        }
        self.wish.set(wish);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Takes the connection off the list when dropped.
pub struct Registered {
    connections: Rc<Connections>,
    key: usize,
    /// The connection.
    pub entry: Rc<Entry>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connections.all.borrow_mut().remove(self.key);
    }
}

/// `first`, unless the connection has to end before anything has come.
pub(crate) async fn unless_over<T>(entry: &Entry, first: impl Future<Output = Option<T>>) -> Option<T> {
    let mut first = pin!(first);
    poll_fn(|cx| {
        // Asked before the wish: what has come already is a request.
        if let Poll::Ready(said) = first.as_mut().poll(cx) {
            return Poll::Ready(said);
        }
        match entry.due() {
            Wish::Serve | Wish::Last => {}
            Wish::Finish | Wish::End => return Poll::Ready(None),
        }
        entry.wake_with(cx.waker());
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
