//! The one loop around what has not been received.

use super::Ask;
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
    fn fetch(&mut self, ask: Ask) -> impl Future<Output = bool>;
}

/// The newest configuration with which `asks` has nothing to ask; when that cannot be had, the newest.
pub async fn settle<F: Fetch>(from: &mut F, asks: impl Fn(&Snapshot) -> Option<Ask>) -> F::Held {
    loop {
        let held = from.newest();
        match asks(&held) {
            None => return held,
            Some(ask) => {
                if !from.fetch(ask).await {
                    return from.newest();
                }
            }
        }
    }
}

/// As [`settle`], for who fetches without waiting. `None`: it waited after all.
pub fn settle_now<F: Fetch>(from: &mut F, asks: impl Fn(&Snapshot) -> Option<Ask>) -> Option<F::Held> {
    match pin!(settle(from, asks)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(held) => Some(held),
        Poll::Pending => None,
    }
}
