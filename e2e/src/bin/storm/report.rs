//! What the storm prints.

use mesh_e2e::{faults::Stale, traffic::Outcome};
use std::time::Duration;

/// What was found so far.
#[derive(Default)]
pub(crate) struct Report {
    requests: u64,
    labelled: u64,
    problems: Vec<String>,
    drills: u32,
}

impl Report {
    /// Says what begins, as it takes a while.
    pub(crate) fn announce(&self, name: &str) {
        println!("\n{name}: running …");
    }

    /// A drill in which nothing may fail.
    pub(crate) fn drill(&mut self, name: &str, what: &str, time: Duration, outcomes: Vec<(&'static str, Outcome)>) {
        self.begin(name, what, time);
        for (kind, outcome) in outcomes {
            self.row(kind, &outcome);
            if outcome.failures() > 0 {
                self.problems.push(format!("{name}: {} of {kind} failed", outcome.failures()));
            }
        }
    }

    /// The drill of stale connections, in which some may, with their label.
    pub(crate) fn stale(&mut self, time: Duration, found: Stale) {
        self.begin("stale", "upstreams that close idle connections at 200 ms, behind either sidecar", time);
        for (kind, outcome) in &found.outcomes {
            self.row(kind, outcome);
            if !kind.starts_with("GET") {
                self.labelled += outcome.failures();
            }
        }
        let (gets, twice, unlabelled) = (found.failed_gets(), found.seen_twice.len(), found.unlabelled.len());
        println!("  GET failed: {gets}; POST or gRPC seen twice: {twice}; failed without label: {unlabelled}");
        if !found.is_clean() {
            self.problems.push(format!(
                "stale: {gets} GET failed, {twice} seen twice, {unlabelled} without label (such as {:?})",
                found.seen_twice.iter().chain(&found.unlabelled).next()
            ));
        }
    }

    fn begin(&mut self, name: &str, what: &str, time: Duration) {
        self.drills += 1;
        println!("{name}: {what}; {:.1} s", time.as_secs_f64());
        println!("  {:<14} {:>10} {:>8}  reasons", "kind", "ok", "failed");
    }

    fn row(&mut self, kind: &str, outcome: &Outcome) {
        self.requests += outcome.ok + outcome.failures();
        let reasons: Vec<String> = outcome.failed.iter().map(|(why, count)| format!("{count} × {why}")).collect();
        println!("  {kind:<14} {:>10} {:>8}  {}", outcome.ok, outcome.failures(), reasons.join("; "));
    }

    /// Whether all is as it should be.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.requests > 0
    }

    /// The last line.
    pub(crate) fn verdict(&self) -> String {
        let (requests, drills, labelled) = (self.requests, self.drills, self.labelled);
        match self.is_clean() {
            true => format!(
                "storm: passed; {requests} requests in {drills} drills, none lost ({labelled} POST and gRPC answered with stale_connection)"
            ),
            false => format!("storm: FAILED; {}", self.problems.join("; ")),
        }
    }
}
