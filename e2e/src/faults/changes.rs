//! Changes of configuration out of a named set, in any order, each seen in effect before it counts.

use super::Loads;
use crate::{
    client::{Call, Reply},
    mesh::{HTTP, Mesh, fqdn},
    until,
};
use anyhow::ensure;
use mesh_runtime::clock;
use std::fmt::Write as _;

/// The named set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Another host comes or goes.
    Host,
    /// The subsets trade their labels.
    Subsets,
    /// All calls go to the other subset.
    Weights,
    /// A path is denied, or no longer.
    Policy,
    /// The servers insist on mutual TLS, or no longer.
    ServerTls,
    /// The callers use mutual TLS, or no longer.
    ClientTls,
    /// The VirtualService and its DestinationRule are deleted, or added again.
    DeleteAndAdd,
}

/// All of them.
pub const ALL: [Change; 7] = [
    Change::Host,
    Change::Subsets,
    Change::Weights,
    Change::Policy,
    Change::ServerTls,
    Change::ClientTls,
    Change::DeleteAndAdd,
];

/// The state that changes lead through; each is valid, so none may cost a request.
#[derive(Debug, Clone)]
pub struct Changes {
    generation: u64,
    rules: bool,
    swapped: bool,
    green: bool,
    denied: bool,
    strict: bool,
    plain: bool,
    host: bool,
    seed: fastrand::Rng,
}

impl Changes {
    /// Begins with all calls to the subset `blue`, which is v1.
    pub async fn new(mesh: &Mesh) -> Self {
        let mut changes = Changes {
            generation: 0,
            rules: true,
            swapped: false,
            green: false,
            denied: false,
            strict: false,
            plain: false,
            host: false,
            seed: fastrand::Rng::new(),
        };
        changes.write_rules(mesh);
        changes.write_server_tls(mesh);
        changes.rules_seen(mesh).await;
        changes
    }

    /// Takes the objects away again.
    pub async fn end(mut self, mesh: &Mesh) {
        if self.host {
            self.apply(mesh, Change::Host).await;
        }
        if self.denied {
            self.apply(mesh, Change::Policy).await;
        }
        if self.plain {
            self.apply(mesh, Change::ClientTls).await;
        }
        if self.rules {
            self.apply(mesh, Change::DeleteAndAdd).await;
        }
        mesh.remove("server-tls");
    }

    /// One that is possible now, made and seen in effect.
    pub async fn random(&mut self, mesh: &Mesh, loads: &Loads) -> Change {
        let possible: Vec<Change> = ALL.into_iter().filter(|change| self.is_possible(*change)).collect();
        let change = possible[self.seed.usize(..possible.len())];
        self.apply(mesh, change).await;
        // What had begun before the change was in effect ends before the next one.
        loads.more(20).await;
        change
    }

    fn is_possible(&self, change: Change) -> bool {
        match change {
            Change::Subsets | Change::Weights => self.rules,
            // Plain text to servers that insist on mutual TLS is refused, as it should be.
            Change::ClientTls => self.rules && !self.strict,
            Change::ServerTls => !self.plain,
            // Without its DestinationRule the caller would go back to mutual TLS: two changes in one.
            Change::DeleteAndAdd => !self.plain,
            Change::Host | Change::Policy => true,
        }
    }

    /// Makes a change and waits until it is seen.
    pub async fn apply(&mut self, mesh: &Mesh, change: Change) {
        let begun = clock::now();
        self.make(mesh, change).await;
        tracing::info!(?change, took = ?clock::since(begun), "seen in effect");
    }

    async fn make(&mut self, mesh: &Mesh, change: Change) {
        match change {
            Change::Host => {
                self.host = !self.host;
                if self.host {
                    mesh.write("extra", &extra())
                } else {
                    mesh.remove("extra")
                }
                self.host_seen(mesh).await;
            }
            Change::Subsets => {
                self.swapped = !self.swapped;
                self.write_rules(mesh);
                self.rules_seen(mesh).await;
            }
            Change::Weights => {
                self.write_weights(mesh);
                self.rules_seen(mesh).await;
            }
            Change::Policy => {
                self.denied = !self.denied;
                if self.denied {
                    mesh.write("policy", &policy())
                } else {
                    mesh.remove("policy")
                }
                self.policy_seen(mesh).await;
            }
            Change::ServerTls => {
                self.strict = !self.strict;
                self.write_server_tls(mesh);
                self.server_tls_seen(mesh).await;
            }
            Change::ClientTls => {
                self.plain = !self.plain;
                self.write_rules(mesh);
                self.rules_seen(mesh).await;
            }
            Change::DeleteAndAdd => {
                self.rules = !self.rules;
                self.write_rules(mesh);
                self.rules_seen(mesh).await;
            }
        }
    }

    /// All calls to the other subset, from whenever it is heard.
    pub fn write_weights(&mut self, mesh: &Mesh) {
        self.green = !self.green;
        self.write_rules(mesh);
    }

    /// Waits until that is in effect.
    pub async fn weights_seen(&self, mesh: &Mesh) {
        self.rules_seen(mesh).await;
    }

