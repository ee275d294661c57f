//! What clients are late with, and what is counted of it.

use crate::body::Held;
use mesh_runtime::telemetry::metrics::{RegisterError, Registry};
use prometheus::{IntCounterVec, Opts};
use std::{
    rc::{Rc, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// Why a connection was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    FirstRequest,
    Head,
    Body,
    Idle,
}

impl Late {
    fn word(self) -> &'static str {
        match self {
            Late::FirstRequest => "first_request",
            Late::Head => "head",
            Late::Body => "body",
            Late::Idle => "idle",
        }
    }
}

/// What was seen of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It may come yet.
    Coming,
    /// Nobody waits for it any more.
    Over,
    /// It was given up just now.
    Late,
}

/// Counts what bounds end and refuse; the process has one.
#[derive(Debug, Clone)]
pub struct Counted {
    ended: IntCounterVec,
}

impl Counted {
    /// Registers `mesh_client_connections_ended_total{reason}`.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let ended = Opts::new(
            "mesh_client_connections_ended_total",
            "HTTP connections and requests ended for a clock, by reason",
        );
        Ok(Counted { ended: registry.register(IntCounterVec::new(ended, &["reason"])?)? })
    }

    pub(super) fn ended(&self, late: Late) {
        self.ended.with_label_values(&[late.word()]).inc();
    }
}

/// A body that a client sends, as it was looked at last. It is not held by this.
#[derive(Debug)]
pub(super) struct Receiving {
    body: Weak<Held>,
    /// Bytes that had come, and since when.
    seen: Option<(u64, Instant)>,
}

impl Receiving {
    pub(super) fn new(body: &Rc<Held>) -> Self {
        Receiving { body: Rc::downgrade(body), seen: None }
    }

    /// Whether it is this body.
    pub(super) fn is_of(&self, body: &Rc<Held>) -> bool {
        Weak::ptr_eq(&self.body, &Rc::downgrade(body))
    }

    /// Gives it up where nothing of it has come for so long, while somebody waited for it.
    pub(super) fn look(&mut self, now: Instant, limit: Duration) -> Look {
        let Some(body) = self.body.upgrade().filter(|body| !body.has_ended() && body.fault().is_none()) else {
            return Look::Over;
        };
        let bytes = body.bytes();
        match self.seen {
            Some((seen, since)) if seen == bytes && body.is_owed() => {
                if now.saturating_duration_since(since) <= limit {
                    return Look::Coming;
                }
                body.give_up();
                Look::Late
            }
            _ => {
                self.seen = Some((bytes, now));
                Look::Coming
            }
        }
    }
}
