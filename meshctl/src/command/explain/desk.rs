//! One proxy without its sockets: pilot's scope in front, the proxy's own decisions behind.

use super::{
    answer::Answer,
    case::{Call, Direction},
    gateway, inbound,
    objects::Who,
    outbound,
};
use mesh_config::{
    kind::Role,
    model::{Kind, Part, ServiceKey},
};
use mesh_pilot::{Mesh, ProxyFacts, offline};
use mesh_proxy::{
    offline::{Desk as Proxy, Teller},
    snapshot::{OwnFacts, Snapshot, build::Changes},
};
use std::{net::IpAddr, sync::Arc};

/// Pilot, as far as this proxy is told something.
pub(super) struct Pilot<'m> {
    mesh: &'m Mesh,
    facts: ProxyFacts,
}

impl Teller for Pilot<'_> {
    fn details(&self, service: &ServiceKey) -> Option<Changes> {
        let details = offline::details(self.mesh, &self.facts, service)?;
        Some(Changes { upserts: details.parts, removed: details.removed, ..Changes::default() })
    }

    fn workload(&self, address: IpAddr) -> Option<Changes> {
        let answer = offline::workload(self.mesh, address);
        Some(Changes { upserts: answer.parts, removed: answer.removed, ..Changes::default() })
    }
}

/// A proxy that decides.
pub(super) struct Desk<'m> {
    /// The proxy.
    pub(super) proxy: Proxy<Pilot<'m>>,
    who: Who,
    draw: u64,
}

impl<'m> Desk<'m> {
    /// The proxy of `who`, with what pilot tells it at its start.
    pub(super) fn new(mesh: &'m Mesh, who: Who) -> Self {
        let facts = who.facts.clone();
        let own = OwnFacts { role: facts.role, namespace: facts.namespace.clone(), ips: facts.addresses.clone() };
        let mut told = offline::start(mesh, &facts);
        told.retain(|part| part.kind() != Kind::Instance);
        told.push(Part::Instance(who.instance.clone()));
        Desk { proxy: Proxy::new(own, told, Pilot { mesh, facts }), who, draw: 0 }
    }

    /// Between weighted backends, this number decides from now on; 0 is the first's.
    pub(super) fn set_draw(&mut self, draw: u64) {
        self.draw = draw;
    }

    /// Between weighted backends, this number decides.
    pub(super) fn draw(&self) -> u64 {
        self.draw
    }

    /// Whose proxy this is.
    pub(super) fn who(&self) -> &Who {
        &self.who
    }

    /// The configuration now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.proxy.snapshot()
    }

    /// What the proxy decides about a call.
    pub(super) fn decide(&mut self, call: &Call) -> Answer {
        let direction = match call.direction.as_deref() {
            None if self.who.facts.role == Role::Gateway => Direction::Gateway,
            None => Direction::Outbound,
            Some(text) => match Direction::parse(text) {
                Some(direction) => direction,
                None => return Answer::refuse("protocol error", format!("unknown direction {text:?}")),
            },
        };
        match direction {
            Direction::Outbound => outbound::decide(self, call),
            Direction::Inbound => inbound::decide(self, call),
            Direction::Gateway => gateway::decide(self, call),
        }
    }
}
