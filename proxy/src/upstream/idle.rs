//! How long a connection may idle before it is not used again: what the configuration says, or less where the
//! upstream announced a shorter time or was seen to close earlier. Pure.

use std::time::Duration;

/// Nothing shorter is ever learned: below, pooling would end.
const FLOOR: Duration = Duration::from_millis(50);

/// Closes at a younger age say nothing about an idle limit.
const NOISE: Duration = Duration::from_millis(20);

/// What is known of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleLimit {
    learned: Option<Duration>,
    /// Age at the last close that was seen: one alone may be a restart.
    last_close: Option<Duration>,
}

impl IdleLimit {
    /// Nothing known.
    pub fn new() -> Self {
        IdleLimit { learned: None, last_close: None }
    }

    /// The limit in force; `configured` zero means none.
    pub fn current(&self, configured: Duration) -> Duration {
        let configured = if configured.is_zero() { Duration::MAX } else { configured };
        self.learned.map_or(configured, |learned| learned.min(configured))
    }

    /// The upstream said `Keep-Alive: timeout=…`.
    pub fn announced(&mut self, timeout: Duration) {
        self.lower(timeout.mul_f32(0.8));
    }

    /// The upstream closed a connection that had idled so long. The second time, what both exceeded is believed.
    pub fn closed_after(&mut self, age: Duration) {
        if age < NOISE {
            return;
        }
        if let Some(last) = self.last_close.replace(age) {
            self.lower(last.max(age).mul_f32(0.8));
        }
    }

    /// Once a minute: what was learned is forgotten slowly.
    pub fn relax(&mut self) {
        self.learned = self.learned.map(|learned| learned.saturating_mul(11) / 10);
    }

    fn lower(&mut self, to: Duration) {
        let to = to.max(FLOOR);
        self.learned = Some(self.learned.map_or(to, |learned| learned.min(to)));
    }
}

impl Default for IdleLimit {
    fn default() -> Self {
        IdleLimit::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn two_closes_teach_a_limit_and_one_does_not() {
        let mut limit = IdleLimit::new();
        limit.closed_after(MS(200));
        assert_eq!(limit.current(MS(9000)), MS(9000));
        limit.closed_after(MS(201));
        assert!(limit.current(MS(9000)) <= MS(161));
        assert!(limit.current(MS(100)) == MS(100), "the configuration still counts");
    }

    #[test]
    fn a_restart_that_closes_everything_teaches_little() {
        let mut limit = IdleLimit::new();
        for age in [1, 3000, 5, 10] {
            limit.closed_after(MS(age));
        }
        assert_eq!(limit.current(Duration::ZERO), Duration::MAX);
    }

    #[test]
    fn an_announced_limit_is_kept_below_and_forgotten_slowly() {
        let mut limit = IdleLimit::new();
        limit.announced(MS(5000));
        let before = limit.current(Duration::ZERO);
        assert!(before <= MS(4000) && before > MS(3990));
        limit.relax();
        assert!(limit.current(Duration::ZERO) > MS(4300));
    }
}
