//! Commands that ask a running process: a proxy's admin port, pilot's `Debug` service, nobody, somebody silent.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_config::{
    kind::Role,
    model::{Kind, Part},
    wire::{
        self,
        proto::ferromesh::v1::{
            AuthorityRequest, ClientsRequest, ConfigRequest, DebugReport,
            debug_server::{Debug, DebugServer},
        },
    },
};
use mesh_pilot::{ProxyFacts, offline};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::Command,
};
use tonic::{Request, Response, Status};

/// Exit code, standard output, standard error.
fn meshctl(line: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    let output = command.args(line.split_whitespace()).env_clear().output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), out, err)
}

/// Answers one HTTP request with `response`.
fn admin(response: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        assert!(request.starts_with(b"GET /debug/config_dump HTTP/1.1\r\n"));
        stream.write_all(response.as_bytes()).unwrap();
    });
    address
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_proxy_is_asked_at_its_admin_port() {
    let dump = include_str!("data/proxy-config/dump.json");
    let (code, out, err) = meshctl(&format!("pc cluster --admin {} --subset v2", admin(ok(dump))));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.lines().nth(1).unwrap().starts_with("reviews.shop.svc.cluster.local     9080     v2 "), "{out}");
}

#[test]
fn what_an_admin_port_answers_instead_is_told() {
    let (code, _, err) =
        meshctl(&format!("pc l --admin {}", admin("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into())));
    assert!(code == 1 && err.contains("404 Not Found"), "{err}");
    let (code, _, err) = meshctl(&format!("pc l --admin {}", admin(ok("<html>"))));
    assert!(code == 1 && err.contains("is not JSON"), "{err}");
    let (code, _, err) = meshctl(&format!("pc l --admin {}", admin(ok("{}"))));
    assert!(code == 1 && err.contains("is not a configuration dump"), "{err}");
}

#[test]
fn nobody_there_is_told_with_what_was_tried() {
    // Bound and closed again, so that nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for line in [
        format!("pc c --admin {address}"),
        format!("pc c web --xds-address {address} --plaintext"),
        format!("ps --xds-address {address} --plaintext"),
        format!("ps --xds-address {address} --insecure"),
    ] {
        let (code, out, err) = meshctl(&line);
        assert_eq!((code, out.as_str()), (1, ""), "{line}");
        assert!(err.starts_with("Error: ") && err.contains(&address.to_string()), "{line}: {err}");
    }
    let (code, out, err) = meshctl(&format!("version --xds-address {address} --plaintext"));
    assert_eq!((code, out.lines().count()), (0, 1));
    assert!(err.contains("does not answer"), "{err}");
}

#[test]
fn somebody_silent_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for line in [
        format!("pc c --admin {address} --timeout 100ms"),
        format!("ps --xds-address {address} --plaintext --timeout 100ms"),
        format!("ps --xds-address {address} --insecure --timeout 100ms"),
    ] {
        let (code, _, err) = meshctl(&line);
        assert_eq!(code, 1);
        assert!(err.contains("no answer within 100ms"), "{line}: {err}");
    }
}

#[test]
fn pilot_is_only_believed_with_a_reason() {
    let (code, _, err) = meshctl("ps --xds-address localhost:1");
    assert!(code == 64 && err.contains("--root-cert"), "{err}");
}

/// A pilot with one client.
struct Pilot;

#[tonic::async_trait]
impl Debug for Pilot {
    async fn authority(&self, _: Request<AuthorityRequest>) -> Result<Response<DebugReport>, Status> {
        Err(Status::unimplemented("nobody asks here"))
    }

    async fn clients(&self, request: Request<ClientsRequest>) -> Result<Response<DebugReport>, Status> {
        if request.metadata().get("authorization").is_some_and(|token| token != "Bearer good") {
            return Err(Status::unauthenticated("no such token"));
        }
        let clients = json!([{
            "proxy": "web-1.shop", "cluster": "Kubernetes", "namespace": "shop", "role": "sidecar", "version": "0.1.0",
            "kinds": {"Index": {"status": "synced", "sent": 1, "acknowledged": 1, "parts": 2, "refused": {}}},
        }]);
        Ok(Response::new(DebugReport { json: clients.to_string() }))
    }

    async fn config(&self, request: Request<ConfigRequest>) -> Result<Response<DebugReport>, Status> {
        match request.get_ref().proxy.as_str() {
            "web-1.shop" => Ok(Response::new(DebugReport { json: held().to_string() })),
            other => Err(Status::not_found(format!("no proxy {other:?} is connected here"))),
        }
    }
}

/// What the sidecar of `web-1` holds once it has called everything.
fn held() -> Value {
    let (mesh, _) = offline::compile_text(include_str!("data/objects/shop.yaml"), None);
    let proved = ("shop".into(), "web");
    let facts = ProxyFacts::resolve(&mesh, Role::Sidecar, (&proved.0, proved.1), Some("web-1"), &[]);
    let parts = offline::everything(&mesh, &facts);
    let part = |part: &Part| {
        let encoded = wire::encode(part);
        let wire = (part.kind() != Kind::Secret).then(|| STANDARD.encode(&encoded.bytes));
        json!({"kind": format!("{:?}", part.kind()), "name": encoded.name.as_str(), "version": "v", "wire": wire})
    };
    let parts: Vec<Value> = parts.iter().map(part).collect();
    json!({"client": {"proxy": "web-1.shop", "namespace": "shop", "role": "sidecar"}, "meshVersion": 1, "parts": parts})
}

/// Serves until the test's process ends.
fn pilot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let server = tonic::transport::Server::builder().add_service(DebugServer::new(Pilot));
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            server.serve_with_incoming(incoming).await.unwrap();
        });
    });
    address
}

#[test]
fn pilot_tells_who_is_connected() {
    let address = pilot();
    let (code, out, err) = meshctl(&format!("proxy-status --xds-address {address} --plaintext"));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("web-1.shop     Kubernetes") && out.contains("1 (Index)"), "{out}");
    let (code, out, _) = meshctl(&format!("ps web-1 -n shop --xds-address {address} --plaintext -o json"));
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["proxy"], "web-1.shop");
    let (code, out, _) = meshctl(&format!("version --xds-address {address} --plaintext"));
    assert_eq!((code, out.lines().last()), (0, Some("data plane version: 0.1.0 (1 proxies)")));
}

#[test]
fn pilot_s_parts_become_the_proxy_s_own_lists() {
    let address = pilot();
    let pc = |what: &str| {
        let (code, out, err) = meshctl(&format!("pc {what} web-1.shop --xds-address {address} --plaintext"));
        assert_eq!((code, err.as_str()), (0, ""), "{what}");
        out
    };
    let clusters = pc("cluster --fqdn reviews.mesh");
    assert_eq!(clusters.lines().count(), 4, "{clusters}");
    assert!(clusters.contains("v2         outbound      EDS      reviews.shop"), "{clusters}");
    let endpoints = pc("endpoint --cluster outbound|9080|v2|reviews.mesh");
    assert!(endpoints.contains("127.0.1.4:8080     HEALTHY"), "{endpoints}");
    let routes = pc("route --name 9080");
    assert!(routes.contains("/api/*") && routes.contains("reviews.shop"), "{routes}");
}

#[test]
fn a_proxy_that_pilot_does_not_know_is_told() {
    let address = pilot();
    let (code, _, err) = meshctl(&format!("pc c gone.shop --xds-address {address} --plaintext"));
    assert!(code == 1 && err.contains("no proxy \"gone.shop\" is connected here"), "{err}");
}
