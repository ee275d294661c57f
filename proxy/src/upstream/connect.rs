//! Makes connections: TCP or a unix socket, then TLS as [`secure`] has it, then HTTP.

use super::{
    io::{Meter, Socket, UpstreamIo},
    pool::{Facts, H1, H2},
    secure::{self, Alpn, Plan, Secrets},
};
use crate::{
    body::RequestBody,
    conn::{Memo, PeerAddress, Upstream},
    error::{ConnectFailure, Error},
    net::connect::{ConnectOptions, tcp},
    net::{executor::TurningExecutor, gather::Gather},
    snapshot::{
        cluster::{Cluster, ClusterKey},
        workloads::Callee,
    },
};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use mesh_config::model::Settings;
use mesh_runtime::tls::{
    client::{ClientProfile, ClientTls, Connected, Mode},
    verify::ExpectedPeer,
};
use mesh_runtime::{carried, clock};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{io::DuplexStream, net::UnixStream};

/// Largest response head, as for requests.
const MAX_RESPONSE_HEAD: usize = 60 * 1024;
/// HTTP/2 windows: of a stream, of a connection.
pub(crate) const H2_STREAM_WINDOW: u32 = 256 * 1024;
pub(crate) const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The address to dial from, one of each family; none: the system's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Source {
    /// To IPv4 destinations.
    pub v4: Option<IpAddr>,
    /// To IPv6 destinations.
    pub v6: Option<IpAddr>,
    /// The pod's connections are captured.
    pub captured: bool,
}

impl Source {
    /// For a connection of this cluster.
    fn of(&self, to: SocketAddr, cluster: &ClusterKey) -> Option<IpAddr> {
        let own = matches!(cluster, ClusterKey::Inbound { .. } | ClusterKey::InboundPassthrough);
        carried::from(to, own && self.captured).or(if to.is_ipv4() { self.v4 } else { self.v6 })
    }
}

/// How sockets are made.
#[derive(Clone)]
pub enum Dial {
    /// By the system, from these addresses.
    Network(Source),
    /// Inside the process, for tests: `None` refuses.
    Memory(Rc<dyn Fn(&PeerAddress) -> Option<DuplexStream>>),
}

/// Makes connections for one worker.
pub struct Connector {
    dial: Dial,
    tls: Option<Arc<ClientTls>>,
    alpn: Alpn,
    secrets: Secrets,
}

/// Where to, and as what.
pub(super) struct Target<'a> {
    pub(super) address: &'a PeerAddress,
    pub(super) callee: Option<&'a Callee>,
    pub(super) cluster: &'a Cluster,
    pub(super) settings: &'a Settings,
    pub(super) server_name: Option<&'a Arc<str>>,
    pub(super) speaks: Speaks,
}

/// What will be spoken on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
    /// Opaque bytes.
    Tcp,
}

/// A connection, its facts, and the protocol agreed on.
pub(super) type Opened = (UpstreamIo, Rc<Upstream>, Option<Vec<u8>>);

impl Connector {
    /// `tls`: the mesh identity; without it only plain connections can be made.
    pub fn new(dial: Dial, tls: Option<Arc<ClientTls>>) -> Self {
        Connector { dial, tls, alpn: Alpn::new(), secrets: Secrets::default() }
    }

