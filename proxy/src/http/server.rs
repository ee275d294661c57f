//! hyper as server: versions, limits, drain. One future a connection; it is small, because what a request needs is
//! in a future of its own, boxed, that is gone when the request is, and so is hyper when there are no requests.

use super::{
    Requests,
    body::AnswerBody,
    handle,
    linger::linger,
    rest::{Watched, Woken, rest},
    unread,
    upgrade::{self, Switched},
};
use crate::{
    conn::Connection,
    connections::{Entry, Wish, unless_over},
    net::{
        executor::LocalExecutor,
        gather::Gather,
        prefix::{Prefixed, read_more},
    },
    upstream::connect::{H2_CONNECTION_WINDOW, H2_STREAM_WINDOW},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use mesh_runtime::clock;
use std::{
    cell::{OnceCell, RefCell},
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

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

impl Protocol {
    /// What ALPN agreed on; nothing agreed, or no TLS: the first bytes tell.
    pub fn agreed(conn: &Connection) -> Self {
        match conn.secured.as_ref().map(|secured| &*secured.alpn) {
            Some(b"h2") => Protocol::Http2,
            Some(b"http/1.1") => Protocol::Http1,
            _ => Protocol::Either,
        }
    }
}

/// What all requests of one connection share.
pub(super) struct Served {
    pub(super) requests: Rc<Requests>,
    pub(super) conn: Rc<Connection>,
    pub(super) entry: Rc<Entry>,
    /// What the connection adds to X-Forwarded-Client-Cert.
    pub(super) client_cert: OnceCell<Option<HeaderValue>>,
    /// The operation of the last route, as a header.
    pub(super) operation: RefCell<Option<(Arc<str>, HeaderValue)>>,
    /// The tunnel that the connection becomes when the answer under way is out.
    pub(super) switched: RefCell<Option<Switched>>,
}

impl Served {
    fn new(requests: Rc<Requests>, conn: Rc<Connection>, entry: Rc<Entry>) -> Rc<Self> {
        Rc::new(Served {
            requests,
            conn,
            entry,
            client_cert: OnceCell::new(),
            operation: RefCell::new(None),
            switched: RefCell::new(None),
        })
    }

    /// An operation as a header.
    pub(super) fn operation(&self, operation: &Arc<str>) -> HeaderValue {
        let mut last = self.operation.borrow_mut();
        if let Some((known, value)) = &*last
            && Arc::ptr_eq(known, operation)
        {
            return value.clone();
        }
        let value = HeaderValue::from_str(operation).unwrap_or_else(|_| HeaderValue::from_static(""));
        *last = Some((operation.clone(), value.clone()));
        value
    }
}

/// Serves a connection until it ends. Needs a local runtime. Dropping it drops the requests on it.
pub async fn serve<IO>(io: IO, conn: Rc<Connection>, protocol: Protocol, requests: Rc<Requests>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let registered = requests.connections.add(&conn, clock::now());
    let served = Served::new(requests, conn, registered.entry.clone());
    // Each in a box of its own: a connection holds the room of what it does now.
    let (seen, io, protocol) = match protocol {
        Protocol::Http1 | Protocol::Http2 => (Bytes::new(), io, protocol),
        Protocol::Either => match Box::pin(unless_over(&registered.entry, spoken(io))).await {
            Some(said) => said,
            None => return,
        },
    };
    match protocol {
        Protocol::Http2 => Box::pin(http2(Prefixed::new(seen, io), served)).await,
        Protocol::Http1 | Protocol::Either => Box::pin(http1(seen, io, served)).await,
    }
}

/// Reads until it is known what is spoken; `None`: the connection ended first.
async fn spoken<IO: AsyncRead + Unpin>(mut io: IO) -> Option<(Bytes, IO, Protocol)> {
    let mut seen = BytesMut::new();
    loop {
        let n = seen.len().min(PREFACE.len());
        if seen[..n] != PREFACE[..n] {
            return Some((seen.freeze(), io, Protocol::Http1));
        }
        if n == PREFACE.len() {
            return Some((seen.freeze(), io, Protocol::Http2));
        }
        if !matches!(read_more(&mut io, &mut seen, MAX_HEAD).await, Ok(true)) {
            return None;
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>>>>;

fn service(served: &Rc<Served>) -> impl Fn(Request<Incoming>) -> Answer + use<> {
    let served = served.clone();
    move |request| Box::pin(answered(served.clone(), request))
}

/// One request, all of it in one future. What it captures it holds once; an `async fn` would hold the head twice.
fn answered(
    served: Rc<Served>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> {
    let (mut head, incoming) = request.into_parts();
    async move {
        let mut response = handle(&served, &mut head, incoming).await;
        if served.entry.wish() >= Wish::Last && response.version() < http::Version::HTTP_2 && !switches(&response) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// The connection becomes a tunnel: what it says about itself is not about requests.
fn switches(response: &Response<AnswerBody>) -> bool {
    response.status() == http::StatusCode::SWITCHING_PROTOCOLS
}

/// Serves requests, rests while there are none, and hands the connection over when it becomes a tunnel.
async fn http1<IO>(mut seen: Bytes, mut io: IO, served: Rc<Served>)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    loop {
        let (left, unused) = match Box::pin(requests(seen, io, served.clone())).await {
            Left::Nothing => return,
            Left::Over(mut io) => return Box::pin(linger(&mut io, &served.entry)).await,
            Left::Open(mut io) => return drop(io.shutdown().await),
            Left::Switched(unused, io, switched) => return upgrade::carry(Prefixed::new(unused, io), switched, served),
            Left::Quiet(unused, io) => (io, unused),
        };
        (seen, io) = (unused, left);
        if seen.is_empty() {
            match rest(&mut io, &served.entry).await {
                Woken::Bytes(first) => seen = first,
                Woken::Finished => return drop(io.shutdown().await),
                Woken::Ended => return,
            }
        }
    }
}

/// What hyper left of a connection.
enum Left<IO> {
    /// It is shut down, or broken.
    Nothing,
    /// It is shut down, and the client may not have noticed yet.
    Over(IO),
    /// It is done with, but not shut down.
    Open(IO),
    /// It is quiet, with what was read of the next request.
    Quiet(Bytes, IO),
    /// The 101 is out, and these bytes follow the request.
    Switched(Bytes, IO, Switched),
}

async fn requests<IO>(seen: Bytes, io: IO, served: Rc<Served>) -> Left<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let entry = served.entry.clone();
    entry.serves();
    let mut connection = http1::Builder::new()
        .preserve_header_case(true)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(Watched::new(seen, io, entry.clone())), service_fn(service(&served)));
    let mut finishing = false;
    let mut quiet = false;
    let ended = poll_fn(|cx| {
        match entry.due() {
            Wish::Serve | Wish::Last => {}
            Wish::Finish if finishing => {}
            Wish::Finish => {
                finishing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            Wish::End => return Poll::Ready(None),
        }
        entry.wake_with(cx.waker());
        let ended = Pin::new(&mut connection).poll(cx);
        if ended.is_pending() && entry.may_rest() && !finishing {
            // hyper gives it up at once, or, should it know of something unfinished, after that.
            finishing = true;
            Pin::new(&mut connection).graceful_shutdown();
            let given_up = connection.poll_without_shutdown(cx);
            quiet = given_up.is_ready();
            return given_up.map(Some);
        }
        ended.map(Some)
    });
    let Some(ended) = ended.await else { return Left::Nothing };
    let parts = connection.into_parts();
    let watched = parts.io.into_inner();
    if let Err(error) = &ended {
        unread::record(error, watched.first(), &parts.read_buf, &served);
    }
    let shut = watched.is_shut();
    let (unused, io) = watched.into_parts(parts.read_buf);
    // An answer came before the request had ended, or there was no request to be read.
    let still_sending = shut && (served.entry.has_heard() || !unused.is_empty());
    match served.switched.take() {
        Some(switched) => Left::Switched(unused, io, switched),
        None if still_sending => Left::Over(io),
        None if shut || ended.is_err() => Left::Nothing,
        None if quiet => Left::Quiet(unused, io),
        // hyper leaves it open where an upgrade was asked for, also if it was refused.
        None => Left::Open(io),
    }
}

async fn http2<IO>(io: IO, served: Rc<Served>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, turn) = Gather::new(io);
    let connection = http2::Builder::new(LocalExecutor)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .serve_connection(TokioIo::new(io), service_fn(service(&served)));
    let mut connection = pin!(connection);
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        match served.entry.due() {
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
        let ended = connection.as_mut().poll(cx);
        turn.end(cx, ended.is_pending() && !served.entry.is_idle());
        ended
    });
    if let Err(error) = ended.await {
        tracing::trace!(%error, "downstream HTTP/2 connection ended");
    }
}

#[cfg(test)]
mod tests;
