//! One request to the application beside the proxy, on a connection of its own, bounded in what is read of the answer. Its
//! time is the caller's to bound.

use crate::net::connect::{self, ConnectOptions};
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_runtime::tls::{
    client::{ClientProfile, ClientTls, Mode, Simple},
    verify::ExpectedPeer,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

/// A handshake that takes longer is none; callers have less time.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// How the application is reached.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
    /// With TLS; whatever certificate it shows is taken, as the kubelet does it.
    pub(super) tls: Option<Arc<ClientTls>>,
}

/// An answer's body, as far as it was read.
pub(super) struct Read {
    pub(super) bytes: Bytes,
    /// There was more.
    pub(super) cut: bool,
}

impl Way {
    /// A connection.
    pub(super) async fn connect(&self) -> anyhow::Result<TcpStream> {
        let options = ConnectOptions { source: self.from, keepalive: None };
        connect::tcp(self.to, &options).await.with_context(|| format!("cannot connect to {}", self.to))
    }

    /// Sends the request, and reads at most so much of the answer's body.
    pub(super) async fn ask(&self, request: Request<Empty<Bytes>>, most: usize) -> anyhow::Result<Response<Read>> {
        self.ask_by(self.connect().await?, request, most).await
    }

    /// The same by a connection of this way.
    pub(super) async fn ask_by(
        &self,
        stream: TcpStream,
        request: Request<Empty<Bytes>>,
        most: usize,
    ) -> anyhow::Result<Response<Read>> {
        match &self.tls {
            None => ask(stream, request, most).await,
            Some(tls) => {
                let peer = Simple { insecure_skip_verify: true, ..Simple::default() };
                let profile = ClientProfile {
                    alpn: Arc::new([b"http/1.1".as_slice()]),
                    sni: None,
                    mode: Mode::Simple(Arc::new(peer)),
                    handshake_timeout: HANDSHAKE,
                };
                let (stream, _) = tls.connect(stream, &profile, &ExpectedPeer::any()).await.context("TLS")?;
                ask(stream, request, most).await
            }
        }
    }
}

async fn ask<IO>(io: IO, request: Request<Empty<Bytes>>, most: usize) -> anyhow::Result<Response<Read>>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    // Driven beside the answer, and dropped with it.
    let mut driven = JoinSet::new();
    driven.spawn(connection);
    let (head, mut body) = sender.send_request(request).await?.into_parts();
    let (mut bytes, mut cut) = (BytesMut::new(), false);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = most - bytes.len();
        cut = data.len() > room;
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if cut {
            break;
        }
    }
    Ok(Response::from_parts(head, Read { bytes: bytes.freeze(), cut }))
}
