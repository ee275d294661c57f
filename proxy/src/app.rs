//! Puts the proxy together and runs it; the only file that knows every part.
//!
//! | thread | what it does |
//! | --- | --- |
//! | `control` | identity, discovery, snapshots, sockets, names, admin and metrics servers ([`control`]) |
//! | `worker-N` | carries traffic; owns its connections and pools ([`carry`]) |
//! | `access-log` | appends lines to files |
//!
//! Start-up is the first change of configuration, by the same path as every other.

mod carry;
mod control;
mod ending;
mod needs;
mod pages;
mod trust;

use crate::{
    beside::scrape::Scraper,
    connections::Counted,
    discovery::Command,
    listeners::{BoundSet, Purpose},
    net::listen::{self, ConnectionLimit},
    observe::{access_log::Writer, metrics::Standard, peers::Peers},
    settings::Settings,
    snapshot::cluster::ClusterId,
    upstream::Shared,
};
use anyhow::Context;
use mesh_runtime::{
    drain, process,
    ready::Ready,
    settings::Listen,
    snapshot,
    telemetry::{log::LogHandle, metrics::Registry},
    tls,
};
use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::Instant,
};

/// Announcements of clusters that are gone, waiting for a worker.
const RETIRED: usize = 64;

/// Where a running proxy listens besides its configuration, with real ports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    pub admin: Option<SocketAddr>,
    /// Readiness.
    pub status: Option<SocketAddr>,
    /// Metrics and readiness.
    pub metrics: Option<SocketAddr>,
    /// Metrics.
    pub prometheus: Option<SocketAddr>,
    /// Captured outbound connections.
    pub outbound: Option<SocketAddr>,
    /// Captured inbound connections.
    pub inbound: Option<SocketAddr>,
}

/// A running proxy.
pub struct Proxy {
    common: Arc<Common>,
    addresses: Addresses,
    closing: drain::Signal,
    arriving: drain::Signal,
    ending: drain::Signal,
    /// Since when it drains.
    draining: Option<Instant>,
    threads: Vec<process::Thread>,
    writer: JoinHandle<()>,
}

/// What all threads share.
struct Common {
    settings: Arc<Settings>,
    log: Option<LogHandle>,
    registry: Registry,
    ready: Ready,
    standard: Arc<Standard>,
    peers: Arc<Peers>,
    upstreams: Arc<Shared>,
    limit: ConnectionLimit,
    /// What clocks of clients' connections ended.
    counted: Counted,
    commands: mpsc::Sender<Command>,
    /// Clusters that are gone: workers close their connections.
    retired: broadcast::Sender<Arc<[ClusterId]>>,
    /// The page of metrics, with the application's.
    scraper: Arc<Scraper>,
    /// What a page has asked for.
    asked: watch::Sender<ending::Asked>,
    /// Everything bound, for workers and for `debug`.
    bound: snapshot::Reader<BoundSet>,
    /// The mesh's drain time, as last heard.
    drain_time: snapshot::Reader<Duration>,
    /// Requests finish, connections are asked to close.
    closing: drain::Watch,
    /// Nothing from others is accepted any more; held by what came from them, and by who still accepts it.
    arriving: drain::Watch,
    /// Nothing is accepted any more; control ends.
    ending: drain::Watch,
}

impl Proxy {
    /// Starts all threads and returns; see [`Proxy::ready`].
    ///
    /// # Errors
    /// A fixed port that cannot be bound, a trust anchor that cannot be read, a thread that cannot be started.
    pub fn start(settings: Settings) -> anyhow::Result<Self> {
        Self::start_with(settings, None)
    }

