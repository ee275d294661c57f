//! The conversation with pilot as a state machine: an event in, actions out. No sockets, no clock.
//!
//! Responses are gathered until their push is complete, then handed out as one [`Push`]; once [`Event::Applied`] says
//! what came of it, every response is answered. What pilot is told to be held is what was applied, so that after a
//! reconnect only differences travel. Services that are forgotten stay until pilot's removals arrive: only pilot
//! knows which of their routes and rules others share.

mod addresses;
mod decoded;

pub use addresses::{MAX_ADDRESSES, MAX_STRANGERS};

use super::NodeFacts;
use crate::snapshot::build::Changes;
use addresses::Addresses;
use bytes::Bytes;
use decoded::Decoded;
use mesh_config::{
    kind::Asked,
    model::{Kind, PartName, ServiceKey, Workload},
    wire::{
        Nonce, Refusal, Version,
        proto::{
            envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
            google::rpc,
        },
        refusal_text,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// One push may have so many bytes of resources.
const MAX_PUSH: usize = 256 << 20;
/// Stands for whatever version was refused: no part has it, so pilot sends the part again, or says that it is gone.
const NOT_READ: Version = Version([0; 16]);
/// Of gRPC: the answer to a refused response.
const INVALID_ARGUMENT: i32 = 3;

/// What the data path needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Details of a service, or routes of a host that only VirtualServices know.
    NeedService(ServiceKey),
    /// They are not used any more.
    ForgetService(ServiceKey),
    /// Who has this address; pilot's answer is in [`Push::addresses`].
    NeedWorkload(IpAddr),
    /// That does not matter any more.
    ForgetWorkload(IpAddr),
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A stream was opened.
    Connected,
    /// It is gone.
    Disconnected,
    /// Pilot said something.
    Response(DeltaDiscoveryResponse),
    /// The data path wants something.
    Command(Command),
    /// The push handed out is in force, but for these parts.
    Applied(Vec<Refused>),
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Actions {
    /// To be sent in this order; none are made while there is no stream.
    pub requests: Vec<DeltaDiscoveryRequest>,
    /// To be put in force, then answered with [`Event::Applied`].
    pub push: Option<Push>,
    /// Addresses that are not followed any more: what pilot said of them last counts for nothing from now on.
    pub forgotten: Vec<IpAddr>,
    /// Pilot broke the protocol: end the stream.
    pub violation: Option<Violation>,
}

/// One push, whole.
#[derive(Debug, Clone, Default)]
pub struct Push {
    /// Parts that are new, changed or gone. A name asked for that stands for nothing is among the removed ones.
    pub changes: Changes,
    /// Who has an address that was asked for; `None`: nobody that pilot knows.
    pub addresses: Vec<(IpAddr, Option<Arc<Workload>>)>,
    /// Why the parts in `changes.refused` could not be decoded; pilot will be told.
    pub refused: Vec<Refused>,
    /// Pilot's version of the mesh; 0 when it comes from the state directory.
    pub mesh: u64,
}

/// A part that is not put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub kind: Kind,
    pub name: PartName,
    /// The field's path and what is wrong.
    pub reason: Arc<str>,
}

impl Refused {
    fn of(kind: Kind, refusal: &Refusal) -> Self {
        Refused { kind, name: PartName(refusal.name.as_str().into()), reason: refusal.reason.clone() }
    }
}

/// What pilot must not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Not one of the kinds asked for.
    #[error("pilot sent resources of the type {0:?}, which was not asked for")]
    Type(String),
    /// Not of our form.
    #[error("pilot's nonce {0:?} does not frame a push")]
    Nonce(String),
    /// Responses of one push do not follow each other.
    #[error("pilot's nonce {found} does not continue the push at {last}")]
    Framing {
        /// The nonce before.
        last: Nonce,
        /// The one that came.
        found: Nonce,
    },
    /// More than is kept.
    #[error("pilot sent a push of more than {MAX_PUSH} bytes")]
    TooLarge,
}

/// The conversation.
#[derive(Debug)]
pub struct State {
    node: NodeFacts,
    /// Keep encoded parts, for the state directory.
    keep: bool,
    connected: bool,
    services: BTreeSet<ServiceKey>,
    addresses: Addresses,
    held: BTreeMap<Kind, BTreeMap<PartName, Held>>,
    /// Refused, with nothing from before in their place: pilot must say when they are gone, since until then a policy
    /// among them refuses.
    refused: BTreeSet<(Kind, PartName)>,
    /// The push that is being received, or waits for [`Event::Applied`].
    received: Vec<Decoded>,
    bytes: usize,
    last: Option<Nonce>,
}

/// A part in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// As pilot said.
    pub version: Version,
    /// Encoded, where it is kept.
    pub bytes: Option<Bytes>,
}

