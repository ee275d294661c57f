//! Listening on every port that was asked for, until the process is asked to end.

use super::{http, stream, tls, who::Over, who::Who};
use anyhow::Context;
use clap::Args;
use futures_util::FutureExt;
use std::{net::Ipv4Addr, net::Ipv6Addr, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Longest time for a client to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest time for calls under way once the process ends.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// How long those that connect as the process ends have for their request.
const LAST_CONNECTIONS: Duration = Duration::from_millis(200);

/// Answers on these ports.
#[derive(Args, Debug, Clone, Default)]
pub struct Serve {
    /// HTTP/1.1, HTTP/2 with prior knowledge, gRPC and WebSocket on this port (8080 when no port is given at all)
    #[arg(long = "port", value_name = "PORT")]
    pub http: Vec<u16>,
    /// The same, by the name of what is mostly called there
    #[arg(long = "grpc", value_name = "PORT")]
    pub grpc: Vec<u16>,
    /// TCP: sends back what it gets, then a line of JSON when the client ends its half
    #[arg(long = "tcp", value_name = "PORT")]
    pub tcp: Vec<u16>,
    /// TCP where the server speaks first: a line, then as --tcp
    #[arg(long = "greeting", value_name = "PORT")]
    pub greeting: Vec<u16>,
    /// UDP: sends each datagram back with a line of JSON behind it
    #[arg(long = "udp", value_name = "PORT")]
    pub udp: Vec<u16>,
    /// Which ports have TLS; one that is not named otherwise is an HTTP port
    #[arg(long = "tls", value_name = "PORT")]
    pub tls: Vec<u16>,
    /// Certificate chain (PEM); without such a file a certificate is made for this run
    #[arg(long = "crt", alias = "cert", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Goes on for so long after it was asked to end, as a program that deregisters itself first
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = super::duration)]
    pub shutdown_delay: Duration,
    /// Listens on this address only
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<std::net::IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Tcp,
    Greeting,
}

/// Listeners that are open.
pub struct Serving {
    /// Of HTTP, then of TCP, in the order they were asked for.
    pub addresses: Vec<SocketAddr>,
    /// Of UDP.
    pub datagrams: Vec<SocketAddr>,
    tasks: JoinSet<()>,
    end: watch::Sender<bool>,
}

impl Serve {
    /// Serves until the process is asked to end.
    ///
    /// # Errors
    /// When a port cannot be had, or a certificate cannot be read.
    pub async fn run(self) -> anyhow::Result<()> {
        let delay = self.shutdown_delay;
        let serving = self.open().await?;
        for address in serving.addresses.iter().chain(&serving.datagrams) {
            super::say(&format!("listening on {address}"));
        }
        super::asked_to_end().await?;
        tokio::time::sleep(delay).await;
        serving.finish().await;
        Ok(())
    }

    /// Opens the listeners and begins to answer.
    ///
    /// # Errors
    /// When a port cannot be had, or a certificate cannot be read.
    pub async fn open(mut self) -> anyhow::Result<Serving> {
        let who = Arc::new(Who::from_environment());
        let named: Vec<u16> =
            [&self.http, &self.grpc, &self.tcp, &self.greeting].into_iter().flatten().copied().collect();
        self.http.extend(self.tls.iter().filter(|port| !named.contains(port)));
        if named.is_empty() && self.http.is_empty() && self.udp.is_empty() {
            self.http.push(8080);
        }
        let secure = match self.tls.is_empty() {
            true => None,
            false => Some(tls::acceptor(self.certificate.as_deref(), self.key.as_deref())?),
        };
        let (end, ending) = watch::channel(false);
        let mut serving = Serving { addresses: Vec::new(), datagrams: Vec::new(), tasks: JoinSet::new(), end };
        let of = |ports: &[u16], kind: Kind| ports.iter().map(move |port| (*port, kind)).collect::<Vec<_>>();
        let wanted = [
            of(&self.http, Kind::Http),
            of(&self.grpc, Kind::Http),
            of(&self.tcp, Kind::Tcp),
            of(&self.greeting, Kind::Greeting),
        ];
        for (port, kind) in wanted.concat() {
            let listener = listen(self.bind, port).await?;
            serving.addresses.push(listener.local_addr()?);
            let secure = if self.tls.contains(&port) { secure.clone() } else { None };
            serving.tasks.spawn(accept(listener, kind, secure, who.clone(), ending.clone()));
        }
        for port in self.udp {
            let socket = bound(self.bind, port, UdpSocket::bind).await?;
            serving.datagrams.push(socket.local_addr()?);
            serving.tasks.spawn(stream::datagrams(socket, who.clone()));
        }
        Ok(serving)
    }
}

