//! Endpoints change many times a second while hundreds of clients follow them and requests go to them through sidecars.
//!
//! Each change is a file of its own with the two workloads of one service: one leaves, one comes, or their weight is
//! another. The weight is the number of the change, so that every client says which changes it has seen, and when.
//! Changes of the same service may come as one; the last one of each must come to every client.

mod followers;

use super::Loads;
use crate::{
    client::Call,
    mesh::{GRPC, HTTP, HTTP2, Mesh, NAMESPACE, Port},
    traffic::{Grpc, Http1, Http2, Load, Outcome, Pace},
    until,
};
use followers::Followers;
use mesh_runtime::clock;
use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr, time::Duration};

/// Services whose endpoints change, in turn.
const SERVICES: usize = 10;
const PORTS: [Port; 3] = [HTTP, GRPC, HTTP2];
/// The last change comes to every client within this time, or counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Drill {
    /// Clients of discovery besides the sidecars.
    pub clients: usize,
    /// Changes a second.
    pub rate: u32,
    pub changes: u32,
    /// Requests a second of each kind.
    pub requests: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// By kind of request; the first four are to a service that stays as it is.
    pub outcomes: Vec<(&'static str, Outcome)>,
    /// From the beginning of the first change to the end of the last one.
    pub changing: Duration,
    /// From the last change until every client had it.
    pub catching_up: Duration,
    /// From a change to its being in force at a client, shortest first.
    pub lags: Vec<Duration>,
    /// Clients that never had the last change of every service.
    pub behind: Vec<String>,
    /// Streams of discovery, those that began again among them.
    pub streams: u64,
}

/// Makes the changes in a mesh of [`super::plan`], and waits until all clients have followed.
pub async fn endpoints(mesh: &Mesh, drill: Drill) -> Found {
    let mut shifts = Shifts { generations: [0; SERVICES], hosts: [mesh.ip("server-v1"), mesh.ip("server-v2")] };
    mesh.write("shifts", &services(drill.clients));
    let followers = Followers::start(mesh, drill.clients);
    (0..SERVICES).for_each(|service| shifts.next(mesh, &followers, service));
    until("the services that change are served", || served(mesh)).await;
    until("all clients have followed", async || nobody(followers.behind(&shifts.now()))).await;
    followers.forget_lags();

    let (steady, moving) = (Loads::start(mesh, drill.requests), loads(mesh, drill.requests));
    let begun = clock::now();
    for number in 0..drill.changes {
        tokio::time::sleep_until(begun + Duration::from_secs(1) * number / drill.rate).await;
        shifts.next(mesh, &followers, usize::try_from(number).expect("a number of changes") % SERVICES);
    }
    let (changing, made) = (clock::since(begun), clock::now());
    let behind = loop {
        let behind = followers.behind(&shifts.now());
        if behind.is_empty() || clock::since(made) >= PATIENCE {
            break behind;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let catching_up = clock::since(made);
    let mut outcomes = steady.stop().await;
    outcomes.extend(moving.stop().await);
    let (lags, streams) = followers.stop().await;
    Found { outcomes, changing, catching_up, lags, behind, streams }
}

fn nobody(behind: Vec<String>) -> Result<(), Vec<String>> {
    if behind.is_empty() { Ok(()) } else { Err(behind) }
}

async fn served(mesh: &Mesh) -> anyhow::Result<()> {
    for service in 0..SERVICES {
        let call = Call::get(&format!("{}:{}", host(service), HTTP.number), "/");
        let reply = call.send(mesh.egress("client", HTTP)).await?;
        anyhow::ensure!(reply.status == 200, "{service}: {} {}", reply.status, reply.body);
    }
    Ok(())
}

/// To services whose endpoints change.
fn loads(mesh: &Mesh, rate: u64) -> Loads {
    let (pace, at) = (Pace::rate(rate), |port| mesh.egress("client", port));
    let host = |service, port: Port| format!("{}:{}", host(service), port.number);
    Loads(vec![
        Load::start("moving http/1.1", pace, Http1::new(at(HTTP), Call::get(&host(0, HTTP), "/"))),
        Load::start("moving http/2", pace, Http2::new(at(HTTP2), &host(1, HTTP2))),
        Load::start("moving grpc", pace, Grpc::new(at(GRPC), &host(2, GRPC))),
    ])
}

/// An endpoint: its service, address and port.
type Key = (usize, IpAddr, u16);
/// Endpoints, and the change that made each what it is.
type Endpoints = BTreeMap<Key, u32>;

/// The endpoints of all services, as they were written last.
struct Shifts {
    generations: [u32; SERVICES],
    hosts: [IpAddr; 2],
}

impl Shifts {
    /// The next change of a service.
    fn next(&mut self, mesh: &Mesh, followers: &Followers, service: usize) {
        self.generations[service] += 1;
        let generation = self.generations[service];
        followers.written(service, generation);
        let mut objects = String::new();
        for host in self.present(service) {
            let _ = write!(
                objects,
                "---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: shift-{service}-{host}, namespace: {NAMESPACE}}}
spec:
  address: {host}
  serviceAccount: server
  weight: {generation}
  labels: {{shift: s{service}, security.istio.io/tlsMode: istio}}
"
            );
        }
        mesh.write(&format!("shift-{service}"), &objects);
    }

    /// Both, the first, both, the second, and so on.
    fn present(&self, service: usize) -> Vec<IpAddr> {
        let [first, second] = self.hosts;
        match self.generations[service] % 4 {
            1 => vec![first],
            3 => vec![second],
            _ => vec![first, second],
        }
    }

    /// What every client must have in the end.
    fn now(&self) -> Endpoints {
        let mut all = Endpoints::new();
        for service in 0..SERVICES {
            for host in self.present(service) {
                all.extend(PORTS.map(|port| ((service, host, port.target()), self.generations[service])));
            }
        }
        all
    }
}

fn host(service: usize) -> String {
    format!("shift-{service}.test")
}

/// The services, and a workload for each client.
fn services(clients: usize) -> String {
    let mut out = String::new();
    for service in 0..SERVICES {
        let _ = write!(
            out,
            "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shift-{service}, namespace: {NAMESPACE}}}
spec:
  hosts: [{}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {{labels: {{shift: s{service}}}}}
  ports:
",
            host(service)
        );
        for port in PORTS {
            let (number, name, protocol, target) = (port.number, port.name, port.protocol, port.target());
            let _ = writeln!(out, "  - {{number: {number}, name: {name}, protocol: {protocol}, targetPort: {target}}}");
        }
    }
    for client in 0..clients {
        let (name, address) = (followers::name(client), followers::address(client));
        let _ = write!(
            out,
            "---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec: {{address: {address}, serviceAccount: {}}}
",
            followers::ACCOUNT
        );
    }
    out
}
