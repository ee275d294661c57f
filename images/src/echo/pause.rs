//! What holds the namespaces of a pod: it waits to be ended, and takes in children whose parents have gone.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// Waits.
///
/// # Errors
/// When the system gives no way to hear of signals.
pub async fn run() -> anyhow::Result<()> {
    let mut children = signal(SignalKind::child())?;
    let end = super::asked_to_end();
    tokio::pin!(end);
    loop {
        // One signal may stand for several children.
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        tokio::select! {
            ended = &mut end => return ended,
            _ = children.recv() => {}
        }
    }
}