    fn write_rules(&mut self, mesh: &Mesh) {
        self.generation += 1;
        if !self.rules {
            return mesh.remove("rules");
        }
        let (blue, green) = if self.swapped { ("v2", "v1") } else { ("v1", "v2") };
        let (to_blue, to_green) = if self.green { (0, 100) } else { (100, 0) };
        let host = fqdn("server");
        let mut text = String::new();
        let _ = write!(
            text,
            "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: server, namespace: test}}
spec:
  host: {host}
  subsets:
  - {{name: blue, labels: {{version: {blue}}}}}
  - {{name: green, labels: {{version: {green}}}}}
"
        );
        if self.plain {
            text.push_str("  trafficPolicy: {tls: {mode: DISABLE}}\n");
        }
        let _ = write!(
            text,
            "\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: server, namespace: test}}
spec:
  hosts: [{host}]
  http:
  - headers: {{response: {{set: {{x-generation: \"{}\"}}}}}}
    route:
    - destination: {{host: {host}, subset: blue}}
      weight: {to_blue}
    - destination: {{host: {host}, subset: green}}
      weight: {to_green}
",
            self.generation
        );
        mesh.write("rules", &text);
    }

    /// With rules: the answer carries the generation and comes from the right version, over the right transport.
    /// Without: it carries none, and both versions answer.
    async fn rules_seen(&self, mesh: &Mesh) {
        let call = call("/");
        let at = mesh.egress("client", HTTP);
        if self.rules {
            let (generation, version) = (self.generation.to_string(), self.version());
            let reply = until(&format!("rules {self:?}"), || async {
                let reply = call.send(at).await?;
                ensure!(reply.header("x-generation") == Some(&generation), "{reply:?}");
                Ok(reply)
            })
            .await;
            assert_eq!(reply.served_by(), version, "{self:?}: one push, one state; {reply:?}");
            assert_eq!(is_plain(&reply), self.plain, "{self:?}: one push, one state; {reply:?}");
            return;
        }
        for version in ["server-v1", "server-v2"] {
            until(&format!("{version} without rules"), || async {
                let reply = call.send(at).await?;
                ensure!(reply.header("x-generation").is_none() && reply.served_by() == version, "{reply:?}");
                Ok(())
            })
            .await;
        }
    }

    fn version(&self) -> &'static str {
        if self.green == self.swapped { "server-v1" } else { "server-v2" }
    }

    async fn host_seen(&self, mesh: &Mesh) {
        let (call, wanted) = (Call::get("extra.test:8080", "/"), if self.host { 200 } else { 502 });
        status(mesh, &call, wanted).await;
    }

    /// Both servers, each asked without a proxy of the caller's between; while they insist on mutual TLS, the one that
    /// answers calls.
    async fn policy_seen(&self, mesh: &Mesh) {
        let (call, wanted) = (call("/denied"), if self.denied { 403 } else { 200 });
        if self.strict {
            for _ in 0..6 {
                status(mesh, &call, wanted).await;
            }
            return;
        }
        for server in ["server-v1", "server-v2"] {
            until(&format!("{wanted} of {server}"), || async {
                let reply = call.send(mesh.ingress(server, HTTP)).await?;
                ensure!(reply.status == wanted, "{reply:?}");
                Ok(())
            })
            .await;
        }
    }

    fn write_server_tls(&self, mesh: &Mesh) {
        let mode = if self.strict { "STRICT" } else { "PERMISSIVE" };
        mesh.write(
            "server-tls",
            &format!(
                "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: test}}
spec: {{mtls: {{mode: {mode}}}}}
"
            ),
        );
    }

    async fn server_tls_seen(&self, mesh: &Mesh) {
        let call = call("/");
        for server in ["server-v1", "server-v2"] {
            until(&format!("{server} strict: {}", self.strict), || async {
                let plain = call.send(mesh.ingress(server, HTTP)).await;
                ensure!(plain.is_err() == self.strict, "{plain:?}");
                Ok(())
            })
            .await;
        }
    }
}

fn call(path: &str) -> Call {
    Call::get(&format!("{}:8080", fqdn("server")), path)
}

fn is_plain(reply: &Reply) -> bool {
    !reply.body.to_ascii_lowercase().contains("x-forwarded-client-cert")
}

async fn status(mesh: &Mesh, call: &Call, wanted: u16) {
    let at = mesh.egress("client", HTTP);
    until(&format!("{wanted} for {} {}", call.host, call.path), || async {
        let reply = call.send(at).await?;
        ensure!(reply.status == wanted, "{reply:?}");
        Ok(())
    })
    .await;
}

fn extra() -> String {
    "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: extra, namespace: test}
spec:
  hosts: [extra.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP, targetPort: 8180}]
  workloadSelector: {labels: {app: server}}
"
    .to_owned()
}

/// With its port: on ports that carry no requests a denial by path alone would deny everything.
fn policy() -> String {
    "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: denied, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  action: DENY
  rules: [{to: [{operation: {paths: [/denied], ports: [\"8180\"]}}]}]
"
    .to_owned()
}
