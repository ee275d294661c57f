//! Upstreams that close idle connections just when requests come.

use super::IDLE;
use crate::{
    client::Call,
    mesh::{GRPC, HTTP, Mesh, Plan, Workload},
    traffic::{Grpc, Http1, Load, Outcome, Pace},
    workload::Kind,
};
use mesh_runtime::clock;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    time::Duration,
};

/// The details of a failure that is owed to a closed connection.
pub const LABEL: &str = "stale_connection";

/// What the drill found.
#[derive(Debug, Default)]
pub struct Stale {
    /// By kind of request.
    pub outcomes: Vec<(String, Outcome)>,
    /// Requests that a server saw more than once, of those that may not be repeated.
    pub seen_twice: Vec<String>,
    /// Failed without the label.
    pub unlabelled: Vec<String>,
}

impl Stale {
    /// GETs that failed: none should.
    pub fn failed_gets(&self) -> u64 {
        self.outcomes.iter().filter(|(name, _)| name.starts_with("GET")).map(|(_, o)| o.failures()).sum()
    }

    /// Whether all is as it should be.
    pub fn is_clean(&self) -> bool {
        self.failed_gets() == 0 && self.seen_twice.is_empty() && self.unlabelled.is_empty()
    }
}

/// Behind the caller's sidecar, `bare`; behind the server's own, `meshed`.
pub fn plan() -> Plan {
    let closes = |workload: Workload| {
        workload.serves(HTTP, Kind::Http1ClosingIdle(IDLE)).serves(GRPC, Kind::Http2ClosingIdle(IDLE))
    };
    let workloads =
        [Workload::new("client"), closes(Workload::new("meshed")), closes(Workload::new("bare").without_sidecar())];
    Plan::new(workloads).access_log("%REQ(X-REQUEST-ID)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
}

/// Groups of requests, with pauses about as long as the upstreams' patience.
pub async fn stale_connections(mesh: &Mesh, rate: u64, time: Duration) -> Stale {
    let every = IDLE;
    let group = (rate * u64::try_from(every.as_millis()).expect("small") / 1000).max(1);
    let pace = Pace { every, group, jitter: Duration::from_millis(30) };
    let mut loads = Vec::new();
    for to in ["meshed", "bare"] {
        let host = mesh.host(to, HTTP);
        let at = mesh.egress("client", HTTP);
        loads.push((format!("GET {to}"), Load::start("get", pace, Http1::new(at, Call::get(&host, "/")))));
        let post = Call::post(&host, "/", b"charge the card");
        loads.push((format!("POST {to}"), Load::start("post", pace, Http1::new(at, post))));
        let grpc = Grpc::new(mesh.egress("client", GRPC), &mesh.host(to, GRPC));
        loads.push((format!("gRPC {to}"), Load::start("grpc", pace, grpc)));
    }
    let end = clock::now() + time;
    while clock::now() < end {
        loads[0].1.more(1).await;
    }
    let mut found = Stale::default();
    for (name, load) in loads {
        found.outcomes.push((name, load.stop().await));
    }
    found.seen_twice = seen_twice(mesh);
    found.unlabelled = unlabelled(mesh, &found.outcomes).await;
    found
}

fn seen_twice(mesh: &Mesh) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for (workload, port) in [("meshed", HTTP), ("meshed", GRPC), ("bare", HTTP), ("bare", GRPC)] {
        for (id, count) in mesh.app(workload, port).seen.take() {
            *seen.entry(id).or_default() += count;
        }
    }
    let once_only = |id: &str| id.starts_with("post-") || id.starts_with("grpc-");
    seen.into_iter().filter(|(id, count)| *count > 1 && once_only(id)).map(|(id, _)| id).collect()
}

/// Waits until the log has a line about each failure; gives those whose lines lack the label.
async fn unlabelled(mesh: &Mesh, outcomes: &[(String, Outcome)]) -> Vec<String> {
    let failed: Vec<&String> = outcomes.iter().flat_map(|(_, outcome)| &outcome.failed_ids).collect();
    if failed.is_empty() {
        return Vec::new();
    }
    let end = clock::now() + Duration::from_secs(10);
    loop {
        let log = fs::read_to_string(mesh.access_log()).unwrap_or_default();
        let mut labelled: BTreeMap<&str, bool> = BTreeMap::new();
        for line in log.lines() {
            if let Some((id, rest)) = line.split_once(' ') {
                *labelled.entry(id).or_default() |= rest.contains(LABEL);
            }
        }
        let missing = failed.iter().filter(|id| !labelled.get(id.as_str()).is_some_and(|labelled| *labelled));
        let missing: Vec<String> = missing.map(|id| (*id).clone()).collect();
        if missing.is_empty() || clock::now() > end {
            return missing;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
