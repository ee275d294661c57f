//! Listening sockets and the accept loop.
//!
//! A socket belongs to the process: workers accept on duplicates of it, so that it can outlive any of them.

use crate::net::origin::unmap;
use mesh_runtime::{
    drain,
    telemetry::{
        metrics::{RegisterError, Registry},
        repeated::{Repeated, SILENT_FOR},
    },
};
use prometheus::IntCounter;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds and listens. Address reuse is on, so that a restart need not wait for old connections. `[::]` takes version 4
/// of IP too, and that alone on a machine that has no other.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    match bind_one(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && no_version_6(&error) => {
            bind_one((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        bound => bound,
    }
}

/// EAFNOSUPPORT or EADDRNOTAVAIL.
fn no_version_6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(97 | 99))
}

fn bind_one(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A bound on the process's accepted connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimit {
    open: Arc<AtomicUsize>,
    most: usize,
    refused: IntCounter,
    lines: Repeated,
}

/// One accepted connection's place within the limit; given back on drop.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionLimit {
    /// At most `most` connections at once; registers `mesh_connections_refused_total`, and what is counted of log lines.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(most: usize, registry: &Registry) -> Result<Self, RegisterError> {
        let refused = IntCounter::new("mesh_connections_refused_total", "Connections above the limit of open ones")?;
        let lines = Repeated::new(SILENT_FOR, registry)?;
        Ok(ConnectionLimit { open: Arc::default(), most, refused: registry.register(refused)?, lines })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A connection is refused: counted, and logged now and then.
    fn refuse(&self, source: SocketAddr) {
        self.refused.inc();
        if let Some(left_out) = self.lines.due("connections", "") {
            let most = self.most;
            tracing::warn!(%source, most, left_out, "connection refused: the limit of open connections is reached");
        }
    }

    /// A place, or `None` when the limit is reached.
    pub fn take(&self) -> Option<Place> {
        let taken = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.most).then_some(n + 1));
        taken.ok().map(|_| Place(self.open.clone()))
    }
}

/// One accepted connection.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, without Nagle.
    pub stream: TcpStream,
    /// Who connected.
    pub source: SocketAddr,
    /// Its place within the limit.
    pub place: Place,
}

/// Accepts until `closing` is signalled and hands each connection to `serve`. Over the limit a connection is closed
/// at once. Errors of one accept never end the loop; when the process is out of descriptors it waits a little.
pub async fn accept(
    listener: TcpListener,
    limit: ConnectionLimit,
    closing: drain::Watch,
    mut serve: impl FnMut(Accepted),
) {
    let closed = closing.signaled();
    tokio::pin!(closed);
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut closed => return,
        };
        match accepted {
            Ok((stream, source)) => {
                let Some(place) = limit.take() else {
                    limit.refuse(source);
                    continue;
                };
                if stream.set_nodelay(true).is_err() {
                    continue; // already gone
                }
                serve(Accepted { stream, source: unmap(source), place });
            }
            Err(error) if out_of_descriptors(&error) => {
                tracing::error!(%error, "cannot accept: raise the limit of open files");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => tracing::debug!(%error, "a connection was closed before it was accepted"),
        }
    }
}

/// EMFILE or ENFILE.
fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let limit = ConnectionLimit::new(1, &Registry::new()).unwrap();
        let place = limit.take().unwrap();
        assert!(limit.take().is_none());
        drop(place);
        assert!(limit.take().is_some());
        assert_eq!(limit.open(), 0);
    }
}
