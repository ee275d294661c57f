//! TLS to servers outside of the mesh: begun by an egress gateway or by a sidecar, with certificates from Secrets and
//! files that are replaced while calls go on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "egress/outside.rs"]
mod outside;

use mesh_e2e::{
    client::{Call, Connection},
    mesh::{HTTP, Mesh, Plan, Workload, fqdn, secret},
    until,
    workload::Kind,
};
use mesh_runtime::tls::server::ClientAuth;
use outside::Outside;
use std::{fs, path::Path};

const HOST: &str = "ext.example";

/// A caller, and somebody who makes the port be listened on.
fn plan() -> Plan {
    let log = "%UPSTREAM_CLUSTER% %REQUESTED_SERVER_NAME% %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n";
    Plan::new([Workload::new("client"), Workload::new("server").serves(HTTP, Kind::Http1)]).access_log(log)
}

/// The host as applications know it, in plain text on one port and in TLS on the other.
fn service(outside: &Outside) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: ext, namespace: test}}
spec:
  hosts: [{HOST}]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports:
  - {{number: 8080, name: http, protocol: HTTP}}
  - {{number: 9443, name: https, protocol: HTTPS, targetPort: {}}}
  endpoints: [{{address: 127.0.0.1}}]
",
        outside.at.port()
    )
}

fn rule(fields: &str, tls: &str) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: ext, namespace: test}}
spec: {{host: {HOST}, {fields} trafficPolicy: {{portLevelSettings: [{{port: {{number: 9443}}, tls: {{{tls}}}}}]}}}}
"
    )
}

/// From the mesh to the gateway in the mesh's TLS, from there to the host.
fn through_the_gateway(mesh: &Mesh) -> String {
    let (ip, gateway) = (mesh.ip("gateway"), fqdn("gateway"));
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: gateway, namespace: test}}
spec:
  hosts: [{gateway}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 8090, name: https, protocol: HTTPS}}]
  workloadSelector: {{labels: {{app: gateway}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: egress, namespace: test}}
spec:
  selector: {{app: gateway}}
  servers:
  - {{port: {{number: 8090, name: https, protocol: HTTPS}}, bind: {ip}, hosts: [{HOST}], tls: {{mode: ISTIO_MUTUAL}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: gateway, namespace: test}}
spec:
  host: {gateway}
  subsets:
  - name: ext
    trafficPolicy: {{portLevelSettings: [{{port: {{number: 8090}}, tls: {{mode: ISTIO_MUTUAL, sni: {HOST}}}}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: ext, namespace: test}}
spec:
  hosts: [{HOST}]
  gateways: [mesh, egress]
  http:
  - match: [{{gateways: [mesh], port: 8080}}]
    route: [{{destination: {{host: {gateway}, subset: ext, port: {{number: 8090}}}}}}]
  - match: [{{gateways: [egress], port: 8090}}]
    route: [{{destination: {{host: {HOST}, port: {{number: 9443}}}}}}]
"
    )
}

/// Calls of plain HTTP that a sidecar sends to the port with TLS.
fn by_the_sidecar() -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: ext, namespace: test}}
spec:
  hosts: [{HOST}]
  http: [{{route: [{{destination: {{host: {HOST}, port: {{number: 9443}}}}}}]}}]
"
    )
}

/// Until the server says that it saw this.
async fn until_seen(mesh: &Mesh, want: &str) {
    until(want, || async {
        let reply = Call::get(HOST, "/").send(mesh.egress("client", HTTP)).await.map_err(|e| e.to_string())?;
        if reply.status == 200 && reply.body == want { Ok(()) } else { Err(format!("{reply:?}")) }
    })
    .await;
}

/// Until calls are answered with 503.
async fn until_refused(mesh: &Mesh, since: &str) {
    until(since, || async {
        let reply = Call::get(HOST, "/").send(mesh.egress("client", HTTP)).await.map_err(|e| e.to_string())?;
        if reply.status == 503 { Ok(()) } else { Err(format!("{reply:?}")) }
    })
    .await;
}