    /// As [`Proxy::start`]; the admin page can change the level of `log`.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn start_with(settings: Settings, log: Option<LogHandle>) -> anyhow::Result<Self> {
        tls::provider::install();
        let sockets = Sockets::bind(&settings)?;
        let addresses = sockets.addresses;
        let (closing, closing_watch) = drain::channel();
        let (arriving, arriving_watch) = drain::channel();
        let (ending, ending_watch) = drain::channel();
        let (commands, wanted) = mpsc::channel(1024);
        let (peers, asked) = Peers::new();
        let registry = Registry::new();
        registry.build_info("proxy", env!("CARGO_PKG_VERSION"))?;
        let (bound, bound_reader) = snapshot::publisher(Arc::new(sockets.captured.clone()));
        let (drain_time, drain_reader) = snapshot::publisher(Arc::new(Duration::from_secs(5)));
        let settings = Arc::new(settings);
        let common = Arc::new(Common {
            scraper: Arc::new(Scraper::new(settings.clone(), registry.clone())?),
            standard: Standard::new(&registry)?,
            ready: Ready::new(),
            peers,
            upstreams: Arc::default(),
            limit: ConnectionLimit::new(settings.max_connections, &registry)?,
            counted: Counted::new(&registry)?,
            commands,
            retired: broadcast::channel(RETIRED).0,
            asked: watch::Sender::default(),
            bound: bound_reader,
            drain_time: drain_reader,
            closing: closing_watch,
            arriving: arriving_watch,
            ending: ending_watch,
            registry,
            settings,
            log,
        });
        let (lines, writer) = Writer::start().context("cannot start the access log's writer")?;
        let inputs = control::Inputs { sockets, wanted, asked, bound, drain_time, log: lines };
        let control = control::Control::new(common.clone(), inputs)?;
        let threads = vec![process::spawn("control", move || control.run())?];
        Ok(Proxy { common, addresses, closing, arriving, ending, draining: None, threads, writer })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// It has a certificate, a complete configuration, and listens.
    pub fn ready(&self) -> bool {
        self.common.ready.is_ready()
    }

    /// What it is still waiting for.
    pub fn pending(&self) -> Vec<String> {
        self.common.ready.pending()
    }
}

/// Sockets whose addresses are settings.
struct Sockets {
    admin: Option<TcpListener>,
    status: Option<TcpListener>,
    metrics: Option<TcpListener>,
    prometheus: Option<TcpListener>,
    captured: BoundSet,
    addresses: Addresses,
}

impl Sockets {
    fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let wanted = &settings.addresses;
        let bind = |name: &str, Listen(address): Listen| -> anyhow::Result<Option<(TcpListener, SocketAddr)>> {
            let Some(address) = address else { return Ok(None) };
            let socket = listen::bind(address).with_context(|| format!("cannot listen on {address} ({name})"))?;
            let real = socket.local_addr()?;
            Ok(Some((socket, real)))
        };
        let mut captured = BoundSet::new();
        let mut capture = |name: &'static str, purpose: Purpose, address| -> anyhow::Result<Option<SocketAddr>> {
            let Some((socket, address)) = bind(name, address)? else { return Ok(None) };
            let bound = crate::listeners::Bound { name: name.into(), address, purpose, socket: Arc::new(socket) };
            captured.insert(name.into(), bound);
            Ok(Some(address))
        };
        let outbound = capture("virtualOutbound", Purpose::OutboundCaptured, wanted.outbound)?;
        let inbound = capture("virtualInbound", Purpose::InboundCaptured, wanted.inbound)?;
        let admin = bind("admin", wanted.admin)?;
        let status = bind("status", wanted.status)?;
        let metrics = bind("metrics", wanted.metrics)?;
        let prometheus = bind("prometheus", wanted.prometheus)?;
        let at = |socket: &Option<(TcpListener, SocketAddr)>| socket.as_ref().map(|(_, address)| *address);
        let addresses = Addresses {
            admin: at(&admin),
            status: at(&status),
            metrics: at(&metrics),
            prometheus: at(&prometheus),
            outbound,
            inbound,
        };
        let socket = |bound: Option<(TcpListener, SocketAddr)>| bound.map(|(socket, _)| socket);
        Ok(Sockets {
            admin: socket(admin),
            status: socket(status),
            metrics: socket(metrics),
            prometheus: socket(prometheus),
            captured,
            addresses,
        })
    }
}
