//! What is sent to clients of discovery: a message is made piece by piece, as the transport has room for it. gRPC's own
//! encoder makes it whole and keeps the room that it once took, for as long as the stream lasts: with thousands of
//! clients that is gigabytes, for messages that were sent long ago.

use super::{encode::Pieces, session::Response};
use bytes::Bytes;
use http::{HeaderMap, Request};
use hyper::body::Frame;
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;
use tonic::{Status, body::Body, server::NamedService};
use tower_service::Service;

/// What is to be sent on a stream, in this order; a status ends it.
pub(super) type Replies = mpsc::Receiver<Result<Response, Status>>;

/// What a call is answered with; among the extensions of its answer.
#[derive(Debug, Clone)]
pub(super) struct Answer(Arc<Mutex<Option<Replies>>>);

impl Answer {
    pub(super) fn of(replies: Replies) -> Self {
        Answer(Arc::new(Mutex::new(Some(replies))))
    }
}

/// Answers calls of a service with what their [`Answer`] holds.
#[derive(Clone)]
pub struct Write<S>(pub(super) S);

impl<S: NamedService> NamedService for Write<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Write<S>
where
    S: Service<Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let replies = response.extensions_mut().remove::<Answer>().and_then(|answer| answer.0.lock().take());
            Ok(match replies {
                Some(replies) => response.map(|_| Body::new(Writing { replies, message: None, is_over: false })),
                None => response,
            })
        })
    }
}

/// The body of one answer.
struct Writing {
    replies: Replies,
    /// What is being sent.
    message: Option<Pieces>,
    is_over: bool,
}

impl hyper::body::Body for Writing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(piece) = self.message.as_mut().and_then(Iterator::next) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.message = None;
            if self.is_over {
                return Poll::Ready(None);
            }
            let status = match ready!(self.replies.poll_recv(cx)) {
                Some(Ok(response)) => {
                    self.message = Some(Pieces::of(response));
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::ok(""),
            };
            self.is_over = true;
            return Poll::Ready(Some(trailers(&status).map(Frame::trailers)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

fn trailers(status: &Status) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(trailers)
}
