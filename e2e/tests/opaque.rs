//! Opaque connections: which rule sends them where, at a sidecar and at a gateway, with real TLS.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_e2e::{
    client::connect,
    mesh::{AUTO, Mesh, Plan, Port, TCP, Workload, fqdn, identity, secret},
    until,
    workload::Kind,
};
use mesh_runtime::{
    snapshot::Reader,
    testing::{TestCa, mesh_profile},
    tls::{
        client::{ClientProfile, ClientTls, Mode, Simple},
        server::{ClientAuth, HANDSHAKE_TIMEOUT, ServerProfile, ServerTls, Serving},
        verify::ExpectedPeer,
    },
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

/// TLS of the applications' own.
const TLS: Port = Port { number: 9443, name: "tls", protocol: "TLS" };

/// An application that speaks TLS, with a certificate for these names; it says which names these are.
async fn tls_app(ca: &TestCa, at: SocketAddr, names: &[&str]) {
    let certificates = vec![ca.server_certificate(names)];
    let serving = Serving { certificates, client_ca: None, subject_alt_names: Vec::new() };
    let tls = Arc::new(ServerTls::with_certificates(Reader::fixed(Arc::new(serving))));
    let (listener, text) = (TcpListener::bind(at).await.unwrap(), names.join(" "));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, text) = (tls.clone(), text.clone());
            tokio::spawn(async move {
                let profile = ServerProfile::new(Vec::new(), ClientAuth::None);
                let Ok((mut stream, _)) = tls.accept(stream, &profile).await else { return };
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
}

/// What a client hears that asks for this name and believes `ca`.
async fn heard(ca: &TestCa, to: SocketAddr, name: &str) -> anyhow::Result<String> {
    let simple = Simple { roots: Some(ca.bundle()), names: vec![name.into()], ..Simple::default() };
    let profile = ClientProfile {
        alpn: Arc::new([]),
        sni: Some(name.into()),
        mode: Mode::Simple(Arc::new(simple)),
        handshake_timeout: HANDSHAKE_TIMEOUT,
    };
    let stream = connect(to, None).await?;
    let (stream, _) = ClientTls::anonymous().connect(stream, &profile, &ExpectedPeer::any()).await?;
    listen(stream).await
}

/// The first line that comes.
async fn listen(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> anyhow::Result<String> {
    let mut said = Vec::new();
    let read = async {
        while !said.contains(&b'\n') && stream.read_buf(&mut said).await? > 0 {}
        std::io::Result::Ok(())
    };
    tokio::time::timeout(mesh_e2e::PATIENCE, read).await??;
    Ok(String::from_utf8(said)?.lines().next().unwrap_or_default().to_owned())
}

fn virtual_service(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: test}}\nspec: {spec}\n"
    )
}

#[tokio::test]
async fn tls_goes_by_the_name_in_its_hello_and_as_rules_say() {
    let tls = |name: &str| Workload::new(name).serves(TLS, Kind::External);
    let log = "%UPSTREAM_CLUSTER% %REQUESTED_SERVER_NAME% %RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS%\n";
    let mesh = Mesh::start(Plan::new([Workload::new("client"), tls("a"), tls("b")]).access_log(log)).await;
    let (ca, a, b) = (TestCa::new("apps.test"), fqdn("a"), fqdn("b"));
    tls_app(&ca, mesh.app("a", TLS).address, &[&a]).await;
    tls_app(&ca, mesh.app("b", TLS).address, &[&b, &a]).await;
    let to = mesh.egress("client", TLS);
    assert_eq!(heard(&ca, to, &a).await.unwrap(), a);
    assert_eq!(heard(&ca, to, &b).await.unwrap(), format!("{b} {a}"));
    heard(&ca, to, "nobody.test").await.unwrap_err();
    let line = format!("outbound|9443||{b} {b} - -");
    mesh.log_lines(&line, 1).await;

    // A rule for the one name leads to the other server, which has a certificate for both.
    let rule =
        format!("{{hosts: [{a}], tls: [{{match: [{{sniHosts: [{a}]}}], route: [{{destination: {{host: {b}}}}}]}}]}}");
    mesh.write("rule", &virtual_service("a", &rule));
    until("the rule holds", || async {
        let said = heard(&ca, to, &a).await.unwrap();
        if said == format!("{b} {a}") { Ok(()) } else { Err(said) }
    })
    .await;
    mesh.log_lines(&format!("outbound|9443||{b} {a} - -"), 1).await;
    let counted = mesh.metrics("client").await;
    let series = format!("destination_service=\"{b}\"");
    let opened = counted.lines().find(|l| l.starts_with("istio_tcp_connections_opened_total{") && l.contains(&series));
    assert!(opened.is_some(), "{counted}");
}

