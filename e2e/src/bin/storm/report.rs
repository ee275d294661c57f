//! What the storm prints.

use mesh_e2e::{
    faults::{Stale, endpoints, policy, start},
    traffic::Outcome,
};
use std::time::Duration;

/// So long after a change of policy nothing passes that a new connection could not do.
const POLICY: Duration = Duration::from_secs(1);
/// So long after its first push, or after its start with what it kept, a sidecar answers whom it admits.
const FROM_PUSH: Duration = Duration::from_secs(2);
const FROM_KEPT: Duration = Duration::from_secs(1);

/// What was found so far.
#[derive(Default)]
pub(crate) struct Report {
    requests: u64,
    labelled: u64,
    problems: Vec<String>,
    drills: u32,
    not_run: Vec<String>,
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

    /// The drill of endpoints that change, in which nothing may fail and every client must come to the end.
    pub(crate) fn endpoints(&mut self, time: Duration, drill: endpoints::Drill, found: endpoints::Found) {
        let endpoints::Drill { clients, changes, .. } = drill;
        let rate = f64::from(changes) / found.changing.as_secs_f64().max(0.001);
        let what = format!("{changes} changes, {rate:.0} a second, followed by {clients} clients and two sidecars");
        self.drill("endpoints", &what, time, found.outcomes);
        let lag = |part: f64| {
            let last = found.lags.len().saturating_sub(1);
            let place = (last as f64 * part).round() as usize;
            found.lags.get(place).map_or(0, Duration::as_millis)
        };
        println!(
            "  from a change to a client: median {} ms, 99 of 100 {} ms, longest {} ms; all had the last one after {} ms; {} streams",
            lag(0.5),
            lag(0.99),
            lag(1.0),
            found.catching_up.as_millis(),
            found.streams
        );
        if let Some(one) = found.behind.first() {
            self.problems.push(format!("endpoints: {} clients did not come to the end: {one}", found.behind.len()));
        }
        if found.lags.is_empty() {
            self.problems.push("endpoints: no client saw a change".to_owned());
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

    /// The drill of open connections while policies change.
    pub(crate) fn policy(&mut self, time: Duration, found: &[policy::Found]) {
        self.drills += 1;
        println!("policy: open connections of HTTP/1, HTTP/2, WebSocket and TCP; {:.1} s", time.as_secs_f64());
        println!("  {:<14} {:>6} {:>10}  longest", "change", "lines", "exchanges");
        for one in found {
            let (change, longest) = (format!("{:?}", one.change), one.longest.as_millis());
            println!("  {change:<14} {:>6} {:>10}  {longest} ms ({})", one.lines, one.exchanges, one.last);
            self.requests += one.exchanges;
            if one.longest > POLICY || !one.open.is_empty() {
                self.problems.push(format!("policy: {change}: {} passes after {longest} ms", one.last));
            }
            self.problems.extend(one.lost.iter().map(|lost| format!("policy: {change}: lost {lost}")));
        }
    }

    /// The drill of a sidecar that starts again and again.
    pub(crate) fn starts(&mut self, time: Duration, wanted: u32, found: start::Found) {
        let ways: Vec<String> = found.made.iter().map(|(way, count)| format!("{way:?} {count}")).collect();
        let what = format!("a sidecar started {} times under captured calls ({})", found.starts(), ways.join(", "));
        self.begin("starts", &what, time);
        for (stage, outcome) in &found.admitted {
            self.row(&format!("admitted, {stage:?}").to_lowercase(), outcome);
        }
        for (kind, outcome) in &found.others {
            self.row(kind, outcome);
        }
        self.problems.extend(found.problems().into_iter().map(|problem| format!("starts: {problem}")));
        if found.starts() < wanted {
            self.problems.push(format!("starts: {} of {wanted} within the time", found.starts()));
        }
        for (from, times, limit) in [
            ("the first push", &found.from_push, FROM_PUSH),
            ("a start with what was kept", &found.from_kept, FROM_KEPT),
        ] {
            let mut times = times.clone();
            times.sort();
            let (Some(last), Some(middle)) = (times.last(), times.get(times.len() / 2)) else { continue };
            println!("  from {from} to an answer: median {} ms, longest {} ms", middle.as_millis(), last.as_millis());
            let late = times.iter().filter(|time| **time > limit).count();
            if late > 0 {
                self.problems.push(format!("starts: {late} answers later than {limit:?} after {from}"));
            }
        }
    }

    /// A drill that this machine cannot run.
    pub(crate) fn not_run(&mut self, name: &str, why: &str) {
        println!("{name}: not run: {why}");
        self.not_run.push(name.to_owned());
    }

    fn begin(&mut self, name: &str, what: &str, time: Duration) {
        self.drills += 1;
        println!("{name}: {what}; {:.1} s", time.as_secs_f64());
        println!("  {:<18} {:>10} {:>8}  reasons", "kind", "ok", "failed");
    }

    fn row(&mut self, kind: &str, outcome: &Outcome) {
        self.requests += outcome.ok + outcome.failures();
        let reasons: Vec<String> = outcome.failed.iter().map(|(why, count)| format!("{count} × {why}")).collect();
        println!("  {kind:<18} {:>10} {:>8}  {}", outcome.ok, outcome.failures(), reasons.join("; "));
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
                "storm: passed; {requests} requests in {drills} drills, none lost ({labelled} POST and gRPC answered with stale_connection){}",
                if self.not_run.is_empty() { String::new() } else { format!("; not run: {}", self.not_run.join(", ")) }
            ),
            false => format!("storm: FAILED; {}", self.problems.join("; ")),
        }
    }
}
