//! An HTTP/2 server: gRPC echo with trailers, and plain requests.

use super::Seen;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpStream, sync::Notify};

type Body = BoxBody<Bytes, Infallible>;

#[derive(Default)]
struct Activity {
    running: AtomicUsize,
    ended: Notify,
}

/// Answers requests until the client ends, or is idle for too long.
pub(super) async fn serve(stream: TcpStream, name: Arc<str>, seen: Seen, idle: Option<Duration>) {
    let activity = Arc::new(Activity::default());
    let counted = activity.clone();
    let service = service_fn(move |request| {
        counted.running.fetch_add(1, Ordering::Relaxed);
        let (name, seen, counted) = (name.clone(), seen.clone(), counted.clone());
        async move {
            let response = answer(request, &name, &seen).await;
            counted.running.fetch_sub(1, Ordering::Relaxed);
            counted.ended.notify_one();
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    match idle {
        None => drop(connection.await),
        Some(idle) => tokio::select! {
            _ = connection => {}
            () = idle_for(idle, &activity) => {}
        },
    }
}

async fn idle_for(idle: Duration, activity: &Activity) {
    loop {
        let waited = tokio::time::timeout(idle, activity.ended.notified()).await;
        if waited.is_err() && activity.running.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
}

async fn answer(request: Request<Incoming>, name: &str, seen: &Seen) -> Response<Body> {
    if let Some(id) = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()) {
        seen.request(id);
    }
    let grpc = request.headers().get("content-type").is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"));
    let heads = text_of(&request);
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let response = Response::builder().header("x-served-by", name);
    if !grpc {
        let frames = StreamBody::new(tokio_stream::iter([Ok(Frame::data(Bytes::from(heads)))]));
        return response.header("x-body-bytes", body.len()).body(BodyExt::boxed(frames)).expect("a response");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    trailers.insert("x-messages", message_count(&body).into());
    let frames = StreamBody::new(tokio_stream::iter([Ok(Frame::data(body)), Ok(Frame::trailers(trailers))]));
    response.header("content-type", "application/grpc").body(BodyExt::boxed(frames)).expect("a response")
}

fn text_of(request: &Request<Incoming>) -> String {
    let mut text = format!("{} {}\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text
}

/// gRPC messages in a body.
fn message_count(mut body: &[u8]) -> u64 {
    let mut count = 0;
    while let [_, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        count += 1;
        body = rest.get(length..).unwrap_or_default();
    }
    count
}
