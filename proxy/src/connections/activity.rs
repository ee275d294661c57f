//! A request under way, as its connection knows it: the connection is not idle, holds the request's head, and watches its body.

use super::{Entry, late::Receiving};
use crate::body::Held;
use std::rc::Rc;
use tokio::time::Instant;

/// While one lives, its connection is not idle.
#[derive(Debug)]
pub struct Activity {
    entry: Rc<Entry>,
    ended: bool,
    /// Bytes that the head takes.
    head: usize,
}

impl Activity {
    pub(super) fn new(entry: &Rc<Entry>) -> Self {
        Activity { entry: entry.clone(), ended: false, head: 0 }
    }

    /// The head takes so much; whether there is room for it.
    pub(crate) fn holds(&mut self, head: usize) -> bool {
        let fits = self.entry.room.take(head);
        if fits {
            self.head += head;
        }
        fits
    }

    /// The request has a body; it may have a clock.
    pub(crate) fn receives(&self, body: &Rc<Held>) {
        if self.entry.watches_bodies {
            self.entry.receiving.borrow_mut().push(Receiving::new(body));
        }
    }

    /// The request is over, with this body. Where all of it was read, what comes now belongs to the next one.
    pub fn end(&mut self, now: Instant, body: Option<&Rc<Held>>) {
        let read = body.is_none_or(|body| body.has_ended());
        if let Some(body) = body.filter(|_| read) {
            self.entry.received(body);
        }
        self.over(now, read);
    }

    fn over(&mut self, now: Instant, read: bool) {
        if !self.ended {
            self.ended = true;
            self.entry.last.set(now);
            self.entry.active.set(self.entry.active.get() - 1);
            self.entry.heard.set(!read);
            self.entry.room.give(self.head);
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.over(self.entry.last.get(), false);
    }
}
