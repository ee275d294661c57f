//! Follows a directory: notified by the system, with a slow look at times and lengths as a safety net.
//!
//! Only files that may differ are read again. Each scan waits until the files hold still for a moment, so that a half-written file is rarely seen; one that
//! is, keeps its objects (see [`Directory`]). All changes of a scan go out as one batch.

use super::{Directory, Fingerprint, Tree, fingerprint, tree::read};
use crate::{
    error::SourceError,
    source::{Batch, SourceId},
};
use mesh_runtime::clock;
use notify::{RecursiveMode, Watcher};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::mpsc, task, time};

/// Without a further event for this long, files are taken to hold still.
const STILL: Duration = Duration::from_millis(15);
/// Writers that never pause are read all the same.
const STILL_AT_MOST: usize = 6;
/// Before an emptied file is believed.
const EMPTY: Duration = Duration::from_millis(250);
/// A file that changed this short a time before it was read may have changed once more since then without looking different:
/// times on disks are that coarse.
const COARSE: Duration = Duration::from_secs(2);
/// Between looks without an event.
const POLL: Duration = Duration::from_secs(2);

/// Follows `root` until nobody receives any more. An error ends it only when the directory cannot be read at the
/// start; later ones are logged, and the last objects stay.
pub async fn follow(root: PathBuf, batches: mpsc::Sender<Batch>) -> Result<(), SourceError> {
    let (wake, mut woken) = mpsc::channel(1);
    // Watching begins before the first look, so that nothing falls between them.
    let _watcher = watcher(&root, wake);
    let mut directory = Directory::default();
    let mut look = Look::after(&root, &Look::default(), directory.must_read()).await?;
    let mut again = emit(&mut directory, &mut look, &batches).await;
    while !batches.is_closed() {
        let pause = if again { EMPTY } else { POLL };
        let event = tokio::select! {
            event = woken.recv() => event.is_some(),
            () = batches.closed() => return Ok(()),
            () = time::sleep(pause) => false,
        };
        if event {
            settle(&mut woken).await;
        } else if !again && fingerprint(&root).is_ok_and(|now| now == look.seen) {
            continue;
        }
        match Look::after(&root, &look, directory.must_read()).await {
            Ok(fresh) => {
                look = fresh;
                again = emit(&mut directory, &mut look, &batches).await;
            }
            Err(error) => tracing::warn!(%error, "objects stay as they were"),
        }
    }
    Ok(())
}

/// What is in the directory, of which only what may differ from the look before was read.
struct Look {
    seen: Fingerprint,
    read_at: SystemTime,
    read: Tree,
    same: BTreeSet<Arc<str>>,
}

impl Default for Look {
    fn default() -> Self {
        Look { seen: Fingerprint::default(), read_at: SystemTime::UNIX_EPOCH, read: Tree::new(), same: BTreeSet::new() }
    }
}

impl Look {
    /// Looks until the files are the same before and after; `must_read` is read in any case.
    async fn after(root: &Path, before: &Look, must_read: &BTreeSet<Arc<str>>) -> Result<Self, SourceError> {
        let mut seen = fingerprint(root)?;
        for _ in 0..STILL_AT_MOST {
            let look = Look::at(seen, before, must_read).await.map_err(|error| gone(root, error))?;
            seen = fingerprint(root)?;
            if seen == look.seen {
                return Ok(look);
            }
            time::sleep(STILL).await;
        }
        Look::at(seen, before, must_read).await.map_err(|error| gone(root, error))
    }

    async fn at(seen: Fingerprint, before: &Look, must_read: &BTreeSet<Arc<str>>) -> Result<Self, task::JoinError> {
        let read_at = clock::system_now();
        let mut same = seen.same_as(&before.seen, before.read_at);
        same.retain(|path| !must_read.contains(path));
        task::spawn_blocking(move || Look { read: read(&seen, &same), seen, read_at, same }).await
    }
}

impl Fingerprint {
    /// Of the files that are here, those that look as they did in `before`, when that was read at `read_at`: reading them
    /// again finds what was found then.
    fn same_as(&self, before: &Fingerprint, read_at: SystemTime) -> BTreeSet<Arc<str>> {
        let settled = read_at.checked_sub(COARSE).and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let settled = settled.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        let seen =
            self.0.iter().filter(|(path, state)| before.0.get(*path) == Some(*state) && state.changed.0 < settled);
        seen.map(|(path, _)| path.clone()).collect()
    }
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
async fn emit(directory: &mut Directory, look: &mut Look, batches: &mpsc::Sender<Batch>) -> bool {
    let scan = directory.look(&std::mem::take(&mut look.read), &std::mem::take(&mut look.same));
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

fn gone(root: &Path, error: task::JoinError) -> SourceError {
    SourceError::Unreadable { path: root.into(), reason: std::io::Error::other(error) }
}

#[cfg(test)]
mod tests;
