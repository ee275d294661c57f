//! A mesh on loopback addresses: what its users see.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use anyhow::ensure;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_e2e::{
    client::{Call, Connection, http2::Client},
    mesh::{AUTO, GRPC, HTTP, HTTP2, Mesh, Plan, TCP, Workload, fqdn, identity},
    traffic::{Http1, Load, Pace},
    until,
    workload::Kind,
};
use std::{collections::BTreeMap, io::ErrorKind, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A caller and two versions of a server, with the subsets of `rules`.
fn canary(rules: &str) -> Plan {
    let server = |name: &str, version: &str| Workload::new(name).version("server", version).serves(HTTP, Kind::Http1);
    Plan::new([Workload::new("client"), server("server-v1", "v1"), server("server-v2", "v2")])
        .objects(&format!("{}{rules}", subsets()))
}

fn subsets() -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: server, namespace: test}}
spec:
  host: {}
  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]
",
        fqdn("server")
    )
}

fn weights(v1: u32, v2: u32) -> String {
    let host = fqdn("server");
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: server, namespace: test}}
spec:
  hosts: [{host}]
  http:
  - headers: {{response: {{set: {{x-weights: \"{v1}-{v2}\"}}}}}}
    route:
    - {{destination: {{host: {host}, subset: v1}}, weight: {v1}}}
    - {{destination: {{host: {host}, subset: v2}}, weight: {v2}}}
"
    )
}

async fn counted(mesh: &Mesh, calls: usize) -> BTreeMap<String, usize> {
    let mut connection = Connection::open(mesh.egress("client", HTTP), None).await.unwrap();
    let call = Call::get(&mesh.host("server", HTTP), "/");
    let mut seen = BTreeMap::new();
    for _ in 0..calls {
        let reply = connection.call(&call).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        *seen.entry(reply.served_by().to_owned()).or_default() += 1;
    }
    seen
}

#[tokio::test]
async fn a_call_passes_two_sidecars_with_both_identities_shown() {
    let mesh = Mesh::start(Plan::pair()).await;
    let reply = Call::get(&mesh.host("server", HTTP), "/a?b=c").send(mesh.egress("client", HTTP)).await.unwrap();
    assert_eq!((reply.status, reply.served_by()), (200, "server"));
    assert!(reply.body.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{}", reply.body);
    let shown = reply.body.lines().find(|line| line.to_ascii_lowercase().starts_with("x-forwarded-client-cert:"));
    let shown = shown.unwrap_or_else(|| panic!("no certificate is shown: {}", reply.body));
    assert!(shown.contains(&format!("By={};", identity("server"))), "{shown}");
    assert!(shown.ends_with(&format!("URI={}", identity("client"))), "{shown}");

    // A short name and a name without port are the same service.
    for host in ["server:8080", "server.test", "server.test.svc"] {
        let reply = Call::get(host, "/").send(mesh.egress("client", HTTP)).await.unwrap();
        assert_eq!(reply.status, 200, "{host}: {reply:?}");
    }
}

#[tokio::test]
async fn both_proxies_count_the_call_with_the_same_labels() {
    let mesh = Mesh::start(Plan::pair()).await;
    Call::get(&mesh.host("server", HTTP), "/").send(mesh.egress("client", HTTP)).await.unwrap();
    for (proxy, reporter) in [("client", "source"), ("server", "destination")] {
        until(&format!("metrics of {proxy}"), || async {
            let metrics = mesh.metrics(proxy).await;
            let line = metrics.lines().find(|line| {
                let has = |text: &str| line.contains(text);
                has("istio_requests_total{")
                    && has(&format!("reporter=\"{reporter}\""))
                    && has("response_code=\"200\"")
                    && has("connection_security_policy=\"mutual_tls\"") == (reporter == "destination")
                    && has(&format!("source_principal=\"{}\"", identity("client")))
                    && has(&format!("destination_principal=\"{}\"", identity("server")))
                    && has(&format!("destination_service=\"{}\"", fqdn("server")))
            });
            line.map(str::to_owned).ok_or(metrics)
        })
        .await;
    }
}

#[tokio::test]
async fn a_gateway_takes_calls_in() {
    let rule = format!(
        "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: entrance, namespace: test}}
spec:
  hosts: [shop.example]
  gateways: [gateway]
  http: [{{match: [{{uri: {{prefix: /shop}}}}], route: [{{destination: {{host: {}, port: {{number: 8080}}}}}}]}}]
",
        fqdn("server")
    );
    let mesh = Mesh::start(Plan::pair().with_gateway().objects(&rule)).await;
    let reply = until("the gateway's route", || async {
        let reply = Call::get("shop.example", "/shop").send(mesh.gateway()).await?;
        ensure!(reply.status == 200, "{reply:?}");
        Ok(reply)
    })
    .await;
    assert!(reply.body.contains(&identity("gateway")), "{}", reply.body);
    let elsewhere = Call::get("other.example", "/shop").send(mesh.gateway()).await.unwrap();
    assert_eq!(elsewhere.status, 404);
    let no_rule = Call::get("shop.example", "/else").send(mesh.gateway()).await.unwrap();
    assert_eq!(no_rule.status, 404);
}

#[tokio::test]
async fn a_gateway_takes_calls_in_as_an_ingress_says() {
    let objects = "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: entrance, namespace: test, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  rules:
  - host: shop.example
    http:
      paths:
      - {path: /shop, pathType: Prefix, backend: {service: {name: server, port: {number: 8080}}}}
      - {path: /gone, pathType: Exact, backend: {service: {name: gone, port: {name: http}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: entrance, namespace: test}
spec:
  hosts: [entrance.test.svc.cluster.local]
  resolution: STATIC
  location: MESH_INTERNAL
  workloadSelector: {labels: {app: gateway}}
  ports: [{number: 80, targetPort: 18080, name: http, protocol: HTTP}]
";
    let mesh = Mesh::start(Plan::pair().with_gateway().objects(objects)).await;
    let gateway = SocketAddr::new(mesh.ip("gateway"), 18080);
    let reply = until("the Ingress' route", || async {
        let reply = Call::get("shop.example", "/shop/cart").send(gateway).await?;
        ensure!(reply.status == 200, "{reply:?}");
        Ok(reply)
    })
    .await;
    assert!(reply.body.contains(&identity("gateway")), "{}", reply.body);
    for (host, path, want) in [
        ("shop.example", "/shop", 200),
        ("shop.example", "/shops", 404),
        ("shop.example", "/gone", 503),
        ("other.example", "/shop", 404),
    ] {
        assert_eq!(Call::get(host, path).send(gateway).await.unwrap().status, want, "{host}{path}");
    }
}

#[tokio::test]
async fn a_canary_gets_its_share() {
    let mesh = Mesh::start(canary(&weights(90, 10))).await;
    let seen = counted(&mesh, 600).await;
    let canary = seen.get("server-v2").copied().unwrap_or_default();
    // 60 are expected; 5 standard deviations to either side.
    assert!((24..=96).contains(&canary), "{seen:?}");
}

#[tokio::test]
async fn new_weights_are_in_force_without_a_request_lost() {
    let mesh = Mesh::start(canary("")).await;
    mesh.write("weights", &weights(100, 0));
    let call = Call::get(&mesh.host("server", HTTP), "/");
    let load = Load::start("http", Pace::rate(100), Http1::new(mesh.egress("client", HTTP), call.clone()));
    for (v1, v2) in [(100, 0), (0, 100), (100, 0)] {
        mesh.write("weights", &weights(v1, v2));
        let reply = until("the new weights", || async {
            let reply = call.send(mesh.egress("client", HTTP)).await?;
            ensure!(reply.header("x-weights") == Some(&format!("{v1}-{v2}")), "{reply:?}");
            Ok(reply)
        })
        .await;
        assert_eq!(reply.served_by(), if v1 == 100 { "server-v1" } else { "server-v2" });
        load.more(20).await;
    }
    let outcome = load.stop().await;
    assert_eq!(outcome.failures(), 0, "{:?}", outcome.failed);
}

#[tokio::test]
async fn a_denied_call_names_the_policy_in_the_log() {
    let policy = format!(
        "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: not-the-client, namespace: test}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  action: DENY
  rules: [{{from: [{{source: {{principals: [\"{}\"]}}}}], to: [{{operation: {{methods: [POST]}}}}]}}]
",
        identity("client").trim_start_matches("spiffe://")
    );
    let plan =
        Plan::pair().objects(&policy).access_log("%REQ(X-REQUEST-ID)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\n");
    let mesh = Mesh::start(plan).await;
    let host = mesh.host("server", HTTP);
    let call = Call::post(&host, "/", b"x").header("x-request-id", "denied-1");
    let denied = call.send(mesh.egress("client", HTTP)).await.unwrap();
    assert_eq!((denied.status, denied.body.as_str()), (403, "RBAC: access denied"));
    let lines = mesh.log_lines("denied-1 403 rbac_access_denied", 1).await;
    assert!(
        lines[0].contains("rbac_access_denied_matched_policy[ns[test]-policy[not-the-client]-rule[0]]"),
        "{lines:?}"
    );
    let allowed = Call::get(&host, "/").send(mesh.egress("client", HTTP)).await.unwrap();
    assert_eq!(allowed.status, 200);
}

#[tokio::test]
async fn telemetry_says_who_logs_what_and_how() {
    let object = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  {spec}\n"
        )
    };
    let failures = object("all", "accessLogging: [{filter: {expression: response.code >= 400 && connection.mtls}}]");
    let server = object(
        "server",
        "{selector: {matchLabels: {app: server}}, accessLogging: [{match: {mode: SERVER}, providers: [{name: as-json}]}]}",
    );
    let plan =
        Plan::pair().objects(&format!("{failures}{server}")).access_log("text %REQ(X-REQUEST-ID)%\n").mesh_config(
            "extensionProviders: [{name: as-json, envoyFileAccessLog: {path: DIR/access.log, logFormat: {labels: \
                      {id: '%REQ(X-REQUEST-ID)%', code: '%RESPONSE_CODE%'}}}}]",
        );
    let mesh = Mesh::start(plan).await;
    let mut connection = Connection::open(mesh.egress("client", HTTP), None).await.unwrap();
    for id in ["first", "second"] {
        let call = Call::get(&mesh.host("server", HTTP), "/").header("x-request-id", id);
        assert_eq!(connection.call(&call).await.unwrap().status, 200);
    }
    // The client's proxy logs failures alone, the server's everything, as its own object says.
    let lines = mesh.log_lines("", 2).await;
    assert_eq!(lines, ["{\"code\":200,\"id\":\"first\"}", "{\"code\":200,\"id\":\"second\"}"]);
}

#[tokio::test]
async fn an_endpoint_that_is_removed_gets_no_more_calls() {
    let mesh = Mesh::start(canary("")).await;
    until("both versions", || async {
        let seen = counted(&mesh, 10).await;
        if seen.len() == 2 { Ok(()) } else { Err(seen) }
    })
    .await;
    mesh.write_without(&["server-v2"]);
    until("version one alone", || async {
        let seen = counted(&mesh, 20).await;
        if seen.len() == 1 { Ok(()) } else { Err(seen) }
    })
    .await;
    mesh.write_without(&[]);
    until("both versions again", || async {
        let seen = counted(&mesh, 10).await;
        if seen.len() == 2 { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test]
async fn traffic_goes_on_while_pilot_is_gone() {
    let mut mesh = Mesh::start(canary(&weights(100, 0))).await;
    let call = Call::get(&mesh.host("server", HTTP), "/");
    let load = Load::start("http", Pace::rate(100), Http1::new(mesh.egress("client", HTTP), call.clone()));
    load.more(20).await;
    mesh.kill_pilot().await;
    load.more(50).await;
    mesh.start_pilot().await;
    mesh.write("other", "");
    mesh.write_without(&["server-v2"]);
    load.more(50).await;
    let outcome = load.stop().await;
    assert_eq!(outcome.failures(), 0, "{:?}", outcome.failed);
}

#[tokio::test]
async fn a_proxy_restarted_while_pilot_is_away_serves_from_what_it_kept() {
    let mut mesh = Mesh::start(Plan::pair()).await;
    let call = Call::get(&mesh.host("server", HTTP), "/");
    // Asked for once, so that the caller's proxy has the details and keeps them.
    assert_eq!(call.send(mesh.egress("client", HTTP)).await.unwrap().status, 200);
    mesh.kill_pilot().await;
    for workload in ["server", "client"] {
        mesh.kill_proxy(workload).await;
        mesh.start_proxy(workload).await;
    }
    let reply = until("the call", || async {
        let reply = call.send(mesh.egress("client", HTTP)).await?;
        ensure!(reply.status == 200, "{reply:?}");
        Ok(reply)
    })
    .await;
    assert!(reply.body.contains(&identity("client")), "{}", reply.body);
}

#[tokio::test]
async fn a_drain_loses_nothing() {
    let mut mesh = Mesh::start(canary("")).await;
    let call = Call::get(&mesh.host("server", HTTP), "/slow/20");
    let load = Load::start("http", Pace::rate(50), Http1::new(mesh.egress("client", HTTP), call));
    load.more(20).await;
    // As in a cluster: the endpoint is withdrawn while its proxy drains.
    let (long, at) = (Call::get(&mesh.host("server", HTTP), "/slow/1500"), mesh.ingress("server-v2", HTTP));
    let long = tokio::spawn(async move { long.send(at).await });
    mesh.write_without(&["server-v2"]);
    until("version one alone", || async {
        let seen = counted(&mesh, 20).await;
        if seen.len() == 1 { Ok(()) } else { Err(seen) }
    })
    .await;
    mesh.drain_proxy("server-v2").await;
    load.more(20).await;
    let outcome = load.stop().await;
    assert_eq!(outcome.failures(), 0, "{:?}", outcome.failed);
    assert_eq!(long.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn who_connects_after_the_drain_is_refused_while_requests_still_finish() {
    let mut mesh = Mesh::start(Plan::pair()).await;
    let (slow, at) = (Call::get(&mesh.host("server", HTTP), "/slow/3000"), mesh.ingress("server", HTTP));
    let slow = tokio::spawn(async move { slow.send(at).await });
    let (way_out, call) = (mesh.egress("server", HTTP), Call::get(&mesh.host("server", HTTP), "/"));
    let drained = tokio::spawn(mesh.drain_proxy("server"));
    until("connections refused", || async {
        match TcpStream::connect(at).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // The application may need others to answer what it has begun.
    assert_eq!(call.send(way_out).await.unwrap().status, 503, "its only server is this one");
    assert!(!slow.is_finished(), "refused at the end of the drain's time, not at the end of the process");
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    drained.await.unwrap();
}

#[tokio::test]
async fn permissive_takes_plain_text_and_strict_does_not() {
    let mesh = Mesh::start(Plan::pair()).await;
    let call = Call::get(&mesh.host("server", HTTP), "/");
    let plain = call.send(mesh.ingress("server", HTTP)).await.unwrap();
    assert_eq!(plain.status, 200);
    assert!(!plain.body.to_ascii_lowercase().contains("x-forwarded-client-cert"), "{}", plain.body);
    mesh.write(
        "strict",
        "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: test}
spec: {mtls: {mode: STRICT}}
",
    );
    until("plain text refused", || async {
        let plain = call.send(mesh.ingress("server", HTTP)).await;
        ensure!(plain.is_err(), "{plain:?}");
        Ok(())
    })
    .await;
    let through = call.send(mesh.egress("client", HTTP)).await.unwrap();
    assert_eq!(through.status, 200);
}

#[tokio::test]
async fn the_case_of_header_names_is_kept_both_ways() {
    let mesh = Mesh::start(Plan::pair()).await;
    let call = Call::get(&mesh.host("server", HTTP), "/").header("X-MiXeD-Case", "Value").header("SOAPAction", "a");
    let reply = call.send(mesh.egress("client", HTTP)).await.unwrap();
    assert!(reply.body.contains("\r\nX-MiXeD-Case: Value\r\n"), "{}", reply.body);
    assert!(reply.body.contains("\r\nSOAPAction: a\r\n"), "{}", reply.body);
    assert!(reply.headers.iter().any(|(name, _)| name == "X-Served-By"), "{:?}", reply.headers);
}

#[tokio::test]
async fn clients_of_http_1_0_are_answered() {
    let mesh = Mesh::start(Plan::pair()).await;
    let mut call = Call::get(&mesh.host("server", HTTP), "/old");
    call.version = "1.0";
    let reply = call.send(mesh.egress("client", HTTP)).await.unwrap();
    assert_eq!((reply.status, reply.served_by()), (200, "server"));
    assert!(reply.closes, "{reply:?}");
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let mesh = Mesh::start(Plan::pair()).await;
    let call = Call::get(&mesh.host("server", HTTP), "/chat")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut connection = Connection::open(mesh.egress("client", HTTP), None).await.unwrap();
    let reply = connection.call(&call).await.unwrap();
    assert_eq!(reply.status, 101, "{reply:?}");
    assert_eq!(reply.header("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    let mut stream = connection.into_stream();
    for text in [b"first", b"again"] {
        stream.write_all(text).await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, text);
    }
}

#[tokio::test]
async fn grpc_keeps_its_trailers_and_its_streams() {
    let mesh = Mesh::start(Plan::pair()).await;
    let client = Client::open(mesh.egress("client", GRPC), None).await.unwrap();
    let host = mesh.host("server", GRPC);
    let answer = client.grpc(&host, "/mesh.Echo/Stream", "g-1", &[b"one", b"two", b"three"]).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.trailers.get("grpc-status").map(|v| v.as_bytes()), Some(&b"0"[..]), "{answer:?}");
    assert_eq!(answer.trailers.get("x-messages").map(|v| v.as_bytes()), Some(&b"3"[..]), "{answer:?}");
    assert_eq!(mesh.app("server", GRPC).seen.count("g-1"), 1);

    // A call that the proxy answers itself has gRPC's form.
    let refused = client.grpc("nobody.test:8081", "/mesh.Echo/Unary", "g-2", &[b"x"]).await.unwrap();
    assert_eq!(refused.status, 200);
    assert!(refused.grpc_status().is_some_and(|status| status != "0"), "{refused:?}");
}

#[tokio::test]
async fn http_2_passes_with_prior_knowledge() {
    let mesh = Mesh::start(Plan::pair()).await;
    let client = Client::open(mesh.egress("client", HTTP2), None).await.unwrap();
    let answer = client.request(&mesh.host("server", HTTP2), "/two", &[], "body".into()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-body-bytes"), Some("4"));
    // To a port of HTTP/1 too: the proxy translates.
    let client = Client::open(mesh.egress("client", HTTP), None).await.unwrap();
    let answer = client.request(&mesh.host("server", HTTP), "/one", &[], Default::default()).await.unwrap();
    assert_eq!(answer.header("x-served-by"), Some("server"));
}

#[tokio::test]
async fn tcp_passes_with_half_close() {
    let mesh = Mesh::start(Plan::pair()).await;
    let large = vec![7; 300_000];
    let (to, from) = (mesh.egress("client", TCP), None);
    for bytes in [&b"small"[..], &large] {
        let back = mesh_e2e::client::exchange(to, from, bytes).await.unwrap();
        assert!(back == bytes, "{} of {} bytes came back", back.len(), bytes.len());
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_on_a_port_without_name() {
    let mesh = Mesh::start(Plan::pair()).await;
    // The second connection goes by what the first has taught.
    for _ in 0..2 {
        let mut stream = mesh_e2e::client::connect(mesh.egress("client", AUTO), None).await.unwrap();
        let mut greeting = [0; 12];
        let heard = tokio::time::timeout(mesh_e2e::PATIENCE, stream.read_exact(&mut greeting)).await;
        heard.expect("the greeting comes").unwrap();
        assert_eq!(&greeting, b"220 server\r\n");
        stream.write_all(b"EHLO").await.unwrap();
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"EHLO");
    }
}

#[tokio::test]
async fn one_bad_object_does_not_block_others() {
    let bad = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad, namespace: test}
spec:
  hosts: [bad.test]
  http: [{route: [{destination: {host: bad.test}, weight: minus}], timeout: soon}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: worse, namespace: test}
spec: 17
";
    let mesh = Mesh::start(canary("")).await;
    mesh.write("bad", &format!("{bad}{}", weights(0, 100)));
    mesh.write("broken", "apiVersion: [");
    until("the good object beside the bad ones", || async {
        let reply = Call::get(&mesh.host("server", HTTP), "/").send(mesh.egress("client", HTTP)).await?;
        ensure!(reply.header("x-weights") == Some("0-100") && reply.served_by() == "server-v2", "{reply:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_unknown_host_is_refused_and_a_failing_upstream_is_explained() {
    let plan =
        Plan::pair().access_log("%REQ(X-REQUEST-ID)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n");
    let mut mesh = Mesh::start(plan).await;
    let at = mesh.egress("client", HTTP);
    assert_eq!(Call::get("unknown.test", "/").send(at).await.unwrap().status, 502);
    mesh.stop_app("server", HTTP);
    let call = Call::get(&mesh.host("server", HTTP), "/").header("x-request-id", "gone-1");
    let reply = call.send(at).await.unwrap();
    assert_eq!(reply.status, 503, "{reply:?}");
    let lines = mesh.log_lines("gone-1 503", 2).await;
    assert!(
        lines.iter().any(|line| line.contains(" UF ") || line.contains(" URX,UF ") || line.contains("UF")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn proxies_that_show_no_mesh_certificate_are_refused_by_mutual_tls() {
    let mesh = Mesh::start(Plan::pair()).await;
    let alpn: &[&'static [u8]] = &[b"istio-http/1.1", b"istio", b"http/1.1"];
    let (_, connected) = mesh.handshake("anybody", mesh.ingress("server", HTTP), alpn).await.unwrap();
    assert_eq!(connected.peer.uris, [identity("server")]);
    assert_eq!(connected.alpn.as_deref(), Some(&b"http/1.1"[..]));
    // A certificate of another root.
    let stranger = mesh_runtime::testing::TestCa::new("cluster.local");
    let client = mesh_runtime::tls::client::ClientTls::new(mesh_runtime::snapshot::Reader::fixed(std::sync::Arc::new(
        mesh_runtime::tls::material::Identity {
            material: stranger.material("test", "client"),
            roots: mesh.issue("client").roots.clone(),
        },
    )));
    let stream = mesh_e2e::client::connect(mesh.ingress("server", HTTP), None).await.unwrap();
    let profile = mesh_runtime::testing::mesh_profile(alpn, "server.test");
    let shaken = client.connect(stream, &profile, &mesh_runtime::tls::verify::ExpectedPeer::any()).await;
    // TLS 1.3 tells the client only afterwards.
    if let Ok((mut stream, _)) = shaken {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: server.test\r\n\r\n").await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{read:?}: {}", String::from_utf8_lossy(&answer));
    }
}

/// An application that has ended takes no connections, and its sidecar says that it was given nothing.
#[tokio::test]
async fn what_an_application_that_has_ended_was_not_given_goes_to_another() {
    let server = |name: &str, version: &str| Workload::new(name).version("server", version).serves(HTTP, Kind::Http1);
    let never = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: test}
spec: {hosts: [server.test.svc.cluster.local], http: [{route: [{destination: {host: server.test.svc.cluster.local}}], retries: {attempts: 0}}]}
";
    let plan = Plan::new([Workload::new("client"), server("server-a", "v1"), server("server-b", "v2")]).objects(never);
    let mut mesh = Mesh::start(plan).await;
    mesh.stop_app("server-a", HTTP);
    let mut connection = Connection::open(mesh.egress("client", HTTP), None).await.unwrap();
    // Whatever the method, and though nothing is to be retried: nothing of it was done.
    for number in 0..20 {
        let reply = connection.call(&Call::post(&mesh.host("server", HTTP), "/", b"order")).await.unwrap();
        assert_eq!((reply.status, reply.served_by()), (200, "server-b"), "{number}: {}", reply.body);
        assert_eq!(reply.header("x-ferromesh-undelivered"), None);
    }
    // With nobody left it is told as it was.
    mesh.stop_app("server-b", HTTP);
    let reply = connection.call(&Call::post(&mesh.host("server", HTTP), "/", b"order")).await.unwrap();
    assert_eq!((reply.status, reply.header("x-ferromesh-undelivered")), (503, None), "{}", reply.body);
}

/// Clients that stream do not know the end before it comes, and then send an empty frame.
#[tokio::test]
async fn bodies_that_end_by_an_empty_frame_do_not_wear_connections_out() {
    let server = Workload::new("server").serves(HTTP2, Kind::Http2);
    let mesh = Mesh::start(Plan::new([Workload::new("client"), server])).await;
    let stream = TcpStream::connect(mesh.egress("client", HTTP2)).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for number in 0..150 {
        let frames = [Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"one")))];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let uri = format!("http://{}/", mesh.host("server", HTTP2));
        let answer = sender.send_request(hyper::Request::post(uri).body(body).unwrap()).await;
        let answer = answer.unwrap_or_else(|error| panic!("call {number}: {error}"));
        assert_eq!(answer.status(), 200, "call {number}");
        answer.into_body().collect().await.unwrap_or_else(|error| panic!("the answer of call {number}: {error}"));
    }
}
