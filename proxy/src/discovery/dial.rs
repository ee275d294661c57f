//! The connection to pilot: its address, its certificate, and what proves to it who we are.

use super::stream::StreamError;
use crate::net::connect::{self, ConnectOptions};
use hyper_util::rt::TokioIo;
use mesh_runtime::tls::{
    client::{ClientProfile, ClientTls, Mode, Simple, TlsStream},
    material::{CaBundle, Certificate},
    verify::ExpectedPeer,
};
use std::{
    future::Future,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// Connecting, handshake included.
const CONNECT: Duration = Duration::from_secs(10);
/// A silent connection is asked whether it lives.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Longest token file that is accepted, in bytes.
const MAX_TOKEN: usize = 64 << 10;

/// Whom to connect to and with what.
pub(super) struct Target {
    pub(super) address: Arc<str>,
    pub(super) server_name: Arc<str>,
    pub(super) root_cert: PathBuf,
    pub(super) token: PathBuf,
    pub(super) sources: Arc<[IpAddr]>,
    pub(super) certificate: Option<Arc<Certificate>>,
    /// Roots of our trust domain as pilot has said, which may be newer than the file.
    pub(super) known: Option<Arc<CaBundle>>,
    pub(super) tls: Arc<ClientTls>,
}

pub(super) async fn connect(target: &Target) -> Result<(Channel, Option<MetadataValue<Ascii>>), StreamError> {
    let file = |error| StreamError::File { path: target.root_cert.clone(), error };
    let roots = CaBundle::from_pem(&tokio::fs::read(&target.root_cert).await.map_err(file)?);
    let content = |reason: String| StreamError::Content { path: target.root_cert.clone(), reason };
    let roots = roots.map_err(|error| content(error.to_string()))?;
    let roots = Arc::new(match &target.known {
        Some(known) => roots.and(known),
        None => roots,
    });
    let token = read_token(&target.token).await?;
    if token.is_none() && target.certificate.is_none() {
        return Err(StreamError::NoProof(target.token.clone()));
    }
    let simple = Simple {
        roots: Some(roots),
        names: vec![target.server_name.clone()],
        insecure_skip_verify: false,
        certificate: target.certificate.clone(),
    };
    let dial = Dial {
        address: target.address.clone(),
        sources: target.sources.clone(),
        tls: target.tls.clone(),
        profile: ClientProfile {
            alpn: Arc::new([b"h2".as_slice()]),
            sni: Some(target.server_name.clone()),
            mode: Mode::Simple(Arc::new(simple)),
            handshake_timeout: CONNECT,
        },
    };
    let origin = format!("https://{}", target.server_name);
    let origin = origin.parse().map_err(|_| StreamError::Name(target.server_name.to_string()))?;
    let endpoint = Endpoint::from_static("http://pilot")
        .origin(origin)
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true);
    let failed = |error: tonic::transport::Error| StreamError::Connect {
        address: target.address.to_string(),
        reason: with_causes(&error),
    };
    Ok((endpoint.connect_with_connector(dial).await.map_err(failed)?, token))
}

/// The token; `None` when there is none and the certificate must do.
async fn read_token(path: &Path) -> Result<Option<MetadataValue<Ascii>>, StreamError> {
    let text = match tokio::fs::read_to_string(path).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StreamError::File { path: path.to_owned(), error }),
    };
    let text = text.trim();
    let wrong = |reason: &str| StreamError::Content { path: path.to_owned(), reason: reason.to_owned() };
    if text.is_empty() || text.len() > MAX_TOKEN {
        return Err(wrong("it is empty, or longer than any token"));
    }
    let value = format!("Bearer {text}").parse();
    let mut value: MetadataValue<Ascii> =
        value.map_err(|_| wrong("it contains characters that a token cannot have"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Dials pilot, whatever URI it is asked for.
#[derive(Clone)]
struct Dial {
    address: Arc<str>,
    sources: Arc<[IpAddr]>,
    tls: Arc<ClientTls>,
    profile: ClientProfile,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Dialled = Result<TokioIo<TlsStream<TcpStream>>, BoxError>;

impl tonic::codegen::Service<http::Uri> for Dial {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Dialled> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let tcp = this.tcp().await?;
            let (stream, _) = this.tls.connect(tcp, &this.profile, &ExpectedPeer::any()).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

impl Dial {
    /// The first of pilot's addresses that answers.
    async fn tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for to in tokio::net::lookup_host(&*self.address).await? {
            let source = self.sources.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4());
            let mut tried = connect::tcp(to, &ConnectOptions { source, keepalive: None }).await;
            if tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable) && source.is_some() {
                // Our instance's address is not one of this machine.
                tried = connect::tcp(to, &ConnectOptions::default()).await;
            }
            match tried {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
