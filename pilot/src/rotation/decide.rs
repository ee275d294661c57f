//! What is to be done next about the root. Pure: what is there, and the time, come in.

use mesh_config::root_rotation::{Past, Phase, Request, State, Wish};

/// How long everybody must have known a root before it signs, in seconds: who connects anew meanwhile, or reads a file a
/// little later, knows it too.
pub(super) const KNOWN_FOR: u64 = 30;
/// How much longer than needed a root is trusted after it has signed, in seconds: pilots look at Secrets one by one.
const SLACK: u64 = 60;

/// What is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Seconds since 1970.
    pub(super) now: u64,
    pub(super) state: State,
    /// Not answered yet.
    pub(super) asked: Option<Request>,
    /// Somebody else's root signs.
    pub(super) given: bool,
    /// When what signs comes to its end.
    pub(super) ends: u64,
    /// A root waits to sign.
    pub(super) next: bool,
    /// The root that waited has taken its place.
    pub(super) switched: bool,
    /// Nobody has had to be waited for since then; `None`: somebody has.
    pub(super) known_since: Option<u64>,
    /// Roots of what signed before, of which nothing is written yet.
    pub(super) unwritten: Vec<Past>,
    /// Roots of what signs now, in PEM.
    pub(super) roots: String,
    /// When the last certificate of it ends, as far as pilots know.
    pub(super) issued_until: u64,
    /// How long certificates live.
    pub(super) lifetime: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Write the state; what waits stays.
    Write(State),
    /// Make a root that waits, and write.
    Announce(State),
    /// Take away what waits, and write.
    Forget(State),
    /// Put what waits in the place of what signs.
    Replace,
    /// Make a root and put it in the place of what has ended, then write.
    Recover(State),
}

impl Facts {
    /// The next step.
    pub(super) fn step(&self) -> Step {
        if let Some(request) = &self.asked {
            return self.answer(request);
        }
        match self.state.phase {
            Phase::Idle => self.remember(),
            Phase::Announcing if self.given => {
                Step::Forget(self.idle("Secret cacerts was put in place, and its root signs: nothing waits any more"))
            }
            Phase::Announcing | Phase::Switching if !self.next => {
                Step::Write(self.idle("the root that waited to sign is gone from its Secret; ask again"))
            }
            Phase::Announcing => match self.known_since {
                Some(since) if self.now >= since + KNOWN_FOR => self.begin_switch(),
                _ => self.remember(),
            },
            Phase::Switching if self.switched => Step::Forget(
                self.idle("another root signs; the one before is trusted until its last certificate has ended"),
            ),
            Phase::Switching => Step::Replace,
        }
    }

    fn answer(&self, request: &Request) -> Step {
        let answered = |said: &str| State { handled: request.id.clone(), said: said.to_owned(), ..self.state.clone() };
        let refused = |said: &str| Step::Write(answered(said));
        if self.given {
            return refused(
                "refused: the root is of Secret cacerts; write another there, and it is taken over with an overlap",
            );
        }
        let ended = self.ends <= self.now;
        match (request.wish, self.state.phase) {
            (Wish::Rotate | Wish::Abort, _) if ended => {
                refused("refused: the root has ended, and nothing of it is believed; meshctl ca recover makes another")
            }
            (Wish::Rotate, Phase::Idle) => Step::Announce(State {
                phase: Phase::Announcing,
                since: self.now,
                ..answered("another root is trusted, and signs when everybody knows it")
            }),
            (Wish::Rotate, Phase::Announcing | Phase::Switching) => refused("refused: a rotation is under way"),
            (Wish::Abort, Phase::Idle) => refused("refused: no rotation is under way that could be given up"),
            (Wish::Abort, Phase::Announcing) => Step::Forget(State {
                phase: Phase::Idle,
                since: self.now,
                ..answered("given up: the root that signed signs on")
            }),
            (Wish::Abort, Phase::Switching) => refused("refused: the other root takes its place already"),
            (Wish::Recover, _) if !ended => {
                refused("refused: the root has not ended; meshctl ca rotate puts another in its place")
            }
            (Wish::Recover, _) => Step::Recover(State {
                phase: Phase::Idle,
                since: self.now,
                ..answered(crate::kubernetes::root_secret::RECOVERED)
            }),
        }
    }

    fn begin_switch(&self) -> Step {
        let until = self.issued_until.max(self.now + self.lifetime).min(self.ends) + SLACK;
        let mut past = self.past();
        past.push(Past { roots: self.roots.clone(), until });
        Step::Write(State { phase: Phase::Switching, since: self.now, past, ..self.state.clone() })
    }

    /// What is trusted still, written down, so that every pilot knows it, now and after a restart.
    fn remember(&self) -> Step {
        let past = self.past();
        if past == self.state.past { Step::Nothing } else { Step::Write(State { past, ..self.state.clone() }) }
    }

    fn past(&self) -> Vec<Past> {
        let mut all = self.state.past.clone();
        for new in &self.unwritten {
            match all.iter_mut().find(|past| past.roots == new.roots) {
                Some(past) => past.until = past.until.max(new.until),
                None => all.push(new.clone()),
            }
        }
        all.retain(|past| past.until > self.now);
        all
    }

    fn idle(&self, said: &str) -> State {
        State { phase: Phase::Idle, since: self.now, said: said.to_owned(), past: self.past(), ..self.state.clone() }
    }
}

#[cfg(test)]
mod tests;
