//! The calling end of gRPC: what tonic dials with, and the bearer token that goes with a call.

use crate::tls::{
    client::{ClientProfile, ClientTls, Mode, Simple},
    verify::ExpectedPeer,
};
use futures_util::{FutureExt, future::BoxFuture};
use http::Uri;
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
};
use tonic::metadata::{Ascii, MetadataValue};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest token that is accepted, in bytes.
pub const MAX_TOKEN: usize = 64 << 10;

/// Dials one address, whatever URI it is asked for; for
/// [`connect_with_connector_lazy`](tonic::transport::Endpoint::connect_with_connector_lazy). The endpoint's URI must
/// be `http://…`; give the one that the server is to see as its origin.
#[derive(Clone)]
pub struct Connector {
    address: Arc<str>,
    sources: Arc<[IpAddr]>,
    tls: Option<(Arc<ClientTls>, ClientProfile)>,
}

/// A connection, in plain text or not.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Connector {
    /// To `host:port`, in plain text.
    pub fn plain(address: impl Into<Arc<str>>) -> Self {
        Connector { address: address.into(), sources: Arc::new([]), tls: None }
    }

    /// With TLS: `name` is sent, `peer` says whom we believe and what we show, the handshake ends within `limit`.
    #[must_use]
    pub fn secured(mut self, tls: Arc<ClientTls>, name: Arc<str>, peer: Simple, limit: Duration) -> Self {
        let profile = ClientProfile {
            alpn: Arc::new([b"h2".as_slice()]),
            sni: Some(name),
            mode: Mode::Simple(Arc::new(peer)),
            handshake_timeout: limit,
        };
        self.tls = Some((tls, profile));
        self
    }

    /// From the first of these addresses that is of the destination's family, if it is one of this machine.
    #[must_use]
    pub fn from(mut self, sources: Arc<[IpAddr]>) -> Self {
        self.sources = sources;
        self
    }

    async fn dial(&self) -> Result<Box<dyn Wire>, BoxError> {
        let tcp = self.tcp().await.map_err(|error| format!("{}: {error}", self.address))?;
        tcp.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(tcp),
            Some((tls, profile)) => Box::new(tls.connect(tcp, profile, &ExpectedPeer::any()).await?.0),
        })
    }

    /// The first of the name's addresses that answers.
    async fn tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for to in tokio::net::lookup_host(&*self.address).await? {
            let source = self.sources.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4());
            let mut tried = tcp(to, source).await;
            if source.is_some() && tried.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrNotAvailable) {
                tried = tcp(to, None).await;
            }
            match tried {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn tcp(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(to).await
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Wire>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let this = self.clone();
        async move { Ok(TokioIo::new(this.dial().await?)) }.boxed()
    }
}

/// The value of `authorization` for the content of a token file.
///
/// # Errors
/// What is wrong with it; never what it says.
pub fn bearer(text: &str) -> Result<MetadataValue<Ascii>, &'static str> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_TOKEN {
        return Err("it is empty, or longer than any token");
    }
    let value = format!("Bearer {text}").parse();
    let mut value: MetadataValue<Ascii> = value.map_err(|_| "it contains characters that a token cannot have")?;
    value.set_sensitive(true);
    Ok(value)
}
