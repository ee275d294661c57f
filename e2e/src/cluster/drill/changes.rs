//! Policies and routes that change under load, each seen in effect; and how long that takes from the moment it is written.

use super::{Stage, deny, route};
use crate::client::{Call, Reply};
use anyhow::{Context, Result, ensure};
use mesh_runtime::clock;
use std::{net::SocketAddr, time::Duration};

/// Longest wait for a change to be in force.
const LONGEST: Duration = Duration::from_secs(20);
/// So many answers in a row show a change: every pod of the server has given one.
const IN_A_ROW: u32 = 12;

/// How long changes took to be in force, the shortest first.
#[derive(Debug, Clone, Default)]
pub struct Took(Vec<Duration>);

impl Took {
    /// Half of them took no longer.
    pub fn median(&self) -> Duration {
        self.quantile(50)
    }

    /// All but a hundredth took no longer.
    pub fn p99(&self) -> Duration {
        self.quantile(99)
    }

    fn quantile(&self, percent: usize) -> Duration {
        self.0.get((self.0.len() * percent / 100).min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Changes what a route adds to answers at the gateway and what a policy denies at the server, in turn.
///
/// # Errors
/// When a change is not in force in time.
pub async fn changes(stage: &Stage<'_>, gateway: SocketAddr, times: u32) -> Result<Took> {
    let mut took = Vec::new();
    for number in 0..times {
        let path = format!("/number/{number}");
        took.push(match number % 2 {
            // A stage begins with route 0.
            0 => change(stage, &route(number + 1), || is_routed(gateway, number + 1)).await?,
            _ => change(stage, &deny("number", &path), || is_denied(gateway, &path)).await?,
        });
    }
    took.sort_unstable();
    Ok(Took(took))
}

/// Where the ingress gateway is reached from this machine.
///
/// # Errors
/// When its balancer has no address.
pub fn gateway(stage: &Stage<'_>) -> Result<SocketAddr> {
    let query = "--output=jsonpath={.status.loadBalancer.ingress[0].ip}";
    let words = ["get", "service", "istio-ingressgateway", "--namespace=istio-ingress", query];
    let address: std::net::IpAddr =
        stage.mesh.cluster.kubectl(&words)?.parse().context("the gateway has no address")?;
    Ok((address, 80).into())
}

/// From the moment the API server has it.
async fn change<F: Future<Output = Result<bool>>>(
    stage: &Stage<'_>,
    objects: &str,
    is_in_force: impl Fn() -> F,
) -> Result<Duration> {
    stage.inside.apply(objects)?;
    let begin = clock::now();
    let (mut first, mut row) = (Duration::ZERO, 0);
    while row < IN_A_ROW {
        if is_in_force().await? {
            if row == 0 {
                first = clock::since(begin);
            }
            row += 1;
        } else {
            row = 0;
            ensure!(clock::since(begin) < LONGEST, "not in force after {LONGEST:?}: {objects}");
        }
    }
    Ok(first)
}

async fn is_routed(gateway: SocketAddr, number: u32) -> Result<bool> {
    let reply = answered(gateway, "/").await?;
    ensure!(reply.status == 200, "a call was answered {}: {}", reply.status, reply.body);
    Ok(reply.header("x-number") == Some(&number.to_string()))
}

async fn is_denied(gateway: SocketAddr, path: &str) -> Result<bool> {
    let reply = answered(gateway, path).await?;
    ensure!([200, 403].contains(&reply.status), "a call was answered {}: {}", reply.status, reply.body);
    Ok(reply.status == 403)
}

async fn answered(gateway: SocketAddr, path: &str) -> Result<Reply> {
    Call::get("drill.example.com", path).send(gateway).await
}
