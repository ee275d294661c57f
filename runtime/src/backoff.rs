//! Waiting between attempts: doubling, bounded, jittered so that many clients do not come back at once.

use std::time::Duration;

/// The state of one retry loop. Pure: the caller waits.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    /// The first wait is around `base`, none is above `max`.
    pub fn new(base: Duration, max: Duration) -> Self {
        Backoff { base, max, attempt: 0 }
    }

    /// How long to wait before the next attempt: between half and all of the doubled wait.
    pub fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let factor = 1u32.checked_shl(self.attempt.min(31)).unwrap_or(u32::MAX);
        let full = self.base.saturating_mul(factor).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        full.mul_f64(0.5 + rng.f64() / 2.0)
    }

    /// An attempt has succeeded: start over.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How many waits there were since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_begin_anew_after_success() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for full in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next(&mut rng);
            assert!(
                wait >= Duration::from_millis(full / 2) && wait <= Duration::from_millis(full),
                "{wait:?} of {full}"
            );
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) <= Duration::from_millis(100));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        assert!((0..10_000).all(|_| backoff.next(&mut rng) <= Duration::from_secs(30)));
    }
}
