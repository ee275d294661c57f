//! Opaque connections, both directions: permit, endpoint, connection, copy.
//!
//! A connection is not decided on once for all: when policies change it is looked at again, and ended if it would be
//! refused now.

pub mod introduce;
pub mod peer_exchange;

use crate::{
    conn::{Connection, Direction},
    decide::{self, Permit},
    detect::{Detected, Look},
    error::Error,
    exchange::{Flag, Flags},
    live::Registered,
    net::{
        copy::{self, End, Moved},
        io::{Downstream, Io},
        prefix::Prefixed,
    },
    observe::stream::Stream,
    opening::{self, Opening},
    snapshot::{Snapshot, cluster::Cluster},
    upstream::acquire::StreamLease,
    worker::Worker,
};
use bytes::{Bytes, BytesMut};
use introduce::{Introduced, Said};
use mesh_runtime::clock;
use std::{
    borrow::Cow,
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
    time::Instant,
};

/// Endpoints that are tried before a connection fails: nothing has been sent, so trying is safe.
const TRIES: usize = 3;
/// ALPN of proxies that introduce themselves.
const INTRODUCES: &[u8] = b"istio-peer-exchange";

/// An upstream connection made before it was known what would be carried.
pub struct Dialled {
    lease: StreamLease,
    cluster: Arc<Cluster>,
    seen: Bytes,
}

/// Who spoke first.
pub enum Race {
    /// The server: carry opaque bytes.
    Server(Downstream, Dialled),
    /// The client: what it said, its bytes, its stream, and the connection that was made meanwhile.
    Client(Detected, BytesMut, TcpStream, Dialled),
    /// Nobody, and what is not known to be a client of the mesh may not be carried any more: what it has said of a
    /// beginning, and its stream.
    Withdrawn(BytesMut, TcpStream),
    /// Nobody: one of them is gone. The record is written.
    Ended,
}

/// Carries a connection of a peer to the application.
pub async fn inbound(worker: &Rc<Worker>, io: Downstream, conn: Rc<Connection>, dialled: Option<Dialled>) {
    let snapshot = worker.snapshot();
    // Nothing known of the workload: nothing to carry to.
    let Some(cluster) = snapshot.local().map(|local| local.inbound.policy(conn.listener_port).cluster.clone()) else {
        return;
    };
    carry(worker, io, conn, snapshot, cluster, dialled).await;
}

/// Carries a connection of the application to `cluster`.
pub async fn outbound(
    worker: &Rc<Worker>,
    io: Downstream,
    conn: Rc<Connection>,
    cluster: Arc<Cluster>,
    dialled: Option<Dialled>,
) {
    carry(worker, io, conn, worker.snapshot(), cluster, dialled).await;
}

/// Records a connection that is closed because it may not, or cannot, go anywhere.
pub fn refused(worker: &Rc<Worker>, conn: Rc<Connection>, cluster: Arc<Cluster>, why: &str) {
    tracing::debug!(source = %conn.remote, destination = %conn.local, why, "connection refused");
    let mut record = Record::new(worker, conn, &worker.snapshot(), cluster);
    record.stream.flags.set(Flag::NoHealthyUpstream);
}

/// Records a connection whose rule leads to what does not exist.
pub fn missing(worker: &Rc<Worker>, conn: Rc<Connection>, cluster: &str) {
    tracing::debug!(source = %conn.remote, destination = %conn.local, cluster, "the rule's destination does not exist");
    let snapshot = worker.snapshot();
    let mut record = Record::new(worker, conn, &snapshot, snapshot.outbound.black_hole().clone());
    record.stream.cluster = None;
    // Whether it may go on is asked before where to.
    if record.permit(&snapshot).is_some() {
        record.stream.flags.set(Flag::NoCluster);
    }
}

/// Records a connection that nothing here accepts: no mutual TLS where it is required, TLS of a stranger, a handshake
/// that failed.
pub fn not_accepted(worker: &Rc<Worker>, conn: Rc<Connection>, why: &str) {
    tracing::debug!(source = %conn.remote, destination = %conn.local, why, "connection not accepted");
    let snapshot = worker.snapshot();
    let mut record = Record::new(worker, conn, &snapshot, snapshot.outbound.black_hole().clone());
    record.stream.cluster = None;
    record.stream.flags.set(Flag::NoRoute);
    record.stream.termination = Cow::Owned(why.replace(' ', "_"));
    record.stream.duration = clock::since(record.begun);
    worker.observer.not_accepted(&record.stream);
    record.forget();
}

