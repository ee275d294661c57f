//! The one body type. Request bodies are held while they may be needed again; response bodies carry the record of
//! their exchange and the lease of their upstream connection, so both end exactly when the last byte does.

use crate::{
    error::Reset,
    exchange::{Exchange, Flag, grpc_status},
    http::grpc::Messages,
    upstream::lease::Lease,
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tokio::time::{Instant, Sleep};

/// How much of a request body is kept to be sent again.
pub const HELD_LIMIT: usize = 64 * 1024;

/// Any body on the path.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// One chunk of our own.
    Full(Bytes),
    /// From the client to an upstream.
    Request(RequestBody),
    /// To the client, with the record of the exchange.
    Observed(Observed),
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client did not send the rest.
    #[error("the client did not send the rest of its request: {0}")]
    Downstream(#[source] hyper::Error),
    /// The upstream did not send the rest.
    #[error("the upstream did not send the rest of its answer: {0}")]
    Upstream(#[source] hyper::Error),
    /// The route's timeout passed.
    #[error("the route's timeout passed before the answer was complete")]
    Timeout,
    /// Another try sends it now.
    #[error("another try sends this body now")]
    Superseded,
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Body::Empty => Poll::Ready(None),
            full @ Body::Full(_) => match std::mem::take(full) {
                Body::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Body::Request(body) => body.poll_frame(cx),
            Body::Observed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(bytes) => bytes.is_empty(),
            Body::Request(body) => body.is_end_stream(),
            Body::Observed(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Request(body) => body.held.hint,
            Body::Observed(body) => body.inner.size_hint(),
        }
    }
}

/// A request body that may be sent more than once: what was read is kept, up to [`HELD_LIMIT`].
pub struct Held {
    state: RefCell<HeldState>,
    hint: SizeHint,
    bytes: Cell<u64>,
    ended: Cell<Option<Instant>>,
}

struct HeldState {
    incoming: Incoming,
    kept: Vec<Bytes>,
    size: usize,
    /// Everything read so far is in `kept`.
    whole: bool,
    /// The client stopped in the middle.
    broken: bool,
    trailers: Option<HeaderMap>,
    messages: Option<Messages>,
    /// Which reader may read; older ones were given up.
    reader: u32,
    waiting: Option<Waker>,
}

impl Held {
    /// Takes a body over; `None` when it is empty.
    pub fn new(incoming: Incoming, is_grpc: bool) -> Option<Rc<Held>> {
        if incoming.is_end_stream() {
            return None;
        }
        let hint = incoming.size_hint();
        let state = HeldState {
            incoming,
            kept: Vec::new(),
            size: 0,
            whole: true,
            broken: false,
            trailers: None,
            messages: is_grpc.then(Messages::default),
            reader: 0,
            waiting: None,
        };
        Some(Rc::new(Held { state: RefCell::new(state), hint, bytes: Cell::new(0), ended: Cell::new(None) }))
    }

    /// A body that starts at the beginning; older ones of the same request end with an error.
    pub fn reader(self: &Rc<Self>) -> RequestBody {
        let mut state = self.state.borrow_mut();
        state.reader += 1;
        RequestBody { held: self.clone(), at: 0, reader: state.reader }
    }

    /// Whether it can be sent (again) from the beginning.
    pub fn is_whole(&self) -> bool {
        let state = self.state.borrow();
        state.whole && !state.broken
    }

    /// Whether the client stopped in the middle.
    pub fn is_broken(&self) -> bool {
        self.state.borrow().broken
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
        let frame = match ready!(Pin::new(&mut state.incoming).poll_frame(cx)) {
            None => {
                self.end(state);
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                state.broken = true;
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
            if state.whole && state.size <= HELD_LIMIT {
                state.kept.push(data.clone());
            } else {
                state.whole = false;
                state.kept = Vec::new();
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
            self.ended.set(Some(Instant::now()));
        }
        if let Some(waker) = state.waiting.take() {
            waker.wake();
        }
    }
}

/// One reading of a [`Held`] body.
pub struct RequestBody {
    held: Rc<Held>,
    /// Position in what is kept; behind its end, what is read is new.
    at: usize,
    reader: u32,
}

impl RequestBody {
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

/// A response body on its way to the client.
pub struct Observed {
    inner: Incoming,
    /// `None` once handed on.
    exchange: Option<Box<Exchange>>,
    /// Given back when the last byte was read.
    lease: Option<Lease>,
    deadline: Option<Pin<Box<Sleep>>>,
    messages: Option<Messages>,
}

impl Observed {
    /// Carries `exchange` and `lease` until `inner` ends, at most until `deadline`.
    pub fn new(inner: Incoming, exchange: Box<Exchange>, lease: Lease, deadline: Option<Instant>) -> Self {
        let deadline = deadline.filter(|_| !inner.is_end_stream());
        Observed {
            inner,
            messages: exchange.is_grpc.then(Messages::default),
            exchange: Some(exchange),
            lease: Some(lease),
            deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at))),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let Some(deadline) = &mut self.deadline else { return Poll::Pending };
                ready!(deadline.as_mut().poll(cx));
                self.fail(Flag::UpstreamTimeout, "response_timeout");
                return Poll::Ready(Some(Err(BodyError::Timeout)));
            }
        };
        match frame {
            None => {
                self.finish();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                let (flag, details) = late_reset(&error);
                self.fail(flag, details);
                Poll::Ready(Some(Err(BodyError::Upstream(error))))
            }
            Some(Ok(frame)) => {
                if let Some(exchange) = &mut self.exchange {
                    if let Some(data) = frame.data_ref() {
                        exchange.response_body_bytes += data.len() as u64;
                        if let Some(messages) = &mut self.messages {
                            messages.read(data);
                            exchange.response_messages = messages.count();
                        }
                    } else if let Some(trailers) = frame.trailers_ref() {
                        exchange.grpc_status = grpc_status(trailers).or(exchange.grpc_status);
                    }
                }
                if self.inner.is_end_stream() || frame.is_trailers() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// The last byte was handed on: the connection is free and the record is whole.
    fn finish(&mut self) {
        let now = Instant::now();
        if let Some(mut lease) = self.lease.take() {
            lease.finished(now);
        }
        if let Some(mut exchange) = self.exchange.take() {
            exchange.complete = true;
            exchange.ended = Some(now);
        }
    }

    fn fail(&mut self, flag: Flag, details: &'static str) {
        self.lease = None;
        if let Some(mut exchange) = self.exchange.take() {
            exchange.flags.set(flag);
            exchange.details = Cow::Borrowed(details);
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if self.exchange.is_some() && self.inner.is_end_stream() {
            self.finish();
        }
    }
}

fn late_reset(error: &hyper::Error) -> (Flag, &'static str) {
    match crate::upstream::failure::reset_of(error) {
        Reset::Remote | Reset::Refused => {
            (Flag::UpstreamRemoteReset, "upstream_reset_after_response_started{remote_reset}")
        }
        Reset::Protocol => (Flag::UpstreamProtocolError, "upstream_reset_after_response_started{protocol_error}"),
        Reset::Local => (Flag::LocalReset, "upstream_reset_after_response_started{local_reset}"),
        Reset::Connection | Reset::Stale => {
            (Flag::UpstreamConnectionTermination, "upstream_reset_after_response_started{connection_termination}")
        }
    }
}
