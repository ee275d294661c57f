//! What a worker's calls need to know and pilot has not said yet: asked for once in a while, and not more than the
//! application may cause.

use crate::{
    decide::Ask,
    discovery::Command,
    http::{Demand, WHOSE},
    snapshot::{Snapshot, workloads::Holder},
};
use mesh_runtime::{clock, snapshot};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::{Future, ready},
    pin::Pin,
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// What has no answer is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Whose an address is, when pilot has not answered in time, after this long; until then it is not waited for either.
const ASK_WHOSE_AGAIN: Duration = Duration::from_secs(10);
/// Addresses that one worker asks about in a second: who dials more strangers is not slowed down for it.
const MOST_A_SECOND: u32 = 64;
/// Questions remembered.
const MOST_ASKED: usize = 4096;

/// See the module.
pub(super) struct Needs {
    commands: mpsc::Sender<Command>,
    snapshots: snapshot::Reader<Snapshot>,
    asked: RefCell<HashMap<Ask, Instant>>,
    /// Since when addresses are counted, and how many there were.
    addresses: Cell<(Option<Instant>, u32)>,
}

impl Needs {
    pub(super) fn new(commands: mpsc::Sender<Command>, snapshots: snapshot::Reader<Snapshot>) -> Self {
        Needs { commands, snapshots, asked: RefCell::default(), addresses: Cell::default() }
    }

    /// Whether it is worth waiting for.
    fn ask(&self, ask: &Ask, now: Instant) -> bool {
        let before = self.asked.borrow().get(ask).copied();
        let age = before.map(|at| now.saturating_duration_since(at));
        let command = match ask {
            Ask::Details(_) if age.is_some_and(|age| age < ASK_AGAIN) => return true,
            Ask::Details(service) => Command::NeedService(service.clone()),
            Ask::Workload(_) if age.is_some_and(|age| age < ASK_WHOSE_AGAIN) => return age < Some(WHOSE),
            Ask::Workload(_) if !self.may_ask_about_another(now) => return false,
            Ask::Workload(address) => Command::NeedWorkload(*address),
        };
        // A full queue means that discovery is busy with others: this one is asked for with the next call.
        if self.commands.try_send(command).is_ok() {
            let mut asked = self.asked.borrow_mut();
            if asked.len() >= MOST_ASKED {
                asked.clear();
            }
            asked.insert(ask.clone(), now);
        }
        true
    }

    fn may_ask_about_another(&self, now: Instant) -> bool {
        let (since, count) = match self.addresses.get() {
            (Some(since), count) if now.saturating_duration_since(since) < Duration::from_secs(1) => (since, count),
            _ => (now, 0),
        };
        self.addresses.set((Some(since), count.saturating_add(1)));
        count < MOST_A_SECOND
    }
}

impl Demand for Needs {
    fn need(&self, ask: &Ask) -> Pin<Box<dyn Future<Output = bool>>> {
        if !self.ask(ask, clock::now()) {
            return Box::pin(ready(false));
        }
        let (mut snapshots, ask) = (self.snapshots.fresh(), ask.clone());
        Box::pin(async move {
            // What came between the look that missed it and now is there already.
            match is_missing(&snapshots.get(), &ask) {
                true => snapshots.changed().await.is_ok(),
                false => true,
            }
        })
    }
}

fn is_missing(now: &Snapshot, ask: &Ask) -> bool {
    match ask {
        Ask::Details(service) => now.index.get(service).is_some_and(|entry| !now.outbound.is_loaded(entry)),
        Ask::Workload(address) => now.workloads.at(*address) == Holder::Unasked,
    }
}

#[cfg(test)]
mod tests;
