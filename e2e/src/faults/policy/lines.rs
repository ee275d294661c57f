//! Connections that are held open and used all the time: HTTP/1 kept alive, HTTP/2, a WebSocket, opaque bytes.

use crate::client::{Call, Connection, Wire, dial, http2::Client};
use anyhow::{Context, ensure};
use bytes::Bytes;
use mesh_runtime::{clock, tls::client::ClientTls};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::Instant,
};

/// Between two exchanges of a line.
const PAUSE: Duration = Duration::from_millis(10);
/// What is said where bytes are opaque: like no other protocol.
const WORD: &[u8] = b"\0word";
/// Nobody answers later than this.
const ANSWER: Duration = Duration::from_secs(5);

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
    WebSocket,
    Tcp,
}

pub(super) const ALL: [Speaks; 4] = [Speaks::Http1, Speaks::Http2, Speaks::WebSocket, Speaks::Tcp];

/// Who calls: a name, and a certificate or plain text.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) name: &'static str,
    pub(super) tls: Option<Arc<ClientTls>>,
}

/// Where each protocol is served.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) http1: SocketAddr,
    pub(super) http2: SocketAddr,
    pub(super) tcp: SocketAddr,
}

/// A connection that is open, ready for the next exchange.
pub(super) enum Open {
    Http1(Connection<Wire>),
    Http2(Client),
    /// A WebSocket's tunnel or a TCP connection: what is said comes back.
    Bytes(Wire),
}

impl Open {
    /// Connects, and upgrades where that is asked for.
    pub(super) async fn connect(caller: &Caller, server: &Server, speaks: Speaks) -> anyhow::Result<Open> {
        match tokio::time::timeout(ANSWER, Open::try_connect(caller, server, speaks)).await {
            Ok(open) => open,
            Err(_) => anyhow::bail!("no connection within {ANSWER:?}"),
        }
    }

    async fn try_connect(caller: &Caller, server: &Server, speaks: Speaks) -> anyhow::Result<Open> {
        let (to, alpn): (_, &[&'static [u8]]) = match speaks {
            Speaks::Http1 | Speaks::WebSocket => (server.http1, &[b"istio-http/1.1", b"istio", b"http/1.1"]),
            Speaks::Http2 => (server.http2, &[b"istio-h2", b"istio", b"h2"]),
            // Without `istio-peer-exchange`, or the proxy introduces itself before the application speaks.
            Speaks::Tcp => (server.tcp, &[b"istio", b"h2"]),
        };
        let wire = dial(to, caller.tls.as_deref(), alpn).await?;
        Ok(match speaks {
            Speaks::Http1 => Open::Http1(Connection::over(wire)),
            Speaks::Http2 => Open::Http2(Client::over(wire).await?),
            Speaks::Tcp => Open::Bytes(wire),
            Speaks::WebSocket => {
                let mut connection = Connection::over(wire);
                let upgrade =
                    Call::get(&server.host, "/").header("connection", "Upgrade").header("upgrade", "websocket");
                let upgrade =
                    upgrade.header("sec-websocket-key", "bm90IGEgbm9uY2UgYXQ=").header("sec-websocket-version", "13");
                let reply = connection.call(&upgrade).await?;
                ensure!(reply.status == 101, "{} instead of a tunnel", reply.status);
                Open::Bytes(connection.into_stream())
            }
        })
    }

    /// One request or one message there and back.
    pub(super) async fn exchange(&mut self, server: &Server) -> Said {
        match tokio::time::timeout(ANSWER, self.try_exchange(server)).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => Said::Ended(format!("{error:#}")),
            Err(_) => Said::Ended(format!("no answer within {ANSWER:?}")),
        }
    }

    async fn try_exchange(&mut self, server: &Server) -> anyhow::Result<Said> {
        let status = match self {
            Open::Http1(connection) => {
                let reply = connection.call(&Call::get(&server.host, "/")).await?;
                match (reply.status, reply.closes) {
                    (200, true) => return Ok(Said::PassedLast),
                    (status, true) => return Ok(Said::Ended(status.to_string())),
                    (status, false) => status,
                }
            }
            Open::Http2(client) => client.request(&server.host, "/", &[], Bytes::new()).await?.status.as_u16(),
            Open::Bytes(wire) => {
                wire.write_all(WORD).await?;
                wire.flush().await?;
                let mut back = [0; WORD.len()];
                wire.read_exact(&mut back).await.context("nothing came back")?;
                ensure!(back == WORD, "other bytes came back");
                200
            }
        };
        Ok(if status == 200 { Said::Passed } else { Said::Refused })
    }
}

/// What became of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Passed,
    /// And the server said that the connection ends with it.
    PassedLast,
    /// The connection stays, the answer is no.
    Refused,
    /// With the reason.
    Ended(String),
}

/// What is known of a line.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) exchanges: u64,
    pub(super) last_passed: Option<Instant>,
    /// Why not, where the last exchange did not pass.
    pub(super) stopped: Option<String>,
}

/// A connection in use; it is given up with this value.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) what: String,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Line {
    /// Opens it and waits for its first exchange.
    pub(super) async fn start(caller: &Caller, server: &Server, speaks: Speaks) -> anyhow::Result<Line> {
        let what = format!("{} over {speaks:?}", caller.name);
        let mut open = Open::connect(caller, server, speaks).await.with_context(|| what.clone())?;
        let first = open.exchange(server).await;
        ensure!(first == Said::Passed, "{what}: {first:?}");
        let seen = Arc::<Mutex<Seen>>::default();
        let (caller, server, kept) = (caller.clone(), server.clone(), seen.clone());
        let task = tokio::spawn(async move { use_it(open, &caller, &server, speaks, &kept).await });
        Ok(Line { what, seen, task })
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().expect("no holder panics").clone()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn use_it(mut open: Open, caller: &Caller, server: &Server, speaks: Speaks, seen: &Mutex<Seen>) {
    loop {
        let said = open.exchange(server).await;
        let mut now = seen.lock().expect("no holder panics").clone();
        now.exchanges += 1;
        now.stopped = match &said {
            Said::Passed | Said::PassedLast => None,
            Said::Refused => Some("refused".into()),
            Said::Ended(why) => Some(why.clone()),
        };
        if now.stopped.is_none() {
            now.last_passed = Some(clock::now());
        }
        *seen.lock().expect("no holder panics") = now;
        match said {
            Said::Passed | Said::Refused => {}
            Said::Ended(_) => return,
            // A connection that is said to end is no loss: the next one goes on.
            Said::PassedLast => match Open::connect(caller, server, speaks).await {
                Ok(next) => open = next,
                Err(error) => {
                    seen.lock().expect("no holder panics").stopped = Some(format!("{error:#}"));
                    return;
                }
            },
        }
        tokio::time::sleep(PAUSE).await;
    }
}