#[tokio::test]
async fn an_egress_gateway_begins_mutual_tls_and_a_replaced_key_is_shown_without_a_call_lost() {
    let outside = Outside::start(HOST, ClientAuth::Required).await;
    let mesh = Mesh::start(plan().with_gateway().objects(&service(&outside))).await;
    mesh.write("egress", &through_the_gateway(&mesh));
    mesh.write("rule", &rule("", "mode: MUTUAL, credentialName: pair"));
    mesh.write("secret", &outside.secret("pair", "one", "gateway"));
    until_seen(&mesh, "ext.example one ext.example").await;
    mesh.log_lines(&format!("outbound|8090|ext|{} - -", fqdn("gateway")), 1).await;
    mesh.log_lines("outbound|9443||ext.example ext.example - -", 1).await;

    // Calls go on while the Secret is another one, on one connection of the application.
    let mut connection = Connection::open(mesh.egress("client", HTTP), None).await.unwrap();
    mesh.write("secret", &outside.secret("pair", "two", "gateway"));
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "ext.example two ext.example") {
        let reply = connection.call(&Call::get(HOST, "/")).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        seen.push(reply.body);
        tokio::task::yield_now().await;
    }
    seen.dedup();
    assert!(seen.len() <= 2, "each is shown until the next one is: {seen:?}");

    // Without the key nothing goes out: neither without a certificate nor in plain text.
    mesh.remove("secret");
    until_refused(&mesh, "the Secret is gone").await;
    mesh.log_lines("there_is_no_Secret_test/pair_here", 1).await;
}

#[tokio::test]
async fn an_egress_gateway_verifies_the_server_by_the_roots_of_a_secret_alone() {
    let outside = Outside::start(HOST, ClientAuth::Optional).await;
    let mesh = Mesh::start(plan().with_gateway().objects(&service(&outside))).await;
    mesh.write("egress", &through_the_gateway(&mesh));
    mesh.write("rule", &rule("", "mode: SIMPLE, credentialName: roots"));
    let roots = |pem: &str| secret("roots-cacert", "gateway", &[("cacert", pem)]);
    mesh.write("secret", &roots(&outside.ca.root_pem()));
    until_seen(&mesh, "ext.example nobody ext.example").await;
    mesh.write("secret", &roots(&outside.clients.root_pem()));
    until_refused(&mesh, "the server is not believed").await;
    mesh.log_lines("no_chain_leads_from_it_to_a_trusted_root", 1).await;
}

#[tokio::test]
async fn a_sidecar_gets_a_secret_by_a_rule_that_selects_it_and_by_no_other() {
    let outside = Outside::start(HOST, ClientAuth::Required).await;
    let mesh = Mesh::start(plan().objects(&service(&outside))).await;
    let tls = "mode: MUTUAL, credentialName: pair";
    mesh.write("route", &by_the_sidecar());
    mesh.write("secret", &outside.secret("pair", "one", "client"));
    mesh.write("rule", &rule("workloadSelector: {matchLabels: {app: client}},", tls));
    until_seen(&mesh, "ext.example one ext.example").await;
    mesh.write("secret", &outside.secret("pair", "two", "client"));
    until_seen(&mesh, "ext.example two ext.example").await;

    mesh.write("rule", &rule("", tls));
    until_refused(&mesh, "the rule is for everybody").await;
    mesh.log_lines("Secret_test/pair_is_not_given_to_sidecars_by_a_rule_for_all_clients", 1).await;
}

#[tokio::test]
async fn a_sidecar_shows_a_certificate_in_files_and_follows_them() {
    let outside = Outside::start(HOST, ClientAuth::Required).await;
    let mesh = Mesh::start(plan().objects(&service(&outside))).await;
    let place = |name: &str| mesh.dir().join(name);
    let put = |client: &str| {
        let certificate = outside.clients.server_certificate(&[client]);
        let write = |name: &str, text: String| {
            fs::write(place("draft"), text).unwrap();
            fs::rename(place("draft"), place(name)).unwrap();
        };
        write("own.pem", certificate.chain_pem());
        write("own.key", certificate.key_pem());
    };
    put("one");
    fs::write(place("roots.pem"), outside.ca.root_pem()).unwrap();
    let at = |name: &str| Path::display(&place(name)).to_string();
    let (chain, key, roots) = (at("own.pem"), at("own.key"), at("roots.pem"));
    let files = format!("mode: MUTUAL, clientCertificate: {chain}, privateKey: {key}, caCertificates: {roots}");
    // One request a connection: each call shakes hands.
    let rule = rule("", &files).replace(
        "portLevelSettings: [{",
        "portLevelSettings: [{connectionPool: {http: {maxRequestsPerConnection: 1}}, ",
    );
    mesh.write("rule", &rule);
    mesh.write("route", &by_the_sidecar());
    until_seen(&mesh, "ext.example one ext.example").await;
    put("two");
    let reply = Call::get(HOST, "/").send(mesh.egress("client", HTTP)).await.unwrap();
    assert_eq!((reply.status, &*reply.body), (200, "ext.example two ext.example"));
}
