//! One HTTP call, as a client without a mesh would make it.

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Status code.
    pub(crate) status: u16,
    /// Body as text.
    pub(crate) body: String,
    /// Headers, lower-case names.
    pub(crate) headers: Vec<(String, String)>,
}

impl Reply {
    /// A header's first value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A keep-alive connection.
pub(crate) struct Client {
    sender: hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Client { sender })
    }

    /// Calls; ten seconds at most.
    pub(crate) async fn get(&mut self, host: &str, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Reply> {
        self.sender.ready().await?;
        let mut request = Request::get(path).header(header::HOST, host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = self.sender.send_request(request.body(Empty::new())?);
        let Ok(response) = tokio::time::timeout(Duration::from_secs(10), answered).await else {
            bail!("no answer within ten seconds");
        };
        let (head, body) = response?.into_parts();
        let text = |v: &hyper::header::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        Ok(Reply {
            status: head.status.as_u16(),
            headers: head.headers.iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect(),
            body: String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned(),
        })
    }
}

/// One call on a connection of its own.
pub(crate) async fn get(to: SocketAddr, host: &str, path: &str) -> anyhow::Result<Reply> {
    Client::connect(to).await?.get(host, path, &[]).await
}
