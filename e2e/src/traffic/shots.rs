//! One request of each kind. Connections are kept and shared as a usual client does; a kept connection that is said
//! to be closed is not used again.

use crate::client::{Call, Connection, Reply, exchange, http2::Client};
use bytes::Bytes;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

/// Something that can be asked for again and again.
pub trait Shot: Clone + Send + 'static {
    /// One request; an error is the reason in a few words, the same for the same reason.
    fn fire(&self, id: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// HTTP/1.1 over kept connections.
#[derive(Clone)]
pub struct Http1 {
    to: SocketAddr,
    call: Call,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Http1 {
    /// Such a call again and again.
    pub fn new(to: SocketAddr, call: Call) -> Http1 {
        Http1 { to, call, idle: Arc::default() }
    }

    async fn reply(&self, id: &str) -> anyhow::Result<Reply> {
        let kept = self.idle.lock().expect("no holder panics").pop();
        let mut connection = match kept {
            Some(kept) => kept,
            None => Connection::open(self.to, None).await?,
        };
        let reply = connection.call(&self.call.clone().header("x-request-id", id)).await?;
        if !reply.closes {
            self.idle.lock().expect("no holder panics").push(connection);
        }
        Ok(reply)
    }
}

impl Shot for Http1 {
    async fn fire(&self, id: &str) -> Result<(), String> {
        match self.reply(id).await {
            Ok(reply) if reply.status == 200 => Ok(()),
            Ok(reply) => Err(format!("{} {}", reply.status, short(&reply.body))),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// Connections of HTTP/2 that calls take in turn.
#[derive(Clone)]
struct Clients {
    to: SocketAddr,
    open: Arc<Vec<tokio::sync::Mutex<Option<Client>>>>,
}

impl Clients {
    fn new(to: SocketAddr, connections: usize) -> Clients {
        Clients { to, open: Arc::new((0..connections).map(|_| Default::default()).collect()) }
    }

    async fn one(&self) -> anyhow::Result<Client> {
        let mut slot = self.open[fastrand::usize(..self.open.len())].lock().await;
        if let Some(client) = slot.as_ref().filter(|c| !c.is_closed()) {
            return Ok(client.clone());
        }
        let client = Client::open(self.to, None).await?;
        *slot = Some(client.clone());
        Ok(client)
    }
}

/// HTTP/2 with prior knowledge.
#[derive(Clone)]
pub struct Http2 {
    clients: Clients,
    host: Arc<str>,
}

impl Http2 {
    /// `GET /` again and again, over four connections.
    pub fn new(to: SocketAddr, host: &str) -> Http2 {
        Http2 { clients: Clients::new(to, 4), host: host.into() }
    }
}

impl Shot for Http2 {
    async fn fire(&self, id: &str) -> Result<(), String> {
        let client = self.clients.one().await.map_err(|e| format!("{e:#}"))?;
        match client.request(&self.host, "/", &[("x-request-id", id)], Bytes::new()).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("{} {}", answer.status.as_u16(), short(&String::from_utf8_lossy(&answer.body)))),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// Unary gRPC.
#[derive(Clone)]
pub struct Grpc {
    clients: Clients,
    host: Arc<str>,
}

impl Grpc {
    /// One message there and back, again and again, over four connections.
    pub fn new(to: SocketAddr, host: &str) -> Grpc {
        Grpc { clients: Clients::new(to, 4), host: host.into() }
    }
}

impl Shot for Grpc {
    async fn fire(&self, id: &str) -> Result<(), String> {
        let client = self.clients.one().await.map_err(|e| format!("{e:#}"))?;
        let answer = client.grpc(&self.host, "/mesh.Echo/Unary", id, &[id.as_bytes()]).await;
        let answer = answer.map_err(|e| format!("{e:#}"))?;
        match answer.grpc_status() {
            Some("0") if answer.body.ends_with(id.as_bytes()) => Ok(()),
            Some("0") => Err("another answer than the message".into()),
            status => {
                let message = answer.trailers.get("grpc-message").or_else(|| answer.headers.get("grpc-message"));
                let message = message.and_then(|m| m.to_str().ok()).unwrap_or_default();
                Err(format!("grpc-status {status:?} {}", short(message)))
            }
        }
    }
}

/// A new TCP connection for each exchange.
#[derive(Clone)]
pub struct Tcp {
    to: SocketAddr,
    from: Arc<[IpAddr]>,
}

impl Tcp {
    /// From these addresses in turn, as one alone has too few ports for long runs; none: any.
    pub fn new(to: SocketAddr, from: impl IntoIterator<Item = IpAddr>) -> Tcp {
        Tcp { to, from: from.into_iter().collect() }
    }
}

impl Shot for Tcp {
    async fn fire(&self, id: &str) -> Result<(), String> {
        let from = fastrand::choice(self.from.iter()).copied();
        match exchange(self.to, from, id.as_bytes()).await {
            Ok(back) if back == id.as_bytes() => Ok(()),
            Ok(back) if back.is_empty() => Err("ended without an answer".into()),
            Ok(_) => Err("other bytes came back".into()),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

fn short(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
