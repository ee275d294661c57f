//! One client as a state machine: an event in, actions out. No sockets, no clock.
//!
//! At most one push is outstanding; what changes meanwhile is merged into the next one. A part counts as held once
//! the client has acknowledged it; one that it refused is not sent again until it changes.

mod said;
mod versions;

pub use said::MAX_NAMES;
pub(super) use versions::Versions;

use super::diff::{self, Difference};
use crate::{
    mesh::{Mesh, MeshVersion, Moved, SharedPart},
    scope::ProxyFacts,
};
use mesh_config::{
    kind::Asked,
    model::{Kind, PartName},
    wire::{Nonce, Refusal, Version, reason_of, refusals_of_text},
};
use said::{MAX_NAME, Said};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

/// Encoded parts in one response, in bytes; a single larger part travels alone.
const RESPONSE_BYTES: usize = 1 << 20;

/// What a step looks at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The newest mesh.
    pub mesh: &'a Mesh,
    /// Who the client is, as of that mesh.
    pub facts: &'a ProxyFacts,
    /// Whether the client may have private keys: over an encrypted stream, while the registry knows its workload.
    pub secrets: bool,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The client said something.
    Request(Request),
    /// There is another mesh.
    MeshChanged,
    /// There is another mesh, and this is all that moved; who the client is has not changed.
    Moved(Arc<Moved>),
}

/// What a client says about one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub kind: Kind,
    /// Names to follow from now on; `*` for all that is visible.
    pub subscribe: Vec<String>,
    /// Names to follow no longer.
    pub unsubscribe: Vec<String>,
    /// What it holds from an earlier stream; counts in the first request for a kind.
    pub initial: BTreeMap<String, Version>,
    /// The response that this answers.
    pub answer: Option<Answer>,
}

/// Accepted or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of the response answered.
    pub nonce: Nonce,
    /// Why it, or some of it, was refused.
    pub error: Option<String>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Actions {
    /// To be sent in this order.
    pub responses: Vec<Response>,
    /// A response was answered.
    pub answered: Option<Answered>,
    /// The client broke the protocol: end the stream.
    pub violation: Option<Violation>,
}

/// One response of a push.
#[derive(Debug, Clone)]
pub struct Response {
    /// The kind of everything in it.
    pub kind: Kind,
    /// Frames the push.
    pub nonce: Nonce,
    /// New and changed parts.
    pub upserts: Vec<Upsert>,
    /// Parts that are gone, and names asked for that stand for nothing.
    pub removed: Vec<PartName>,
}

/// A part to send.
#[derive(Debug, Clone)]
pub struct Upsert {
    pub part: Arc<SharedPart>,
    /// Addresses by which it was asked for.
    pub aliases: Vec<Arc<str>>,
}

/// A response and what the client made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub kind: Kind,
    /// The mesh that its push brought.
    pub mesh: MeshVersion,
    /// What was not put in force.
    pub refusals: Vec<Refusal>,
}

/// What a client must not do. The stream ends with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Wildcard kinds have no names, implied kinds no subscriptions, named kinds no wildcard.
    #[error("{name:.80?} cannot be subscribed to as a {kind}")]
    NotByName { kind: Kind, name: String },
    /// More than any proxy needs.
    #[error("more than {0} names are followed and held, which is what --max-names allows")]
    TooManyNames(usize),
    /// Longer than any name.
    #[error("a name of kind {0} is longer than {MAX_NAME} bytes")]
    NameTooLong(Kind),
}

/// One client.
#[derive(Debug, Default)]
pub struct State {
    pub(super) talks: Talks,
    /// The first request for services has come: everything asked for and held is known.
    open: bool,
    /// The first push was made.
    greeted: bool,
    /// What may differ from what was last pushed.
    dirty: Reach,
    outstanding: BTreeMap<Nonce, Sent>,
    sequence: u64,
    said: Said,
}

/// How much of what a client has may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// Parts that are [`MOVING`](crate::mesh::MOVING): endpoints of these services, and if so its own instance and the
    /// workloads at addresses that it follows.
    Endpoints { services: BTreeSet<Arc<str>>, itself: bool, workloads: bool },
    /// Anything.
    All,
}

impl Reach {
    const NOTHING: Reach = Reach::Endpoints { services: BTreeSet::new(), itself: false, workloads: false };

    fn add(&mut self, other: Reach) {
        match (self, other) {
            (Reach::All, _) => {}
            (
                Reach::Endpoints { services, itself, workloads },
                Reach::Endpoints { services: more, itself: too, workloads: as_well },
            ) => {
                services.extend(more);
                *itself |= too;
                *workloads |= as_well;
            }
            (reach, Reach::All) => *reach = Reach::All,
        }
    }
}

impl Default for Reach {
    fn default() -> Self {
        Reach::NOTHING
    }
}

pub(super) type Talks = BTreeMap<Kind, Talk>;

/// What was said about one kind.
#[derive(Debug, Default)]
pub(super) struct Talk {
    pub(super) wildcard: bool,
    /// Names followed, each with what was last told about it.
    pub(super) names: BTreeMap<Arc<str>, Option<Found>>,
    pub(super) held: Versions,
    pub(super) refused: Versions,
}

