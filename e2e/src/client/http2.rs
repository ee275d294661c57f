//! HTTP/2 with prior knowledge, plain or gRPC.

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// An answer, with its trailers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Trailers; empty where there are none.
    pub trailers: HeaderMap,
}

impl Answer {
    /// The gRPC status, from trailers or headers.
    pub fn grpc_status(&self) -> Option<&str> {
        self.trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"))?.to_str().ok()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A connection that carries many calls; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn open(to: SocketAddr, from: Option<IpAddr>) -> anyhow::Result<Self> {
        let stream = super::connect(to, from).await.with_context(|| format!("cannot connect to {to}"))?;
        Client::over(stream).await
    }

    /// Over a stream that is open already.
    ///
    /// # Errors
    /// When the peer does not speak HTTP/2.
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> anyhow::Result<Self> {
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(1 << 20).initial_connection_window_size(1 << 22);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Client { sender })
    }

    /// Whether it cannot be used any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Calls.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let mut sender = self.sender.clone();
        let work = async {
            sender.ready().await.context("the connection is closed")?;
            let (head, body) = sender.send_request(request).await.context("no answer")?.into_parts();
            let body = body.collect().await.context("half an answer")?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
        };
        match tokio::time::timeout(ANSWER, work).await {
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {ANSWER:?}"),
        }
    }

    /// `GET path`, or `POST` with a body.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn request(
        &self,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().uri(format!("http://{host}{path}"));
        if !body.is_empty() {
            request = request.method("POST");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(Full::new(body))?).await
    }

    /// A gRPC call with these messages.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn grpc(&self, host: &str, path: &str, id: &str, messages: &[&[u8]]) -> anyhow::Result<Answer> {
        let mut body = BytesMut::new();
        for message in messages {
            body.put_u8(0);
            body.put_u32(u32::try_from(message.len())?);
            body.put_slice(message);
        }
        let request = Request::post(format!("http://{host}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-request-id", id);
        self.call(request.body(Full::new(body.freeze()))?).await
    }
}
