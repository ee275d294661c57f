//! Follows the place where the root is kept: one that an operator puts there counts without a restart.

use crate::{
    authority::Authority,
    root::Root,
    store::{Store, StoreError, Stored},
};
use mesh_runtime::{clock::WallClock, drain};
use std::{io, pin::Pin, sync::Arc, time::Duration};

/// Between two looks. Mounted Secrets arrive by a link that moves, which notifications miss.
const LOOK: Duration = Duration::from_secs(2);

/// What is there now; `None` when there is nothing.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Option<Stored>, StoreError>> + Send + 'a>>;

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
            read.unwrap_or_else(|e| Err(StoreError { path: self.place().into(), error: io::Error::other(e) }))
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
}

impl Follow {
    /// Looks until drained. `changed` is called whenever something else signs, or something else is trusted.
    ///
    /// What cannot be used changes nothing: files that are replaced one by one do not fit for a moment.
    pub async fn run(self, drain: drain::Watch, changed: impl Fn()) {
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
            tokio::select! {
                () = &mut drained => return,
                () = tokio::time::sleep(self.place.every()) => {}
            }
        }
    }

    /// Whether anything changed.
    async fn look(&self, seen: &mut Option<Stored>) -> Result<bool, String> {
        let turned = self.authority.turn(self.clock.now());
        let offered = match self.place.read().await {
            Ok(Some(stored)) if seen.as_ref() == Some(&stored) => Ok(false),
            Ok(Some(stored)) => self.offer(stored, seen),
            Ok(None) => Err("it is empty".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        // What the time did is told all the same.
        if turned { Ok(true) } else { offered }
    }

    fn offer(&self, stored: Stored, seen: &mut Option<Stored>) -> Result<bool, String> {
        let now = self.clock.now();
        let root = Root::from_stored(&stored, now).map_err(|e| e.to_string())?;
        *seen = Some(stored);
        Ok(self.authority.offer(root, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lifetimes, root::self_signed, store::memory::MemoryStore, succession::ANNOUNCED};
    use mesh_config::identity::TrustDomain;

    #[tokio::test]
    async fn a_root_that_is_replaced_is_taken_over_and_what_cannot_be_used_is_not() {
        let now = mesh_runtime::clock::system_now();
        let clock = WallClock::manual(now);
        let made = || self_signed(&TrustDomain::default(), now).unwrap();
        let (old, new) = (made(), made());
        let at = |stored: &Stored| -> Arc<dyn Place> { Arc::new(MemoryStore::holding(stored.clone())) };
        let root = Root::from_stored(&old, now).unwrap();
        let authority = Arc::new(Authority::new(TrustDomain::default(), root, Lifetimes::default()));
        let mut follow = Follow { authority: authority.clone(), place: at(&old), clock: clock.clone() };
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