/// The part that a followed name stands for; `None`: nothing.
pub(super) type Found = Option<PartName>;

/// A response that is not answered yet.
#[derive(Debug)]
struct Sent {
    kind: Kind,
    upserts: Vec<(PartName, Version)>,
    removed: Vec<PartName>,
}

/// What an event makes of a client.
pub fn step(mut state: State, event: Event, view: &View<'_>) -> (State, Actions) {
    let mut actions = Actions::default();
    match event {
        Event::MeshChanged => state.dirty = Reach::All,
        Event::Moved(moved) => state.dirty.add(state.reach_of(&moved, view)),
        Event::Request(request) => {
            actions.answered = request.answer.as_ref().and_then(|answer| state.settle(request.kind, answer));
            if let Err(violation) = state.listen(request) {
                actions.violation = Some(violation);
                return (state, actions);
            }
        }
    }
    if state.open && state.dirty != Reach::NOTHING && state.outstanding.is_empty() {
        let reach = std::mem::take(&mut state.dirty);
        let difference = diff::difference(&mut state.talks, view, &reach);
        actions.responses = state.push(difference, view.mesh.version());
    }
    (state, actions)
}

impl State {
    /// What the client has acknowledged, by kind and name.
    pub fn held(&self) -> impl Iterator<Item = (Kind, &PartName, Version)> {
        self.talks.iter().flat_map(|(kind, talk)| talk.held.iter().map(|(name, version)| (*kind, name, version)))
    }

    /// The version of a part that the client has acknowledged.
    pub(super) fn held_version(&self, kind: Kind, name: &PartName) -> Option<Version> {
        self.talks.get(&kind)?.held.get(name.as_str())
    }

    /// How many parts of a kind the client has acknowledged.
    pub fn held_count(&self, kind: Kind) -> usize {
        self.talks.get(&kind).map_or(0, |talk| talk.held.len())
    }

    /// Whether the client does not put the present version of this part in force.
    pub fn has_refused(&self, kind: Kind, name: &str) -> bool {
        self.talks.get(&kind).is_some_and(|talk| talk.refused.has(name))
    }

    /// Whether nothing is left to say or to hear: for tests and for the curious.
    pub fn is_quiet(&self) -> bool {
        self.open && self.dirty == Reach::NOTHING && self.outstanding.is_empty()
    }

    /// What of that it holds or follows.
    fn reach_of(&self, moved: &Moved, view: &View<'_>) -> Reach {
        // What is on its way is neither held nor refused yet.
        let has = |(kind, name): &(Kind, PartName)| {
            let talk = self.talks.get(kind);
            talk.is_some_and(|talk| talk.held.has(name.as_str()) || talk.refused.has(name.as_str()))
        };
        if !moved.said.is_empty() && (!self.outstanding.is_empty() || moved.said.iter().any(has)) {
            return Reach::All;
        }
        let names = |kind| self.talks.get(&kind).into_iter().flat_map(|talk| talk.names.keys());
        let follows =
            |service: &&Arc<str>| self.talks.get(&Kind::Service).is_some_and(|t| t.names.contains_key(*service));
        let own = view.facts.workload.as_ref().map(|uid| PartName(uid.clone()));
        let is_moved = |address: &Arc<str>| address.parse().is_ok_and(|address| moved.addresses.contains(&address));
        Reach::Endpoints {
            services: moved.services.iter().filter(follows).cloned().collect(),
            itself: own.is_some_and(|own| moved.instances.contains(&own)),
            workloads: !moved.addresses.is_empty() && names(Kind::Workload).any(is_moved),
        }
    }

    /// Of a client that may bring up so many names.
    pub(super) fn bounded(most: usize) -> Self {
        State { said: Said::of(most), ..State::default() }
    }

    /// What the names that the client has brought up take, in bytes, about.
    pub(super) fn said(&self) -> usize {
        self.said.bytes()
    }

