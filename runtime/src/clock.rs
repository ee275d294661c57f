//! The only place where time is read. Decisions take time as an argument; the shells around them ask here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// The monotonic time, of tokio's clock, so that a test can pause it.
#[expect(clippy::disallowed_methods, reason = "everybody else asks here")]
pub fn now() -> Instant {
    Instant::now()
}

/// How long ago that was.
pub fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// Waits for that time; without one, for ever.
pub async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "everybody else asks here")]
pub fn system_now() -> SystemTime {
    SystemTime::now()
}

/// A time of day that a test may move. Certificates are checked against this one.
#[derive(Debug, Clone, Default)]
pub struct WallClock(Option<Arc<AtomicU64>>);

impl WallClock {
    /// The machine's clock.
    pub fn system() -> Self {
        WallClock(None)
    }

    /// A clock that stands at `time` until [`WallClock::set`] moves it. All clones move together.
    pub fn manual(time: SystemTime) -> Self {
        WallClock(Some(Arc::new(AtomicU64::new(seconds(time)))))
    }

    /// The time now, whole seconds when manual.
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            None => system_now(),
            Some(at) => SystemTime::UNIX_EPOCH + Duration::from_secs(at.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock; the machine's clock is left alone.
    pub fn set(&self, time: SystemTime) {
        if let Some(at) = &self.0 {
            at.store(seconds(time), Ordering::Relaxed);
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = WallClock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(10));
        let other = clock.clone();
        clock.set(SystemTime::UNIX_EPOCH + Duration::from_secs(99));
        assert_eq!(other.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(99));
    }

    #[tokio::test(start_paused = true)]
    async fn the_monotonic_clock_is_tokios() {
        let start = now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(now() - start, Duration::from_secs(3600));
    }
}
