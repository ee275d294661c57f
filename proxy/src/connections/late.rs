//! What clients are late with, and what is counted of it.

use crate::body::Held;
use mesh_runtime::telemetry::metrics::{RegisterError, Registry};
use prometheus::{IntCounterVec, Opts};
use std::{rc::Rc, time::Duration};
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
        let ended = Opts::new("mesh_client_connections_ended_total", "HTTP connections ended for a clock, by reason");
        Ok(Counted { ended: registry.register(IntCounterVec::new(ended, &["reason"])?)? })
    }

    pub(super) fn ended(&self, late: Late) {
        self.ended.with_label_values(&[late.word()]).inc();
    }
}

/// A body that a client sends, as it was looked at last.
#[derive(Debug)]
pub(super) struct Receiving {
    body: Rc<Held>,
    /// Bytes that had come, and since when.
    seen: Option<(u64, Instant)>,
}

impl Receiving {
    pub(super) fn new(body: Rc<Held>) -> Self {
        Receiving { body, seen: None }
    }

    /// Whether nothing of it has come for so long, while somebody waited for it.
    pub(super) fn is_late(&mut self, now: Instant, limit: Duration) -> bool {
        let bytes = self.body.bytes();
        match self.seen {
            Some((seen, since)) if seen == bytes && self.body.is_awaited() => {
                now.saturating_duration_since(since) > limit
            }
            _ => {
                self.seen = Some((bytes, now));
                false
            }
        }
    }
}
