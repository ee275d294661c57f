//! Requests of HTTP/1.1 and HTTP/2, and the one call of gRPC.

use super::{Answer, LONGEST, Target};
use crate::echo::grpc;
use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};

pub(super) async fn http(target: &Target) -> anyhow::Result<Answer> {
    let wanted: &[&[u8]] = if target.http2 { &[b"h2"] } else { &[b"h2", b"http/1.1"] };
    let (stream, agreed) = target.stream(wanted).await?;
    let second = agreed.map_or(target.http2, |protocol| protocol == b"h2");
    let method = match &target.method {
        Some(method) => method.clone(),
        None if target.body.is_empty() => Method::GET,
        None => Method::POST,
    };
    let body = Full::new(Bytes::from(target.body.clone()));
    let (answer, _) = if second {
        let mut request = Request::builder().method(method).uri(absolute(target, target.path())?).body(body)?;
        add(target, request.headers_mut(), false);
        second_version(stream, request).await?
    } else {
        let mut request = Request::builder().method(method).uri(target.path()).body(body)?;
        request.headers_mut().insert(header::HOST, target.authority()?.parse()?);
        add(target, request.headers_mut(), false);
        first_version(stream, request).await?
    };
    Ok(answer)
}

pub(super) async fn grpc(target: &Target) -> anyhow::Result<Answer> {
    let (stream, _) = target.stream(&[b"h2"]).await?;
    let method = if target.path() == "/" { grpc::METHOD } else { target.path() };
    let body = Full::new(grpc::framed(&grpc::text(&target.body)));
    let mut request = Request::post(absolute(target, method)?).body(body)?;
    request.headers_mut().insert(header::CONTENT_TYPE, "application/grpc".parse()?);
    request.headers_mut().insert(header::TE, "trailers".parse()?);
    add(target, request.headers_mut(), true);
    let (mut answer, (bytes, trailers)) = second_version(stream, request).await?;
    let named = |name: &str| {
        let value = trailers.get(name).and_then(|value| value.to_str().ok());
        let head = || answer.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        value.or_else(head).map(str::to_owned)
    };
    let status = named("grpc-status");
    let message = named("grpc-message").unwrap_or_default();
    let status: u16 = match status {
        Some(status) => status.parse().with_context(|| format!("grpc-status {status}"))?,
        None => anyhow::bail!("status {} and no status of gRPC", answer.status),
    };
    answer.grpc_status = Some(status);
    answer.body = match status {
        0 => {
            let message = grpc::unframed(bytes)?;
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

type Whole = (Answer, (Bytes, HeaderMap));

async fn first_version(stream: Box<dyn super::Stream>, request: Request<Full<Bytes>>) -> anyhow::Result<Whole> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answer = whole(sender.send_request(request).await.context("no answer")?).await;
    driver.abort();
    answer
}

async fn second_version(stream: Box<dyn super::Stream>, request: Request<Full<Bytes>>) -> anyhow::Result<Whole> {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answer = whole(sender.send_request(request).await.context("no answer")?).await;
    driver.abort();
    answer
}

async fn whole(response: Response<Incoming>) -> anyhow::Result<Whole> {
    let (head, body) = response.into_parts();
    let body =
        Limited::new(body, LONGEST).collect().await.map_err(anyhow::Error::from_boxed).context("half an answer")?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let bytes = body.to_bytes();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let answer = Answer {
        status: head.status.as_u16(),
        grpc_status: None,
        proto: if head.version == Version::HTTP_2 { "HTTP/2.0".to_owned() } else { format!("{:?}", head.version) },
        headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    Ok((answer, (bytes, trailers)))
}
