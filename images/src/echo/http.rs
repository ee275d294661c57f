//! Requests of HTTP/1.1 and HTTP/2, gRPC among them: the answer says what came, from where, and who got it.

use super::{
    grpc,
    serve::ended,
    websocket,
    who::{Over, Report, Who, line},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

type Body = BoxBody<Bytes, hyper::Error>;

/// Longest wait that a path may ask for.
const LONGEST_DELAY: u64 = 600_000;

/// Answers the requests of a connection until it ends; after `ending`, those under way.
pub(super) async fn serve<S>(
    stream: S,
    who: Arc<Who>,
    over: Over,
    mut ending: watch::Receiver<bool>,
) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let over = Arc::new(over);
    let service = hyper::service::service_fn(move |request| {
        let (who, over) = (who.clone(), over.clone());
        async move { Ok::<_, Infallible>(answer(request, &who, &over).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = ended(&mut ending) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    done.map_err(anyhow::Error::from_boxed)
}

async fn answer(mut request: Request<Incoming>, who: &Arc<Who>, over: &Over) -> Response<Body> {
    if let Some(switched) = websocket::accept(&mut request, &who.pod) {
        return switched.map(|nothing| nothing.map_err(|never| match never {}).boxed());
    }
    let (head, body) = request.into_parts();
    if head.uri.path() == grpc::STREAM {
        return stream(body, &who.pod);
    }
    let Ok(body) = body.collect().await else { return plain(StatusCode::BAD_REQUEST, Bytes::new()) };
    let body = body.to_bytes();
    let target = head.uri.path();
    let argument = |prefix: &str| target.strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
    if let Some(milliseconds) = argument("/delay/") {
        tokio::time::sleep(Duration::from_millis(milliseconds.min(LONGEST_DELAY))).await;
    }
    let host = head.uri.authority().map(http::uri::Authority::as_str);
    let host = host.or_else(|| head.headers.get(header::HOST)?.to_str().ok()).unwrap_or_default();
    let path = head.uri.path_and_query().map_or(target, http::uri::PathAndQuery::as_str);
    let proto = format!("{:?}", head.version);
    let report = line(&Report {
        path,
        host,
        method: head.method.as_str(),
        proto: &proto,
        headers: words(&head.headers),
        bytes: body.len(),
        who,
        over,
    });
    let grpc =
        head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let mut answer = if grpc {
        unary(target, body, &report)
    } else {
        let status = argument("/status/").and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
        plain(status.unwrap_or(StatusCode::OK), report.into())
    };
    answer.headers_mut().insert("x-served-by", name(&who.pod));
    answer
}

/// A gRPC call that succeeds: the method of ours with the report, a question for health with a yes, any other with the
/// message it got.
fn unary(method: &str, body: Bytes, report: &str) -> Response<Body> {
    let message = match method {
        grpc::METHOD => grpc::framed(&grpc::text(report)),
        grpc::HEALTH => grpc::framed(grpc::SERVING),
        _ => body,
    };
    let mut answer = Response::new(full(message).with_trailers(async { Some(Ok(succeeded())) }).boxed());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// A gRPC call whose messages come back as they are, until the caller ends it.
fn stream(body: Incoming, pod: &str) -> Response<Body> {
    let mut answer = Response::new(body.with_trailers(async { Some(Ok(succeeded())) }).boxed());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer.headers_mut().insert("x-served-by", name(pod));
    answer
}

fn succeeded() -> HeaderMap {
    HeaderMap::from_iter([(header::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn plain(status: StatusCode, text: Bytes) -> Response<Body> {
    let mut answer = Response::new(full(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A name as a header; what cannot be one is left out.
pub(super) fn name(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

pub(super) fn words(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut words = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        words.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    words
}
