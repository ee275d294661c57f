//! Stock Envoy as peer, both ways, with static configuration: what is between two sidecars is Istio's wire.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_e2e::{
    client::{Call, connect, exchange, http2::Client},
    mesh::{GRPC, HTTP, Mesh, Plan, Port, TCP, Workload, identity},
    program::Program,
    until,
    workload::Kind,
};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr};

/// A listener for opaque bytes leads to one service: the server behind Envoy has a port for itself.
const STOCK_TCP: Port = Port { number: 9500, ..TCP };

fn serving(workload: Workload, tcp: Port) -> Workload {
    workload.serves(HTTP, Kind::Http1).serves(GRPC, Kind::Http2).serves(tcp, Kind::Echo)
}

/// A caller and a server with our proxies, and a server behind Envoy.
async fn mesh() -> Mesh {
    let server = serving(Workload::new("server"), TCP);
    let stock = serving(Workload::new("stock"), STOCK_TCP).with_foreign_proxy();
    Mesh::start(Plan::new([Workload::new("client"), server, stock])).await
}

fn certificate(mesh: &Mesh, account: &str) -> Value {
    let (chain, key) = (mesh.dir().join("envoy-cert.pem"), mesh.dir().join("envoy-key.pem"));
    let issued = mesh.issue(account);
    fs::write(&chain, issued.material.certificate().chain_pem()).unwrap();
    fs::write(&key, issued.material.certificate().key_pem()).unwrap();
    json!([{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}])
}

fn believes(mesh: &Mesh, matcher: Value) -> Value {
    json!({
        "trusted_ca": {"filename": mesh.dir().join("ca").join("root-cert.pem")},
        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": matcher}],
    })
}

fn address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip(), "port_value": at.port()}})
}

fn typed(name: &str, kind: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{kind}"));
    json!({"name": name, "typed_config": fields})
}

/// A cluster at an address; over TLS where `tls` is given.
fn cluster(name: &str, to: SocketAddr, http2: bool, tls: Option<Value>) -> Value {
    let mut cluster = json!({
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(to)}}]}]},
    });
    if http2 {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        });
    }
    if let Some(tls) = tls {
        cluster["transport_socket"] = typed("tls", "transport_sockets.tls.v3.UpstreamTlsContext", tls);
    }
    cluster
}

/// A listener that leads to a cluster; over TLS where `tls` is given.
fn listener(at: SocketAddr, to: &str, http: bool, tls: Option<Value>) -> Value {
    let router = typed("router", "filters.http.router.v3.Router", json!({}));
    let filter = match http {
        true => typed(
            "hcm",
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            json!({
                "stat_prefix": "http",
                "forward_client_cert_details": "APPEND_FORWARD",
                "set_current_client_cert_details": {"uri": true},
                "http_filters": [router],
                "route_config": {"virtual_hosts": [{
                    "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}],
                }]},
            }),
        ),
        false => typed("tcp", "filters.network.tcp_proxy.v3.TcpProxy", json!({"stat_prefix": "tcp", "cluster": to})),
    };
    let mut chain = json!({"filters": [filter]});
    if let Some(tls) = tls {
        chain["transport_socket"] = typed("tls", "transport_sockets.tls.v3.DownstreamTlsContext", tls);
    }
    json!({"address": address(at), "filter_chains": [chain]})
}

