//! Futures that hyper starts run on the worker that they belong to.

use super::gather::{Turn, Turns};
use std::{cell::Cell, future::Future, rc::Rc};
use tokio::io::AsyncWrite;

/// Runs local futures for hyper, as they are: a wrapper would be copied with them, once a request.
#[derive(Debug, Clone, Copy)]
pub struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(future));
    }
}

/// The same for those of one connection, one of which writes to it: each poll of them is a turn.
pub struct TurningExecutor<IO> {
    /// The connection's.
    pub turn: Turn<IO>,
    /// How many requests are on it.
    pub streams: Rc<Cell<u32>>,
}

impl<IO> Clone for TurningExecutor<IO> {
    fn clone(&self) -> Self {
        TurningExecutor { turn: self.turn.clone(), streams: self.streams.clone() }
    }
}

impl<F, IO> hyper::rt::Executor<F> for TurningExecutor<IO>
where
    F: Future<Output = ()> + 'static,
    IO: AsyncWrite + Unpin + 'static,
{
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(Turns::new(future, self.turn.clone(), self.streams.clone())));
    }
}
