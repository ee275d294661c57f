//! How work ends: one [`Signal`] begins it, many [`Watch`]es see it, [`Guard`]s hold it open.
//!
//! A task that must not be cut short takes a guard before it begins and drops it when done. Draining means: take no
//! new work, finish what runs. When the deadline passes with guards still held, the drain is *forced*: tasks give up
//! what they do. A dropped `Signal` counts as forced, since its owner is gone.

use crate::clock;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// Makes a connected pair.
pub fn channel() -> (Signal, Watch) {
    let (tx, rx) = watch::channel(Phase::Serving);
    let guards = Arc::new(Guards::default());
    (Signal { tx, guards: guards.clone() }, Watch { rx, guards })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Forced,
}

#[derive(Debug, Default)]
struct Guards {
    held: AtomicUsize,
    released: Notify,
}

/// Starts the drain; held by whoever owns the work.
#[derive(Debug)]
pub struct Signal {
    tx: watch::Sender<Phase>,
    guards: Arc<Guards>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every guard was dropped in time.
    Clean,
    /// The deadline passed with so many guards held.
    Forced {
        /// Guards held when the deadline passed.
        held: usize,
    },
}

impl Signal {
    /// Begins to drain, without a deadline yet. Doing so again changes nothing.
    pub fn begin(&self) {
        self.tx.send_if_modified(|phase| {
            let begins = *phase == Phase::Serving;
            if begins {
                *phase = Phase::Draining;
            }
            begins
        });
    }

    /// Begins to drain, and to count time, now (not when first polled), and waits until every guard is dropped, at most `deadline`; then
    /// whoever still works is told to give up.
    pub fn drain(self, deadline: Duration) -> impl Future<Output = Drained> + Send {
        self.tx.send_replace(Phase::Draining);
        let end = clock::now() + deadline;
        async move {
            let clean = tokio::time::timeout_at(end, self.guards.none_held()).await.is_ok();
            let held = self.guards.held.load(Ordering::Acquire);
            // Also after a clean end: whoever waits without a guard has nothing left to wait for.
            self.tx.send_replace(Phase::Forced);
            if clean { Drained::Clean } else { Drained::Forced { held } }
        }
    }
}

impl Guards {
    async fn none_held(&self) {
        loop {
            // Registered before the count is read, so that a release in between is not missed.
            let released = self.released.notified();
            if self.held.load(Ordering::Acquire) == 0 {
                return;
            }
            released.await;
        }
    }
}

/// Sees the drain. Cheap to clone: one a task or connection.
#[derive(Debug, Clone)]
pub struct Watch {
    rx: watch::Receiver<Phase>,
    guards: Arc<Guards>,
}

impl Watch {
    /// Completes when draining has begun. The future borrows nothing.
    pub fn signaled(&self) -> impl Future<Output = ()> + Send + 'static {
        reached(self.rx.clone(), Phase::Draining)
    }

    /// Completes when the drain's deadline has passed, or the drain has ended.
    pub fn forced(&self) -> impl Future<Output = ()> + Send + 'static {
        reached(self.rx.clone(), Phase::Forced)
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        *self.rx.borrow() >= Phase::Draining || self.rx.has_changed().is_err()
    }

    /// Holds the drain open until dropped. May be taken while draining: work already accepted may need more of it.
    pub fn guard(&self) -> Guard {
        self.guards.held.fetch_add(1, Ordering::AcqRel);
        Guard { guards: self.guards.clone() }
    }

    /// How many guards are held.
    pub fn held(&self) -> usize {
        self.guards.held.load(Ordering::Acquire)
    }
}

async fn reached(mut rx: watch::Receiver<Phase>, phase: Phase) {
    // An error means that the signal is gone: nothing will ever say more than that.
    let _ = rx.wait_for(|now| *now >= phase).await;
}

/// While one lives, the drain waits.
#[derive(Debug)]
pub struct Guard {
    guards: Arc<Guards>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.guards.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.guards.released.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_the_last_guard() {
        let (signal, watch) = channel();
        let (first, second) = (watch.guard(), watch.guard());
        let drained = tokio::spawn(signal.drain(Duration::from_secs(60)));
        watch.signaled().await;
        drop(first);
        assert!(watch.forced().now_or_never().is_none());
        drop(second);
        assert_eq!(drained.await.unwrap(), Drained::Clean);
        watch.forced().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_forces_what_is_left() {
        let (signal, watch) = channel();
        let _held = watch.guard();
        assert_eq!(signal.drain(Duration::from_secs(5)).await, Drained::Forced { held: 1 });
        watch.forced().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_counts_from_the_call_and_not_from_the_first_poll() {
        let (signal, watch) = channel();
        let _held = watch.guard();
        let (begun, drained) = (clock::now(), signal.drain(Duration::from_secs(5)));
        tokio::time::sleep(Duration::from_secs(4)).await;
        drained.await;
        assert!(clock::since(begun) < Duration::from_secs(6), "{:?}", clock::since(begun));
    }

    #[tokio::test]
    async fn draining_begins_without_polling() {
        let (signal, watch) = channel();
        assert!(!watch.is_draining());
        let _future = signal.drain(Duration::from_secs(1));
        assert!(watch.is_draining());
    }

    #[tokio::test]
    async fn a_lost_signal_counts_as_forced() {
        let (signal, watch) = channel();
        drop(signal);
        watch.signaled().await;
        watch.forced().await;
        assert!(watch.is_draining());
    }
}
