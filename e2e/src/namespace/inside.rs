//! A runtime on a thread that lives in a namespace: sockets that its tasks open belong to that namespace.

use super::Namespace;
use anyhow::Context;
use nix::sched::{CloneFlags, setns};
use std::thread::JoinHandle;
use tokio::{runtime::Handle, sync::oneshot};

/// See the module. Its tasks end with this value.
pub struct Inside {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    /// Starts the thread and waits until it is in the namespace.
    ///
    /// # Errors
    /// When the thread cannot be started or may not enter.
    pub fn start(namespace: &Namespace) -> anyhow::Result<Inside> {
        let (end, ended) = oneshot::channel::<()>();
        let (up, started) = std::sync::mpsc::channel();
        let door = namespace.door()?;
        let thread = std::thread::Builder::new().name("namespace".into()).spawn(move || {
            let entered = setns(door, CloneFlags::CLONE_NEWNET).context("cannot enter the namespace");
            let built = entered.and_then(|()| {
                let mut builder = tokio::runtime::Builder::new_current_thread();
                builder.enable_all().build().context("no runtime")
            });
            match built {
                Ok(runtime) => {
                    let _ = up.send(Ok(runtime.handle().clone()));
                    let _ = runtime.block_on(ended);
                }
                Err(error) => drop(up.send(Err(error))),
            }
        })?;
        let handle = started.recv().context("the thread ended")??;
        Ok(Inside { handle, end: Some(end), thread: Some(thread) })
    }

    /// Runs `work` there and gives what it gives.
    ///
    /// # Panics
    /// When it does.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle.spawn(work).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => panic!("the work was given up: {error}"),
            },
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
