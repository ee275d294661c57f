//! Who calls: one whom the policy admits, another workload of the mesh, somebody in plain text, and the application
//! itself. Each call has a connection of its own.

use super::{
    course::{Course, Stage},
    place::{ECHO, HTTP, Place, UNDECLARED, nobody, partner},
};
use crate::{
    client::{Call, Wire, dial},
    mesh::fqdn,
    namespace::{Inside, SERVER},
    traffic::{Load, Outcome, Pace, Shot},
    until,
};
use anyhow::bail;
use mesh_runtime::{snapshot::Reader, tls::client::ClientTls};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

/// The load whose calls are to be answered while the sidecar serves.
pub(super) const ADMITTED: &str = "admitted";
/// No refusal is waited for any longer, nor an answer of a sidecar that has not begun to answer.
const REFUSAL: Duration = Duration::from_secs(3);
/// An answer that must come, on a machine that has much else to do.
const ANSWER: Duration = Duration::from_secs(15);

/// All of them, at work.
pub(super) struct Callers {
    outside: Arc<Inside>,
    loads: Vec<Load>,
    /// How the admitted ones fare.
    pub(super) course: Course,
}

impl Callers {
    /// So many connections a second of each.
    pub(super) async fn start(place: &Place, rate: u64) -> Callers {
        let client = |account| Some(Arc::new(ClientTls::new(Reader::fixed(place.issue(account)))));
        let (admitted, stranger) = (client("admitted"), client("stranger"));
        let course = Course::default();
        let told = course.clone();
        let mut loads = place
            .outside
            .run(async move {
                let pace = Pace::rate(rate);
                vec![
                    Load::start(ADMITTED, pace, Admitted { tls: admitted, course: told }),
                    Load::start("stranger", pace, Refused { tls: stranger }),
                    Load::start("plain text", pace, Refused { tls: None }),
                ]
            })
            .await;
        let pace = Pace::rate((rate / 4).max(1));
        loads.push(place.inside.run(async move { Load::start("outbound", pace, Outbound) }).await);
        Callers { outside: place.outside.clone(), loads, course }
    }

    /// Waits for the first answer of this start; when it came.
    pub(super) async fn answered(&self) -> Instant {
        let first = || async { self.course.answered().ok_or_else(|| self.course.outcomes().remove(&Stage::Starting)) };
        until("an admitted call is answered", first).await
    }

    /// Waits until so many more calls that must be answered have ended, one way or the other.
    pub(super) async fn served(&self, calls: u64) {
        let ended = || self.course.outcomes().get(&Stage::Serving).map_or(0, |outcome| outcome.ok + outcome.failures());
        let target = ended() + calls;
        let reached = || async { if ended() >= target { Ok(()) } else { Err(ended()) } };
        until(&format!("{target} calls in service"), reached).await;
    }

    /// Waits until so many more calls of each have ended.
    pub(super) async fn more(&self, calls: u64) {
        let targets: Vec<u64> = self.loads.iter().map(|load| load.done() + calls).collect();
        for (load, target) in self.loads.iter().zip(targets) {
            load.reaches(target).await;
        }
    }

    /// Ends them; each with its outcome. Of the admitted ones, which [`Course`] judges, those that the harness did not
    /// come to are left.
    pub(super) async fn stop(self) -> Vec<(&'static str, Outcome)> {
        let mut outcomes = Vec::new();
        for load in self.loads {
            let name = load.name;
            let mut outcome = self.outside.run(load.stop()).await;
            if name == ADMITTED {
                outcome.ok = 0;
            }
            outcomes.push((name, outcome));
        }
        outcomes
    }
}

/// Calls that the policy admits.
#[derive(Clone)]
struct Admitted {
    tls: Option<Arc<ClientTls>>,
    course: Course,
}

impl Shot for Admitted {
    async fn fire(&self, id: &str) -> Result<(), String> {
        let begun = self.course.begin();
        let patience = if begun.stage == Stage::Serving { ANSWER } else { REFUSAL };
        let result = match talk(self.tls.as_deref(), HTTP, id, patience).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("refused".into()),
            Err(error) => Err(format!("{error:#}")),
        };
        self.course.end(begun, id, result);
        Ok(())
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
        let alpn: &[&'static [u8]] = match port {
            ECHO => &[b"istio-peer-exchange", b"istio"],
            _ => &[b"istio-http/1.1", b"istio", b"http/1.1"],
        };
        said(dial(SocketAddr::from((SERVER, port)), tls, alpn).await?, port, id).await
    };
    match tokio::time::timeout(patience, work).await {
        Ok(served) => served,
        Err(_) => bail!("nothing within {patience:?}"),
    }
}

async fn said(mut stream: Wire, port: u16, id: &str) -> anyhow::Result<bool> {
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
