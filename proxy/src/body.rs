//! The body of a request on its way to an upstream. What was read is held while it may be needed again.

mod fault;
mod messages;
mod room;

pub use fault::Fault;
pub use messages::Messages;
pub use room::Room;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use mesh_runtime::clock;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tokio::time::Instant;

/// How much of a request body is kept to be sent again.
pub const HELD_LIMIT: usize = 64 * 1024;

/// Why the body of a request ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client did not send the rest.
    #[error("the client did not send the rest of its request: {0}")]
    Downstream(#[source] hyper::Error),
    /// The client sends nothing, for longer than it may.
    #[error("the client did not send the rest of its request in time")]
    Late,
    /// Another try sends it now.
    #[error("another attempt is sending this body")]
    Superseded,
}

/// What an upstream connection sends.
#[derive(Default)]
pub enum RequestBody {
    /// Nothing.
    #[default]
    Empty,
    /// The client's body, from its beginning.
    Held(Reading),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Held(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Held(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Held(body) => body.held.hint,
        }
    }
}

/// The next frame of a body that says something. Many clients end an HTTP/2 body by an empty frame; sent on before the end that
/// follows it, it says nothing, and peers end a connection that has brought too many of these.
pub fn poll_said(incoming: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    loop {
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
        let is_empty = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(Bytes::is_empty);
        if !matches!(&frame, Some(Ok(frame)) if is_empty(frame)) {
            return Poll::Ready(frame);
        }
    }
}

/// A request body that may be sent more than once: what was read is kept, up to [`HELD_LIMIT`].
pub struct Held {
    state: RefCell<HeldState>,
    hint: SizeHint,
    bytes: Cell<u64>,
    ended: Cell<Option<Instant>>,
    /// Whoever reads it waits for more.
    awaited: Cell<bool>,
    /// What is kept takes of this.
    room: Rc<Room>,
}

struct HeldState {
    incoming: Incoming,
    kept: Vec<Bytes>,
    size: usize,
    /// Everything read so far is in `kept`.
    whole: bool,
    /// Why the client's part ended in the middle.
    fault: Option<Fault>,
    trailers: Option<HeaderMap>,
    messages: Option<Messages>,
    /// Which reader may read; older ones were given up.
    reader: u32,
    waiting: Option<Waker>,
    /// Whoever reads it and waits for more.
    reading: Option<Waker>,
}

impl Held {
    /// Takes a body over; `None` when it is empty.
    pub fn new(incoming: Incoming, is_grpc: bool, room: &Rc<Room>) -> Option<Rc<Held>> {
        if incoming.is_end_stream() {
            return None;
        }
        let hint = incoming.size_hint();
        let state = HeldState {
            incoming,
            kept: Vec::new(),
            size: 0,
            whole: true,
            fault: None,
            trailers: None,
            messages: is_grpc.then(Messages::default),
            reader: 0,
            waiting: None,
            reading: None,
        };
        Some(Rc::new(Held {
            state: RefCell::new(state),
            hint,
            bytes: Cell::new(0),
            ended: Cell::new(None),
            awaited: Cell::new(false),
            room: room.clone(),
        }))
    }

    /// A body that starts at the beginning; older ones of the same request end with an error.
    pub fn reader(self: &Rc<Self>) -> Reading {
        let mut state = self.state.borrow_mut();
        state.reader += 1;
        Reading { held: self.clone(), at: 0, reader: state.reader }
    }

    /// Whether it can be sent (again) from the beginning.
    pub fn is_whole(&self) -> bool {
        let state = self.state.borrow();
        state.whole && state.fault.is_none()
    }

    /// Why the client's part ended in the middle; `None`: it did not.
    pub fn fault(&self) -> Option<Fault> {
        self.state.borrow().fault
    }

    /// Whether all of it was read from the client.
    pub fn has_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// When all of it was read.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// gRPC messages read from the client.
    pub fn messages(&self) -> u64 {
        self.state.borrow().messages.as_ref().map_or(0, Messages::count)
    }