impl Serving {
    /// Takes no more connections, and lets the calls under way end.
    pub async fn finish(mut self) {
        self.end.send_replace(true);
        let rest = async {
            // Sockets of UDP have no calls that could end.
            while self.tasks.len() > self.datagrams.len() {
                self.tasks.join_next().await;
            }
        };
        let _ = tokio::time::timeout(LAST_CALLS, rest).await;
    }
}

/// Waits until the process ends.
pub(super) async fn ended(ending: &mut watch::Receiver<bool>) {
    // A sender that has gone has ended as well.
    let _ = ending.wait_for(|ended| *ended).await;
}

async fn listen(on: Option<std::net::IpAddr>, port: u16) -> anyhow::Result<TcpListener> {
    bound(on, port, TcpListener::bind).await
}

/// On the address that was asked for; else on every address of both families, or of IPv4 where there is no IPv6.
async fn bound<S, F: Future<Output = std::io::Result<S>>>(
    on: Option<std::net::IpAddr>,
    port: u16,
    bind: impl Fn(SocketAddr) -> F,
) -> anyhow::Result<S> {
    let first = on.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    let opened = match bind((first, port).into()).await {
        Err(_) if on.is_none() => bind((Ipv4Addr::UNSPECIFIED, port).into()).await,
        opened => opened,
    };
    opened.with_context(|| format!("cannot listen on port {port}"))
}

async fn accept(
    listener: TcpListener,
    kind: Kind,
    secure: Option<TlsAcceptor>,
    who: Arc<Who>,
    mut ending: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (secure, who, ending) = (secure.clone(), who.clone(), ending.clone());
                connections.spawn(async move {
                    let _ = connection(stream, kind, secure, &who, ending).await;
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = ended(&mut ending) => break,
        }
    }
    // Whoever has connected by now waits for an answer.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        let (secure, who) = (secure.clone(), who.clone());
        connections.spawn(async move {
            let (end, ending) = watch::channel(false);
            let soon = async {
                tokio::time::sleep(LAST_CONNECTIONS).await;
                end.send_replace(true);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = connection(stream, kind, secure, &who, ending) => {}
                () = soon => {}
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    kind: Kind,
    secure: Option<TlsAcceptor>,
    who: &Arc<Who>,
    ending: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut over = Over { local: stream.local_addr()?, peer: stream.peer_addr()?, tls: None };
    let Some(secure) = secure else { return carry(stream, kind, who, over, ending).await };
    let stream = tokio::time::timeout(HANDSHAKE, secure.accept(stream)).await??;
    over.tls = Some(tls::seen(stream.get_ref().1));
    carry(stream, kind, who, over, ending).await
}

async fn carry<S>(
    stream: S,
    kind: Kind,
    who: &Arc<Who>,
    over: Over,
    ending: watch::Receiver<bool>,
) -> anyhow::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    match kind {
        Kind::Http => http::serve(stream, who.clone(), over, ending).await,
        Kind::Tcp => stream::echo(stream, who, &over, false, ending).await,
        Kind::Greeting => stream::echo(stream, who, &over, true, ending).await,
    }
}