#[tokio::test]
async fn bytes_are_shared_out_by_weight() {
    let server = |version: &str| {
        Workload::new(&format!("server-{version}")).version("server", version).serves(TCP, Kind::Greeting)
    };
    let host = fqdn("server");
    let subsets = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: server, namespace: test}}\nspec: {{host: {host}, subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]}}\n"
    );
    let shares = |v1: u32, v2: u32| {
        let to =
            |subset: &str, weight| format!("{{destination: {{host: {host}, subset: {subset}}}, weight: {weight}}}");
        let spec = format!("{{hosts: [{host}], tcp: [{{route: [{}, {}]}}]}}", to("v1", v1), to("v2", v2));
        virtual_service("server", &spec)
    };
    let log = "%UPSTREAM_CLUSTER% %RESPONSE_FLAGS%\n";
    let plan = Plan::new([Workload::new("client"), server("v1"), server("v2")]).objects(&subsets).access_log(log);
    let mesh = Mesh::start(plan).await;
    let to = mesh.egress("client", TCP);
    let servers = async || {
        let mut counted = BTreeMap::new();
        for _ in 0..20 {
            *counted.entry(listen(connect(to, None).await.unwrap()).await.unwrap()).or_insert(0) += 1;
        }
        counted
    };
    for (v1, v2, want) in [(1, 1, &["220 server-v1", "220 server-v2"][..]), (0, 1, &["220 server-v2"])] {
        mesh.write("rule", &shares(v1, v2));
        until("the rule holds", || async {
            let counted = servers().await;
            if counted.keys().collect::<Vec<_>>() == want { Ok(()) } else { Err(format!("{counted:?}")) }
        })
        .await;
    }
    for version in ["v1", "v2"] {
        mesh.log_lines(&format!("outbound|9000|{version}|{host} -"), 1).await;
    }
}

#[tokio::test]
async fn a_rule_that_leads_to_nothing_ends_the_connection_with_a_flag() {
    let mesh = Mesh::start(Plan::pair().access_log("%UPSTREAM_CLUSTER% %RESPONSE_FLAGS% tcp\n")).await;
    let spec = format!("{{hosts: [{}], tcp: [{{route: [{{destination: {{host: gone.test}}}}]}}]}}", fqdn("server"));
    mesh.write("rule", &virtual_service("server", &spec));
    until("the rule holds", || async {
        match mesh_e2e::client::exchange(mesh.egress("client", TCP), None, b"x").await {
            Ok(back) if back == b"x" => Err("it is carried"),
            _ => Ok(()),
        }
    })
    .await;
    mesh.log_lines("- NC tcp", 1).await;
}

