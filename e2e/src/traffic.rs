//! Load that does not wait for answers: so many requests a second begin whatever became of those before, each with
//! an id, and each that fails is counted with its reason.

mod shots;

pub use shots::{Grpc, Http1, Http2, Shot, Tcp};

use mesh_runtime::clock;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::{JoinHandle, JoinSet};

/// How requests begin.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two groups.
    pub every: Duration,
    /// Requests that begin at once.
    pub group: u64,
    /// The pause varies by as much, up or down, at random.
    pub jitter: Duration,
}

impl Pace {
    /// Evenly, so many a second.
    pub fn rate(per_second: u64) -> Pace {
        let groups = per_second.clamp(1, 100);
        let every = Duration::from_secs(1) / u32::try_from(groups).expect("at most 100");
        Pace { every, group: per_second.div_ceil(groups), jitter: Duration::ZERO }
    }
}

/// What became of requests so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Answered as they should be.
    pub ok: u64,
    /// Not so, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Ids of those, the first thousand.
    pub failed_ids: Vec<String>,
}

impl Outcome {
    /// How many failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Counts one that failed.
    pub fn fail(&mut self, reason: String, id: String) {
        *self.failed.entry(reason).or_default() += 1;
        if self.failed_ids.len() < 1000 {
            self.failed_ids.push(id);
        }
    }
}

#[derive(Default)]
struct Counts {
    running: AtomicU64,
    outcome: Mutex<Outcome>,
}

impl Counts {
    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().expect("no holder panics")
    }
}

/// A running load.
pub struct Load {
    pub name: &'static str,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// More requests than this at once are the harness's failure, and counted as such.
const MOST_AT_ONCE: u64 = 1000;
const OVERLOADED: &str = "the harness is overloaded";

impl Load {
    pub fn start(name: &'static str, pace: Pace, shot: impl Shot) -> Load {
        let (counts, stop) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let task = tokio::spawn(run(name, pace, shot, counts.clone(), stop.clone()));
        Load { name, counts, stop, task }
    }

    /// What became of the requests so far.
    pub fn so_far(&self) -> Outcome {
        self.counts.outcome().clone()
    }

    /// Requests that have begun and not ended.
    pub fn running(&self) -> u64 {
        self.counts.running.load(Ordering::Relaxed)
    }

    /// Requests that have been answered or have failed.
    pub fn done(&self) -> u64 {
        let outcome = self.counts.outcome();
        outcome.ok + outcome.failures()
    }

    /// Waits until so many are [`Load::done`].
    pub async fn reaches(&self, target: u64) {
        crate::until(&format!("{target} of {}", self.name), || async {
            if self.done() >= target { Ok(()) } else { Err(self.done()) }
        })
        .await;
    }

    /// Waits until so many more have been answered or have failed.
    pub async fn more(&self, requests: u64) {
        self.reaches(self.done() + requests).await;
    }

    /// Begins no more, waits for those that run.
    pub async fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let counts = self.counts.clone();
        self.task.await.expect("the load does not panic");
        counts.outcome().clone()
    }
}

async fn run(name: &'static str, pace: Pace, shot: impl Shot, counts: Arc<Counts>, stop: Arc<AtomicBool>) {
    let run = fastrand::u32(..);
    let mut shots = JoinSet::new();
    let mut next = clock::now();
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..pace.group {
            number += 1;
            let id = format!("{name}-{run:08x}-{number}");
            if counts.running.load(Ordering::Relaxed) >= MOST_AT_ONCE {
                counts.outcome().fail(OVERLOADED.into(), id);
                continue;
            }
            counts.running.fetch_add(1, Ordering::Relaxed);
            let (shot, counts) = (shot.clone(), counts.clone());
            shots.spawn(async move {
                match shot.fire(&id).await {
                    Ok(()) => counts.outcome().ok += 1,
                    Err(reason) => counts.outcome().fail(reason, id),
                }
                counts.running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while shots.try_join_next().is_some() {}
        let jitter = pace.jitter.mul_f64(fastrand::f64() * 2.0);
        next += (pace.every + jitter).saturating_sub(pace.jitter);
        tokio::time::sleep_until(next).await;
    }
    while shots.join_next().await.is_some() {}
}
