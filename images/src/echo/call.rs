//! One call, on a connection of its own, as an application without a mesh would make it.

mod connection;
mod plain;
mod request;
mod websocket;

use super::tls;
use anyhow::{Context, bail};
use clap::Args;
pub use connection::Kept;
use http::{HeaderName, HeaderValue, Method, Uri};
use serde::Serialize;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Longest answer that is read, in bytes.
const LONGEST: usize = 16 << 20;

/// Whom to call, and how.
#[derive(Args, Debug, Clone)]
pub struct Target {
    /// Whom to call; schemes: http, https, grpc, grpcs, tcp, tls, udp, ws, wss
    pub url: Uri,
    /// A header, as `name: value`; `host` is whom the request is for
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Method of HTTP; GET, or POST with a body
    #[arg(long)]
    pub method: Option<Method>,
    /// Body of a request, text of a message
    #[arg(long, default_value = "")]
    pub body: String,
    /// Longest time for a call, its connection included
    #[arg(long, default_value = "5s", value_parser = super::duration)]
    pub timeout: Duration,
    /// Messages of a call of gRPC; each is sent once the one before it has come back
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub messages: u32,
    /// How long to wait before each message but the first
    #[arg(long, default_value = "0s", value_parser = super::duration)]
    pub pause: Duration,
    /// HTTP/2, with prior knowledge where there is no TLS
    #[arg(long)]
    pub http2: bool,
    /// Connects there instead of where the URL says
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// Trusts these roots (PEM); without them any certificate will do
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Certificate chain to show (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// A status that must come, of HTTP or gRPC (several: any of them); without it every whole answer is a success
    #[arg(long, value_name = "STATUS")]
    pub expect: Vec<u16>,
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').context("a header is `name: value`")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

/// What came back.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// Of HTTP; 200 for what has no status.
    pub status: u16,
    /// Of gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u16>,
    pub proto: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// What the server said of itself and of the request, where it is a program like this one.
    pub fn report(&self) -> serde_json::Value {
        // Of TCP and UDP it is the last line.
        let last = self.body.trim_end().rsplit('\n').next().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_default()
    }

    /// The status that `--expect` speaks of.
    pub fn code(&self) -> u16 {
        self.grpc_status.unwrap_or(self.status)
    }
}

/// A stream that carries a call.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Target {
    /// Calls once, on a connection of its own.
    ///
    /// # Errors
    /// When there is no whole answer in time, or its status is none that was expected.
    pub async fn call(&self) -> anyhow::Result<Answer> {
        self.call_on(None).await
    }

    /// Calls once; requests of HTTP and calls of gRPC on a connection that is kept, where there is one.
    ///
    /// # Errors
    /// When there is no whole answer in time, or its status is none that was expected.
    pub async fn call_on(&self, kept: Option<&Kept>) -> anyhow::Result<Answer> {
        let answer = match tokio::time::timeout(self.timeout, self.carry(kept)).await {
            Ok(answer) => answer?,
            Err(_) => bail!("no answer within {:?}", self.timeout),
        };
        if !self.expect.is_empty() && !self.expect.contains(&answer.code()) {
            bail!("status {}: {}", answer.code(), answer.body.trim_end());
        }
        Ok(answer)
    }

    async fn carry(&self, kept: Option<&Kept>) -> anyhow::Result<Answer> {
        match self.url.scheme_str().context("a URL begins with a scheme, such as http://")? {
            "http" | "https" => request::http(self, kept).await,
            "grpc" | "grpcs" => request::grpc(self, kept).await,
            "ws" | "wss" => websocket::message(self).await,
            "tcp" | "tls" => plain::tcp(self).await,
            "udp" => plain::udp(self).await,
            other => bail!("nothing is called by {other}://"),
        }
    }

    /// Whether the URL asks for TLS.
    fn secure(&self) -> bool {
        matches!(self.url.scheme_str(), Some("https" | "grpcs" | "wss" | "tls"))
    }

    fn host(&self) -> anyhow::Result<&str> {
        let host = self.url.host().context("a URL names a host")?;
        Ok(host.trim_start_matches('[').trim_end_matches(']'))
    }

    /// Addresses to try, in the order that the resolver gives.
    async fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let place = match &self.address {
            Some(address) => address.clone(),
            None => {
                let port = match (self.url.port_u16(), self.url.scheme_str()) {
                    (Some(port), _) => port,
                    (None, Some("http" | "ws" | "grpc")) => 80,
                    (None, _) if self.secure() => 443,
                    (None, _) => bail!("{} names no port", self.url),
                };
                let host = self.host()?;
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
            }
        };
        let found = tokio::net::lookup_host(&place).await.with_context(|| format!("{place} is not known"))?;
        Ok(found.collect())
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let mut last = anyhow::anyhow!("{} has no address", self.url);
        for address in self.addresses().await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(e) => last = anyhow::Error::new(e).context(format!("cannot connect to {address}")),
            }
        }
        Err(last)
    }

    /// A stream, and the protocol that TLS agreed on.
    async fn stream(&self, protocols: &[&[u8]]) -> anyhow::Result<(Box<dyn Stream>, Option<Vec<u8>>)> {
        let stream = self.connect().await?;
        if !self.secure() {
            return Ok((Box::new(stream), None));
        }
        let identity = self.cert.as_deref().zip(self.key.as_deref());
        let config = tls::client(self.ca.as_deref(), identity, protocols)?;
        let name = match self.headers.iter().find(|(name, _)| *name == http::header::HOST) {
            Some((_, host)) => host.to_str()?.rsplit_once(':').map_or(host.to_str()?, |(name, _)| name).to_owned(),
            None => self.host()?.to_owned(),
        };
        let name = rustls_pki_types::ServerName::try_from(name)?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        Ok((Box::new(stream), agreed))
    }

    /// Path and query; `/` where the URL has none.
    fn path(&self) -> &str {
        self.url.path_and_query().map_or("/", |path| path.as_str())
    }

    /// What the request says it is for: header `host`, else the URL's.
    fn authority(&self) -> anyhow::Result<&str> {
        match self.headers.iter().find(|(name, _)| *name == http::header::HOST) {
            Some((_, host)) => Ok(host.to_str()?),
            None => Ok(self.url.authority().context("a URL names a host")?.as_str()),
        }
    }
}
