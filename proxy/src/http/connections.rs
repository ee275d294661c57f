//! The HTTP connections of one worker, so that a drain and idle limits reach them. A connection pays nothing a
//! request for either: no timer, no channel; it is woken when there is something to do.

use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    time::Duration,
};
use tokio::time::Instant;

/// A connection that idles longer is closed.
pub const IDLE: Duration = Duration::from_secs(3600);

/// What a connection is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Go on.
    Serve,
    /// The next answer is the last: HTTP/1 says `connection: close` with it, HTTP/2 sends GOAWAY. A connection that
    /// waits for a request is left alone: its client may be sending one right now, and would lose it.
    Last,
    /// Finish what runs, take nothing new; a connection without a request ends.
    Finish,
    /// End now.
    End,
}

/// All of a worker's.
#[derive(Debug)]
pub struct Connections {
    all: RefCell<Slab<Rc<Entry>>>,
    wish: Cell<Wish>,
}

/// One connection.
#[derive(Debug)]
pub struct Entry {
    wish: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
    active: Cell<u32>,
    begun: Cell<bool>,
    last: Cell<Instant>,
}

impl Default for Connections {
    fn default() -> Self {
        Connections { all: RefCell::default(), wish: Cell::new(Wish::Serve) }
    }
}

impl Connections {
    /// Registers a connection until the guard is dropped.
    pub fn add(self: &Rc<Self>, now: Instant) -> Registered {
        let entry = Rc::new(Entry {
            wish: Cell::new(self.wish.get()),
            waker: RefCell::new(None),
            active: Cell::new(0),
            begun: Cell::new(false),
            last: Cell::new(now),
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
        self.wish.set(self.wish.get().max(wish));
        // Waking only queues tasks: nobody changes the list meanwhile.
        self.all.borrow().iter().for_each(|(_, entry)| entry.ask(wish));
    }

    /// Asks those that idle too long to finish.
    pub fn sweep(&self, now: Instant) {
        for (_, entry) in self.all.borrow().iter() {
            if entry.active.get() == 0 && now.saturating_duration_since(entry.last.get()) > IDLE {
                entry.ask(Wish::Finish);
            }
        }
    }
}

impl Entry {
    /// What the connection is asked to do.
    pub fn wish(&self) -> Wish {
        self.wish.get()
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

    /// A request begins.
    pub fn begin(self: &Rc<Self>) -> Activity {
        self.active.set(self.active.get() + 1);
        self.begun.set(true);
        Activity { entry: self.clone(), ended: false }
    }

    fn ask(&self, wish: Wish) {
        if self.wish.get() >= wish {
            return;
        }
        self.wish.set(wish);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// While one lives, its connection is not idle.
#[derive(Debug)]
pub struct Activity {
    entry: Rc<Entry>,
    ended: bool,
}

impl Activity {
    /// The request is over.
    pub fn end(&mut self, now: Instant) {
        if !self.ended {
            self.ended = true;
            self.entry.last.set(now);
            self.entry.active.set(self.entry.active.get() - 1);
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if !self.ended {
            self.end(self.entry.last.get());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_idle_connections_are_asked_to_finish() {
        let connections = Rc::new(Connections::default());
        let (idle, busy) = (connections.add(Instant::now()), connections.add(Instant::now()));
        let mut request = busy.entry.begin();
        let later = Instant::now() + IDLE * 2;
        connections.sweep(later);
        assert_eq!((idle.entry.wish(), busy.entry.wish()), (Wish::Finish, Wish::Serve));
        request.end(later);
        connections.sweep(later);
        assert_eq!(busy.entry.wish(), Wish::Serve, "it was busy until now");
    }

    #[tokio::test]
    async fn a_drain_reaches_connections_that_come_later() {
        let connections = Rc::new(Connections::default());
        let first = connections.add(Instant::now());
        connections.ask_all(Wish::Finish);
        let second = connections.add(Instant::now());
        assert_eq!((first.entry.wish(), second.entry.wish()), (Wish::Finish, Wish::Finish));
        drop(first);
        assert_eq!(connections.len(), 1);
    }
}