    /// Bytes read from the client.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether whoever reads it waits for more, and the client owes it: calls of gRPC may be silent between messages.
    pub fn is_owed(&self) -> bool {
        self.awaited.get() && self.state.borrow().messages.as_ref().is_none_or(Messages::is_within_one)
    }

    /// The client is late with it: whoever reads it need not wait any longer.
    pub fn give_up(&self) {
        let mut state = self.state.borrow_mut();
        state.fault.get_or_insert(Fault::Late);
        if let Some(reading) = state.reading.take() {
            reading.wake();
        }
    }

    /// Takes the body from whoever reads it and drops what has come already, since nobody needs it; whether that was all.
    pub async fn drop_what_came(&self) -> bool {
        self.state.borrow_mut().reader += 1;
        // The codec reads on between two turns.
        for _ in 0..3 {
            let more = poll_fn(|cx| {
                while self.bytes() <= HELD_LIMIT as u64 {
                    match self.poll_more(cx) {
                        Poll::Ready(Some(Ok(_))) => {}
                        Poll::Ready(_) => return Poll::Ready(false),
                        Poll::Pending => return Poll::Ready(true),
                    }
                }
                Poll::Ready(false)
            });
            if self.has_ended() || !more.await {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.has_ended()
    }

    /// Completes when all of it was read.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            if self.has_ended() {
                return Poll::Ready(());
            }
            self.state.borrow_mut().waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn poll_more(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.fault == Some(Fault::Late) {
            return Poll::Ready(Some(Err(BodyError::Late)));
        }
        let polled = poll_said(&mut state.incoming, cx);
        self.awaited.set(polled.is_pending());
        if polled.is_pending() && !state.reading.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            state.reading = Some(cx.waker().clone());
        }
        let frame = match ready!(polled) {
            None => {
                self.end(state);
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                state.fault = Some(Fault::of(&error));
                return Poll::Ready(Some(Err(BodyError::Downstream(error))));
            }
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            self.bytes.set(self.bytes.get() + data.len() as u64);
            state.size += data.len();
            if let Some(messages) = &mut state.messages {
                messages.read(data);
            }
            if state.whole && state.size <= HELD_LIMIT && self.room.take(data.len()) {
                state.kept.push(data.clone());
            } else {
                state.whole = false;
                self.room.give(state.let_go());
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            state.trailers = Some(trailers.clone());
            self.end(state);
        }
        if state.incoming.is_end_stream() {
            self.end(state);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn end(&self, state: &mut HeldState) {
        if self.ended.get().is_none() {
            self.ended.set(Some(clock::now()));
        }
        if let Some(waker) = state.waiting.take() {
            waker.wake();
        }
    }
}

impl HeldState {
    /// Keeps nothing any more; how much that was.
    fn let_go(&mut self) -> usize {
        std::mem::take(&mut self.kept).iter().map(Bytes::len).sum()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.give(self.state.get_mut().let_go());
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("bytes", &self.bytes).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// One reading of a [`Held`] body.
pub struct Reading {
    held: Rc<Held>,
    /// Position in what is kept; behind its end, what is read is new.
    at: usize,
    reader: u32,
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Unless another reads it by now, nobody waits for it.
        if self.held.state.borrow().reader == self.reader {
            self.held.awaited.set(false);
        }
    }
}

impl Reading {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        {
            let state = self.held.state.borrow();
            if state.reader != self.reader {
                return Poll::Ready(Some(Err(BodyError::Superseded)));
            }
            if let Some(chunk) = state.kept.get(self.at) {
                self.at += 1;
                return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
            }
            if self.held.has_ended() {
                // Trailers come once; their place is one behind the last chunk.
                let first = self.at <= state.kept.len();
                self.at = state.kept.len() + 1;
                return Poll::Ready(state.trailers.clone().filter(|_| first).map(|t| Ok(Frame::trailers(t))));
            }
        }
        let frame = ready!(self.held.poll_more(cx));
        let state = self.held.state.borrow();
        let trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
        self.at = state.kept.len() + usize::from(trailers);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.held.state.borrow();
        let trailers_left = state.trailers.is_some() && self.at <= state.kept.len();
        self.held.has_ended() && self.at >= state.kept.len() && !trailers_left
    }
}
