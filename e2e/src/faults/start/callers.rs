//! Who calls: one whom the policy admits, another workload of the mesh, somebody in plain text, and the application
//! itself. Each call has a connection of its own.

use super::place::{ECHO, HTTP, Place, UNDECLARED, nobody, partner};
use crate::{
    client::{Call, connect},
    mesh::fqdn,
    namespace::{Inside, SERVER},
    traffic::{Load, Outcome, Pace, Shot},
    until,
};
use anyhow::bail;
use mesh_runtime::{
    clock,
    snapshot::Reader,
    testing::mesh_profile,
    tls::{client::ClientTls, verify::ExpectedPeer},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

/// The load whose calls are to be answered.
pub(super) const ADMITTED: &str = "admitted";
/// No refusal is waited for any longer.
const REFUSAL: Duration = Duration::from_secs(3);
/// No answer is, on a machine that has much else to do.
const ANSWER: Duration = Duration::from_secs(15);

/// All of them, at work.
pub(super) struct Callers {
    outside: Arc<Inside>,
    loads: Vec<Load>,
    answered: Arc<Mutex<Option<Instant>>>,
}

impl Callers {
    /// So many connections a second of each.
    pub(super) async fn start(place: &Place, rate: u64) -> Callers {
        let answered = Arc::<Mutex<Option<Instant>>>::default();
        let client = |account| Some(Arc::new(ClientTls::new(Reader::fixed(place.issue(account)))));
        let (admitted, stranger) = (client("admitted"), client("stranger"));
        let marks = answered.clone();
        let mut loads = place
            .outside
            .run(async move {
                let pace = Pace::rate(rate);
                vec![
                    Load::start(ADMITTED, pace, Admitted { tls: admitted, answered: marks }),
                    Load::start("stranger", pace, Refused { tls: stranger }),
                    Load::start("plain text", pace, Refused { tls: None }),
                ]
            })
            .await;
        let pace = Pace::rate((rate / 4).max(1));
        loads.push(place.inside.run(async move { Load::start("outbound", pace, Outbound) }).await);
        Callers { outside: place.outside.clone(), loads, answered }
    }

    /// No answer has been seen from here on.
    pub(super) fn forget_answers(&self) {
        *self.answered.lock().expect("no holder panics") = None;
    }

    /// Whether an admitted call has been answered since.
    pub(super) fn has_answer(&self) -> bool {
        self.answered.lock().expect("no holder panics").is_some()
    }

    /// Waits for the first answer since; when it came.
    pub(super) async fn answered(&self) -> Instant {
        let first = || *self.answered.lock().expect("no holder panics");
        until("an admitted call is answered", || async { first().ok_or_else(|| self.loads[0].so_far().failed) }).await
    }

    /// Waits until so many more calls of each have ended.
    pub(super) async fn more(&self, calls: u64) {
        let targets: Vec<u64> = self.loads.iter().map(|load| load.done() + calls).collect();
        for (load, target) in self.loads.iter().zip(targets) {
            load.reaches(target).await;
        }
    }

    /// Ends them; each with its outcome.
    pub(super) async fn stop(self) -> Vec<(&'static str, Outcome)> {
        let mut outcomes = Vec::new();
        for load in self.loads {
            let name = load.name;
            outcomes.push((name, self.outside.run(load.stop()).await));
        }
        outcomes
    }
}

/// Calls that the policy admits.
#[derive(Clone)]
struct Admitted {
    tls: Option<Arc<ClientTls>>,
    answered: Arc<Mutex<Option<Instant>>>,
}

impl Shot for Admitted {
    async fn fire(&self, id: &str) -> Result<(), String> {
        match talk(self.tls.as_deref(), HTTP, id, ANSWER).await {
            Ok(true) => {
                self.answered.lock().expect("no holder panics").get_or_insert_with(clock::now);
                Ok(())
            }
            Ok(false) => Err("refused".into()),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// Calls that must not be served, whoever makes them, on any port.
#[derive(Clone)]
struct Refused {
    tls: Option<Arc<ClientTls>>,
}

impl Shot for Refused {
    async fn fire(&self, id: &str) -> Result<(), String> {
        let port = fastrand::choice([HTTP, ECHO, UNDECLARED]).unwrap_or(HTTP);
        match talk(self.tls.as_deref(), port, id, REFUSAL).await {
            Ok(true) => Err(format!("served on {port}")),
            Ok(false) | Err(_) => Ok(()),
        }
    }
}

/// What the application says to others, with a secret; where it arrives is judged there.
#[derive(Clone)]
struct Outbound;

impl Shot for Outbound {
    async fn fire(&self, id: &str) -> Result<(), String> {
        let to = if fastrand::bool() { partner() } else { nobody() };
        let call = Call::get(&format!("{}:{}", fqdn("partner"), to.port()), "/");
        let call = call.header("x-request-id", id).header("authorization", "Bearer secret");
        let _ = tokio::time::timeout(REFUSAL, call.send(to)).await;
        Ok(())
    }
}

/// Calls the server; whether it was served. Anything but an answer of the application is a refusal.
async fn talk(tls: Option<&ClientTls>, port: u16, id: &str, patience: Duration) -> anyhow::Result<bool> {
    let work = async {
        let stream = connect(SocketAddr::from((SERVER, port)), None).await?;
        let Some(tls) = tls else { return said(stream, port, id).await };
        let alpn: &[&'static [u8]] = match port {
            ECHO => &[b"istio-peer-exchange", b"istio"],
            _ => &[b"istio-http/1.1", b"istio", b"http/1.1"],
        };
        let (stream, _) = tls.connect(stream, &mesh_profile(alpn, "server.test"), &ExpectedPeer::any()).await?;
        said(stream, port, id).await
    };
    match tokio::time::timeout(patience, work).await {
        Ok(served) => served,
        Err(_) => bail!("nothing within {patience:?}"),
    }
}

async fn said<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, port: u16, id: &str) -> anyhow::Result<bool> {
    let words = match port {
        ECHO => id.to_owned(),
        _ => format!("GET / HTTP/1.1\r\nHost: {}\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n", fqdn("server")),
    };
    stream.write_all(words.as_bytes()).await?;
    stream.flush().await?;
    let mut back = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&back);
        if text.contains(id) || text.starts_with("HTTP/1.1 200") {
            return Ok(true);
        }
        if text.contains("\r\n") {
            bail!("{}", text.lines().next().unwrap_or_default());
        }
        if stream.read_buf(&mut back).await? == 0 {
            return Ok(false);
        }
    }
}
