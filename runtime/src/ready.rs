//! Readiness as a set of named things that are still missing. Each part registers what it waits for and drops the
//! guard when it has it; the readiness probe can then say what is pending.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// Shared by all parts of a process; clones see the same state.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    pending: BTreeMap<u64, String>,
    draining: bool,
}

impl Ready {
    /// Ready at once, until something registers.
    pub fn new() -> Self {
        Ready::default()
    }

    /// Names something without which the process is not ready. Dropping the guard says that it is there.
    #[must_use = "dropping the guard marks the part as ready"]
    pub fn register(&self, name: impl Into<String>) -> Guard {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.pending.insert(id, name.into());
        Guard { id, state: self.state.clone() }
    }

    /// What is missing, in order of registration; `draining` first when the process is on its way out.
    pub fn pending(&self) -> Vec<String> {
        let state = self.state.lock();
        state.draining.then(|| "draining".to_owned()).into_iter().chain(state.pending.values().cloned()).collect()
    }

    /// Whether nothing is missing and the process is not draining.
    pub fn is_ready(&self) -> bool {
        let state = self.state.lock();
        !state.draining && state.pending.is_empty()
    }

    /// Not ready from now on, for good: load balancers shall look elsewhere.
    pub fn fail_for_drain(&self) {
        self.state.lock().draining = true;
    }
}

/// Something is missing while this lives.
#[derive(Debug)]
pub struct Guard {
    id: u64,
    state: Arc<Mutex<State>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.state.lock().pending.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_pending_until_the_guards_are_dropped() {
        let ready = Ready::new();
        let (index, identity) = (ready.register("index"), ready.register("identity"));
        assert_eq!(ready.pending(), ["index", "identity"]);
        drop(index);
        assert_eq!((ready.pending(), ready.is_ready()), (vec!["identity".to_owned()], false));
        drop(identity);
        assert!(ready.is_ready());
    }

    #[test]
    fn a_draining_process_is_never_ready_again() {
        let ready = Ready::new();
        ready.fail_for_drain();
        assert_eq!((ready.is_ready(), ready.pending()), (false, vec!["draining".to_owned()]));
    }
}
