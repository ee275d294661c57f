//! Futures that hyper starts run on the worker that they belong to.

use std::future::Future;

/// Runs local futures for hyper.
#[derive(Debug, Clone, Copy)]
pub struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        // A task of this worker: its output (nothing) is of no interest.
        drop(tokio::task::spawn_local(async move {
            future.await;
        }));
    }
}