/// What an event makes of the conversation.
pub fn step(mut state: State, event: Event) -> (State, Actions) {
    let mut actions = Actions::default();
    match event {
        Event::Connected => {
            state.begin();
            state.connected = true;
            actions.requests = state.greeting();
        }
        Event::Disconnected => {
            state.begin();
            state.connected = false;
        }
        Event::Response(response) => match state.receive(response) {
            Ok(push) => actions.push = push,
            Err(violation) => actions.violation = Some(violation),
        },
        Event::Command(command) => (actions.requests, actions.forgotten) = state.command(command),
        Event::Applied(refused) => actions.requests = state.applied(&refused),
    }
    if !state.connected {
        actions.requests.clear();
    }
    (state, actions)
}

impl State {
    /// Before anything is held. With `keep`, encoded parts are kept for the state directory.
    pub fn new(node: NodeFacts, keep: bool) -> Self {
        State {
            node,
            keep,
            connected: false,
            services: BTreeSet::new(),
            addresses: Addresses::default(),
            held: BTreeMap::new(),
            refused: BTreeSet::new(),
            received: Vec::new(),
            bytes: 0,
            last: None,
        }
    }

    /// With what was held before a restart.
    pub fn restored(
        node: NodeFacts,
        services: impl IntoIterator<Item = ServiceKey>,
        addresses: impl IntoIterator<Item = IpAddr>,
        answers: &[(IpAddr, Option<Arc<Workload>>)],
        held: impl IntoIterator<Item = (Kind, PartName, Held)>,
        refused: impl IntoIterator<Item = (Kind, PartName)>,
    ) -> Self {
        let mut state = State::new(node, true);
        state.refused.extend(refused);
        state.services.extend(services);
        state.addresses = Addresses::restored(addresses);
        answers.iter().for_each(|(address, workload)| state.addresses.learn(*address, workload.as_ref()));
        for (kind, name, part) in held {
            state.held.entry(kind).or_default().insert(name, part);
        }
        state
    }

