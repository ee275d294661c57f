//! How long a stream lasts: no longer than what proved its caller, and no longer than connections get old, give or take, so
//! that clients spread over the pilots there are. A stream that is old ends between two pushes; its client comes again, says
//! what it holds, and gets the difference.

use super::authn::Proved;
use mesh_runtime::clock;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// For the answers to a push that is on its way.
const GRACE: Duration = Duration::from_secs(10);
/// Longest that is reckoned with.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The ends of one stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// Nothing is said beyond it.
    pub(super) proof: Instant,
    /// No push begins beyond it.
    pub(super) age: Instant,
}

impl Life {
    /// From now on. `random` is from 0 to 1.
    pub(super) fn of(proved: &Proved, age: Duration, wall: SystemTime, random: f64) -> Self {
        let now = clock::now();
        let proof = proved.until.duration_since(wall).unwrap_or_default();
        Life { proof: now + proof.min(LONGEST), age: now + age.min(LONGEST).mul_f64(0.9 + 0.2 * random) }
    }

    /// When a push that is on its way is not waited for any longer.
    pub(super) fn end(&self) -> Instant {
        self.age + GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ages_are_spread_and_a_proof_ends_when_it_ends() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let proved = |until| Proved { namespace: "a".into(), service_account: "b".into(), proof: "token", until };
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let life = |until, random| Life::of(&proved(until), minutes(30), wall, random);
        let now = clock::now();
        let (early, late) = (life(wall + minutes(60), 0.0), life(wall - minutes(1), 1.0));
        assert_eq!((early.proof - now, early.age - now), (minutes(60), minutes(27)));
        assert_eq!((late.proof - now, late.age - now), (minutes(0), minutes(33)));
        assert_eq!(life(wall + 100 * LONGEST, 0.5).proof - now, LONGEST);
    }
}
