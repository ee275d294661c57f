//! Follows a directory: notified by the system, with a slow look at times and lengths as a safety net.
//!
//! Each scan waits until the files hold still for a moment, so that a half-written file is rarely seen; one that
//! is, keeps its objects (see [`Directory`]). All changes of a scan go out as one batch.

use super::{Directory, Fingerprint, Tree, fingerprint, read_tree};
use crate::{
    error::SourceError,
    source::{Batch, SourceId},
};
use notify::{RecursiveMode, Watcher};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::mpsc, time};

/// Without a further event for this long, files are taken to hold still.
const STILL: Duration = Duration::from_millis(15);
/// Writers that never pause are read all the same.
const STILL_AT_MOST: usize = 6;
/// Before an emptied file is believed.
const EMPTY: Duration = Duration::from_millis(250);
/// Between looks without an event.
const POLL: Duration = Duration::from_secs(2);

/// Follows `root` until nobody receives any more. An error ends it only when the directory cannot be read at the
/// start; later ones are logged, and the last objects stay.
pub async fn follow(root: PathBuf, batches: mpsc::Sender<Batch>) -> Result<(), SourceError> {
    let (wake, mut woken) = mpsc::channel(1);
    // Watching begins before the first look, so that nothing falls between them.
    let _watcher = watcher(&root, wake);
    let mut directory = Directory::default();
    let (mut seen, tree) = look(&root).await?;
    let mut again = emit(&mut directory, tree, &batches).await;
    while !batches.is_closed() {
        let pause = if again { EMPTY } else { POLL };
        let event = tokio::select! {
            event = woken.recv() => event.is_some(),
            () = batches.closed() => return Ok(()),
            () = time::sleep(pause) => false,
        };
        if event {
            settle(&mut woken).await;
        } else if !again && fingerprint(&root).is_ok_and(|now| now == seen) {
            continue;
        }
        match look(&root).await {
            Ok((fresh, tree)) => {
                again = emit(&mut directory, tree, &batches).await;
                seen = fresh;
            }
            Err(error) => tracing::warn!(%error, "objects stay as they were"),
        }
    }
    Ok(())
}

/// Reads until two readings in a row agree on lengths and times.
async fn look(root: &Path) -> Result<(Fingerprint, Tree), SourceError> {
    let mut before = fingerprint(root)?;
    for _ in 0..STILL_AT_MOST {
        let path = root.to_owned();
        let tree = tokio::task::spawn_blocking(move || read_tree(&path)).await.map_err(|e| gone(root, e))??;
        let after = fingerprint(root)?;
        if before == after {
            return Ok((after, tree));
        }
        before = after;
        time::sleep(STILL).await;
    }
    Ok((before, read_tree(root)?))
}

/// Waits for a pause in the events.
async fn settle(woken: &mut mpsc::Receiver<()>) {
    for _ in 0..STILL_AT_MOST {
        if !matches!(time::timeout(STILL, woken.recv()).await, Ok(Some(()))) {
            return;
        }
    }
}

/// Sends what is different. Whether to look again soon.
async fn emit(directory: &mut Directory, tree: Tree, batches: &mpsc::Sender<Batch>) -> bool {
    let scan = directory.scan(&tree);
    if !scan.changes.is_empty() {
        // Fails when nobody receives any more, which the caller's loop sees.
        let _ = batches.send(Batch { source: SourceId::Files, changes: scan.changes }).await;
    }
    scan.again
}

/// Wakes at every event under `root`. Without notifications (too many watches) the slow look remains.
fn watcher(root: &Path, wake: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let on_event = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|e| !e.kind.is_access()) {
            // A full channel already holds a wake-up.
            let _ = wake.try_send(());
        }
    };
    let watching = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    match watching {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, path = %root.display(), "no file notifications; changes are seen within {POLL:?}");
            None
        }
    }
}

fn gone(root: &Path, error: tokio::task::JoinError) -> SourceError {
    SourceError::Unreadable { path: root.into(), reason: std::io::Error::other(error) }
}

#[cfg(test)]
mod tests;
