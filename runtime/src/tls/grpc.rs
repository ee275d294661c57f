//! gRPC over our TLS: what tonic needs to call through a [`ClientTls`] and to serve behind a [`ServerTls`]. tonic's
//! own TLS is not used, since it knows neither SPIFFE identities nor rotation.

mod admission;
mod bounds;
mod dial;

pub use bounds::{Bounds, Limits, positive};
pub use dial::{Connector, MAX_TOKEN, bearer};

use super::{
    TlsError,
    server::{Accepted, ServerProfile, ServerTls},
};
use crate::drain;
use admission::{Ender, Hold, Room, Seat};
use bounds::Ended;
use dial::Wire;
use futures_util::{Stream, stream};
use prometheus::IntGauge;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::MissedTickBehavior,
};
use tonic::transport::server::Connected;

/// How often idle connections are looked at, as a part of how long they may be.
const LOOKS: u32 = 8;

/// The far end of a gRPC connection, found among a request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What came out of the handshake; `None` on a port without encryption.
    pub accepted: Option<Arc<Accepted>>,
    /// Where it came from.
    pub address: SocketAddr,
    seat: Option<Arc<Seat>>,
}

/// While there is one, its connection is not idle; see [`Bounds`].
#[derive(Debug)]
pub struct Held {
    _hold: Option<Hold>,
}

impl Caller {
    /// Of a connection that nothing bounds.
    pub fn new(accepted: Option<Arc<Accepted>>, address: SocketAddr) -> Self {
        Caller { accepted, address, seat: None }
    }

    /// To be kept for as long as a call that is believed.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held { _hold: self.seat.as_ref().map(Seat::hold) }
    }
}

/// An accepted connection, as tonic wants it.
pub struct ServerStream {
    stream: Box<dyn Wire>,
    caller: Caller,
    seat: Arc<Seat>,
    ender: Arc<Ender>,
    _open: Open,
}

/// Counts one open connection.
struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Open(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Connected for ServerStream {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        self.seat.close();
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.ender.poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => Pin::new(&mut self.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.ender.is_ended() {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            false => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What a port does with a connection before there is gRPC on it.
#[derive(Clone)]
pub enum Security {
    /// Handshakes as the profile says; of its time limits the one for the hello is the bounds' own.
    Tls(Arc<ServerTls>, ServerProfile),
    /// Nothing.
    None,
}

/// Accepts and shakes hands, many at a time, until drained or the stream is dropped; for tonic's
/// `serve_with_incoming`. A failed handshake is counted and concerns nobody else, and who is silent or slow keeps
/// nobody out (see `admission`). Must be called inside a runtime.
pub fn incoming(
    listener: TcpListener,
    security: Security,
    limits: Limits,
    drain: drain::Watch,
) -> impl Stream<Item = io::Result<ServerStream>> + Send {
    let (tx, rx) = mpsc::channel(16);
    let mut owner = JoinSet::new();
    owner.spawn(accept_loop(listener, Arc::new(Entrance::new(security, limits)), drain, tx));
    // The set goes with the stream: dropping it ends the loop and the handshakes in flight.
    stream::unfold((rx, owner), |(mut rx, owner)| async move {
        let stream = rx.recv().await?;
        Some((Ok(stream), (rx, owner)))
    })
}

async fn accept_loop(
    listener: TcpListener,
    entrance: Arc<Entrance>,
    drain: drain::Watch,
    tx: mpsc::Sender<ServerStream>,
) {
    let mut on_their_way = JoinSet::new();
    let mut signaled = std::pin::pin!(drain.signaled());
    let idle = entrance.limits.bounds.idle_connection_timeout;
    let mut look = tokio::time::interval(idle / LOOKS);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            () = &mut signaled => break,
            () = tx.closed() => return,
            _ = look.tick() => {
                entrance.limits.ended(Ended::Idle).inc_by(entrance.idle.end_older_than(idle));
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        while on_their_way.try_join_next().is_some() {}
        match accepted {
            Ok((tcp, address)) => {
                let ender = Arc::default();
                let seat = Seat::take(&entrance.idle, address.ip(), &ender);
                let (entrance, tx) = (entrance.clone(), tx.clone());
                on_their_way.spawn(async move {
                    let stream = tokio::select! {
                        () = ender.ended() => None,
                        stream = entrance.enter(tcp, address, &seat, &ender) => stream,
                    };
                    if let Some(stream) = stream {
                        // Fails when nobody serves any more.
                        drop(tx.send(stream).await);
                    }
                });
            }
            Err(error) => {
                // Mostly: no file descriptors left. Others must get a chance to give theirs back.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    entrance.idle.end_all();
    while on_their_way.join_next().await.is_some() {}
}

/// What a connection goes through before it is served.
struct Entrance {
    security: Security,
    limits: Limits,
    idle: Arc<Room>,
    shaking: Arc<Room>,
}

impl Entrance {
    fn new(security: Security, limits: Limits) -> Self {
        let Bounds {
            max_handshakes,
            max_handshakes_per_source,
            max_idle_connections,
            max_idle_connections_per_source,
            hello_timeout,
            ..
        } = limits.bounds;
        let gave_way = || limits.ended(Ended::GaveWay);
        let security = match security {
            Security::Tls(tls, profile) => {
                Security::Tls(tls, ServerProfile { hello_timeout: Some(hello_timeout), ..profile })
            }
            Security::None => Security::None,
        };
        Entrance {
            security,
            idle: Room::new(max_idle_connections, max_idle_connections_per_source, gave_way()),
            shaking: Room::new(max_handshakes, max_handshakes_per_source, gave_way()),
            limits,
        }
    }

    /// `None`: it is not wanted.
    async fn enter(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        seat: &Arc<Seat>,
        ender: &Arc<Ender>,
    ) -> Option<ServerStream> {
        let open = Open::new(&self.limits.open);
        let spoken = tokio::time::timeout(self.limits.bounds.first_byte_timeout, tcp.peek(&mut [0])).await;
        if !matches!(spoken, Ok(Ok(1..))) {
            self.limits.ended(Ended::Silent).inc();
            return None;
        }
        let shaken = match &self.security {
            Security::None => plain(tcp),
            Security::Tls(tls, profile) => {
                let _slot = Seat::take(&self.shaking, address.ip(), ender);
                shake(tcp, tls, profile).await
            }
        };
        match shaken {
            Ok((stream, accepted)) => {
                let caller = Caller { accepted, address, seat: Some(seat.clone()) };
                Some(ServerStream { stream, caller, seat: seat.clone(), ender: ender.clone(), _open: open })
            }
            Err(error) => {
                self.limits.ended(Ended::Handshake).inc();
                tracing::debug!(%address, %error, "no TLS connection");
                None
            }
        }
    }
}

type Opened = (Box<dyn Wire>, Option<Arc<Accepted>>);

fn plain(tcp: TcpStream) -> Result<Opened, TlsError> {
    tcp.set_nodelay(true)?;
    Ok((Box::new(tcp), None))
}

async fn shake(tcp: TcpStream, tls: &ServerTls, profile: &ServerProfile) -> Result<Opened, TlsError> {
    tcp.set_nodelay(true)?;
    let (stream, accepted) = tls.accept(tcp, profile).await?;
    Ok((Box::new(stream), Some(Arc::new(accepted))))
}
