//! What clients of discovery send, while it is read: a message counts towards its client's share from its length on, before
//! there is room for it, and with what it names before that is decoded; and it has to come to its end in time. The transport
//! keeps the room that it once made, so what counts is the message of a stream that takes most.

mod outline;

use super::shares::{Keeps, Share};
use bytes::Bytes;
use http::Request;
use hyper::body::{Frame, SizeHint};
use outline::{Outline, PART, Refused};
use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;
use tonic::{Status, body::Body, server::NamedService};
use tower_service::Service;

/// In front of every message: whether it is compressed, and its length.
const HEADER: usize = 5;

/// Whose share counts, known once the caller is believed; among a call's extensions. Nothing is read before.
#[derive(Debug, Clone, Default)]
pub(super) struct Whose(Arc<OnceLock<Arc<Share>>>);

impl Whose {
    pub(super) fn is(&self, share: Arc<Share>) {
        // Set once: there is one call.
        let _ = self.0.set(share);
    }
}

/// Watches what calls of a service send.
#[derive(Clone)]
pub struct Read<S> {
    pub(super) inner: S,
    pub(super) within: Duration,
    /// Names that a client may follow and say to hold.
    pub(super) names: usize,
}

impl<S: NamedService> NamedService for Read<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Read<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let whose = Whose::default();
        request.extensions_mut().insert(whose.clone());
        let (within, messages) = (self.within, Messages::new(self.names));
        self.inner.call(request.map(|body| Body::new(Reading { body, whose, within, messages, clock: None })))
    }
}

/// The body of one call.
struct Reading {
    body: Body,
    whose: Whose,
    within: Duration,
    messages: Messages,
    /// While a message has begun and not ended.
    clock: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for Reading {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if let Some(clock) = &mut this.clock {
                ready!(clock.as_mut().poll(cx));
                return Poll::Ready(Some(Err(Status::deadline_exceeded("a message did not come to its end in time"))));
            }
            return Poll::Pending;
        };
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        if let Some(data) = frame.data_ref() {
            let most = match this.messages.take_in(data) {
                Ok(most) => most,
                Err(refused) => return Poll::Ready(Some(Err(Status::resource_exhausted(refused.to_string())))),
            };
            if let Some(most) = most
                && let Some(share) = this.whose.0.get()
                && let Err(full) = share.keeps(Keeps::Message, most)
            {
                return Poll::Ready(Some(Err(full.into())));
            }
            match this.messages.is_between() {
                true => this.clock = None,
                false => drop(this.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.within)))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where the messages of a body begin and end, and what they take.
#[derive(Debug)]
struct Messages {
    header: [u8; HEADER],
    /// Of the header, known.
    known: usize,
    names: usize,
    length: usize,
    /// Bytes of the message that have not come.
    left: usize,
    outline: Outline,
    /// Bytes that the message took that took most.
    most: usize,
}

impl Messages {
    /// None yet; each may name so many resources.
    fn new(names: usize) -> Self {
        let outline = Outline::new(names);
        Messages { header: [0; HEADER], known: 0, names, length: 0, left: 0, outline, most: 0 }
    }

    /// What the message takes that takes most, if it is more since this piece.
    fn take_in(&mut self, mut piece: &[u8]) -> Result<Option<usize>, Refused> {
        let before = self.most;
        while !piece.is_empty() {
            if self.left > 0 {
                let some = self.left.min(piece.len());
                self.outline.take_in(&piece[..some])?;
                self.most = self.most.max(self.length + PART * self.outline.parts());
                self.left -= some;
                piece = &piece[some..];
                continue;
            }
            self.header[self.known] = piece[0];
            piece = &piece[1..];
            self.known = (self.known + 1) % HEADER;
            if self.known == 0 {
                let [_, length @ ..] = self.header;
                self.length = u32::from_be_bytes(length) as usize;
                self.left = self.length;
                self.outline = Outline::new(self.names);
                self.most = self.most.max(self.length);
            }
        }
        Ok((self.most > before).then_some(self.most))
    }

    fn is_between(&self) -> bool {
        self.left == 0 && self.known == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use tokio_stream::{StreamExt, wrappers::ReceiverStream};

    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        // A name, as long as it has to be: two bytes say what it is and its length.
        if length > 0 {
            message.extend([0x1a, u8::try_from(length - 2).unwrap()]);
        }
        message.resize(HEADER + length, b'a');
        message
    }

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let bytes: Vec<u8> = [message(3), message(0), message(120), message(20)].concat();
        for size in [1, 2, 5, 7, 64, bytes.len()] {
            let mut messages = Messages::new(10);
            let most: Vec<_> = bytes.chunks(size).filter_map(|piece| messages.take_in(piece).unwrap()).collect();
            assert_eq!((most.last(), messages.is_between()), (Some(&(120 + PART)), true), "{size}");
            messages.take_in(&message(9)[..8]).unwrap();
            assert!(!messages.is_between());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_end_ends_the_call_and_silence_between_messages_does_not() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
        let frames = ReceiverStream::new(receiver).map(|piece| Ok::<_, Status>(Frame::data(Bytes::from(piece))));
        let within = Duration::from_secs(15);
        let body = Body::new(StreamBody::new(frames));
        let mut body = Reading { body, whose: Whose::default(), within, messages: Messages::new(10), clock: None };
        sender.send(message(9)).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        assert!(tokio::time::timeout(100 * within, body.frame()).await.is_err());
        sender.send(message(9)[..8].to_vec()).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        assert!(tokio::time::timeout(within / 2, body.frame()).await.is_err());
        assert_eq!(body.frame().await.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }
}
