//! Follows the place where the root is kept: one that an operator puts there counts without a restart.

use crate::{
    alarm::Alarms,
    authority::Authority,
    root::Root,
    store::{Store, StoreError, Stored},
    succession::Beside,
};
use mesh_runtime::{clock::WallClock, drain};
use std::{io, pin::Pin, sync::Arc, time::Duration};

/// Between two looks. Mounted Secrets arrive by a link that moves, which notifications miss.
const LOOK: Duration = Duration::from_secs(2);

/// What is there now; `None` when there is nothing.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Option<Held>, StoreError>> + Send + 'a>>;

/// What a place holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The root.
    pub stored: Stored,
    /// What the place says is trusted beside it.
    pub beside: Beside,
}

impl From<Stored> for Held {
    fn from(stored: Stored) -> Self {
        Held { stored, beside: Beside::default() }
    }
}

/// A place that is looked at again and again, without blocking.
pub trait Place: Send + Sync {
    /// What is there.
    fn read(&self) -> Reading<'_>;

    /// For messages.
    fn name(&self) -> String;

    /// How long to wait between two looks.
    fn every(&self) -> Duration {
        LOOK
    }
}

impl<S: Store + Clone + Send + Sync + 'static> Place for S {
    fn read(&self) -> Reading<'_> {
        let store = self.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || store.load()).await;
            let read =
                read.unwrap_or_else(|e| Err(StoreError { path: self.place().into(), error: io::Error::other(e) }));
            Ok(read?.map(Held::from))
        })
    }

    fn name(&self) -> String {
        self.place()
    }
}

/// What is followed for whom.
pub struct Follow {
    /// Who signs.
    pub authority: Arc<Authority>,
    /// Where its root is.
    pub place: Arc<dyn Place>,
    /// The time.
    pub clock: WallClock,
    /// What is told of certificates that grow old.
    pub alarms: Alarms,
}

impl Follow {
    /// Looks until drained. `changed` is called whenever something else signs, or something else is trusted.
    ///
    /// What cannot be used changes nothing: files that are replaced one by one do not fit for a moment.
    pub async fn run(mut self, drain: drain::Watch, changed: impl Fn()) {
        let (mut seen, mut problem) = (None, String::new());
        let drained = drain.signaled();
        tokio::pin!(drained);
        loop {
            let looked = tokio::select! {
                () = &mut drained => return,
                looked = self.look(&mut seen) => looked,
            };
            match looked {
                Ok(false) => problem.clear(),
                Ok(true) => {
                    problem.clear();
                    tracing::info!(roots = %self.authority.roots().fingerprint(), "roots changed");
                    changed();
                }
                Err(error) if error == problem => {}
                Err(error) => {
                    tracing::warn!(error, place = self.place.name(), "the root in force stays");
                    problem = error;
                }
            }
            self.alarms.look(&self.authority.certificates(), self.clock.now());
            tokio::select! {
                () = &mut drained => return,
                () = tokio::time::sleep(self.place.every()) => {}
            }
        }
    }

    /// Whether anything changed.
    async fn look(&self, seen: &mut Option<Held>) -> Result<bool, String> {
        let turned = self.authority.turn(self.clock.now());
        let offered = match self.place.read().await {
            Ok(Some(held)) if seen.as_ref() == Some(&held) => Ok(false),
            Ok(Some(held)) => self.offer(held, seen),
            Ok(None) => Err("it is empty".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        // What the time did is told all the same.
        if turned { Ok(true) } else { offered }
    }

    fn offer(&self, held: Held, seen: &mut Option<Held>) -> Result<bool, String> {
        let now = self.clock.now();
        let root = Root::from_stored(&held.stored, now).map_err(|e| e.to_string())?;
        let beside = held.beside.clone();
        *seen = Some(held);
        Ok(self.authority.offer(root, beside, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lifetimes, root::self_signed, store::memory::MemoryStore, succession::ANNOUNCED};
    use mesh_config::identity::TrustDomain;
    use mesh_runtime::telemetry::metrics::Registry;

    #[tokio::test]
    async fn a_root_that_is_replaced_is_taken_over_and_what_cannot_be_used_is_not() {
        let now = mesh_runtime::clock::system_now();
        let clock = WallClock::manual(now);
        let made = || self_signed(&TrustDomain::default(), now).unwrap();
        let (old, new) = (made(), made());
        let at = |stored: &Stored| -> Arc<dyn Place> { Arc::new(MemoryStore::holding(stored.clone())) };
        let root = Root::from_stored(&old, now).unwrap();
        let authority = Arc::new(Authority::new(TrustDomain::default(), root, Lifetimes::default()));
        let alarms = Alarms::new(&Registry::new()).unwrap();
        let mut follow = Follow { authority: authority.clone(), place: at(&old), clock: clock.clone(), alarms };
        let mut seen = None;
        assert_eq!(follow.look(&mut seen).await, Ok(false));
        follow.place = at(&Stored { key: made().key, ..new.clone() });
        let error = follow.look(&mut seen).await.unwrap_err();
        assert!(error.contains("ca-key.pem does not belong to ca-cert.pem"), "{error}");
        follow.place = Arc::new(MemoryStore::default());
        assert_eq!(follow.look(&mut seen).await, Err("it is empty".to_owned()));

        follow.place = at(&new);
        assert_eq!(follow.look(&mut seen).await, Ok(true));
        assert_eq!(authority.roots().certificates().len(), 2);
        assert_eq!(follow.look(&mut seen).await, Ok(false));
        clock.set(now + ANNOUNCED);
        assert_eq!(follow.look(&mut seen).await, Ok(true));
        // Nobody has a certificate of the old one.
        assert_eq!(authority.roots().pem(), new.roots);
    }
}
