//! One proxy without its sockets: pilot's scope in front, the proxy's snapshot behind, details fetched when asked.

use super::{
    answer::Answer,
    case::{Call, Direction},
    gateway, inbound,
    objects::Who,
    outbound,
};
use mesh_config::{
    kind::Role,
    model::{Kind, Part, PartName, ServiceKey},
};
use mesh_pilot::{Mesh, scope};
use mesh_proxy::{
    decide::{self, Ask, Fetch},
    snapshot::{
        OwnFacts, Snapshot,
        build::{Changes, State},
    },
};
use std::{rc::Rc, sync::Arc};

/// Most services that one call may need the details of.
const MAX_FETCHES: usize = 64;

/// A proxy that decides.
pub(super) struct Desk<'m> {
    mesh: &'m Mesh,
    who: Who,
    state: State,
    draw: u64,
}

impl<'m> Desk<'m> {
    /// The proxy of `who`, with what pilot tells it at its start.
    pub(super) fn new(mesh: &'m Mesh, who: Who) -> Self {
        let (namespace, ips) = (who.facts.namespace.clone(), who.facts.addresses.clone());
        let mut state = State::new(OwnFacts { role: who.facts.role, namespace, ips });
        let seen = scope::visible(mesh, &who.facts).parts;
        let mut upserts: Vec<Part> =
            seen.iter().filter(|s| s.kind() != Kind::Instance).map(|s| s.part().clone()).collect();
        upserts.push(Part::Instance(who.instance.clone()));
        state.apply(Changes::upserts(upserts));
        Desk { mesh, who, state, draw: 0 }
    }

    /// Between weighted backends, this number decides from now on; 0 is the first's.
    pub(super) fn set_draw(&mut self, draw: u64) {
        self.draw = draw;
    }

    /// Whose proxy this is.
    pub(super) fn who(&self) -> &Who {
        &self.who
    }

    /// The configuration now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.state.snapshot().clone()
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

    /// The configuration with which a decision has nothing more to ask, or all that can be had.
    pub(super) fn settled(&mut self, asks: impl Fn(&Snapshot) -> Option<Ask>) -> Arc<Snapshot> {
        let mut fetching = Fetching { desk: self, left: MAX_FETCHES };
        let held = decide::settle_now(&mut fetching, asks).expect("nothing is waited for here");
        Arc::clone(&held)
    }

    /// Between weighted backends, this number decides.
    pub(super) fn draw(&self) -> u64 {
        self.draw
    }

    /// Takes in what belongs to a name of the index. `None`: pilot knows no such name.
    pub(super) fn fetch(&mut self, key: &ServiceKey) -> Option<()> {
        let children = scope::children(self.mesh, &self.who.facts, key)?;
        let upserts = children.in_order().map(|shared| shared.part().clone()).collect();
        // A name without service is complete when its service is said to be gone.
        let alone = children.service.is_none();
        let removed = alone.then(|| (Kind::Service, PartName(key.to_string().into()))).into_iter().collect();
        self.state.apply(Changes { upserts, removed, ..Changes::default() });
        Some(())
    }
}

/// Fetches from pilot's compiled mesh, at once.
struct Fetching<'d, 'm> {
    desk: &'d mut Desk<'m>,
    left: usize,
}

impl Fetch for Fetching<'_, '_> {
    type Held = Rc<Arc<Snapshot>>;

    fn newest(&self) -> Self::Held {
        Rc::new(self.desk.snapshot())
    }

    async fn fetch(&mut self, Ask::Details(service): Ask) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0 && self.desk.fetch(&service).is_some()
    }
}
