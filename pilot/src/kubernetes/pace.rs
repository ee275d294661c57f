//! How soon an object may be written again, where somebody else may write it too. Pure.

use mesh_runtime::backoff::Backoff;
use std::{borrow::Borrow, collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Between two writings of one object: the first wait, and the longest.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// What was left alone for so long is written at once again.
const CALM: Duration = Duration::from_secs(180);
/// Writings in a row after which it is told that somebody else writes.
const QUARREL: u32 = 6;

/// Writings of objects by their names.
pub(crate) struct Pace<K>(BTreeMap<K, Writings>);

struct Writings {
    backoff: Backoff,
    last: Instant,
    not_before: Instant,
}

impl<K> Default for Pace<K> {
    fn default() -> Self {
        Pace(BTreeMap::new())
    }
}

impl<K: Ord> Pace<K> {
    /// When an object may be written next.
    pub(crate) fn due<Q: Ord + ?Sized>(&self, object: &Q, now: Instant) -> Instant
    where
        K: Borrow<Q>,
    {
        self.0.get(object).map_or(now, |writings| writings.not_before)
    }

    /// It was written, or that was tried. Whether somebody else must be writing too, told once.
    pub(crate) fn count(&mut self, object: K, now: Instant) -> bool {
        let backoff = Backoff::new(WAIT.0, WAIT.1);
        let writings = self.0.entry(object).or_insert(Writings { backoff, last: now, not_before: now });
        if now.saturating_duration_since(writings.last) > CALM {
            writings.backoff.reset();
        }
        writings.last = now;
        writings.not_before = now + writings.backoff.next(&mut fastrand::Rng::new());
        writings.backoff.attempts() == QUARREL
    }

    /// Forgets those of objects that are not there.
    pub(crate) fn keep(&mut self, is_there: impl Fn(&K) -> bool) {
        self.0.retain(|object, _| is_there(object));
    }

    /// All may be written at once.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_runtime::clock;

    #[test]
    fn whoever_writes_against_us_slows_us_down_and_is_told_of_once() {
        let (mut pace, mut now) = (Pace::default(), clock::now());
        assert_eq!(pace.due("a", now), now);
        let mut told = Vec::new();
        for _ in 0..12 {
            now = now.max(pace.due("a", now));
            told.push(pace.count("a", now));
        }
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        let wait = pace.due("a", now) - now;
        assert!(wait >= WAIT.1 / 2, "{wait:?}");
        now += CALM * 2;
        pace.count("a", now);
        let wait = pace.due("a", now) - now;
        assert!(wait <= WAIT.0, "{wait:?}");
    }
}
