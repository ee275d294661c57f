//! The admin server: HTTP/1.1, a handful of paths, small bodies, bounded in connections and time. Not for traffic, and not
//! for web pages.

use crate::{
    drain,
    ready::Ready,
    telemetry,
    tls::grpc::{self, Caller, Limits, Security},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use http::{Extensions, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{collections::BTreeMap, convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
};
use tonic::transport::server::Connected;

/// What a handler gives back.
pub type Reply = Response<Full<Bytes>>;

/// Where a request came from, among its extensions. With TLS a [`Caller`] is there too.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// Whether a request came from this machine, by what its connection says. One of which that is not known did not, and
    /// none that a proxy [carried](crate::carried).
    pub fn is_local<B>(request: &Request<B>) -> bool {
        request.extensions().get::<Peer>().is_some_and(Peer::is_of_this_machine)
    }

    /// Whether this address is of a caller on this machine, as [`is_local`](Peer::is_local) has it.
    pub fn is_of_this_machine(&self) -> bool {
        let ip = self.0.ip().to_canonical();
        ip.is_loopback() && !crate::carried::is_carried(ip)
    }
}

/// Answers one request; its body has been read whole.
pub type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Reply> + Send + Sync>;

/// Lets a request through, perhaps with more among its extensions, or answers it. Of its body nothing has been read.
pub type Gate = Arc<dyn Fn(Request<()>) -> BoxFuture<'static, Result<Request<()>, Reply>> + Send + Sync>;

const BODY_LIMIT: usize = 1 << 20;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 256;

/// The routes of an admin server. An exact path wins over a prefix, a longer prefix over a shorter one.
#[derive(Clone)]
pub struct Admin {
    exact: BTreeMap<String, Methods>,
    prefixes: BTreeMap<String, Methods>,
    gates: BTreeMap<String, Gate>,
    longest_body: usize,
}

impl Default for Admin {
    fn default() -> Self {
        Admin { exact: BTreeMap::new(), prefixes: BTreeMap::new(), gates: BTreeMap::new(), longest_body: BODY_LIMIT }
    }
}

#[derive(Clone, Default)]
struct Methods {
    get: Option<Handler>,
    post: Option<Handler>,
}

impl Admin {
    /// No routes.
    pub fn new() -> Self {
        Admin::default()
    }

    /// Takes bodies of up to so many bytes; 1 MiB by default.
    pub fn with_longest_body(mut self, bytes: usize) -> Self {
        self.longest_body = bytes;
        self
    }

    /// Asks `gate` before anything on a path that begins with `prefix`. The longest prefix counts, and no other.
    pub fn gated(mut self, prefix: &str, gate: Gate) -> Self {
        self.gates.insert(prefix.to_owned(), gate);
        self
    }

    /// Answers GET and HEAD on this path.
    pub fn get<F, Fut>(mut self, path: &str, handler: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        self.exact.entry(path.to_owned()).or_default().get = Some(boxed(handler));
        self
    }

    /// Answers POST on this path.
    pub fn post<F, Fut>(mut self, path: &str, handler: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        self.exact.entry(path.to_owned()).or_default().post = Some(boxed(handler));
        self
    }

    /// Answers GET and HEAD on every path that begins with `prefix`.
    pub fn get_prefix<F, Fut>(mut self, prefix: &str, handler: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        self.prefixes.entry(prefix.to_owned()).or_default().get = Some(boxed(handler));
        self
    }

    /// Answers POST on every path that begins with `prefix`.
    pub fn post_prefix<F, Fut>(mut self, prefix: &str, handler: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        self.prefixes.entry(prefix.to_owned()).or_default().post = Some(boxed(handler));
        self
    }

    /// `/livez`: the process answers.
    pub fn with_liveness(self) -> Self {
        self.get("/livez", |_| async { text(StatusCode::OK, "ok\n") })
    }

    /// Readiness on `path` (`/readyz`, or `/healthz/ready` where the sidecar's probe looks): 200, or 503 with what is
    /// pending, one name a line.
    pub fn with_readiness(self, path: &str, ready: Ready) -> Self {
        self.get(path, move |_| {
            let pending = ready.pending();
            let reply = match pending.is_empty() {
                true => text(StatusCode::OK, "ready\n"),
                false => text(StatusCode::SERVICE_UNAVAILABLE, pending.join("\n") + "\n"),
            };
            async { reply }
        })
    }

    /// Metrics on `path`.
    pub fn with_metrics(self, path: &str, registry: telemetry::metrics::Registry) -> Self {
        self.get(path, move |_| {
            let body = registry.render();
            async { with_type(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body) }
        })
    }

    /// `/log-level`: GET says the filter in force, POST with `?level=…` or a body replaces it, with `?reset` puts the first one back.
    pub fn with_log_level(self, log: telemetry::log::LogHandle) -> Self {
        let show = log.clone();
        self.get("/log-level", move |_| {
            let filter = show.filter();
            async move { text(StatusCode::OK, filter + "\n") }
        })
        .post("/log-level", move |request| {
            let query = request.uri().query();
            let body = String::from_utf8_lossy(request.body());
            let set = match query {
                Some("reset") => log.reset(),
                _ => log.set_level(query.and_then(|q| q.strip_prefix("level=")).unwrap_or(body.trim())),
            };
            async move {
                match set {
                    Ok(()) => text(StatusCode::OK, "ok\n"),
                    Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
                }
            }
        })
    }

    /// Serves until drained: then each connection may finish its request, until the drain is forced.
    pub async fn serve(self, listener: TcpListener, drain: drain::Watch) {
        let admin = Arc::new(self);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut signaled = std::pin::pin!(drain.signaled());
        loop {
            let slot = tokio::select! {
                _ = &mut signaled => break,
                slot = slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
            };
            let accepted = tokio::select! {
                _ = &mut signaled => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let connection = admin.clone().connection(stream, about(address), drain.clone());
                    connections.spawn(async move {
                        let _slot = slot;
                        connection.await;
                    });
                }
                // Mostly: no file descriptors left. Others must get a chance to give theirs back.
                Err(error) => {
                    tracing::warn!(%error, "admin server cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// As [`serve`](Admin::serve), with TLS: the profile has to choose `http/1.1` or nothing. Every request keeps its
    /// connection from being idle.
    pub async fn serve_tls(self, listener: TcpListener, security: Security, limits: Limits, drain: drain::Watch) {
        let admin = Arc::new(self);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut incoming = std::pin::pin!(grpc::incoming(listener, security, limits, drain.clone()));
        // Who waits here has a slot, so that shaking hands goes no further than there are some.
        while let Ok(slot) = slots.clone().acquire_owned().await
            && let Some(accepted) = incoming.next().await
        {
            let Ok(stream) = accepted else { continue };
            let caller: Caller = Connected::connect_info(&stream);
            let mut extensions = about(caller.address);
            extensions.insert(caller);
            let connection = admin.clone().connection(stream, extensions, drain.clone());
            connections.spawn(async move {
                let _slot = slot;
                connection.await;
            });
            while connections.try_join_next().is_some() {}
        }
        while connections.join_next().await.is_some() {}
    }

    /// Serves one connection; its requests have these extensions.
    pub async fn connection<IO>(self: Arc<Self>, io: IO, extensions: Extensions, drain: drain::Watch)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let _guard = drain.guard();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let admin = self.clone();
            request.extensions_mut().extend(extensions.clone());
            let held = extensions.get::<Caller>().map(Caller::hold);
            async move {
                let _held = held;
                Ok::<_, Infallible>(admin.answer(request).await)
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(64 * 1024);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
        let ended = tokio::select! {
            ended = &mut connection => ended,
            _ = drain.signaled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! { ended = connection => ended, _ = drain.forced() => Ok(()) }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "admin connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let handler = match self.route(request.method(), request.uri().path()) {
            Ok(handler) => handler.clone(),
            Err(status) => return text(status, status.canonical_reason().unwrap_or_default().to_owned() + "\n"),
        };
        // A page of somebody's that a browser on this machine shows says so, whatever name it reached us by.
        if *request.method() == Method::POST && request.headers().contains_key(header::ORIGIN) {
            return text(StatusCode::FORBIDDEN, "nothing is changed for web pages: call without an Origin header\n");
        }
        let (head, body) = request.into_parts();
        let gate = self.gates.iter().rev().find(|(prefix, _)| head.uri.path().starts_with(prefix.as_str()));
        let head = match gate {
            None => head,
            Some((_, gate)) => match gate(Request::from_parts(head, ())).await {
                Ok(request) => request.into_parts().0,
                Err(reply) => return reply,
            },
        };
        let longest = self.longest_body;
        if body.size_hint().lower() > longest as u64 {
            return text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body exceeds {longest} bytes\n"));
        }
        match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, longest).collect()).await {
            Ok(Ok(body)) => handler(Request::from_parts(head, body.to_bytes())).await,
            Ok(Err(_)) => {
                text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body exceeds {longest} bytes or was cut off\n"))
            }
            Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
        }
    }

    fn route(&self, method: &Method, path: &str) -> Result<&Handler, StatusCode> {
        let prefix = || self.prefixes.iter().rev().filter(|(p, _)| path.starts_with(p.as_str())).map(|(_, m)| m).next();
        let methods = self.exact.get(path).or_else(prefix).ok_or(StatusCode::NOT_FOUND)?;
        let handler = match *method {
            Method::GET | Method::HEAD => &methods.get,
            Method::POST => &methods.post,
            _ => &None,
        };
        handler.as_ref().ok_or(StatusCode::METHOD_NOT_ALLOWED)
    }
}

/// A gate for those who call from this machine.
pub fn from_loopback() -> Gate {
    Arc::new(|request| {
        let is_near = Peer::is_local(&request);
        let refused = || text(StatusCode::FORBIDDEN, "only callers on this machine, or in this pod, may do this\n");
        async move { if is_near { Ok(request) } else { Err(refused()) } }.boxed()
    })
}

fn about(address: SocketAddr) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(Peer(address));
    extensions
}

/// A plain text reply.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_type(status, "text/plain; charset=utf-8", body)
}

/// A JSON reply; the body is taken as it is.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_type(status, "application/json", body)
}

fn with_type(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    reply
}

fn boxed<F, Fut>(handler: F) -> Handler
where
    F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Reply> + Send + 'static,
{
    Arc::new(move |request| handler(request).boxed())
}

#[cfg(test)]
mod tests;