/// A gateway that carries TLS on, ends it before bytes, and has a port for bytes.
fn edge(mesh: &Mesh, ca: &TestCa) -> String {
    let (ip, server, tls) = (mesh.ip("gateway"), fqdn("server"), fqdn("tls"));
    let certificate = ca.server_certificate(&["ends.test"]);
    let ends = [("tls.crt", certificate.chain_pem()), ("tls.key", certificate.key_pem())];
    let ends = secret("ends", "gateway", &ends.each_ref().map(|(key, pem)| (*key, pem.as_str())));
    let rules = virtual_service(
        "edge",
        &format!(
            "
  hosts: [\"*\"]
  gateways: [edge]
  tcp:
  - match: [{{port: 9000}}, {{port: 9443}}]
    route: [{{destination: {{host: {server}, port: {{number: 9000}}}}}}]
  tls:
  - match: [{{port: 9443, sniHosts: [{tls}, denied.test]}}]
    route: [{{destination: {{host: {tls}}}}}]"
        ),
    );
    format!(
        "{ends}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: test}}
spec:
  selector: {{app: gateway}}
  servers:
  - {{port: {{number: 9000, name: bytes, protocol: TCP}}, bind: {ip}, hosts: [\"*\"]}}
  - {{port: {{number: 9443, name: on, protocol: TLS}}, bind: {ip}, hosts: [{tls}, denied.test], tls: {{mode: PASSTHROUGH}}}}
  - {{port: {{number: 9443, name: ends, protocol: TLS}}, bind: {ip}, hosts: [ends.test], tls: {{mode: SIMPLE, credentialName: ends}}}}
  - {{port: {{number: 9443, name: mesh, protocol: TLS}}, bind: {ip}, hosts: [mesh.test], tls: {{mode: ISTIO_MUTUAL}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: edge, namespace: test}}
spec:
  selector: {{matchLabels: {{app: gateway}}}}
  action: DENY
  rules:
  - when: [{{key: connection.sni, values: [denied.test]}}]
  - from: [{{source: {{principals: [cluster.local/ns/test/sa/stranger]}}}}]
{rules}"
    )
}

/// What the gateway's server for the mesh's TLS says to an account.
async fn by_mesh_tls(mesh: &Mesh, account: &str, to: SocketAddr) -> anyhow::Result<String> {
    let client = ClientTls::new(Reader::fixed(mesh.issue(account)));
    let stream = connect(to, None).await?;
    let profile = mesh_profile(&[b"istio"], "mesh.test");
    let (stream, _) = client.connect(stream, &profile, &ExpectedPeer::any()).await?;
    listen(stream).await
}

#[tokio::test]
async fn a_gateway_carries_tls_on_ends_it_before_bytes_and_carries_bytes() {
    let server = Workload::new("server").serves(TCP, Kind::Greeting);
    let tls = Workload::new("tls").serves(TLS, Kind::External);
    let log = "%UPSTREAM_CLUSTER% %REQUESTED_SERVER_NAME% %RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS%\n";
    let mesh = Mesh::start(Plan::new([server, tls]).with_gateway().access_log(log)).await;
    let ca = TestCa::new("apps.test");
    tls_app(&ca, mesh.app("tls", TLS).address, &[&fqdn("tls"), "denied.test"]).await;
    mesh.write("edge", &edge(&mesh, &ca));
    let at = |port: u16| SocketAddr::new(mesh.ip("gateway"), port);
    until("the gateway listens", || async {
        let said = async { listen(connect(at(9000), None).await?).await };
        match said.await {
            Ok(said) if said == "220 server" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let name = fqdn("tls");
    assert_eq!(heard(&ca, at(9443), &name).await.unwrap(), format!("{name} denied.test"));
    assert_eq!(heard(&ca, at(9443), "ends.test").await.unwrap(), "220 server");
    assert_eq!(by_mesh_tls(&mesh, "client", at(9443)).await.unwrap(), "220 server");
    mesh.log_lines(&format!("outbound|9443||{name} {name} - -"), 1).await;

    for refused in ["nobody.test", "denied.test"] {
        heard(&ca, at(9443), refused).await.unwrap_err();
    }
    mesh.log_lines("- nobody.test NR no_server_for_the_name_in_the_ClientHello", 1).await;
    mesh.log_lines(&format!("outbound|9443||{name} denied.test - rbac_access_denied_matched_policy"), 1).await;
    let said = by_mesh_tls(&mesh, "stranger", at(9443)).await;
    assert!(!said.as_ref().is_ok_and(|said| said.contains("220")), "{said:?}");
    mesh.log_lines(&format!("outbound|9000||{} mesh.test - rbac_access_denied_matched_policy", fqdn("server")), 1)
        .await;
}

#[tokio::test]
async fn mutual_tls_that_begins_late_is_mutual_tls_also_where_only_a_principal_may_call() {
    let server = Workload::new("server").serves(TCP, Kind::Echo).serves(AUTO, Kind::Greeting);
    let mesh = Mesh::start(Plan::new([Workload::new("client"), server])).await;
    let late = async |port: Port| {
        let stream = connect(mesh.ingress("server", port), None).await?;
        // Longer than the proxy waits before it takes the client for one that lets the server speak first.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let client = ClientTls::new(Reader::fixed(mesh.issue("client")));
        let profile = mesh_profile(&[b"istio"], "server.test");
        let (mut stream, connected) = client.connect(stream, &profile, &ExpectedPeer::any()).await?;
        anyhow::ensure!(connected.peer.uris == [identity("server")], "{connected:?}");
        stream.write_all(b"late\r\n").await?;
        listen(stream).await
    };
    assert_eq!(late(TCP).await.unwrap(), "late");
    mesh.write(
        "policy",
        "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: server, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  rules: [{from: [{source: {principals: [cluster.local/ns/test/sa/client]}}]}]
",
    );
    until("plain text is refused", || async {
        match mesh_e2e::client::exchange(mesh.ingress("server", TCP), None, b"x").await {
            Ok(back) if back == b"x" => Err("it is carried"),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(late(TCP).await.unwrap(), "late");
    // On a port without declared protocol nothing of the application may be said to who has not proved who it is.
    assert_eq!(late(AUTO).await.unwrap(), "220 server");
}
