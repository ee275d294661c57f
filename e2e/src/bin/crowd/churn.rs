//! Endpoints that change at a steady pace, and how long it takes until a proxy that follows them has acknowledged each change.

use super::{
    follower::Follower,
    objects::{self, Crowd},
};
use anyhow::{Context, Result};
use mesh_e2e::cluster::client::Client;
use mesh_runtime::clock;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// Services whose endpoints change in turn: each once a second.
const CHANGING: usize = 20;
/// Between two changes.
const BEAT: Duration = Duration::from_millis(50);
/// For an answer that is awaited.
const PATIENCE: Duration = Duration::from_secs(30);

/// From when the API server was asked to the acknowledgement, in ascending order. Of changes to a Service that came before the
/// one before them had arrived, the first alone counts.
pub(super) struct Lags(Vec<Duration>);

impl Lags {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// What this share of them (0 to 1) stayed below, in milliseconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let place = (self.0.len() as f64 * share) as usize;
        self.0.get(place).or(self.0.last()).map_or(0.0, |lag| lag.as_secs_f64() * 1e3)
    }
}

/// The Services that change: the last ones.
pub(super) fn changing(crowd: Crowd) -> Range<usize> {
    crowd.services.saturating_sub(CHANGING)..crowd.services
}

/// Waits until the follower was told of each Service that changes.
pub(super) async fn begin(follower: &mut Follower, crowd: Crowd) -> Result<()> {
    let mut untold: BTreeSet<usize> = changing(crowd).collect();
    while !untold.is_empty() {
        for service in told(follower).await? {
            untold.remove(&service);
        }
    }
    Ok(())
}

/// Changes endpoints for so long; ends when the last change has arrived.
pub(super) async fn run(client: &mut Client, follower: &mut Follower, crowd: Crowd, lasts: Duration) -> Result<Lags> {
    let (changed, news) = mpsc::unbounded_channel();
    let change = async {
        let mut beats = tokio::time::interval(BEAT);
        for n in 0..(lasts.as_millis() / BEAT.as_millis()) as usize {
            beats.tick().await;
            let service = changing(crowd).start + n % CHANGING;
            // Told first: pilot may know of it before this program has the API server's answer.
            changed.send((service, clock::now()))?;
            objects::turn(client, crowd, service, (n / CHANGING).is_multiple_of(2)).await?;
        }
        drop(changed);
        anyhow::Ok(())
    };
    let ((), lags) = tokio::try_join!(change, follow(follower, news))?;
    Ok(lags)
}

async fn follow(follower: &mut Follower, mut news: mpsc::UnboundedReceiver<(usize, Instant)>) -> Result<Lags> {
    let (mut open, mut lags) = (BTreeMap::<usize, Instant>::new(), Vec::new());
    let mut is_over = false;
    while !is_over || !open.is_empty() {
        tokio::select! {
            biased;
            change = news.recv(), if !is_over => match change {
                Some((service, at)) => drop(open.entry(service).or_insert(at)),
                None => is_over = true,
            },
            told = told(follower), if !open.is_empty() => {
                let arrived = told?.into_iter().filter_map(|service| open.remove(&service));
                lags.extend(arrived.map(clock::since));
            }
        }
    }
    lags.sort();
    Ok(Lags(lags))
}

async fn told(follower: &mut Follower) -> Result<Vec<usize>> {
    tokio::time::timeout(PATIENCE, follower.next()).await.context("the follower is told nothing")?
}
