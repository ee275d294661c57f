//! gRPC over our TLS: what tonic needs to call through a [`ClientTls`] and to serve behind a [`ServerTls`]. tonic's
//! own TLS is not used, since it knows neither SPIFFE identities nor rotation.

mod admission;
mod dial;

pub use dial::{Connector, MAX_TOKEN, bearer};

use super::server::{self, Accepted, ServerProfile, ServerTls};
use crate::drain;
use admission::Room;
use futures_util::{Stream, stream};
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
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tonic::transport::server::Connected;

/// Connections that have not sent a byte yet, at most, and how many of them from one address.
const SILENT: usize = 4096;
const SILENT_OF_ONE_SOURCE: usize = 1024;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(15);
/// Handshakes in flight at most, and how many of them with one address.
const HANDSHAKES: usize = 256;
const HANDSHAKES_OF_ONE_SOURCE: usize = 64;
/// How long the ClientHello may take from its first byte on.
const HELLO: Duration = Duration::from_secs(3);

/// The far end of a gRPC connection, found among a request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What came out of the handshake.
    pub accepted: Arc<Accepted>,
    /// Where it came from.
    pub address: SocketAddr,
}

/// An accepted connection, as tonic wants it.
pub struct ServerStream {
    stream: server::TlsStream<TcpStream>,
    caller: Caller,
}

impl Connected for ServerStream {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Accepts and shakes hands, many at a time, until drained or the stream is dropped; for tonic's
/// `serve_with_incoming`. A failed handshake is logged and concerns nobody else, and who is silent or slow keeps
/// nobody out (see `admission`). Must be called inside a runtime.
pub fn incoming(
    listener: TcpListener,
    tls: Arc<ServerTls>,
    profile: ServerProfile,
    drain: drain::Watch,
) -> impl Stream<Item = io::Result<ServerStream>> + Send {
    let (tx, rx) = mpsc::channel(16);
    let mut owner = JoinSet::new();
    let profile = ServerProfile { hello_timeout: Some(HELLO), ..profile };
    owner.spawn(accept_loop(listener, tls, Arc::new(profile), drain, tx));
    // The set goes with the stream: dropping it ends the loop and the handshakes in flight.
    stream::unfold((rx, owner), |(mut rx, owner)| async move {
        let stream = rx.recv().await?;
        Some((Ok(stream), (rx, owner)))
    })
}

async fn accept_loop(
    listener: TcpListener,
    tls: Arc<ServerTls>,
    profile: Arc<ServerProfile>,
    drain: drain::Watch,
    tx: mpsc::Sender<ServerStream>,
) {
    let silent = Room::new(SILENT, SILENT_OF_ONE_SOURCE);
    let shaking = Room::new(HANDSHAKES, HANDSHAKES_OF_ONE_SOURCE);
    let mut handshakes = JoinSet::new();
    let mut signaled = std::pin::pin!(drain.signaled());
    loop {
        let accepted = tokio::select! {
            () = &mut signaled => break,
            () = tx.closed() => return,
            accepted = listener.accept() => accepted,
        };
        while handshakes.try_join_next().is_some() {}
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly: no file descriptors left. Others must get a chance to give theirs back.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, profile, tx) = (tls.clone(), profile.clone(), tx.clone());
        let (slot, place) = oneshot::channel();
        let shaking = shaking.clone();
        let task = handshakes.spawn(async move {
            // Comes at once: the task is known only when it has begun.
            let Ok((silent, me)) = place.await else { return };
            if !speaks(&tcp).await {
                return;
            }
            let slot = shaking.enter(address.ip(), me);
            drop(silent);
            match shake(tcp, address, &tls, &profile).await {
                Ok(stream) => {
                    drop(slot);
                    // Fails when nobody serves any more.
                    drop(tx.send(stream).await);
                }
                Err(error) => tracing::debug!(%address, %error, "no TLS connection"),
            }
        });
        // Fails when the task has ended already.
        let _ = slot.send((silent.enter(address.ip(), task.clone()), task));
    }
    silent.close();
    while handshakes.join_next().await.is_some() {}
}

/// Whether a first byte comes in time.
async fn speaks(tcp: &TcpStream) -> bool {
    matches!(tokio::time::timeout(SILENCE, tcp.peek(&mut [0])).await, Ok(Ok(1..)))
}

async fn shake(
    tcp: TcpStream,
    address: SocketAddr,
    tls: &ServerTls,
    profile: &ServerProfile,
) -> Result<ServerStream, super::TlsError> {
    tcp.set_nodelay(true)?;
    let (stream, accepted) = tls.accept(tcp, profile).await?;
    Ok(ServerStream { stream, caller: Caller { accepted: Arc::new(accepted), address } })
}
