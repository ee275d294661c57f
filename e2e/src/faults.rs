//! Drills: what is done to a mesh while it carries load, and what must be seen of it.

pub mod changes;
pub mod endpoints;
mod pilot;
pub mod policy;
mod rotation;
pub mod stale;
pub mod start;

pub use pilot::pilot_restarts;
pub use rotation::rotations;
pub use stale::{Stale, stale_connections};

use crate::{
    client::Call,
    mesh::{GRPC, HTTP, HTTP2, Mesh, Plan, TCP, Workload},
    traffic::{Grpc, Http1, Http2, Load, Outcome, Pace, Tcp},
    workload::Kind,
};
use std::time::Duration;

/// The application behind the stale drill closes connections idle for so long.
pub const IDLE: Duration = Duration::from_millis(200);

/// The mesh that all drills but the stale one are about: a caller, and two versions of a server.
pub fn plan() -> Plan {
    let server = |name: &str, version: &str| {
        Workload::new(name)
            .version("server", version)
            .serves(HTTP, Kind::Http1)
            .serves(GRPC, Kind::Http2)
            .serves(HTTP2, Kind::Http2)
            .serves(TCP, Kind::Echo)
    };
    Plan::new([Workload::new("client"), server("server-v1", "v1"), server("server-v2", "v2")])
}

/// Four loads at once, through two sidecars.
pub struct Loads(Vec<Load>);

impl Loads {
    /// So many requests a second of each.
    pub fn start(mesh: &Mesh, rate: u64) -> Loads {
        let (pace, at) = (Pace::rate(rate), |port| mesh.egress("client", port));
        let host = |port| mesh.host("server", port);
        let sources = (0..16).map(|n| mesh.spare_ip(n));
        Loads(vec![
            Load::start("http/1.1", pace, Http1::new(at(HTTP), Call::get(&host(HTTP), "/"))),
            Load::start("http/2", pace, Http2::new(at(HTTP2), &host(HTTP2))),
            Load::start("grpc", pace, Grpc::new(at(GRPC), &host(GRPC))),
            Load::start("tcp", pace, Tcp::new(at(TCP), sources)),
        ])
    }

    /// Waits until so many more of each have been answered.
    pub async fn more(&self, requests: u64) {
        let targets: Vec<u64> = self.0.iter().map(|load| load.done() + requests).collect();
        for (load, target) in self.0.iter().zip(targets) {
            load.reaches(target).await;
        }
    }

    /// How many have failed so far.
    pub fn failures(&self) -> u64 {
        self.0.iter().map(|load| load.so_far().failures()).sum()
    }

    /// Stops them; each with its outcome.
    pub async fn stop(self) -> Vec<(&'static str, Outcome)> {
        let mut outcomes = Vec::new();
        for load in self.0 {
            outcomes.push((load.name, load.stop().await));
        }
        outcomes
    }
}