/// Dials `cluster` for a silent client, and waits for either to speak; but no longer than the client may be carried as
/// it is. What the client says is looked at for `look`.
pub async fn race(
    worker: &Rc<Worker>,
    mut stream: TcpStream,
    conn: &Rc<Connection>,
    cluster: Arc<Cluster>,
    look: Look,
) -> Race {
    let snapshot = worker.snapshot();
    let mut record = Record::new(worker, conn.clone(), &snapshot, cluster.clone());
    let Some(permit) = record.permit(&snapshot) else { return Race::Ended };
    let Some(mut lease) = record.dial(permit, &snapshot).await else { return Race::Ended };
    let (mut said, mut answer) = (BytesMut::new(), BytesMut::with_capacity(2048));
    let registered = worker.requests.live.add();
    let spoke = tokio::select! {
        opening = opening::read(&mut stream, &mut said, look, None, None) => Spoke::Client(opening),
        read = lease.io.read_buf(&mut answer) => Spoke::Server(matches!(read, Ok(n) if n > 0)),
        () = withdrawn(worker, conn, &registered) => Spoke::Nobody,
    };
    drop(registered);
    let dialled = |seen| Dialled { lease, cluster, seen };
    let won = match spoke {
        Spoke::Server(true) => Race::Server(Prefixed::new(said.freeze(), Io::Plain(stream)), dialled(answer.freeze())),
        Spoke::Client(Opening::Said(what)) => Race::Client(what, said, stream, dialled(Bytes::new())),
        Spoke::Nobody => Race::Withdrawn(said, stream),
        Spoke::Server(false) | Spoke::Client(Opening::Silent | Opening::Ended) => return Race::Ended,
    };
    // From here on the record is made by whoever carries the connection.
    record.forget();
    won
}

/// Who spoke while a connection was dialled for a silent client.
enum Spoke {
    Client(Opening),
    /// Bytes, or (`false`) its end.
    Server(bool),
    /// The connection may not go on as it is.
    Nobody,
}

