//! What is open when a policy changes: connections of each kind are used all the time, by callers who may go on and
//! by callers who may not. What a new connection could not do, an open one soon cannot do either; who may go on loses
//! nothing.

mod lines;

use crate::{
    mesh::{HTTP, HTTP2, Mesh, Plan, TCP, Workload, issue},
    until,
    workload::Kind,
};
use anyhow::ensure;
use lines::{ALL, Caller, Line, Open, Said, Server, Speaks};
use mesh_config::identity::TrustDomain;
use mesh_runtime::{clock, snapshot::Reader, tls::client::ClientTls};
use std::{sync::Arc, time::Duration};

const OLD_DOMAIN: &str = "old.test";

/// What passes for so long will always pass.
const LONGEST: Duration = Duration::from_secs(10);

/// A change of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Plain text is no longer accepted.
    Strict,
    /// A caller who was allowed is denied.
    Deny,
    /// Another name of the trust domain is no longer one.
    NoAlias,
}

/// All of them.
pub const CHANGES: [Change; 3] = [Change::Strict, Change::Deny, Change::NoAlias];

/// What was found.
#[derive(Debug)]
pub struct Found {
    pub change: Change,
    /// Connections that were open.
    pub lines: usize,
    /// How long after a new connection was first refused something passed on an open one.
    pub longest: Duration,
    /// The line that did.
    pub last: String,
    /// Lines on which it never ended.
    pub open: Vec<String>,
    /// Lines that could go on and did not, with the reason.
    pub lost: Vec<String>,
    /// Exchanges on the lines that could go on.
    pub exchanges: u64,
}

/// A server that speaks everything.
pub fn plan() -> Plan {
    let server = Workload::new("server");
    Plan::new([server.serves(HTTP, Kind::Http1).serves(HTTP2, Kind::Http2).serves(TCP, Kind::Echo)])
}

/// Makes a change under `each` lines of every kind and caller; waits until nothing passes that should not.
///
/// # Panics
/// When the change does not hold for new connections within the harness's patience.
pub async fn policy_change(mesh: &Mesh, change: Change, each: usize) -> Found {
    let server = server(mesh);
    mesh.write("policy", &objects(change, false));
    let (stays, goes) = callers(mesh, change);
    let (mut may, mut may_not, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for speaks in ALL {
        // What the objects admit is admitted once they have arrived.
        for (caller, lines) in [(&stays, &mut may), (&goes, &mut may_not)] {
            let start = || Line::start(caller, &server, speaks);
            lines.push(until(&format!("{} may use {speaks:?}", caller.name), start).await);
            for _ in 1..each {
                lines.push(start().await.expect("what passed a moment ago passes"));
            }
        }
    }
    for _ in 0..each {
        silent.push(Open::connect(&goes, &server, Speaks::Http1).await.expect("what passed a moment ago passes"));
    }
    mesh.write("policy", &objects(change, true));
    // In force, for whoever comes now.
    for speaks in ALL {
        until(&format!("{change:?} holds for a new {speaks:?}"), || refused(&goes, &server, speaks)).await;
    }
    let in_force = clock::now();
    let mut longest = (Duration::ZERO, String::from("none"));
    // Those who said nothing so far speak one after the other, until one is not heard.
    for mut open in silent {
        if !matches!(open.exchange(&server).await, Said::Passed | Said::PassedLast) {
            break;
        }
        longest = (clock::since(in_force), format!("{} silent so far", goes.name));
    }
    let end = clock::now() + LONGEST;
    while may_not.iter().any(|line| line.seen().stopped.is_none()) && clock::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A while longer: what has stopped stays so, and the others go on.
    let rounds: Vec<u64> = may.iter().map(|line| line.seen().exchanges + 20).collect();
    for (line, round) in may.iter().zip(rounds) {
        let goes_on = || async {
            let seen = line.seen();
            if seen.exchanges >= round || seen.stopped.is_some() { Ok(()) } else { Err(seen) }
        };
        until(&format!("{change:?}: {} goes on", line.what), goes_on).await;
    }
    for line in &may_not {
        let after = line.seen().last_passed.map_or(Duration::ZERO, |last| last.saturating_duration_since(in_force));
        if after > longest.0 {
            longest = (after, line.what.clone());
        }
    }
    let open = may_not.iter().filter(|line| line.seen().stopped.is_none()).map(|line| line.what.clone());
    let lost = may.iter().filter_map(|line| line.seen().stopped.map(|why| format!("{}: {why}", line.what)));
    Found {
        change,
        lines: may.len() + may_not.len(),
        longest: longest.0,
        last: longest.1,
        open: open.collect(),
        lost: lost.collect(),
        exchanges: may.iter().map(|line| line.seen().exchanges).sum(),
    }
}

/// A new connection with one exchange.
async fn refused(caller: &Caller, server: &Server, speaks: Speaks) -> anyhow::Result<()> {
    let Ok(mut open) = Open::connect(caller, server, speaks).await else { return Ok(()) };
    let said = open.exchange(server).await;
    ensure!(!matches!(said, Said::Passed | Said::PassedLast), "it passes");
    Ok(())
}

fn server(mesh: &Mesh) -> Server {
    let at = |port| mesh.ingress("server", port);
    Server { host: mesh.host("server", HTTP), http1: at(HTTP), http2: at(HTTP2), tcp: at(TCP) }
}

/// Who may go on, and who may not.
fn callers(mesh: &Mesh, change: Change) -> (Caller, Caller) {
    let meshed = |name, domain: TrustDomain, account| {
        let identity = issue(&mesh.dir().join("ca"), domain, account);
        Caller { name, tls: Some(Arc::new(ClientTls::new(Reader::fixed(identity)))) }
    };
    let stays = meshed("a welcome caller", TrustDomain::default(), "welcome");
    let goes = match change {
        Change::Strict => Caller { name: "plain text", tls: None },
        Change::Deny => meshed("a denied caller", TrustDomain::default(), "guest"),
        Change::NoAlias => meshed("a caller of the old domain", OLD_DOMAIN.parse().expect("a domain"), "welcome"),
    };
    (stays, goes)
}

/// Before and after a change.
fn objects(change: Change, after: bool) -> String {
    match change {
        Change::Strict => format!(
            "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: test}}
spec: {{mtls: {{mode: {}}}}}
",
            if after { "STRICT" } else { "PERMISSIVE" }
        ),
        Change::Deny => {
            let (action, callers) = match after {
                false => ("ALLOW", "cluster.local/ns/test/sa/welcome, cluster.local/ns/test/sa/guest"),
                true => ("DENY", "cluster.local/ns/test/sa/guest"),
            };
            format!(
                "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: callers, namespace: test}}
spec:
  action: {action}
  rules: [{{from: [{{source: {{principals: [{callers}]}}}}]}}]
"
            )
        }
        Change::NoAlias => format!(
            "
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: |
    trustDomainAliases: [{}]
",
            if after { "" } else { OLD_DOMAIN }
        ),
    }
}
