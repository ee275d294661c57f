//! Log lines that others can cause as often as they like. The first one of a cause and of whoever caused it is written;
//! then one in a while, which says how many were left out before it. What is left out is counted.

use super::metrics::{RegisterError, Registry};
use crate::clock;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How long a cause is silent after a line, by default.
pub const SILENT_FOR: Duration = Duration::from_secs(60);
/// Causes by who that are told apart; beyond it they are told apart by cause alone.
const MOST: usize = 1024;

/// What was written when; clones are the same.
#[derive(Debug, Clone)]
pub struct Repeated {
    silent_for: Duration,
    said: Arc<Mutex<BTreeMap<Key, Said>>>,
    left_out: IntCounterVec,
}

type Key = (&'static str, Box<str>);

#[derive(Debug)]
struct Said {
    at: Instant,
    left_out: u64,
}

impl Repeated {
    /// With a line in this time for each cause; registers `mesh_log_lines_left_out_total{cause}`.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn new(silent_for: Duration, registry: &Registry) -> Result<Self, RegisterError> {
        let opts = Opts::new("mesh_log_lines_left_out_total", "Log lines that were like one before, by cause");
        let left_out = registry.register(IntCounterVec::new(opts, &["cause"])?)?;
        Ok(Repeated { silent_for, said: Arc::default(), left_out })
    }

    /// Whether it is time for a line, and how many were left out since the last one.
    pub fn due(&self, cause: &'static str, who: &str) -> Option<u64> {
        let now = clock::now();
        let mut said = self.said.lock();
        let mut key = (cause, Box::from(who));
        if said.len() >= MOST && !said.contains_key(&key) {
            said.retain(|_, said| now < said.at + self.silent_for);
            if said.len() >= MOST {
                key.1 = Box::default();
            }
        }
        match said.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Said { at: now, left_out: 0 });
                Some(0)
            }
            Entry::Occupied(entry) => {
                let before = entry.into_mut();
                if now < before.at + self.silent_for {
                    before.left_out += 1;
                    self.left_out.with_label_values(&[cause]).inc();
                    return None;
                }
                let left_out = std::mem::replace(before, Said { at: now, left_out: 0 }).left_out;
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_said_and_then_how_many_were_not() {
        let lines = Repeated::new(SILENT_FOR, &Registry::new()).unwrap();
        assert_eq!(["a", "b", "a", "a"].map(|who| lines.due("refused", who)), [Some(0), Some(0), None, None]);
        assert_eq!(lines.due("other", "a"), Some(0));
        tokio::time::advance(SILENT_FOR).await;
        assert_eq!(["a", "a", "b"].map(|who| lines.due("refused", who)), [Some(2), None, Some(0)]);
        assert_eq!(lines.left_out.with_label_values(&["refused"]).get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_told_apart_by_cause_alone_until_it_is_forgotten() {
        let lines = Repeated::new(SILENT_FOR, &Registry::new()).unwrap();
        let said =
            |from: usize| (from..from + 2 * MOST).filter_map(|who| lines.due("refused", &who.to_string())).count();
        // One for all that are not remembered.
        assert_eq!(said(0), MOST + 1);
        assert_eq!(lines.said.lock().len(), MOST + 1);
        tokio::time::advance(SILENT_FOR).await;
        assert_eq!(said(10 * MOST), MOST + 1);
    }
}
