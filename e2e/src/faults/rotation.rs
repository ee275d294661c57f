//! Certificates change under load.

use super::Loads;
use crate::{
    client::Call,
    mesh::{HTTP, Mesh},
    until,
};
use anyhow::{Context, ensure};
use std::collections::BTreeSet;

/// Waits until so many different certificates of the server, and of the client as the server's application is told,
/// have been seen in new handshakes. How many there were: server's, client's.
pub async fn rotations(mesh: &Mesh, loads: &Loads, wanted: usize) -> (usize, usize) {
    let to = mesh.ingress("server-v1", HTTP);
    // A host whose connections carry one request each: every call is a new handshake.
    mesh.write("fresh", &fresh());
    let call = Call::get("fresh.test:8080", "/");
    until("the host with fresh connections", || client_hash(mesh, &call)).await;
    let (mut servers, mut clients) = (BTreeSet::new(), BTreeSet::new());
    while servers.len() < wanted || clients.len() < wanted {
        let known = (servers.len(), clients.len());
        let (serial, hash) = until("a new certificate on either side", || async {
            let (_, connected) = mesh.handshake("client", to, &[b"istio-http/1.1", b"istio", b"http/1.1"]).await?;
            let hash = client_hash(mesh, &call).await?;
            let serial = connected.peer.serial.clone();
            ensure!(!servers.contains(&serial) || !clients.contains(&hash), "the same certificates as before");
            Ok((serial, hash))
        })
        .await;
        servers.insert(serial);
        clients.insert(hash);
        if (servers.len(), clients.len()) != known {
            loads.more(1).await;
        }
    }
    mesh.remove("fresh");
    (servers.len(), clients.len())
}

/// The hash of the client's certificate, as the server's application is told.
async fn client_hash(mesh: &Mesh, call: &Call) -> anyhow::Result<String> {
    let reply = call.send(mesh.egress("client", HTTP)).await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.body);
    let told = reply.body.lines().find(|line| line.to_ascii_lowercase().starts_with("x-forwarded-client-cert"));
    let hash = told.and_then(|line| line.split("Hash=").nth(1)?.split(';').next()).context("no hash in the header")?;
    Ok(hash.to_owned())
}

fn fresh() -> String {
    "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: fresh, namespace: test}
spec:
  hosts: [fresh.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP, targetPort: 8180}]
  workloadSelector: {labels: {app: server}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: fresh, namespace: test}
spec:
  host: fresh.test
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
"
    .to_owned()
}
