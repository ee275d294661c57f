//! Requests of HTTP/1.1 and HTTP/2, and calls of gRPC.

mod messages;

use super::{
    Answer, Target,
    connection::{Body, Connection, Kept, whole},
};
use crate::echo::grpc;
use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

/// A kept connection may end just when it is taken; so often another one is tried.
const TRIES: u32 = 5;

pub(super) async fn http(target: &Target, kept: Option<&Kept>) -> anyhow::Result<Answer> {
    let method = match &target.method {
        Some(method) => method.clone(),
        None if target.body.is_empty() => Method::GET,
        None => Method::POST,
    };
    let make = |second: bool| {
        let body = Full::new(Bytes::from(target.body.clone())).boxed();
        let uri = if second { absolute(target, target.path())? } else { target.path().parse()? };
        let mut request = Request::builder().method(method.clone()).uri(uri).body(body)?;
        if !second {
            request.headers_mut().insert(header::HOST, target.authority()?.parse()?);
        }
        add(target, request.headers_mut(), false);
        Ok(request)
    };
    let (response, connection) = send(target, kept, target.http2, make).await?;
    let (head, bytes, _) = whole(response).await?;
    finish(kept, connection);
    Ok(answer(&head, &bytes))
}

pub(super) async fn grpc(target: &Target, kept: Option<&Kept>) -> anyhow::Result<Answer> {
    let several = target.messages > 1;
    let method = match target.path() {
        "/" if several => grpc::STREAM,
        "/" => grpc::METHOD,
        named => named,
    };
    let mut feed = None;
    let make = |_| {
        let body = if several {
            let (to, body) = messages::body();
            feed = Some(to);
            body
        } else {
            Full::new(grpc::framed(&grpc::text(&target.body))).boxed()
        };
        let mut request = Request::post(absolute(target, method)?).body(body)?;
        request.headers_mut().insert(header::CONTENT_TYPE, "application/grpc".parse()?);
        request.headers_mut().insert(header::TE, "trailers".parse()?);
        add(target, request.headers_mut(), true);
        Ok(request)
    };
    let (response, connection) = send(target, kept, true, make).await?;
    let (head, bytes, trailers) = match feed {
        None => whole(response).await?,
        Some(feed) => messages::talk(target, feed, response).await?,
    };
    finish(kept, connection);
    status_of_grpc(answer(&head, &bytes), &bytes, &trailers)
}

/// Sends a request that `make` makes for the version of HTTP that the connection speaks.
async fn send(
    target: &Target,
    kept: Option<&Kept>,
    needs_second: bool,
    mut make: impl FnMut(bool) -> anyhow::Result<Request<Body>>,
) -> anyhow::Result<(Response<Incoming>, Connection)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut connection = match kept {
            Some(kept) => kept.take(target, needs_second).await?,
            None => Connection::open(target, needs_second).await?,
        };
        match connection.send(make(connection.is_second())?).await {
            Ok(response) => {
                // Others may use it while the answer comes.
                let shared = connection.shared();
                if let Some((kept, shared)) = kept.zip(shared) {
                    kept.give(shared);
                }
                return Ok((response, connection));
            }
            // Nothing of it was sent: the connection ended before, as every client has it now and then.
            Err(error) if error.is_canceled() && kept.is_some() && tries < TRIES => {}
            Err(error) => return Err(error).context("no answer"),
        }
    }
}

/// The call is over.
fn finish(kept: Option<&Kept>, connection: Connection) {
    if let Some(kept) = kept {
        kept.give(connection);
    }
}

fn status_of_grpc(mut answer: Answer, bytes: &Bytes, trailers: &HeaderMap) -> anyhow::Result<Answer> {
    let named = |name: &str| {
        let value = trailers.get(name).and_then(|value| value.to_str().ok());
        let head = || answer.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        value.or_else(head).map(str::to_owned)
    };
    let message = named("grpc-message").unwrap_or_default();
    let status: u16 = match named("grpc-status") {
        Some(status) => status.parse().with_context(|| format!("grpc-status {status}"))?,
        None => anyhow::bail!("status {} and no status of gRPC", answer.status),
    };
    answer.grpc_status = Some(status);
    answer.body = match status {
        0 => {
            let message = grpc::unframed(bytes.clone())?;
            grpc::text_of(&message).unwrap_or_else(|_| String::from_utf8_lossy(&message).into_owned())
        }
        _ => message,
    };
    Ok(answer)
}

fn absolute(target: &Target, path: &str) -> anyhow::Result<Uri> {
    let scheme = if target.secure() { "https" } else { "http" };
    Ok(Uri::builder().scheme(scheme).authority(target.authority()?).path_and_query(path).build()?)
}

/// The headers that were asked for; `host` is in the URL already.
fn add(target: &Target, headers: &mut HeaderMap, metadata: bool) {
    for (name, value) in &target.headers {
        if *name != header::HOST && !(metadata && *name == header::CONTENT_TYPE) {
            headers.append(name.clone(), value.clone());
        }
    }
}

fn answer(head: &http::response::Parts, bytes: &Bytes) -> Answer {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Answer {
        status: head.status.as_u16(),
        grpc_status: None,
        proto: if head.version == Version::HTTP_2 { "HTTP/2.0".to_owned() } else { format!("{:?}", head.version) },
        headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: String::from_utf8_lossy(bytes).into_owned(),
    }
}
