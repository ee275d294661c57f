//! hyper as server: versions, limits, drain. One future a connection; it is small, because what a request needs is
//! in a future of its own, boxed, that is gone when the request is.

use super::{
    Worker,
    body::Body,
    connections::{Entry, Wish},
    handle,
};
use crate::{
    conn::Connection,
    error::{BadRequest, Error},
    exchange::Exchange,
    net::{
        executor::LocalExecutor,
        prefix::{Prefixed, read_more},
    },
    upstream::connect::{H2_CONNECTION_WINDOW, H2_STREAM_WINDOW},
};
use bytes::BytesMut;
use http::{HeaderValue, Request, Response, header};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    cell::OnceCell,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Largest request head.
const MAX_HEAD: usize = 60 * 1024;
/// Read and write buffers grow to this; above the head's limit, so that a head that is too large is seen as such.
const MAX_BUFFER: usize = 128 * 1024;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 1024;
/// What an HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// One of them: the first bytes tell.
    Either,
}

/// What all requests of one connection share.
pub(super) struct Served {
    pub(super) worker: Rc<Worker>,
    pub(super) conn: Rc<Connection>,
    pub(super) entry: Rc<Entry>,
    /// What the connection adds to X-Forwarded-Client-Cert.
    pub(super) client_cert: OnceCell<Option<HeaderValue>>,
    /// The operation of the last route, as a header.
    pub(super) operation: std::cell::RefCell<Option<(std::sync::Arc<str>, HeaderValue)>>,
}

/// Serves a connection until it ends. Needs a local runtime. Dropping it drops the requests on it.
pub async fn serve<IO>(io: IO, conn: Rc<Connection>, protocol: Protocol, worker: Rc<Worker>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let registered = worker.connections.add(Instant::now());
    let served = Rc::new(Served {
        worker,
        conn,
        entry: registered.entry.clone(),
        client_cert: OnceCell::new(),
        operation: std::cell::RefCell::new(None),
    });
    match protocol {
        Protocol::Http1 => http1(io, served).await,
        // Boxed: an HTTP/1 connection does not hold the room of the other.
        Protocol::Http2 => Box::pin(http2(io, served)).await,
        Protocol::Either => either(io, served).await,
    }
}

async fn either<IO>(mut io: IO, served: Rc<Served>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut seen = BytesMut::new();
    loop {
        let n = seen.len().min(PREFACE.len());
        if seen[..n] != PREFACE[..n] {
            return Box::pin(http1(Prefixed::new(seen.freeze(), io), served)).await;
        }
        if n == PREFACE.len() {
            return Box::pin(http2(Prefixed::new(seen.freeze(), io), served)).await;
        }
        if !matches!(read_more(&mut io, &mut seen, MAX_HEAD).await, Ok(true)) {
            return;
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

fn service(served: &Rc<Served>) -> impl Fn(Request<Incoming>) -> Answer + use<> {
    let served = served.clone();
    move |request| {
        let served = served.clone();
        Box::pin(async move {
            let mut response = handle(&served, request).await;
            if served.entry.wish() >= Wish::Last && response.version() < http::Version::HTTP_2 && !switches(&response) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        })
    }
}

/// The connection becomes a tunnel: what it says about itself is not about requests.
fn switches(response: &Response<Body>) -> bool {
    response.status() == http::StatusCode::SWITCHING_PROTOCOLS
}

async fn http1<IO>(io: IO, served: Rc<Served>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .preserve_header_case(true)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(io), service_fn(service(&served)))
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        match served.entry.wish() {
            Wish::Serve | Wish::Last => {}
            Wish::Finish if finishing => {}
            Wish::Finish => {
                finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            Wish::End => return Poll::Ready(Ok(())),
        }
        served.entry.wake_with(cx.waker());
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        refused(&error, &served);
    }
}

async fn http2<IO>(io: IO, served: Rc<Served>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http2::Builder::new(LocalExecutor)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .serve_connection(TokioIo::new(io), service_fn(service(&served)));
    let mut connection = pin!(connection);
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        match served.entry.wish() {
            Wish::Serve => {}
            Wish::Last | Wish::Finish if finishing => {}
            // A connection that has carried nothing yet would be closed without an answer.
            Wish::Last if !served.entry.has_begun() => {}
            Wish::Last | Wish::Finish => {
                finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            Wish::End => return Poll::Ready(Ok(())),
        }
        served.entry.wake_with(cx.waker());
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::trace!(%error, "downstream HTTP/2 connection ended");
    }
}

/// hyper answers by itself what it cannot read: that is recorded like any other exchange.
fn refused(error: &hyper::Error, served: &Rc<Served>) {
    if !error.is_parse() {
        tracing::trace!(%error, "downstream HTTP/1 connection ended");
        return;
    }
    let bad = match error.is_parse_too_large() {
        true => BadRequest::HeadersTooLarge,
        false => BadRequest::Codec,
    };
    let error = Error::Bad(bad);
    let mut exchange = Exchange::begin(&served.worker.sink, &served.conn, Instant::now());
    exchange.protocol = None;
    exchange.flags.set(crate::exchange::Flag::DownstreamProtocolError);
    exchange.details = error.details();
    exchange.status = Some(error.status());
    exchange.complete = true;
    if exchange.wants_text() {
        super::text(&mut exchange, None);
    }
}
