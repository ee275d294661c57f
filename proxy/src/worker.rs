//! What one worker owns, shared by all its listeners and connections. Nothing of it is shared with another thread but
//! counts; nothing is locked.

pub mod credentials;

use crate::{
    conn::{Arrival, Connection, Direction, Memo, Secured},
    decide::{self, Ask, Asking},
    http::Requests,
    observe::Observer,
    opening::Verdicts,
    snapshot::{Snapshot, listener::DestinationKey},
};
use bytes::Bytes;
use credentials::Credentials;
use mesh_config::{
    model::{ServiceKey, workload::WorkloadInfo},
    name::Port,
};
use mesh_runtime::{drain, tls::server::ServerTls};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// A connection that comes before the first configuration waits for it so long; then it is closed.
const FIRST_CONFIGURATION: Duration = Duration::from_secs(5);

/// How long a connection waits for details that pilot has not sent yet.
const PENDING: Duration = Duration::from_secs(1);

/// See the module.
pub struct Worker {
    /// What its requests share.
    pub requests: Rc<Requests>,
    /// Accepts mutual TLS with the mesh's identity.
    pub mesh_tls: Arc<ServerTls>,
    /// Accepts TLS with credentials of gateway servers.
    pub gateway_tls: Credentials,
    /// Counts and logs.
    pub observer: Rc<Observer>,
    /// Signalled when the process wants to end: connections are asked to close.
    pub closing: drain::Watch,
    /// Signalled when nothing is accepted any more.
    pub ending: drain::Watch,
    /// Nothing from others is accepted any more.
    pub arriving: drain::Watch,
    /// Outbound ports whose servers speak first.
    pub outbound_verdicts: Verdicts<(ServiceKey, Port)>,
    /// Inbound ports whose servers speak first.
    pub inbound_verdicts: Verdicts<Port>,
    /// Our node id, part of what we tell peers about ourselves on TCP.
    pub node_id: Arc<str>,
    /// What we tell them, made once for each description of our workload.
    pub announced: RefCell<Option<(Arc<WorkloadInfo>, Bytes)>>,
    /// Numbers connections; each worker begins elsewhere.
    pub next_id: Cell<u64>,
}

impl Worker {
    /// The configuration in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.requests.snapshot())
    }

    /// Whether a connection may be looked at: it is known what holds for the workload, at once or after a moment.
    pub async fn configured(&self) -> bool {
        // The wait is seldom, and in a box: connections would have its room otherwise.
        self.snapshot().local().is_some() || Box::pin(self.requests.configured(FIRST_CONFIGURATION)).await
    }

    /// What `look` decides with the newest configuration; where it asks for more, once that is here, or the wait is
    /// over. What is in the index is never passed through meanwhile.
    pub async fn decided<D>(&self, look: impl Fn(&Snapshot, Asking) -> D, asks: impl Fn(&D) -> Option<Ask>) -> D {
        let first = look(&self.snapshot(), Asking::All);
        if asks(&first).is_none() {
            return first;
        }
        // Seldom, and in a box: connections would have its room otherwise.
        let settled = async {
            let mut fetching = self.requests.fetching(PENDING);
            decide::settle(&mut fetching, |snapshot, asking| asks(&look(snapshot, asking))).await
        };
        let (snapshot, asking) = Box::pin(settled).await;
        look(&snapshot, asking)
    }

    /// The facts of a connection.
    pub fn connection(
        &self,
        direction: Direction,
        key: DestinationKey,
        listener_port: Port,
        arrival: Arrival,
        secured: Option<Secured>,
    ) -> Rc<Connection> {
        self.made(direction, key, listener_port, arrival, (secured, None))
    }

    /// The facts of a connection whose TLS does not end here, with the name in its hello.
    pub fn sealed(
        &self,
        direction: Direction,
        key: DestinationKey,
        listener_port: Port,
        arrival: Arrival,
        asked_for: Option<Arc<str>>,
    ) -> Rc<Connection> {
        self.made(direction, key, listener_port, arrival, (None, asked_for))
    }

    fn made(
        &self,
        direction: Direction,
        key: DestinationKey,
        listener_port: Port,
        arrival: Arrival,
        (secured, asked_for): (Option<Secured>, Option<Arc<str>>),
    ) -> Rc<Connection> {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        Rc::new(Connection {
            id,
            direction,
            key,
            listener_port,
            local: arrival.original,
            remote: arrival.source,
            secured,
            asked_for,
            memo: Memo::default(),
        })
    }
}
