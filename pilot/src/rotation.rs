//! Puts another root in the place of the one that signs, so that nobody notices: what is asked for in a Secret is carried out
//! by the pilot that leads, one step at a look. How far it is stands in the Secret, so whoever leads next goes on.
//!
//! [`decide`] says what is to be done; who is to be waited for is gathered here.

mod decide;
pub(crate) mod peers;
pub(crate) mod report;

use crate::kubernetes::{
    call::CallError,
    root_secret::{self, RootSecrets},
    rotation_secret::{self, Rotation},
    trust_bundle::Standing,
};
use decide::{Facts, Step};
use mesh_ca::{Authority, Failure, counted::fingerprints, root::Root, store::Stored};
use mesh_config::root_rotation::{Past, Phase};
use mesh_runtime::{clock::WallClock, drain, tls::material::CaBundle};
use peers::{Peers, Said};
use report::{NAMED, Report, Under, unix};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Makes a root.
pub(crate) type Make = Box<dyn Fn() -> Result<Stored, Failure> + Send + Sync>;
/// What this pilot says.
pub(crate) type Own = Arc<dyn Fn() -> Report + Send + Sync>;

/// Carries out what is asked about the root, while this pilot leads.
pub(crate) struct Rotator {
    pub(crate) secrets: Arc<RootSecrets>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) make: Make,
    pub(crate) clock: WallClock,
    pub(crate) leads: watch::Receiver<bool>,
    /// How far the ConfigMaps of the roots are.
    pub(crate) maps: watch::Receiver<Standing>,
    pub(crate) own: Own,
    pub(crate) peers: Peers,
    /// How far it is, for who asks this pilot; `None`: another leads.
    pub(crate) told: watch::Sender<Option<Under>>,
}

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Rotation(#[from] rotation_secret::Problem),
    #[error("{0}")]
    Root(String),
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Rotator {
    /// Looks until drained.
    pub(crate) async fn run(mut self, drain: drain::Watch) {
        let drained = drain.signaled();
        tokio::pin!(drained);
        let mut problem = String::new();
        loop {
            tokio::select! {
                () = &mut drained => return,
                led = self.leads.wait_for(|leads| *leads) => if led.is_err() { return },
            }
            let (mut leads, mut known_since) = (self.leads.clone(), None);
            let keep = async {
                loop {
                    match self.look(&mut known_since).await {
                        Ok(()) => problem.clear(),
                        Err(error) if error.to_string() == problem => {}
                        Err(error) => {
                            tracing::warn!(%error, "the root's rotation does not go on; will try again");
                            problem = error.to_string();
                        }
                    }
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::select! {
                () = &mut drained => return,
                _ = leads.wait_for(|leads| !*leads) => {}
                () = keep => {}
            }
            self.told.send_replace(None);
        }
    }

    /// One look, and one step.
    async fn look(&self, known_since: &mut Option<u64>) -> Result<(), Problem> {
        let rotation = self.secrets.rotation().read().await?;
        let own = self.secrets.own().await.map_err(|problem| self.wrong(problem))?;
        let waiting = match rotation.state.phase {
            Phase::Announcing => self.waiting(&rotation).await,
            Phase::Idle | Phase::Switching => (Vec::new(), 0),
        };
        let now = unix(self.clock.now());
        *known_since = if waiting.0.is_empty() { known_since.or(Some(now)) } else { None };
        let facts = self.facts(&rotation, own.as_ref(), *known_since, waiting.1, now);
        let step = facts.step();
        self.tell(&rotation, waiting.0);
        // What begins now has been known for no time.
        if step != Step::Nothing {
            *known_since = None;
        }
        self.carry_out(step, rotation, own).await
    }

    /// Whom and what the root that waits must wait for, and when the last certificate ends of the one that signs.
    async fn waiting(&self, rotation: &Rotation) -> (Vec<String>, u64) {
        let Some(next) = &rotation.next else { return (Vec::new(), 0) };
        let Ok(next) = CaBundle::from_pem(next.roots.as_bytes()) else {
            return (vec!["the root that waits cannot be read".to_owned()], 0);
        };
        let wanted = fingerprints(&next);
        let mut waiting = Vec::new();
        let mut said: Said = self.peers.ask().await.unwrap_or_else(|problem| {
            waiting.push(problem);
            Vec::new()
        });
        said.push(("this pilot".to_owned(), Ok((self.own)())));
        waiting.extend(said.iter().flat_map(|(pilot, said)| of_pilot(pilot, said, &wanted)));
        let maps = self.maps.borrow().clone();
        let pem = self.authority.roots().pem();
        match maps.owed {
            Some(owed) if *maps.roots == *pem => {
                waiting.extend(
                    owed.iter().map(|namespace| format!("the ConfigMap of namespace {namespace} does not say it yet")),
                );
            }
            Some(_) | None => waiting.push("the ConfigMaps of the roots do not say it yet".to_owned()),
        }
        let issued = said.iter().filter_map(|(_, said)| Some(said.as_ref().ok()?.issued_until)).max();
        (waiting, issued.unwrap_or_default())
    }

    fn facts(
        &self,
        rotation: &Rotation,
        own: Option<&Stored>,
        known_since: Option<u64>,
        issued: u64,
        now: u64,
    ) -> Facts {
        let past = |past: mesh_ca::succession::Past| Past { roots: past.roots.pem(), until: unix(past.until) };
        let next = rotation.next.as_ref();
        Facts {
            now,
            state: rotation.state.clone(),
            asked: rotation.asked().cloned(),
            given: self.secrets.is_given(),
            ends: unix(self.authority.expires()),
            next: next.is_some(),
            switched: next.zip(own).is_some_and(|(next, own)| next.certificate == own.certificate),
            known_since,
            unwritten: self.authority.past().into_iter().map(past).collect(),
            roots: self.authority.vouching().pem(),
            issued_until: issued.max(unix(self.authority.issued_until())),
            lifetime: self.authority.default_lifetime().as_secs(),
        }
    }

    async fn carry_out(&self, step: Step, rotation: Rotation, own: Option<Stored>) -> Result<(), Problem> {
        let secret = self.secrets.rotation();
        let next = rotation.next.clone();
        let (state, next) = match step {
            Step::Nothing => return Ok(()),
            Step::Write(state) => (state, next),
            Step::Announce(state) => (state, Some((self.make)()?)),
            Step::Forget(state) => (state, None),
            Step::Replace => return self.replace(own, next).await,
            Step::Recover(state) => {
                self.replace(own, Some((self.make)()?)).await?;
                (state, None)
            }
        };
        if (state.phase, &state.said) != (rotation.state.phase, &rotation.state.said) {
            tracing::info!(phase = ?state.phase, said = state.said, "rotation of the root");
        }
        Ok(secret.write(rotation, &state, next.as_ref()).await?)
    }

    async fn replace(&self, own: Option<Stored>, by: Option<Stored>) -> Result<(), Problem> {
        let (Some(own), Some(by)) = (own, by) else {
            return Err(Problem::Root("there is no root to replace".to_owned()));
        };
        // Whatever stands in the Secret that waits: what cannot sign takes nobody's place.
        Root::from_stored(&by, self.clock.now())?;
        self.secrets.replace_own(&own, &by).await.map_err(|problem| self.wrong(problem))
    }

    fn tell(&self, rotation: &Rotation, mut waiting: Vec<String>) {
        let state = &rotation.state;
        waiting.truncate(NAMED);
        let under = Under { phase: state.phase, since: state.since, said: state.said.clone(), waiting };
        self.told.send_replace(Some(under));
    }

    fn wrong(&self, problem: root_secret::Problem) -> Problem {
        match problem {
            root_secret::Problem::Call(_, CallError::Conflict) => {
                Problem::Root("somebody else has changed the Secret of the root meanwhile".to_owned())
            }
            problem => Problem::Root(self.secrets.error(problem).to_string()),
        }
    }
}

/// What one pilot is waited for.
fn of_pilot(pilot: &str, said: &Result<Report, String>, wanted: &[String]) -> Vec<String> {
    match said {
        Err(reason) => vec![format!("pilot {pilot} cannot be asked: {reason}")],
        Ok(report) if !report.knows(wanted) => vec![format!("{pilot} has not told it to its proxies yet")],
        Ok(report) => {
            let named = report.behind_names.iter();
            let mut waiting: Vec<String> =
                named.map(|proxy| format!("proxy {proxy} has not acknowledged it ({pilot})")).collect();
            if report.behind > waiting.len() {
                waiting
                    .push(format!("{} more proxies have not acknowledged it ({pilot})", report.behind - waiting.len()));
            }
            waiting
        }
    }
}

#[cfg(test)]
mod tests;
