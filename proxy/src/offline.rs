//! One proxy without its sockets: the configuration that it was told, details of services fetched at once, and the
//! decisions of [`crate::decide`]. For `meshctl explain` and for tests of decisions; what differs from a proxy that runs
//! is who tells it, and that nothing is carried.

use crate::{
    decide::{
        self, Ask, Asking, Caller, Decision, Fetch, Request,
        gateway::{Arriving, arriving},
        outbound::{Entrance, Outgoing, outgoing},
    },
    detect::Detected,
    snapshot::{
        OwnFacts, Snapshot,
        build::{Changes, State},
        outbound::Said,
    },
};
use mesh_config::{
    model::{Part, ServiceKey},
    name::Port,
};
use std::{net::IpAddr, rc::Rc, sync::Arc};

/// Most details that one decision may need.
const MOST: usize = 64;

/// Who tells the proxy.
pub trait Teller {
    /// What belongs to a name of the index; `None`: nothing is known of it.
    fn details(&self, service: &ServiceKey) -> Option<Changes>;

    /// Whose an address is, or that it is nobody's; `None`: that is not to be had.
    fn workload(&self, address: IpAddr) -> Option<Changes>;
}

/// A proxy that is told nothing more than it is at its start.
impl Teller for () {
    fn details(&self, _: &ServiceKey) -> Option<Changes> {
        None
    }

    fn workload(&self, _: IpAddr) -> Option<Changes> {
        None
    }
}

/// A proxy that decides.
#[derive(Debug)]
pub struct Desk<T> {
    state: State,
    teller: T,
}

impl<T: Teller> Desk<T> {
    /// The proxy with these facts, which is told these parts at its start.
    pub fn new(facts: OwnFacts, told: impl IntoIterator<Item = Part>, teller: T) -> Self {
        let mut state = State::new(facts);
        state.apply(Changes::upserts(told));
        Desk { state, teller }
    }

    /// The configuration now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.state.snapshot().clone()
    }

    /// What a connection of the application is for. `said`: what the client says, should that be asked; `draw` decides
    /// between weighted destinations.
    pub fn outgoing(&mut self, entrance: &Entrance, said: Said<'_>, draw: u64) -> Outgoing {
        let look = |snapshot: &Snapshot, asking| match outgoing(snapshot, entrance, None, draw, asking) {
            Outgoing::Hear => outgoing(snapshot, entrance, Some(said), draw, asking),
            heard => heard,
        };
        let (snapshot, asking) = self.settled(|snapshot, asking| look(snapshot, asking).asks());
        look(&snapshot, asking)
    }

    /// What a connection to a port of a gateway is for.
    pub fn arriving(&mut self, port: Port, said: &Detected, draw: u64) -> Arriving {
        let look = |snapshot: &Snapshot| arriving(snapshot, port, Some(said), draw);
        look(&self.settled(|snapshot, _| look(snapshot).asks()).0)
    }

    /// Decides on a request, and hands on what was decided with the configuration that it was decided with.
    pub fn request<R>(
        &mut self,
        caller: &Caller<'_>,
        request: &Request<'_>,
        then: impl FnOnce(&Snapshot, Decision<'_>) -> R,
    ) -> R {
        let (snapshot, asking) =
            self.settled(|snapshot, asking| decide::request(snapshot, caller, request, asking).step.asks());
        then(&snapshot, decide::request(&snapshot, caller, request, asking))
    }

    /// The configuration with which a decision has nothing more to ask, or all that can be had; and what it may ask by
    /// then.
    fn settled(&mut self, asks: impl Fn(&Snapshot, Asking) -> Option<Ask>) -> (Arc<Snapshot>, Asking) {
        let mut fetching = Fetching { desk: self, left: MOST };
        let (held, asking) = decide::settle_now(&mut fetching, asks).expect("nothing is waited for here");
        (Arc::clone(&held), asking)
    }
}

/// Fetches at once.
struct Fetching<'d, T> {
    desk: &'d mut Desk<T>,
    left: usize,
}

impl<T: Teller> Fetch for Fetching<'_, T> {
    type Held = Rc<Arc<Snapshot>>;

    fn newest(&self) -> Self::Held {
        Rc::new(self.desk.snapshot())
    }

    async fn fetch(&mut self, ask: &Ask) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        let told = match ask {
            Ask::Details(service) => self.desk.teller.details(service),
            Ask::Workload(address) => self.desk.teller.workload(*address),
        };
        let Some(changes) = told else { return false };
        self.desk.state.apply(changes);
        true
    }
}
