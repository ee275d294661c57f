//! What a call that is to be admitted may expect, by when it began: nothing while the sidecar is down or has not answered
//! yet; from the first answer of a start until it is stopped, an answer.

use crate::traffic::Outcome;
use mesh_runtime::clock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::time::Instant;

/// When a call began, and was not overtaken by the next stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There was no sidecar, or it was stopped before the call had ended.
    Down,
    /// It had not answered anybody since its start.
    Starting,
    /// It had.
    Serving,
}

/// How far the present start is, and what became of calls.
#[derive(Clone, Default)]
pub(super) struct Course(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Starts so far; with the stage, what a call that ends has to compare.
    starts: u32,
    running: bool,
    answered: Option<Instant>,
    outcomes: BTreeMap<Stage, Outcome>,
}

/// A call that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    start: u32,
    /// When, as far as the start is concerned.
    pub(super) stage: Stage,
}

impl Course {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// The sidecar is about to be stopped.
    pub(super) fn stops(&self) {
        self.state().running = false;
    }

    /// It has ended, and is about to be started.
    pub(super) fn starts(&self) {
        let mut state = self.state();
        (state.starts, state.running, state.answered) = (state.starts + 1, true, None);
    }

    /// When the first answer of this start came, to a call that began after it.
    pub(super) fn answered(&self) -> Option<Instant> {
        self.state().answered
    }

    /// A call begins.
    pub(super) fn begin(&self) -> Begun {
        let state = self.state();
        Begun { start: state.starts, stage: state.stage() }
    }

    /// It ends.
    pub(super) fn end(&self, begun: Begun, id: &str, result: Result<(), String>) {
        let mut state = self.state();
        let overtaken = begun.start != state.starts || !state.running;
        let stage = if overtaken { Stage::Down } else { begun.stage };
        let outcome = state.outcomes.entry(stage).or_default();
        match result {
            Ok(()) => {
                outcome.ok += 1;
                if stage == Stage::Starting {
                    state.answered.get_or_insert_with(clock::now);
                }
            }
            Err(reason) => outcome.fail(reason, id.to_owned()),
        }
    }

    /// What became of them.
    pub(super) fn outcomes(&self) -> BTreeMap<Stage, Outcome> {
        self.state().outcomes.clone()
    }
}

impl State {
    fn stage(&self) -> Stage {
        match (self.running, self.answered) {
            (false, _) => Stage::Down,
            (true, None) => Stage::Starting,
            (true, Some(_)) => Stage::Serving,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(course: &Course) -> Vec<(Stage, u64, u64)> {
        course.outcomes().into_iter().map(|(stage, outcome)| (stage, outcome.ok, outcome.failures())).collect()
    }

    #[test]
    fn only_a_call_within_the_time_of_service_must_be_answered() {
        let course = Course::default();
        let failed = || Err("refused".to_owned());
        let before = course.begin();
        course.starts();
        let (first, second) = (course.begin(), course.begin());
        course.end(before, "a", Ok(()));
        assert_eq!(course.answered(), None, "what began before the start was not answered by it");
        course.end(first, "b", failed());
        course.end(second, "c", Ok(()));
        assert!(course.answered().is_some());
        let (serving, overtaken) = (course.begin(), course.begin());
        course.end(serving, "d", failed());
        course.stops();
        course.end(overtaken, "e", failed());
        let late = course.begin();
        course.starts();
        course.end(late, "f", failed());
        assert_eq!(course.answered(), None);
        assert_eq!(counts(&course), [(Stage::Down, 1, 2), (Stage::Starting, 1, 1), (Stage::Serving, 0, 1)]);
    }
}
