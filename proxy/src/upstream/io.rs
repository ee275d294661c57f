//! The bytes of an upstream connection, counted: whether anything of a request was written, or anything of an
//! answer read, decides whether it may be sent again.
//!
//! A failed write does not end it: an upstream that has answered and closed refuses the rest of the request, and its
//! answer is there to be read. What cannot be written is dropped, and reading tells how the connection ended.

use mesh_runtime::{clock, tls::client::TlsStream};
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
            let after = clock::since(self.opened).as_millis();
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
    deaf: bool,
}

impl UpstreamIo {
    /// Plain text.
    pub fn plain(socket: Socket, now: Instant) -> Self {
        UpstreamIo { inner: Inner::Plain(socket), meter: Arc::new(Meter::new(now)), deaf: false }
    }

    pub fn tls(stream: TlsStream<Socket>, now: Instant) -> Self {
        UpstreamIo { inner: Inner::Tls(Box::new(stream)), meter: Arc::new(Meter::new(now)), deaf: false }
    }

    /// Its counters.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The outcome of a write of `whole` bytes.
    fn wrote(&mut self, outcome: io::Result<usize>, whole: usize) -> Poll<io::Result<usize>> {
        match outcome {
            Ok(n) => {
                Meter::add(&self.meter.written, n);
                Poll::Ready(Ok(n))
            }
            Err(_) => {
                self.deaf = true;
                Poll::Ready(Ok(whole))
            }
        }
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
        if this.deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = ready!(match &mut this.inner {
            Inner::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Inner::Tls(io) => Pin::new(io).poll_write(cx, buf),
        });
        this.wrote(outcome, buf.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.deaf {
            let flushed = ready!(match &mut this.inner {
                Inner::Plain(io) => Pin::new(io).poll_flush(cx),
                Inner::Tls(io) => Pin::new(io).poll_flush(cx),
            });
            this.deaf = flushed.is_err();
        }
        Poll::Ready(Ok(()))
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
        let whole = bufs.iter().map(|buf| buf.len()).sum();
        if this.deaf {
            return Poll::Ready(Ok(whole));
        }
        let outcome = ready!(match &mut this.inner {
            Inner::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Inner::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        });
        this.wrote(outcome, whole)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(io) => io.is_write_vectored(),
            Inner::Tls(io) => io.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    #[tokio::test]
    async fn an_answer_is_read_although_the_rest_of_the_request_cannot_be_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut io = UpstreamIo::plain(Socket::Tcp(stream), mesh_runtime::clock::now());
        io.write_all(b"request").await.unwrap();
        peer.write_all(b"answer").await.unwrap();
        // Closed with what it has not read: the kernel resets the connection.
        peer.readable().await.unwrap();
        drop(peer);

        let written = io.meter().written();
        for _ in 0..100 {
            io.write_all(&[0; 64 * 1024]).await.unwrap();
            io.flush().await.unwrap();
        }
        assert!(io.meter().written() - written < 100 * 64 * 1024, "what is dropped is not counted");
        let mut answer = [0; 6];
        io.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        assert!(!matches!(io.read(&mut answer).await, Ok(1..)));
    }
}
