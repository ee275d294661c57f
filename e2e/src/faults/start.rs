//! A sidecar behind captured connections starts again and again, with and without what it has kept, with and without
//! pilot, while calls come that its policy admits, that it refuses, and in plain text where mutual TLS is required.
//!
//! What may not happen: a refused call reaches the application, an outbound call leaves in plain text or towards
//! what the mesh does not know, anything is answered before a configuration has been received. And what has answered once
//! answers every admitted call until it is stopped.

mod callers;
mod course;
mod place;

pub use course::Stage;

use crate::traffic::Outcome;
use callers::Callers;
use mesh_runtime::clock;
use place::Place;
use std::{collections::BTreeMap, time::Duration};

/// How a sidecar starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// With nothing kept, pilot there.
    Fresh,
    /// With what the last run kept, pilot there.
    Kept,
    /// With what the last run kept, pilot away.
    KeptAlone,
    /// With nothing kept and pilot away, who then comes.
    FreshAlone,
    /// With its certificate but no configuration, pilot away, who then comes.
    CertificateAlone,
    /// With nothing kept and a pilot who does not know the workload, then does.
    Unknown,
}

/// All of them.
pub const STARTS: [Start; 6] =
    [Start::Fresh, Start::Kept, Start::KeptAlone, Start::FreshAlone, Start::CertificateAlone, Start::Unknown];

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Drill {
    /// Starts, each way in turn.
    pub starts: u32,
    /// Connections a second of each caller.
    pub rate: u64,
    /// No start begins after so long.
    pub time: Duration,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Starts made, by their way.
    pub made: BTreeMap<Start, u32>,
    /// What became of calls that are to be admitted, by when they began; one that began while the sidecar served may not
    /// fail.
    pub admitted: BTreeMap<Stage, Outcome>,
    /// What became of the others; a failure is a call that should have been refused and was not, or one to which the
    /// harness did not come.
    pub others: Vec<(&'static str, Outcome)>,
    /// Calls that were served, or went out, and should not have been.
    pub open: Vec<String>,
    /// From the first push to the first answer to an admitted call.
    pub from_push: Vec<Duration>,
    /// From the start of the process with kept configuration to that answer.
    pub from_kept: Vec<Duration>,
}

impl Found {
    /// Starts in all.
    pub fn starts(&self) -> u32 {
        self.made.values().sum()
    }

    /// What was served, or went out, and should not have been, each kind in a line; empty: nothing.
    pub fn problems(&self) -> Vec<String> {
        let failures = |name, outcome: &Outcome| -> Vec<String> {
            outcome.failed.iter().map(|(why, n)| format!("{name}: {n} × {why}")).collect()
        };
        let lost = self.admitted.get(&Stage::Serving).map(|outcome| failures("admitted while it served", outcome));
        let others = self.others.iter().flat_map(|(name, outcome)| failures(name, outcome));
        let more = self.open.len().checked_sub(10).filter(|n| *n > 0).map(|n| format!("{n} more like these"));
        lost.into_iter().flatten().chain(others).chain(self.open.iter().take(10).cloned()).chain(more).collect()
    }
}

/// Runs it.
///
/// # Errors
/// What the machine does not allow.
///
/// # Panics
/// When an admitted call is not answered within the harness's patience.
pub async fn starts(drill: Drill) -> anyhow::Result<Found> {
    let (mut place, mut found, begun) = (Place::prepare().await?, Found::default(), clock::now());
    let callers = Callers::start(&place, drill.rate).await;
    // So many more calls are refused before and after each start is judged.
    let some = (drill.rate / 4).max(5);
    for number in 0..drill.starts {
        if clock::since(begun) >= drill.time {
            break;
        }
        let way = STARTS[number as usize % STARTS.len()];
        tracing::info!(number, ?way, "start");
        one(&mut place, &callers, way, some, &mut found).await?;
        *found.made.entry(way).or_default() += 1;
        callers.served(some).await;
        callers.more(some).await;
    }
    let course = callers.course.clone();
    found.others = callers.stop().await;
    found.admitted = course.outcomes();
    found.open.extend(place.served().into_iter().filter(|id| !id.starts_with(callers::ADMITTED)));
    found.open.extend(place.leaks());
    Ok(found)
}

async fn one(place: &mut Place, callers: &Callers, way: Start, some: u64, found: &mut Found) -> anyhow::Result<()> {
    match way {
        Start::Kept | Start::KeptAlone => place.configuration_kept().await,
        Start::Fresh | Start::FreshAlone | Start::CertificateAlone | Start::Unknown => {}
    }
    let alone = matches!(way, Start::KeptAlone | Start::FreshAlone | Start::CertificateAlone);
    if alone || way == Start::Unknown {
        place.stop_pilot().await;
    }
    callers.course.stops();
    place.stop_proxy().await;
    match way {
        Start::Kept | Start::KeptAlone => {}
        Start::CertificateAlone => place.forget_configuration(),
        Start::Fresh | Start::FreshAlone | Start::Unknown => place.forget_everything(),
    }
    if way == Start::Unknown {
        place.write_objects(false);
        place.start_pilot().await?;
    }
    callers.course.starts();
    let begun = clock::now();
    place.start_proxy()?;
    match way {
        Start::Fresh => {
            let configured = place.configured().await;
            found.from_push.push(callers.answered().await.saturating_duration_since(configured));
        }
        Start::Kept | Start::KeptAlone => found.from_kept.push(callers.answered().await.duration_since(begun)),
        Start::FreshAlone | Start::CertificateAlone => {
            refuses_all(place, callers, way, some, found).await;
            place.start_pilot().await?;
            let configured = place.configured().await;
            found.from_push.push(callers.answered().await.saturating_duration_since(configured));
        }
        Start::Unknown => {
            refuses_all(place, callers, way, some, found).await;
            place.write_objects(true);
            let known = clock::now();
            found.from_push.push(callers.answered().await.saturating_duration_since(known));
        }
    }
    if way == Start::KeptAlone {
        callers.more(some).await;
        place.start_pilot().await?;
    }
    Ok(())
}

/// What has received nothing about its workload answers nobody, not even whom its policy would admit.
async fn refuses_all(place: &Place, callers: &Callers, way: Start, some: u64, found: &mut Found) {
    place.pages_served().await;
    callers.more(some).await;
    if callers.course.answered().is_some() {
        found.open.push(format!("{way:?}: answered before anything was received"));
    }
    if place.is_ready().await {
        found.open.push(format!("{way:?}: ready before anything was received"));
    }
}