    /// Services followed.
    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.iter()
    }

    /// Addresses followed, the oldest first.
    pub fn addresses(&self) -> impl Iterator<Item = &IpAddr> {
        self.addresses.iter()
    }

    /// Parts in force.
    pub fn held(&self) -> impl Iterator<Item = (Kind, &PartName, &Held)> {
        self.held.iter().flat_map(|(kind, parts)| parts.iter().map(|(name, held)| (*kind, name, held)))
    }

    /// Parts that there are and that are refused, with nothing from before in force in their place.
    pub fn refused(&self) -> impl Iterator<Item = &(Kind, PartName)> {
        self.refused.iter()
    }

    /// A stream begins or ends: what was half received is worth nothing.
    fn begin(&mut self) {
        self.received.clear();
        (self.bytes, self.last) = (0, None);
    }

    /// The first requests of a stream: what we follow and hold. The one for services comes last and opens it.
    fn greeting(&self) -> Vec<DeltaDiscoveryRequest> {
        let mut requests: Vec<DeltaDiscoveryRequest> = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let subscribe: Vec<String> = match kind.asked() {
                    Asked::ByService => self.services.iter().map(ToString::to_string).collect(),
                    Asked::ByAddress => self.addresses.iter().map(ToString::to_string).collect(),
                    _ if kind.is_whole(self.node.role) => vec!["*".to_owned()],
                    _ => Vec::new(),
                };
                let held = self.held.get(&kind).into_iter().flatten();
                let held = held.map(|(n, h)| (n.to_string(), h.version.to_string()));
                let refused = self.refused.iter().filter(|(k, _)| *k == kind);
                let refused = refused.map(|(_, n)| (n.to_string(), NOT_READ.to_string()));
                let initial: BTreeMap<_, _> = held.chain(refused).collect();
                let is_empty = subscribe.is_empty() && initial.is_empty() && kind != Kind::Service;
                (!is_empty).then(|| DeltaDiscoveryRequest {
                    type_url: kind.type_url().to_owned(),
                    resource_names_subscribe: subscribe,
                    initial_resource_versions: initial,
                    ..Default::default()
                })
            })
            .collect();
        if let Some(first) = requests.first_mut() {
            first.node = Some(self.node.message());
        }
        requests
    }

    /// What is said of it, and which addresses are forgotten with it.
    fn command(&mut self, command: Command) -> (Vec<DeltaDiscoveryRequest>, Vec<IpAddr>) {
        let mut forgotten = Vec::new();
        let (kind, subscribe, unsubscribe) = match command {
            Command::NeedService(key) if self.services.contains(&key) => return Default::default(),
            Command::NeedService(key) => {
                let name = key.to_string();
                self.services.insert(key);
                (Kind::Service, vec![name], Vec::new())
            }
            Command::ForgetService(key) => match self.services.remove(&key) {
                true => (Kind::Service, Vec::new(), vec![key.to_string()]),
                false => return Default::default(),
            },
            Command::NeedWorkload(address) if self.addresses.contains(&address) => return Default::default(),
            Command::NeedWorkload(address) => {
                forgotten.extend(self.addresses.follow(address));
                (Kind::Workload, vec![address.to_string()], texts(&forgotten))
            }
            Command::ForgetWorkload(address) => match self.addresses.forget(&address) {
                true => {
                    forgotten.push(address);
                    (Kind::Workload, Vec::new(), texts(&forgotten))
                }
                false => return Default::default(),
            },
        };
        let request = DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            ..Default::default()
        };
        (vec![request], forgotten)
    }

    /// Takes a response in; a push when it is complete.
    fn receive(&mut self, response: DeltaDiscoveryResponse) -> Result<Option<Push>, Violation> {
        let kind = Kind::from_type_url(&response.type_url);
        let kind = kind.ok_or_else(|| Violation::Type(response.type_url.chars().take(256).collect()))?;
        let nonce: Nonce =
            response.nonce.parse().map_err(|_| Violation::Nonce(response.nonce.chars().take(64).collect()))?;
        if let Some(last) = self.last
            && (last.mesh != nonce.mesh || nonce.left.checked_add(1) != Some(last.left))
        {
            return Err(Violation::Framing { last, found: nonce });
        }
        let size = |r: &Resource| r.name.len() + r.resource.as_ref().map_or(0, |packed| packed.value.len());
        self.bytes += response.resources.iter().map(size).sum::<usize>();
        if self.bytes > MAX_PUSH {
            return Err(Violation::TooLarge);
        }
        self.received.push(Decoded::of(kind, response, self.keep));
        if nonce.left > 0 {
            self.last = Some(nonce);
            return Ok(None);
        }
        (self.bytes, self.last) = (0, None);
        let mut push = Push { mesh: nonce.mesh, ..Push::default() };
        for decoded in &mut self.received {
            let kind = decoded.kind;
            push.changes.upserts.append(&mut decoded.parts);
            push.changes.removed.extend(decoded.removed.iter().map(|name| (kind, name.clone())));
            push.addresses.append(&mut decoded.workloads);
            let refused: Vec<Refused> = decoded.refusals.iter().map(|refusal| Refused::of(kind, refusal)).collect();
            push.changes.refused.extend(refused.iter().map(|r| (r.kind, r.name.clone())));
            push.refused.extend(refused);
        }
        // Nobody before somebody: of an address that moved, the new owner counts.
        push.addresses.sort_by_key(|(_, workload)| workload.is_some());
        push.addresses.retain(|(address, _)| self.addresses.contains(address));
        push.addresses.iter().for_each(|(address, workload)| self.addresses.learn(*address, workload.as_ref()));
        // That nobody has an address counts while it is followed.
        let unfollowed =
            |name: &PartName| name.as_str().parse().is_ok_and(|address| !self.addresses.contains(&address));
        push.changes.removed.retain(|(kind, name)| *kind != Kind::Workload || !unfollowed(name));
        Ok(Some(push))
    }

    /// Answers every response of the push that was handed out.
    fn applied(&mut self, refused: &[Refused]) -> Vec<DeltaDiscoveryRequest> {
        let mut requests = Vec::with_capacity(self.received.len());
        for mut decoded in std::mem::take(&mut self.received) {
            let held = self.held.entry(decoded.kind).or_default();
            for (name, part) in decoded.upserts {
                match refused.iter().find(|r| r.kind == decoded.kind && r.name == name) {
                    Some(Refused { reason, .. }) => {
                        decoded.refusals.push(Refusal { name: name.to_string(), reason: reason.clone() });
                    }
                    None => drop(held.insert(name, part)),
                }
            }
            decoded.removed.iter().for_each(|name| drop(held.remove(name)));
            let gone = |name: &PartName| decoded.removed.contains(name) || held.contains_key(name);
            self.refused.retain(|(kind, name)| *kind != decoded.kind || !gone(name));
            if decoded.kind.is_whole(self.node.role) {
                let names = decoded.refusals.iter().map(|refusal| PartName(refusal.name.as_str().into()));
                self.refused.extend(names.filter(|name| !held.contains_key(name)).map(|name| (decoded.kind, name)));
            }
            let error = (!decoded.refusals.is_empty()).then(|| rpc::Status {
                code: INVALID_ARGUMENT,
                message: refusal_text(&decoded.refusals),
                details: Vec::new(),
            });
            requests.push(DeltaDiscoveryRequest {
                type_url: decoded.kind.type_url().to_owned(),
                response_nonce: decoded.nonce,
                error_detail: error,
                ..Default::default()
            });
        }
        self.held.retain(|_, parts| !parts.is_empty());
        requests
    }
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