    /// An HTTP/1 connection.
    pub(super) async fn h1(&self, target: &Target<'_>, facts: Facts) -> Result<Box<H1>, (Error, Rc<Upstream>)> {
        let (io, upstream, _) = self.io(target).await?;
        let meter: Arc<Meter> = io.meter().clone();
        let handshake = http1::Builder::new()
            .preserve_header_case(true)
            .max_header_size(MAX_RESPONSE_HEAD)
            .max_buf_size(128 * 1024)
            .handshake::<_, RequestBody>(TokioIo::new(io))
            .await;
        let (sender, connection) = handshake.map_err(|e| (local_failure(&e), upstream.clone()))?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::trace!(%error, "upstream HTTP/1 connection ended");
            }
        });
        Ok(Box::new(H1 { sender, meter, upstream, facts, served: 1 }))
    }

    /// An HTTP/2 connection.
    pub(super) async fn h2(&self, target: &Target<'_>, facts: Facts) -> Result<Rc<H2>, (Error, Rc<Upstream>)> {
        let (io, upstream, _) = self.io(target).await?;
        let (io, turn) = Gather::new(io);
        let streams = Rc::new(Cell::new(0));
        let handshake = http2::Builder::new(TurningExecutor { turn, streams: streams.clone() })
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_header_list_size(MAX_RESPONSE_HEAD as u32)
            .handshake::<_, RequestBody>(TokioIo::new(io))
            .await;
        let (sender, mut connection) = handshake.map_err(|e| (local_failure(&e), upstream.clone()))?;
        let allowed = Rc::new(Cell::new(connection.current_max_send_streams().min(100)));
        let seen = allowed.clone();
        tokio::task::spawn_local(async move {
            let ended = poll_fn(move |cx| {
                let poll = Pin::new(&mut connection).poll(cx);
                seen.set(connection.current_max_send_streams());
                poll
            });
            if let Err(error) = ended.await {
                tracing::trace!(%error, "upstream HTTP/2 connection ended");
            }
        });
        Ok(Rc::new(H2 {
            sender: RefCell::new(sender),
            upstream,
            facts,
            served: Cell::new(0),
            active: streams,
            allowed,
            idle_since: Cell::new(clock::now()),
        }))
    }

    /// Bytes both ways, and the protocol agreed on; the connect timeout covers all of it.
    pub(super) async fn io(&self, target: &Target<'_>) -> Result<Opened, (Error, Rc<Upstream>)> {
        let limit = target.cluster.policy.connection_pool.connect_timeout.unwrap_or(target.settings.connect_timeout);
        let limit = if limit.is_zero() { Duration::from_secs(10) } else { limit };
        match tokio::time::timeout(limit, self.open(target, limit)).await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(error)) => Err((error, facts(target, None, None))),
            Err(_) => {
                let error = Error::Connect { failure: ConnectFailure::Timeout, reason: "connect timeout".into() };
                Err((error, facts(target, None, None)))
            }
        }
    }

    async fn open(&self, target: &Target<'_>, limit: Duration) -> Result<Opened, Error> {
        let tls = || self.tls.as_ref().ok_or_else(|| remote("TLS error: this proxy has no identity yet"));
        let (sni, mode, expected, alpn) = match secure::plan(target, &self.alpn) {
            Plan::Plain => {
                let (socket, local) = self.socket(target).await.map_err(|e| socket_failure(&e))?;
                return Ok((UpstreamIo::plain(socket, clock::now()), facts(target, local, None), None));
            }
            Plan::Mesh { sni, expected, alpn } => (sni, Mode::Mesh, expected, alpn.clone()),
            Plan::Simple { tls: rule, sni, alpn } => {
                let mode = secure::simple(rule, target, tls()?, &self.secrets).await;
                let mode = mode.map_err(|e| remote(&format!("TLS error: {e}")))?;
                (sni, mode, ExpectedPeer::any(), alpn.clone())
            }
        };
        let (socket, local) = self.socket(target).await.map_err(|e| socket_failure(&e))?;
        let tls = tls()?;
        let in_mesh = matches!(mode, Mode::Mesh);
        let profile = ClientProfile { alpn, sni, mode, handshake_timeout: limit };
        let (stream, connected) =
            tls.connect(socket, &profile, &expected).await.map_err(|e| remote(&format!("TLS error: {e}")))?;
        let alpn = connected.alpn.clone();
        Ok((UpstreamIo::tls(stream, clock::now()), facts(target, local, Some((connected, in_mesh))), alpn))
    }

    async fn socket(&self, target: &Target<'_>) -> io::Result<(Socket, Option<SocketAddr>)> {
        match (&self.dial, target.address) {
            (Dial::Memory(dial), address) => {
                let io = dial(address).ok_or(io::ErrorKind::ConnectionRefused)?;
                Ok((Socket::Memory(io), None))
            }
            (Dial::Network(source), PeerAddress::Ip(address)) => {
                let source = source.of(*address, &target.cluster.key);
                let keepalive = target.cluster.policy.connection_pool.keepalive.or(target.settings.tcp_keepalive);
                let stream = tcp(*address, &ConnectOptions { source, keepalive }).await?;
                let local = stream.local_addr().ok();
                Ok((Socket::Tcp(stream), local))
            }
            (Dial::Network(_), PeerAddress::Unix(path)) => {
                // tokio reads a leading NUL as the abstract namespace.
                let path = match path.strip_prefix('@') {
                    Some(name) => format!("\0{name}"),
                    None => path.to_string(),
                };
                Ok((Socket::Unix(UnixStream::connect(path).await?), None))
            }
        }
    }
}

/// `connected`: what a handshake of TLS showed, and whether it was the mesh's own.
fn facts(target: &Target<'_>, local: Option<SocketAddr>, connected: Option<(Connected, bool)>) -> Rc<Upstream> {
    let in_mesh = matches!(connected, Some((_, true)));
    let (certificate, own) = match connected {
        Some((connected, _)) => (Some(connected.peer), connected.local_uri.unwrap_or_default()),
        None => (None, Arc::default()),
    };
    Rc::new(Upstream {
        address: target.address.clone(),
        local,
        callee: target.callee.cloned(),
        certificate,
        own,
        in_mesh,
        memo: Memo::default(),
    })
}

fn remote(reason: &str) -> Error {
    Error::Connect { failure: ConnectFailure::Remote, reason: reason.into() }
}

fn local_failure(error: &hyper::Error) -> Error {
    Error::Connect { failure: ConnectFailure::Local, reason: error.to_string().into() }
}

fn socket_failure(error: &io::Error) -> Error {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "Connection refused".to_owned(),
        _ => error.to_string(),
    };
    let failure = match error.kind() {
        AddrInUse | AddrNotAvailable | PermissionDenied => ConnectFailure::Local,
        _ => ConnectFailure::Remote,
    };
    Error::Connect { failure, reason: format!("delayed connect error: {text}").into() }
}
