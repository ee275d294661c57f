//! The bytes of an upstream connection, counted: whether anything of a request was written, or anything of an
//! answer read, decides whether it may be sent again.

use mesh_runtime::tls::client::TlsStream;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::{TcpStream, UnixStream},
    time::Instant,
};

/// Counters of one connection. Atomics only because hyper wants `Send` of what may be upgraded: there is one thread.
#[derive(Debug)]
pub struct Meter {
    opened: Instant,
    written: AtomicU64,
    read: AtomicU64,
    closed_by_peer: AtomicBool,
    /// Milliseconds after `opened`.
    closed_at: AtomicU64,
}

impl Meter {
    fn new(opened: Instant) -> Self {
        Meter {
            opened,
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
            closed_by_peer: AtomicBool::new(false),
            closed_at: AtomicU64::new(0),
        }
    }

    /// Bytes written so far, before encryption.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Bytes read so far, after decryption.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// When the peer closed the connection, if it was the peer.
    pub fn closed_by_peer(&self) -> Option<Instant> {
        let closed = self.closed_by_peer.load(Relaxed);
        closed.then(|| self.opened + std::time::Duration::from_millis(self.closed_at.load(Relaxed)))
    }

    fn add(counter: &AtomicU64, n: usize) {
        counter.store(counter.load(Relaxed) + n as u64, Relaxed);
    }

    fn peer_closed(&self) {
        if !self.closed_by_peer.swap(true, Relaxed) {
            let after = self.opened.elapsed().as_millis();
            self.closed_at.store(u64::try_from(after).unwrap_or(u64::MAX), Relaxed);
        }
    }
}

/// What bytes travel on.
pub enum Socket {
    /// To an address.
    Tcp(TcpStream),
    /// To a unix socket.
    Unix(UnixStream),
    /// Inside the process, in tests.
    Memory(DuplexStream),
}

enum Inner {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// One upstream connection.
pub struct UpstreamIo {
    inner: Inner,
    meter: Arc<Meter>,
}

impl UpstreamIo {
    /// Plain text.
    pub fn plain(socket: Socket, now: Instant) -> Self {
        UpstreamIo { inner: Inner::Plain(socket), meter: Arc::new(Meter::new(now)) }
    }

    /// TLS.
    pub fn tls(stream: TlsStream<Socket>, now: Instant) -> Self {
        UpstreamIo { inner: Inner::Tls(Box::new(stream)), meter: Arc::new(Meter::new(now)) }
    }

    /// Its counters.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

macro_rules! on_socket {
    ($self:expr, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($io) => $call,
            Socket::Unix($io) => $call,
            Socket::Memory($io) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_socket!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_socket!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_socket!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_socket!(self, io => Pin::new(io).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_socket!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Tcp(io) => io.is_write_vectored(),
            Socket::Unix(io) => io.is_write_vectored(),
            Socket::Memory(io) => io.is_write_vectored(),
        }
    }
}

macro_rules! on_inner {
    ($self:expr, $io:ident => $call:expr) => {
        match &mut $self.get_mut().inner {
            Inner::Plain($io) => $call,
            Inner::Tls($io) => $call,
        }
    };
}

impl AsyncRead for UpstreamIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = ready!(match &mut this.inner {
            Inner::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Inner::Tls(io) => Pin::new(io).poll_read(cx, buf),
        });
        let n = buf.filled().len() - before;
        match &result {
            Ok(()) if n > 0 => Meter::add(&this.meter.read, n),
            Ok(()) if buf.remaining() == 0 => {}
            Ok(()) | Err(_) => this.meter.peer_closed(),
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n = ready!(match &mut this.inner {
            Inner::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Inner::Tls(io) => Pin::new(io).poll_write(cx, buf),
        })?;
        Meter::add(&this.meter.written, n);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_inner!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_inner!(self, io => Pin::new(io).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n = ready!(match &mut this.inner {
            Inner::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Inner::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        })?;
        Meter::add(&this.meter.written, n);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(io) => io.is_write_vectored(),
            Inner::Tls(io) => io.is_write_vectored(),
        }
    }
}
