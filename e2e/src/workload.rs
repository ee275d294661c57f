//! Applications: servers by what they speak, each of which remembers the requests it has seen.

mod http1;
mod http2;
mod tcp;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// What an application does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HTTP/1.0 and 1.1. Paths: `/status/404` answers so, `/slow/100` waits so many milliseconds, everything else 200
    /// with the request's head, as it came, for a body. An `Upgrade` request is granted and echoes bytes.
    Http1,
    /// [`Kind::Http1`] that closes connections idle for so long.
    Http1ClosingIdle(Duration),
    /// HTTP/2 with prior knowledge: gRPC requests get their messages back and `grpc-status: 0` in trailers, others
    /// 200 with their headers for a body.
    Http2,
    /// [`Kind::Http2`] that closes connections idle for so long, without GOAWAY.
    Http2ClosingIdle(Duration),
    /// Sends back what it gets.
    Echo,
    /// Says `220 <name>\r\n` first, then sends back what it gets.
    Greeting,
    /// A program of the test's own: here a free address is found for it, and nothing more.
    External,
}

/// Requests seen, by id (`x-request-id`), and connections accepted.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    ids: Arc<Mutex<HashMap<String, u32>>>,
    connections: Arc<AtomicU64>,
}

impl Seen {
    fn request(&self, id: &str) {
        *self.ids.lock().expect("no holder panics").entry(id.to_owned()).or_default() += 1;
    }

    /// How often each id came, and forgets them.
    pub fn take(&self) -> HashMap<String, u32> {
        std::mem::take(&mut *self.ids.lock().expect("no holder panics"))
    }

    /// How often this id came.
    pub fn count(&self, id: &str) -> u32 {
        self.ids.lock().expect("no holder panics").get(id).copied().unwrap_or_default()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A running application; it and its connections end with this value.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has seen.
    pub seen: Seen,
    task: JoinHandle<()>,
}

impl App {
    /// Starts at `address` (port 0: any free one). `name` is what it calls itself in `x-served-by` and greetings.
    pub async fn start(kind: Kind, name: &str, address: SocketAddr) -> App {
        let listener =
            TcpListener::bind(address).await.unwrap_or_else(|e| panic!("{name} cannot listen on {address}: {e}"));
        let address = listener.local_addr().expect("a bound socket has an address");
        let (seen, name) = (Seen::default(), Arc::<str>::from(name));
        if kind == Kind::External {
            return App { address, seen, task: tokio::spawn(async {}) };
        }
        let task = tokio::spawn(accept(kind, name, listener, seen.clone()));
        App { address, seen, task }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(kind: Kind, name: Arc<str>, listener: TcpListener, seen: Seen) {
    // Connections end with the listener: the set is dropped with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                seen.connections.fetch_add(1, Ordering::Relaxed);
                let (name, seen) = (name.clone(), seen.clone());
                match kind {
                    Kind::Http1 => drop(connections.spawn(http1::serve(stream, name, seen, None))),
                    Kind::Http1ClosingIdle(idle) => drop(connections.spawn(http1::serve(stream, name, seen, Some(idle)))),
                    Kind::Http2 => drop(connections.spawn(http2::serve(stream, name, seen, None))),
                    Kind::Http2ClosingIdle(idle) => drop(connections.spawn(http2::serve(stream, name, seen, Some(idle)))),
                    Kind::Echo => drop(connections.spawn(tcp::echo(stream, seen, None))),
                    Kind::Greeting => drop(connections.spawn(tcp::echo(stream, seen, Some(name)))),
                    Kind::External => unreachable!("the listener of such an application is closed"),
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