    /// Whether a push is on its way.
    pub(super) fn awaits_answers(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// Takes an answer in; one to a response that is not outstanding means nothing.
    fn settle(&mut self, kind: Kind, answer: &Answer) -> Option<Answered> {
        if self.outstanding.get(&answer.nonce).is_none_or(|sent| sent.kind != kind) {
            return None;
        }
        let sent = self.outstanding.remove(&answer.nonce)?;
        let talk = self.talks.entry(kind).or_default();
        let refusals = answer.error.as_deref().map(|error| refusals(error, &sent)).unwrap_or_default();
        let refused: HashSet<&str> = refusals.iter().map(|refusal| refusal.name.as_str()).collect();
        let (not_taken, taken): (Vec<_>, Vec<_>) =
            sent.upserts.into_iter().partition(|(name, _)| refused.contains(name.as_str()));
        talk.refused.remove(taken.iter().map(|(name, _)| name.as_str()));
        talk.refused.update(not_taken);
        talk.held.update(taken);
        for known in [&mut talk.refused, &mut talk.held] {
            known.remove(sent.removed.iter().map(PartName::as_str));
        }
        Some(Answered { kind, mesh: MeshVersion(answer.nonce.mesh), refusals })
    }

    /// Takes changes of interest in.
    fn listen(&mut self, request: Request) -> Result<(), Violation> {
        let kind = request.kind;
        let is_first = !self.talks.contains_key(&kind);
        let talk = self.talks.entry(kind).or_default();
        if is_first {
            request.initial.keys().try_for_each(|name| self.said.add(kind, name))?;
            talk.held.update(request.initial.into_iter().map(|(name, version)| (PartName(name.into()), version)));
        }
        if is_first || !request.subscribe.is_empty() || !request.unsubscribe.is_empty() {
            // Whose an address is says nothing about what else the client may see.
            let addresses = Reach::Endpoints { services: BTreeSet::new(), itself: false, workloads: true };
            self.dirty.add(if kind.asked() == Asked::ByAddress { addresses } else { Reach::All });
        }
        for name in request.unsubscribe {
            match name.as_str() {
                "*" => talk.wildcard = false,
                name if talk.names.remove(name).is_some() => self.said.remove(name),
                _ => {}
            }
        }
        let mut again = Vec::new();
        for name in &request.subscribe {
            match (kind.asked(), name.as_str()) {
                (Asked::Whole | Asked::WhatHolds | Asked::WholeAtGateways, "*") => talk.wildcard = true,
                (Asked::ByService | Asked::ByAddress, name) if name != "*" => {
                    if !talk.follow(kind, name, &mut self.said)? {
                        again.push(name);
                    }
                }
                _ => return Err(Violation::NotByName { kind, name: name.clone() }),
            }
        }
        talk.held.remove(again);
        self.open |= kind == Kind::Service;
        Ok(())
    }

    /// Frames a difference. The first push is made also when there is none: it says that the client is up to date.
    fn push(&mut self, difference: Difference, mesh: MeshVersion) -> Vec<Response> {
        for (kind, name, found) in difference.answers {
            if let Some(told) = self.talks.get_mut(&kind).and_then(|talk| talk.names.get_mut(&name)) {
                *told = Some(found);
            }
        }
        let mut groups = grouped(difference.upserts, difference.removed, RESPONSE_BYTES);
        if groups.is_empty() && !std::mem::replace(&mut self.greeted, true) {
            groups.push((Kind::Settings, Vec::new(), Vec::new()));
        }
        self.greeted = true;
        let mut left = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let mut responses = Vec::with_capacity(groups.len());
        for (kind, upserts, removed) in groups {
            left -= 1;
            self.sequence += 1;
            let nonce = Nonce { mesh: mesh.0, sequence: self.sequence, left };
            let sent = Sent {
                kind,
                upserts: upserts.iter().map(|u| (u.part.name().clone(), u.part.encoded().version)).collect(),
                removed: removed.clone(),
            };
            self.outstanding.insert(nonce, sent);
            responses.push(Response { kind, nonce, upserts, removed });
        }
        responses
    }
}

impl Talk {
    /// Whether it was not followed before. One that is asked for again the client may have lost: it is told anew.
    fn follow(&mut self, kind: Kind, name: &str, said: &mut Said) -> Result<bool, Violation> {
        if let Some(told) = self.names.get_mut(name) {
            *told = None;
            return Ok(false);
        }
        said.add(kind, name)?;
        self.names.insert(name.into(), None);
        Ok(true)
    }
}

/// Which parts of a response a refusal is about; all of them when it names none.
fn refusals(error: &str, sent: &Sent) -> Vec<Refusal> {
    let names: HashSet<&str> = sent.upserts.iter().map(|(name, _)| name.as_str()).collect();
    let named = refusals_of_text(error, |name| names.contains(name));
    if !named.is_empty() {
        return named;
    }
    let reason = reason_of(error);
    sent.upserts.iter().map(|(name, _)| Refusal { name: name.to_string(), reason: reason.clone() }).collect()
}

type Group = (Kind, Vec<Upsert>, Vec<PartName>);

/// One response each: what is new by kind, in push order and of bounded size, then what is gone, in the opposite order.
fn grouped(upserts: Vec<Upsert>, removed: Vec<(Kind, PartName)>, limit: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut bytes = 0;
    for upsert in upserts {
        let kind = upsert.part.kind();
        let size = upsert.part.encoded().bytes.len();
        match groups.last_mut() {
            Some((last, members, _)) if *last == kind && bytes + size <= limit => {
                bytes += size;
                members.push(upsert);
            }
            _ => {
                bytes = size;
                groups.push((kind, vec![upsert], Vec::new()));
            }
        }
    }
    let begin = groups.len();
    for (kind, name) in removed.into_iter().rev() {
        match groups[begin..].last_mut() {
            Some((last, _, names)) if *last == kind => names.push(name),
            _ => groups.push((kind, Vec::new(), vec![name])),
        }
    }
    groups
}

#[cfg(test)]
mod tests;
