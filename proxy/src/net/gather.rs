//! One write a turn. HTTP/2 sends small frames one by one: each would be a system call, a TLS record and a segment of
//! its own. Between it and what carries its bytes, [`Gather`] holds them until the connection's task has nothing more
//! to do now, and [`Turns`] then writes them at once. While requests are on a client's connection, or others on an
//! upstream's, what they have to say soon goes with it: the worker's other tasks have their turn first, and time never
//! passes idle. Otherwise nothing is held
//! while the task sleeps, unless the peer does not take more.

use pin_project_lite::pin_project;
use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many bytes are held at most; more go through at once.
const MOST: usize = 64 * 1024;

/// So often a turn lets others go first. Once: those that can run now do. Twice: so do those that the first ones, and
/// the sockets looked at meanwhile, made ready.
const PASSES: u8 = 2;

/// With so many bytes nothing is waited for: they are a TLS record of their own.
const ENOUGH: usize = 16 * 1024;

thread_local! {
    /// The buffer of the connections of this worker: between turns it is nobody's, so one is enough for all that can
    /// write, and a connection that idles holds none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes to and from `IO`, those to it once a turn of a future within [`Turns`].
pub struct Gather<IO>(Rc<RefCell<Held<IO>>>);

/// Ends the turns of what writes to a [`Gather`].
pub struct Turn<IO>(Rc<RefCell<Held<IO>>>);

struct Held<IO> {
    io: IO,
    bytes: Vec<u8>,
    /// So many of them are out.
    sent: usize,
    /// Not everything is known to be out.
    open: bool,
    /// The writer wrote or flushed in this turn: what is open is tried again.
    due: bool,
    /// Lets others go first; one for what many requests write, hence the box.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// So often they did.
    passes: u8,
    /// Why the last turn did not end well, until the writer has been told.
    failed: Option<io::Error>,
}

impl<IO> Gather<IO> {
    /// For the writer, and for whoever polls it.
    pub fn new(io: IO) -> (Self, Turn<IO>) {
        let held = Rc::new(RefCell::new(Held {
            io,
            bytes: Vec::new(),
            sent: 0,
            open: false,
            due: false,
            pause: None,
            passes: 0,
            failed: None,
        }));
        (Gather(held.clone()), Turn(held))
    }
}

impl<IO> Clone for Turn<IO> {
    fn clone(&self) -> Self {
        Turn(self.0.clone())
    }
}

impl<IO: AsyncWrite + Unpin> Turn<IO> {
    /// Writes what was held; where `more` may come soon, when others have had their turn. An error is the writer's to see,
    /// in its next turn, which is now due.
    pub fn end(&self, cx: &mut Context<'_>, more: bool) {
        let held = &mut *self.0.borrow_mut();
        if !held.due {
            return;
        }
        held.due = false;
        if more && held.yields(cx) {
            return;
        }
        (held.pause, held.passes) = (None, 0);
        let written = match held.poll_out(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut held.io).poll_flush(cx),
            waits_or_failed => waits_or_failed,
        };
        match written {
            Poll::Ready(Ok(())) => held.open = false,
            Poll::Ready(Err(error)) => {
                held.failed = Some(error);
                cx.waker().wake_by_ref();
            }
            Poll::Pending => {}
        }
    }
}

impl<IO: AsyncWrite + Unpin> Held<IO> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.bytes[self.sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        self.give_back();
        Poll::Ready(Ok(()))
    }

    /// Whether others go first.
    fn yields(&mut self, cx: &mut Context<'_>) -> bool {
        if self.bytes.is_empty() || self.sent > 0 || self.bytes.len() >= ENOUGH {
            return false;
        }
        while self.passes < PASSES {
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::task::yield_now()));
            if pause.as_mut().poll(cx).is_pending() {
                return true;
            }
            self.pause = None;
            self.passes += 1;
        }
        false
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.told()?;
        (self.open, self.due) = (true, true);
        if self.bytes.len() + bytes.len() > MOST {
            ready!(self.poll_out(cx))?;
            if bytes.len() > MOST {
                return Pin::new(&mut self.io).poll_write(cx, bytes);
            }
        }
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn told(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn give_back(&mut self) {
        self.sent = 0;
        if self.bytes.capacity() > 0 {
            self.bytes.clear();
            SPARE.set(std::mem::take(&mut self.bytes));
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Gather<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

/// Not vectored: the parts of a frame meet in the buffer anyway.
impl<IO: AsyncWrite + Unpin> AsyncWrite for Gather<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_take(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.0.borrow_mut();
        held.due |= held.open;
        Poll::Ready(held.told())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let held = &mut *self.0.borrow_mut();
        held.told()?;
        ready!(held.poll_out(cx))?;
        Pin::new(&mut held.io).poll_shutdown(cx)
    }
}

pin_project! {
    /// A future that writes to a [`Gather`]; each poll of it is a turn.
    pub struct Turns<F, IO> {
        #[pin]
        work: F,
        turn: Turn<IO>,
        streams: Rc<Cell<u32>>,
    }
}

impl<F, IO> Turns<F, IO> {
    /// `streams`: how many there are; with one, nothing is waited for.
    pub fn new(work: F, turn: Turn<IO>, streams: Rc<Cell<u32>>) -> Self {
        Turns { work, turn, streams }
    }
}

impl<F: Future, IO: AsyncWrite + Unpin> Future for Turns<F, IO> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let ended = this.work.poll(cx);
        this.turn.end(cx, ended.is_pending() && this.streams.get() > 1);
        ended
    }
}

#[cfg(test)]
mod tests;