/// Completes when the connection, as it is, may be carried no longer.
async fn withdrawn(worker: &Worker, conn: &Connection, registered: &Registered) {
    poll_fn(|cx| {
        let asked = registered.asked(cx.waker());
        let may = || decide::opaque(&worker.snapshot(), &conn.caller(), None).0.is_ok();
        if asked.end || asked.look && !may() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The whole path of one connection.
async fn carry(
    worker: &Rc<Worker>,
    io: Downstream,
    conn: Rc<Connection>,
    snapshot: Arc<Snapshot>,
    cluster: Arc<Cluster>,
    dialled: Option<Dialled>,
) {
    let dialled = dialled.filter(|d| Arc::ptr_eq(&d.cluster, &cluster) || d.cluster.key == cluster.key);
    let mut record = Record::new(worker, conn.clone(), &snapshot, cluster);
    // 1. may it?
    let Some(permit) = record.permit(&snapshot) else { return };
    // 2. the connection
    let (lease, answer) = match dialled {
        Some(dialled) => {
            record.stream.upstream = Some(dialled.lease.upstream.clone());
            (dialled.lease, dialled.seen)
        }
        None => match record.dial(permit, &snapshot).await {
            Some(lease) => (lease, Bytes::new()),
            None => return,
        },
    };
    let StreamLease { io: server, alpn, guards, .. } = lease;
    // 3. who agreed to say who it is does so with its first bytes
    let said = record.stream.said.clone();
    let announce = |agreed| match agreed {
        true => introduce::announcement(worker, &snapshot.info()),
        false => Bytes::new(),
    };
    let client = Introduced::new(io, announce(introduces(&conn)), said.clone());
    let server = Prefixed::new(answer, server);
    let server = Introduced::new(server, announce(alpn.as_deref() == Some(INTRODUCES)), said);
    // 4. bytes, until both are done or policies change their mind
    record.copy(client, server).await;
    drop(guards);
}

/// Whether the peer's proxy agreed to introduce itself.
fn introduces(conn: &Connection) -> bool {
    conn.direction != Direction::Outbound && conn.secured.as_ref().is_some_and(|s| &*s.alpn == INTRODUCES)
}

/// A connection's record while it is carried; written when it is dropped.
struct Record<'a> {
    worker: &'a Rc<Worker>,
    stream: Stream,
    begun: Instant,
    forgotten: Cell<bool>,
}

impl<'a> Record<'a> {
    fn new(worker: &'a Rc<Worker>, conn: Rc<Connection>, snapshot: &Snapshot, cluster: Arc<Cluster>) -> Self {
        let stream = Stream {
            conn,
            own: snapshot.info(),
            start: clock::system_now(),
            duration: Duration::ZERO,
            cluster: Some(cluster),
            upstream: None,
            said: Said::default(),
            moved: Moved::default(),
            reported: Cell::default(),
            opened: Cell::default(),
            flags: Flags::default(),
            termination: Cow::Borrowed(""),
            transport_failure: Cow::Borrowed(""),
        };
        Record { worker, stream, begun: clock::now(), forgotten: Cell::new(false) }
    }

    /// Somebody else will record this connection.
    fn forget(self) {
        self.forgotten.set(true);
    }

    /// The proof that the connection is allowed, or `None` when it is not.
    fn permit(&mut self, snapshot: &Snapshot) -> Option<Permit> {
        match decide(&self.stream.conn, snapshot) {
            Ok(permit) => Some(permit),
            Err(termination) => {
                self.stream.termination = Cow::Owned(termination);
                None
            }
        }
    }

    /// A connection to an endpoint of the cluster.
    async fn dial(&mut self, _permit: Permit, snapshot: &Snapshot) -> Option<StreamLease> {
        let cluster = self.stream.cluster.clone()?;
        let upstreams = &self.worker.requests.upstreams;
        let live = upstreams.cluster(&cluster, clock::now());
        let mut tried = Vec::new();
        loop {
            let picked = live.pick(upstreams, Some(self.stream.conn.local), snapshot, &tried).await;
            let host = match picked {
                Ok(host) => host,
                Err(error) => return self.failed(&error),
            };
            match live.stream(upstreams, &host, &snapshot.settings).await {
                Ok(lease) => {
                    self.stream.upstream = Some(lease.upstream.clone());
                    return Some(lease);
                }
                Err((error, upstream)) => {
                    self.stream.upstream = upstream;
                    tried.push(host);
                    if tried.len() == TRIES || !matches!(error, Error::Connect { .. }) {
                        return self.failed(&error);
                    }
                }
            }
        }
    }

    /// As Envoy's TCP proxy says it.
    fn failed(&mut self, error: &Error) -> Option<StreamLease> {
        let flags: &[Flag] = match error {
            Error::Connect { .. } => &[Flag::UpstreamConnectFailure, Flag::UpstreamRetryLimit],
            Error::Overflow => &[Flag::UpstreamOverflow],
            Error::Dns(_) => &[Flag::DnsFailure],
            Error::ClusterNotFound(_) => &[Flag::NoCluster],
            _ => &[Flag::NoHealthyUpstream],
        };
        flags.iter().for_each(|flag| self.stream.flags.set(*flag));
        if let Error::Connect { reason, .. } = error {
            self.stream.transport_failure = Cow::Owned(reason.replace(' ', "_"));
        }
        None
    }

    /// Copies until the end, counting on the way.
    async fn copy<A, B>(&mut self, mut client: A, mut server: B)
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let pool = self.stream.cluster.as_ref().map(|c| c.policy.connection_pool.clone()).unwrap_or_default();
        // No idle limit unless one is set: keep-alive probes find dead peers, and quiet databases are no fault.
        let idle = pool.tcp_idle_timeout.filter(|t| !t.is_zero());
        let deadline = pool.max_connection_duration.map(|most| self.begun + most);
        let registered = self.worker.requests.live.add();
        let end = {
            let this = &*self;
            let mut copied = pin!(copy::bidirectional(&mut client, &mut server, &this.stream.moved, idle));
            let carried = poll_fn(|cx| {
                let asked = registered.asked(cx.waker());
                if asked.end {
                    return Poll::Ready(Ended::Shutdown);
                }
                if asked.report {
                    this.worker.observer.stream(&this.stream, false);
                }
                if asked.look
                    && let Err(termination) = decide(&this.stream.conn, &this.worker.snapshot())
                {
                    return Poll::Ready(Ended::Policy(termination));
                }
                copied.as_mut().poll(cx).map(Ended::Copy)
            });
            match deadline {
                None => carried.await,
                Some(at) => tokio::time::timeout_at(at, carried).await.unwrap_or(Ended::Deadline),
            }
        };
        match end {
            Ended::Copy(End::B(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                self.stream.flags.set(Flag::UpstreamRemoteReset);
            }
            Ended::Copy(_) | Ended::Shutdown => {}
            Ended::Deadline => self.stream.flags.set(Flag::DownstreamDuration),
            Ended::Policy(termination) => self.stream.termination = Cow::Owned(termination),
        }
    }
}

/// Why a copy is over.
enum Ended {
    Copy(End),
    Policy(String),
    Deadline,
    Shutdown,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.forgotten.get() {
            self.stream.duration = clock::since(self.begun);
            self.worker.observer.stream(&self.stream, true);
        }
    }
}

/// Whether the connection is allowed under this configuration.
fn decide(conn: &Connection, snapshot: &Snapshot) -> Result<Permit, String> {
    let (permit, verdict) = decide::opaque(snapshot, &conn.caller(), None);
    for rule in verdict.iter().flat_map(|verdict| &verdict.audited) {
        tracing::info!(%rule, source = %conn.remote, "audited");
    }
    permit.map_err(|refused| refused.to_string())
}
