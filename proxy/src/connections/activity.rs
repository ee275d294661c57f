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
    /// A body that has a clock.
    body: Option<Rc<Held>>,
}

impl Activity {
    pub(super) fn new(entry: &Rc<Entry>) -> Self {
        Activity { entry: entry.clone(), ended: false, head: 0, body: None }
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
    pub(crate) fn receives(&mut self, body: &Rc<Held>) {
        if self.entry.watches_bodies {
            self.entry.receiving.borrow_mut().push(Receiving::new(body));
            self.body = Some(body.clone());
        }
    }

    /// The request is over; `read`: all of it was read, so that what comes now belongs to the next one.
    pub fn end(&mut self, now: Instant, read: bool) {
        if !self.ended {
            self.ended = true;
            self.entry.last.set(now);
            self.entry.active.set(self.entry.active.get() - 1);
            self.entry.heard.set(!read);
            self.entry.room.give(self.head);
            if let Some(body) = self.body.take() {
                self.entry.received(&body);
            }
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if !self.ended {
            self.end(self.entry.last.get(), false);
        }
    }
}
