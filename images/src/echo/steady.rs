//! Calls that do not wait for each other, for drills: each failure is told with its time.

use super::{
    call::{Kept, Target},
    duration, now, say,
    tally::Tally,
};
use anyhow::ensure;
use clap::Args;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

/// Calls under way at once; beyond it a call that is due counts as failed.
const AT_ONCE: usize = 1000;

/// Opens calls at a steady rate, whatever becomes of them, and counts every failure.
#[derive(Args, Debug, Clone)]
pub struct Steady {
    #[command(flatten)]
    pub target: Target,
    /// For how long; or until the process is asked to end
    #[arg(long = "for", default_value = "30s", value_parser = duration)]
    pub time: Duration,
    /// Calls a second
    #[arg(long, default_value_t = 20.0)]
    pub qps: f64,
    /// Keeps connections of HTTP and gRPC for later calls, as clients with a pool do
    #[arg(long)]
    pub keep: bool,
}

impl Steady {
    /// Calls; says whether all succeeded.
    ///
    /// # Errors
    /// When the rate is none.
    pub async fn run(&self) -> anyhow::Result<bool> {
        ensure!(self.qps > 0.0, "--qps must be more than 0");
        let begin = now();
        let end = begin + self.time;
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / self.qps));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let target = Arc::new(self.target.clone());
        let kept = self.keep.then(|| Arc::new(Kept::default()));
        let (mut tally, mut calls) = (Tally::default(), JoinSet::new());
        let asked = super::asked_to_end();
        tokio::pin!(asked);
        let count = |tally: &mut Tally, (start, result): (Instant, anyhow::Result<_>)| {
            if let Err(e) = &result {
                let ended = (now() - begin).as_secs_f64();
                say(&format!("+{:.3}s to +{ended:.3}s failed: {e:#}", (start - begin).as_secs_f64()));
            }
            tally.add(&result);
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => break,
                _ = &mut asked => break,
                Some(done) = calls.join_next(), if !calls.is_empty() => count(&mut tally, done?),
                start = ticks.tick() => {
                    if calls.len() >= AT_ONCE {
                        count(&mut tally, (start, Err(anyhow::anyhow!("{AT_ONCE} calls are under way already"))));
                        continue;
                    }
                    let (target, kept) = (target.clone(), kept.clone());
                    calls.spawn(async move { (start, target.call_on(kept.as_deref()).await) });
                }
            }
        }
        while let Some(done) = calls.join_next().await {
            count(&mut tally, done?);
        }
        say(&tally.summary());
        Ok(tally.failed() == 0)
    }
}
