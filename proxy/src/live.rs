//! The opaque connections and tunnels of one worker that are being carried, so that changes of policy, reports and the end of the
//! process reach them. A connection has no timer and no channel for any of these: it is woken when there is something
//! to do.

use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

/// What a connection is asked to do, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// Hold itself against the policies again.
    pub look: bool,
    /// Count what it has moved.
    pub report: bool,
    /// End now.
    pub end: bool,
}

/// All of a worker's.
#[derive(Debug, Default)]
pub struct Live {
    all: RefCell<Slab<Rc<Entry>>>,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Entry {
    asked: Cell<Asked>,
    waker: RefCell<Option<Waker>>,
}

/// Takes the connection off the list when dropped.
#[derive(Debug)]
pub struct Registered {
    live: Rc<Live>,
    key: usize,
    entry: Rc<Entry>,
}

impl Live {
    /// Registers a connection.
    pub fn add(self: &Rc<Self>) -> Registered {
        let entry = Rc::new(Entry::default());
        let key = self.all.borrow_mut().insert(entry.clone());
        Registered { live: self.clone(), key, entry }
    }

    /// Asks all of them.
    pub fn ask(&self, wish: Asked) {
        for (_, entry) in self.all.borrow().iter() {
            let asked = entry.asked.get();
            entry.asked.set(Asked {
                look: asked.look || wish.look,
                report: asked.report || wish.report,
                end: asked.end || wish.end,
            });
            // Waking only queues the task: nobody changes the list meanwhile.
            if let Some(waker) = &*entry.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }
}

impl Registered {
    /// What was asked since the last time; `waker` is woken when there is more.
    pub fn asked(&self, waker: &Waker) -> Asked {
        let mut slot = self.entry.waker.borrow_mut();
        match &*slot {
            Some(known) if known.will_wake(waker) => {}
            _ => *slot = Some(waker.clone()),
        }
        self.entry.asked.take()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.live.all.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_add_up_until_they_are_heard() {
        let live = Rc::new(Live::default());
        let one = live.add();
        live.ask(Asked { look: true, ..Asked::default() });
        live.ask(Asked { report: true, ..Asked::default() });
        assert_eq!(one.asked(Waker::noop()), Asked { look: true, report: true, end: false });
        assert_eq!(one.asked(Waker::noop()), Asked::default());
        drop(one);
        assert!(live.all.borrow().is_empty());
    }
}
