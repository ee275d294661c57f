//! A connection of HTTP, of one call or kept for those after it.

use super::{LONGEST, Stream, Target};
use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Limited, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::JoinHandle;

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// A head, and the body and trailers behind it.
pub(super) type Whole = (http::response::Parts, Bytes, HeaderMap);

/// One that a request can be sent on.
pub(super) struct Connection {
    sender: Sender,
    driver: Arc<Driver>,
}

enum Sender {
    First(http1::SendRequest<Body>),
    Second(http2::SendRequest<Body>),
}

struct Driver(JoinHandle<hyper::Result<()>>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    pub(super) async fn open(target: &Target, needs_second: bool) -> anyhow::Result<Self> {
        let wanted: &[&[u8]] = if needs_second { &[b"h2"] } else { &[b"h2", b"http/1.1"] };
        let (stream, agreed) = target.stream(wanted).await?;
        if agreed.map_or(needs_second, |protocol| protocol == b"h2") {
            return Self::second(stream).await;
        }
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Connection { sender: Sender::First(sender), driver: Arc::new(Driver(tokio::spawn(connection))) })
    }

    async fn second(stream: Box<dyn Stream>) -> anyhow::Result<Self> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        Ok(Connection { sender: Sender::Second(sender), driver: Arc::new(Driver(tokio::spawn(connection))) })
    }

    /// The same connection for another call beside this one.
    pub(super) fn shared(&self) -> Option<Self> {
        match &self.sender {
            Sender::First(_) => None,
            Sender::Second(sender) => {
                Some(Connection { sender: Sender::Second(sender.clone()), driver: self.driver.clone() })
            }
        }
    }

    pub(super) fn is_second(&self) -> bool {
        matches!(self.sender, Sender::Second(_))
    }

    fn is_open(&self) -> bool {
        match &self.sender {
            Sender::First(sender) => !sender.is_closed(),
            Sender::Second(sender) => !sender.is_closed(),
        }
    }

    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        match &mut self.sender {
            Sender::First(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Second(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// What comes back, to its end.
pub(super) async fn whole(response: Response<Incoming>) -> anyhow::Result<Whole> {
    let (head, body) = response.into_parts();
    let body =
        Limited::new(body, LONGEST).collect().await.map_err(anyhow::Error::from_boxed).context("half an answer")?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok((head, body.to_bytes(), trailers))
}

/// Connections for calls to come: of HTTP/1.1 those that are idle, of HTTP/2 one for all.
#[derive(Default)]
pub struct Kept(Mutex<Vec<Connection>>);

impl Kept {
    /// One to send on, an open one if there is.
    pub(super) async fn take(&self, target: &Target, needs_second: bool) -> anyhow::Result<Connection> {
        match self.open() {
            Some(connection) => Ok(connection),
            None => Connection::open(target, needs_second).await,
        }
    }

    /// For calls after this one.
    pub(super) fn give(&self, connection: Connection) {
        let mut kept = self.connections();
        if connection.is_open() && !(connection.is_second() && kept.iter().any(Connection::is_open)) {
            kept.push(connection);
        }
    }

    fn open(&self) -> Option<Connection> {
        let mut kept = self.connections();
        kept.retain(Connection::is_open);
        kept.last().and_then(Connection::shared).or_else(|| kept.pop())
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