/// Starts Envoy and waits until it listens everywhere.
async fn envoy(mesh: &Mesh, listeners: Vec<Value>, clusters: Vec<Value>) -> Program {
    let places: Vec<SocketAddr> = listeners
        .iter()
        .map(|l| {
            let at = &l["address"]["socket_address"];
            SocketAddr::new(at["address"].as_str().unwrap().parse().unwrap(), at["port_value"].as_u64().unwrap() as u16)
        })
        .collect();
    let config = json!({"static_resources": {"listeners": listeners, "clusters": clusters}});
    let file = mesh.dir().join("envoy.json");
    fs::write(&file, config.to_string()).unwrap();
    let log = mesh.dir().join("envoy.log");
    let args = ["-c", file.to_str().unwrap(), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"];
    let program = Program::start("envoy", &args, &log);
    for at in places {
        until("Envoy listens", || async {
            connect(at, None).await.map(drop).map_err(|_| fs::read_to_string(&log).unwrap_or_default())
        })
        .await;
    }
    program
}

#[tokio::test]
async fn envoy_calls_our_sidecar() {
    let mesh = mesh().await;
    let certificates = certificate(&mesh, "stock");
    let tls = |alpn: &[&str]| {
        Some(json!({
            "sni": "outbound_.80_._.server.test.svc.cluster.local",
            "common_tls_context": {
                "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": certificates,
                "alpn_protocols": alpn,
                "validation_context": believes(&mesh, json!({"exact": identity("server")})),
            },
        }))
    };
    let at = |port| SocketAddr::new(mesh.spare_ip(0), port);
    let _envoy = envoy(
        &mesh,
        vec![
            listener(at(1), "http", true, None),
            listener(at(2), "grpc", true, None),
            listener(at(3), "tcp", false, None),
        ],
        vec![
            cluster("http", mesh.ingress("server", HTTP), false, tls(&["istio-http/1.1", "istio", "http/1.1"])),
            cluster("grpc", mesh.ingress("server", GRPC), true, tls(&["istio-h2", "istio", "h2"])),
            cluster("tcp", mesh.ingress("server", TCP), false, tls(&["istio"])),
        ],
    )
    .await;

    let host = mesh.host("server", HTTP);
    let reply = Call::get(&host, "/from-envoy").send(at(1)).await.unwrap();
    assert_eq!((reply.status, reply.served_by()), (200, "server"), "{reply:?}");
    assert!(reply.body.contains(&format!("URI={}", identity("stock"))), "{}", reply.body);
    let client = Client::open(at(2), None).await.unwrap();
    let answer = client.grpc(&mesh.host("server", GRPC), "/mesh.Echo/Unary", "e-1", &[b"from envoy"]).await.unwrap();
    assert_eq!(answer.grpc_status(), Some("0"), "{answer:?}");
    assert_eq!(exchange(at(3), None, b"opaque").await.unwrap(), b"opaque");
}

#[tokio::test]
async fn our_sidecar_calls_envoy() {
    let mesh = mesh().await;
    let tls = json!({
        "require_client_certificate": true,
        "common_tls_context": {
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": certificate(&mesh, "stock"),
            "alpn_protocols": ["h2", "http/1.1"],
            "validation_context": believes(&mesh, json!({"prefix": "spiffe://cluster.local/"})),
        },
    });
    let app = |port| mesh.app("stock", port).address;
    let at = |port| mesh.ingress("stock", port);
    let _envoy = envoy(
        &mesh,
        vec![
            listener(at(HTTP), "http", true, Some(tls.clone())),
            listener(at(GRPC), "grpc", true, Some(tls.clone())),
            listener(at(STOCK_TCP), "tcp", false, Some(tls)),
        ],
        vec![
            cluster("http", app(HTTP), false, None),
            cluster("grpc", app(GRPC), true, None),
            cluster("tcp", app(STOCK_TCP), false, None),
        ],
    )
    .await;

    let call = Call::get(&mesh.host("stock", HTTP), "/to-envoy");
    let reply = call.send(mesh.egress("client", HTTP)).await.unwrap();
    assert_eq!((reply.status, reply.served_by()), (200, "stock"), "{reply:?}");
    assert!(reply.body.contains(&format!("URI={}", identity("client"))), "{}", reply.body);
    let client = Client::open(mesh.egress("client", GRPC), None).await.unwrap();
    let answer = client.grpc(&mesh.host("stock", GRPC), "/mesh.Echo/Unary", "e-2", &[b"to envoy"]).await.unwrap();
    assert_eq!(answer.grpc_status(), Some("0"), "{answer:?}");
    let back = exchange(mesh.egress("client", STOCK_TCP), None, b"opaque").await.unwrap();
    assert_eq!(back, b"opaque");
    assert!(mesh.app("stock", STOCK_TCP).seen.connections() > 0);
}
