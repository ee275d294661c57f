//! The one loop around what has not been received.

use super::{Ask, Asking};
use crate::snapshot::Snapshot;
use std::{
    future::Future,
    ops::Deref,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Who has configuration and can have more of it.
pub trait Fetch {
    /// A configuration, held.
    type Held: Deref<Target = Arc<Snapshot>>;

    /// The newest configuration.
    fn newest(&self) -> Self::Held;

    /// Completes when [`Fetch::newest`] may know what was asked for. False: it will not be had, or not in time.
    fn fetch(&mut self, ask: &Ask) -> impl Future<Output = bool>;
}

/// The newest configuration with which `asks` has nothing to ask, when that cannot be had the newest; and what it may ask
/// by then.
pub async fn settle<F: Fetch>(from: &mut F, asks: impl Fn(&Snapshot, Asking) -> Option<Ask>) -> (F::Held, Asking) {
    let mut asking = Asking::All;
    loop {
        let held = from.newest();
        let Some(ask) = asks(&held, asking) else { return (held, asking) };
        if !from.fetch(&ask).await {
            match ask {
                Ask::Details(_) => return (from.newest(), asking),
                Ask::Workload(_) => asking = Asking::Needed,
            }
        }
    }
}

/// As [`settle`], for who fetches without waiting. `None`: it waited after all.
pub fn settle_now<F: Fetch>(
    from: &mut F,
    asks: impl Fn(&Snapshot, Asking) -> Option<Ask>,
) -> Option<(F::Held, Asking)> {
    match pin!(settle(from, asks)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(settled) => Some(settled),
        Poll::Pending => None,
    }
}
