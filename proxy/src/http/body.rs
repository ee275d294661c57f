//! The body of an answer on its way to the client. It carries the record of its exchange and the lease of its upstream
//! connection, so that both end exactly when the last byte does.

use crate::{
    body::{Messages, poll_said},
    error::{Error, Reset},
    exchange::{Exchange, Flag, grpc_status},
    upstream::Lease,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use mesh_runtime::clock;
use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep};

/// What a client's connection sends.
#[derive(Default)]
pub enum AnswerBody {
    /// Nothing.
    #[default]
    Empty,
    /// A text of our own.
    Full(Bytes),
    /// The upstream's, with the record of the exchange.
    Observed(Observed),
}

/// Why the body of an answer ended early.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The upstream did not send the rest.
    #[error("the upstream did not send the rest of its answer: {0}")]
    Upstream(#[source] hyper::Error),
    /// The route's timeout passed.
    #[error("the route's timeout passed before the answer was complete")]
    Timeout,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        match self.get_mut() {
            AnswerBody::Empty => Poll::Ready(None),
            full @ AnswerBody::Full(_) => match std::mem::take(full) {
                AnswerBody::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            AnswerBody::Observed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Empty => true,
            AnswerBody::Full(bytes) => bytes.is_empty(),
            AnswerBody::Observed(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Empty => SizeHint::with_exact(0),
            AnswerBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            AnswerBody::Observed(body) => body.inner.size_hint(),
        }
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

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let frame = match poll_said(&mut self.inner, cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let Some(deadline) = &mut self.deadline else { return Poll::Pending };
                ready!(deadline.as_mut().poll(cx));
                self.fail(Some(Flag::UpstreamTimeout), "response_timeout".into());
                return Poll::Ready(Some(Err(AnswerError::Timeout)));
            }
        };
        match frame {
            None => {
                self.finish();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                let fault = self.exchange.as_ref().and_then(|exchange| exchange.body.as_ref()?.fault());
                // The upstream only saw what became of the request's own fault.
                match fault.map(Error::from) {
                    Some(fault) => self.fail(fault.flag(), fault.details()),
                    None => {
                        let (flag, details) = late_reset(&error);
                        self.fail(Some(flag), details.into());
                    }
                }
                Poll::Ready(Some(Err(AnswerError::Upstream(error))))
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
        let now = clock::now();
        if let Some(mut lease) = self.lease.take() {
            // Before the request has ended, its connection is not free for another.
            let request = self.exchange.as_ref().and_then(|exchange| exchange.body.as_ref());
            if request.is_none_or(|body| body.has_ended()) {
                lease.finished(now);
            }
        }
        if let Some(mut exchange) = self.exchange.take() {
            exchange.complete = true;
            exchange.ended = Some(now);
        }
    }

    fn fail(&mut self, flag: Option<Flag>, details: Cow<'static, str>) {
        self.lease = None;
        if let Some(mut exchange) = self.exchange.take() {
            flag.into_iter().for_each(|flag| exchange.flags.set(flag));
            exchange.details = details;
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
        Reset::Connection | Reset::Stale => {
            (Flag::UpstreamConnectionTermination, "upstream_reset_after_response_started{connection_termination}")
        }
    }
}
