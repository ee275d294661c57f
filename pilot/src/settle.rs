//! When to compile: after a quiet moment, and never later than a ceiling after the first change.
//!
//! Pure over a clock value: the caller says what time it is, and asks again at the time it was told. Changes of
//! endpoints alone go at once, unless something else is waiting: compiling would put half of that in force. Where changes
//! come one by one, the first after a quiet moment goes at once too: mostly it is the only one.

use crate::world::Touched;
use std::time::{Duration, Instant};

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Without a further change for this long: go.
    pub quiet: Duration,
    /// This long after the first change: go, whatever still comes.
    pub ceiling: Duration,
    /// The first change after a quiet moment goes at once.
    pub first_at_once: bool,
}

impl Pace {
    /// For a cluster, where one `kubectl apply` arrives as many events.
    pub const CLUSTER: Pace =
        Pace { quiet: Duration::from_millis(100), ceiling: Duration::from_secs(10), first_at_once: true };
    /// For a directory, whose watcher already hands over whole sets.
    pub const FILES: Pace =
        Pace { quiet: Duration::from_millis(20), ceiling: Duration::from_millis(200), first_at_once: false };
}

/// Changes that wait.
#[derive(Debug)]
pub struct Settle {
    pace: Pace,
    waiting: Option<Waiting>,
    /// When something was touched last that may wait.
    touched: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    first: Instant,
    last: Instant,
    touched: Touched,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Compile; this is what was touched since the last time.
    Go(Touched),
    /// Ask again at this time.
    Wait(Instant),
    /// Nothing is waiting.
    Idle,
}

impl Settle {
    /// Nothing waits yet.
    pub fn new(pace: Pace) -> Self {
        Settle { pace, waiting: None, touched: None }
    }

    /// Something was touched at `now`.
    pub fn offer(&mut self, touched: Touched, now: Instant) -> Decision {
        if touched.is_empty() {
            return self.poll(now);
        }
        let may_wait = !touched.endpoints_only();
        let quiet = self.touched.is_none_or(|last| now >= last + self.pace.quiet);
        if may_wait {
            self.touched = Some(now);
        }
        match &mut self.waiting {
            None if !may_wait || (quiet && self.pace.first_at_once) => return Decision::Go(touched),
            None => self.waiting = Some(Waiting { first: now, last: now, touched }),
            Some(waiting) => {
                waiting.last = now;
                waiting.touched.merge(touched);
            }
        }
        self.poll(now)
    }

    /// Whether it is time.
    pub fn poll(&mut self, now: Instant) -> Decision {
        let Some(waiting) = &self.waiting else { return Decision::Idle };
        let due = (waiting.last + self.pace.quiet).min(waiting.first + self.pace.ceiling);
        if now < due {
            return Decision::Wait(due);
        }
        self.waiting.take().map_or(Decision::Idle, |w| Decision::Go(w.touched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;
    use mesh_config::{kind::ObjectKind, name::NamespacedName};

    const PACE: Pace =
        Pace { quiet: Duration::from_millis(10), ceiling: Duration::from_millis(25), first_at_once: false };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn route() -> Touched {
        Touched::REST
    }

    fn slice() -> Touched {
        Touched::of(ObjectId::new(ObjectKind::EndpointSlice, NamespacedName::new("shop", "cart-1")))
    }

    #[test]
    fn waits_for_a_quiet_moment() {
        let (mut settle, t) = (Settle::new(PACE), mesh_runtime::clock::now().into_std());
        assert_eq!(settle.offer(route(), t), Decision::Wait(t + ms(10)));
        assert_eq!(settle.offer(route(), t + ms(5)), Decision::Wait(t + ms(15)));
        assert_eq!(settle.poll(t + ms(15)), Decision::Go(route()));
        assert_eq!(settle.poll(t + ms(16)), Decision::Idle);
    }

    #[test]
    fn never_waits_beyond_the_ceiling() {
        let (mut settle, t) = (Settle::new(PACE), mesh_runtime::clock::now().into_std());
        settle.offer(route(), t);
        settle.offer(route(), t + ms(9));
        assert_eq!(settle.offer(route(), t + ms(18)), Decision::Wait(t + ms(25)));
        assert_eq!(settle.offer(route(), t + ms(25)), Decision::Go(route()));
    }

    #[test]
    fn endpoints_alone_go_at_once_but_wait_with_what_waits() {
        let (mut settle, t) = (Settle::new(PACE), mesh_runtime::clock::now().into_std());
        assert_eq!(settle.offer(slice(), t), Decision::Go(slice()));
        settle.offer(route(), t);
        assert_eq!(settle.offer(slice(), t + ms(1)), Decision::Wait(t + ms(11)));
        let mut both = route();
        both.merge(slice());
        assert_eq!(settle.poll(t + ms(11)), Decision::Go(both));
    }

    #[test]
    fn the_first_change_goes_at_once_where_changes_come_one_by_one() {
        let pace = Pace { first_at_once: true, ..PACE };
        let (mut settle, t) = (Settle::new(pace), mesh_runtime::clock::now().into_std());
        assert_eq!(settle.offer(route(), t), Decision::Go(route()));
        assert_eq!(settle.offer(route(), t + ms(9)), Decision::Wait(t + ms(19)));
        assert_eq!(settle.poll(t + ms(19)), Decision::Go(route()));
        assert_eq!(settle.offer(route(), t + ms(19)), Decision::Go(route()));
        assert_eq!(settle.offer(slice(), t + ms(20)), Decision::Go(slice()));
    }

    #[test]
    fn nothing_touched_starts_no_wait() {
        let mut settle = Settle::new(PACE);
        assert_eq!(settle.offer(Touched::default(), mesh_runtime::clock::now().into_std()), Decision::Idle);
    }
}
