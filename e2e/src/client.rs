//! Calls as an application without a mesh makes them: HTTP/1 by hand, so that nothing between a test and the bytes
//! is clever; HTTP/2 and gRPC by hyper.

pub mod head;
pub mod http2;

use anyhow::{Context, bail};
use bytes::BytesMut;
use head::{Framing, read_body, read_head};
use mesh_runtime::{
    testing::mesh_profile,
    tls::{client::ClientTls, verify::ExpectedPeer},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A request of HTTP/1.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Host, with port where it has one.
    pub host: String,
    /// Further headers, written as they stand.
    pub headers: Vec<(String, String)>,
    /// Body; `None`: none, and no Content-Length.
    pub body: Option<Vec<u8>>,
    /// `1.1` or `1.0`.
    pub version: &'static str,
}

impl Call {
    /// `GET path`.
    pub fn get(host: &str, path: &str) -> Call {
        Call {
            method: "GET".into(),
            path: path.into(),
            host: host.into(),
            headers: Vec::new(),
            body: None,
            version: "1.1",
        }
    }

    /// `POST path` with a body.
    pub fn post(host: &str, path: &str, body: &[u8]) -> Call {
        Call { method: "POST".into(), body: Some(body.to_vec()), ..Call::get(host, path) }
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Call {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Call {
        self.method = method.into();
        self
    }

    /// Sends it on a connection of its own.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn send(&self, to: SocketAddr) -> anyhow::Result<Reply> {
        Connection::open(to, None).await?.call(self).await
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/{}\r\nHost: {}\r\n", self.method, self.path, self.version, self.host);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers as they came.
    pub headers: Vec<(String, String)>,
    /// Body as text.
    pub body: String,
    /// The server closes the connection.
    pub closes: bool,
}

impl Reply {
    /// A header's first value, its name without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Which application answered; empty: none.
    pub fn served_by(&self) -> &str {
        self.header("x-served-by").unwrap_or_default()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    buffer: BytesMut,
}

impl Connection {
    /// Connects, from an address where one is given.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn open(to: SocketAddr, from: Option<IpAddr>) -> anyhow::Result<Self> {
        let stream = connect(to, from).await.with_context(|| format!("cannot connect to {to}"))?;
        Ok(Connection::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Over a stream that is open already.
    pub fn over(stream: S) -> Self {
        Connection { stream, buffer: BytesMut::new() }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn call(&mut self, call: &Call) -> anyhow::Result<Reply> {
        self.stream.write_all(&call.bytes()).await.context("the request could not be written")?;
        self.answer(&call.method).await
    }

    /// Sends bytes as they are and reads the answer.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn raw(&mut self, bytes: &[u8]) -> anyhow::Result<Reply> {
        self.stream.write_all(bytes).await.context("the request could not be written")?;
        self.answer("GET").await
    }

    async fn answer(&mut self, method: &str) -> anyhow::Result<Reply> {
        match tokio::time::timeout(ANSWER, self.read(method)).await {
            Ok(reply) => reply,
            Err(_) => bail!("no answer within {ANSWER:?}"),
        }
    }

    async fn read(&mut self, method: &str) -> anyhow::Result<Reply> {
        let head = read_head(&mut self.stream, &mut self.buffer).await?.context("closed without an answer")?;
        let status: u16 = head.target().parse().with_context(|| format!("no status in {:?}", head.text))?;
        let framing = if method == "HEAD" { Framing::None } else { Framing::of_answer(&head, status) };
        let closes = head.closes() || framing == Framing::ToEnd;
        let body = read_body(&mut self.stream, &mut self.buffer, framing).await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply { status, headers: head.headers, body, closes })
    }

    /// The bytes beneath, after an upgrade.
    pub fn into_stream(self) -> S {
        self.stream
    }
}

/// A TCP connection, from an address where one is given.
///
/// # Errors
/// As the operating system says, or after ten seconds.
pub async fn connect(to: SocketAddr, from: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let connected = tokio::time::timeout(Duration::from_secs(10), socket.connect(to)).await;
    let stream = connected.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection, in plain text or with TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One of either.
pub type Wire = Box<dyn Stream>;

/// Connects as a workload of the mesh does that offers these protocols, to whoever answers; without `tls` in plain text.
///
/// # Errors
/// When there is no connection, or no handshake.
pub async fn dial(to: SocketAddr, tls: Option<&ClientTls>, alpn: &[&'static [u8]]) -> anyhow::Result<Wire> {
    let stream = connect(to, None).await?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let (stream, _) = tls.connect(stream, &mesh_profile(alpn, "server.test"), &ExpectedPeer::any()).await?;
    Ok(Box::new(stream))
}

/// Sends bytes over a connection of its own, ends, and reads all that comes back.
///
/// # Errors
/// When the connection breaks, or after [`ANSWER`].
pub async fn exchange(to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let work = async {
        let mut stream = connect(to, from).await.context("cannot connect")?;
        stream.write_all(bytes).await.context("cannot write")?;
        stream.shutdown().await.context("cannot end")?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.context("cannot read")?;
        Ok(back)
    };
    match tokio::time::timeout(ANSWER, work).await {
        Ok(done) => done,
        Err(_) => bail!("no end within {ANSWER:?}"),
    }
}
