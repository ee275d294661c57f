//! Golden: objects and calls → decisions, without sockets. `data/<case>/mesh.yaml` and `calls.txt` give `want.snap`;
//! to accept a change, run with `INSTA_UPDATE=always` and read the difference.
//!
//! A line of `calls.txt` is a request, or a connection that carries bytes:
//! - `out WORKLOAD METHOD http://HOST[:PORT]/PATH [name=value …]`, `bytes-out WORKLOAD ADDRESS:PORT`
//! - `in WORKLOAD PORT PRINCIPAL|- METHOD http://HOST/PATH [name=value …]`, `bytes-in WORKLOAD PORT PRINCIPAL|tls|-`
//! - `gateway WORKLOAD PORT NAME|- METHOD http://HOST/PATH [name=value …]`, `bytes-gateway WORKLOAD PORT`
//!
//! Workloads are named by their address, with `?` behind it before the proxy has been told who it is. A principal comes by the
//! mesh's TLS, a name by that of a client outside, `tls` by that of others, `-` in plain text.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_config::{kind::Role, name::Port};
use mesh_e2e::{
    golden,
    offline::{Arriving, Decider, Request, Verdict},
};
use mesh_pilot::{Mesh, offline::compile_text};
use mesh_proxy::{
    decide::outbound::Entrance,
    detect::{ClientHello, Detected},
    snapshot::outbound::Said,
};
use std::{fmt::Write as _, fs, net::SocketAddr, path::Path};

fn case(name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let objects = fs::read_to_string(dir.join("mesh.yaml")).unwrap();
    let calls = fs::read_to_string(dir.join("calls.txt")).unwrap();
    let (mesh, diagnostics) = compile_text(&objects, None);
    let mut out = String::new();
    for diagnostic in &diagnostics {
        let _ = writeln!(out, "{diagnostic}");
    }
    for line in calls.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let _ = writeln!(out, "{line}\n    {}", decided(&mesh, line));
    }
    golden::check(&dir.join("want.snap"), &out);
}

fn decided(mesh: &Mesh, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["out", workload, method, url, ref headers @ ..] => {
            let (request, port) = request(method, url, headers);
            let nowhere = Entrance::Captured(SocketAddr::new([192, 0, 2, 1].into(), port.get()));
            let mut decider = decider(mesh, Role::Sidecar, workload);
            told(decider.from_application(&nowhere, port, Said::Other, Some(&request), 0))
        }
        ["in", workload, port, principal, method, url, ref headers @ ..] => {
            let (request, _) = request(method, url, headers);
            let port = number(port);
            let arriving = arriving(port, principal, "istio-http/1.1", Detected::Http1);
            told(decider(mesh, Role::Sidecar, workload).from_peer(&arriving, Some(&request)))
        }
        ["bytes-in", workload, port, principal] => {
            let arriving = arriving(number(port), principal, "istio-peer-exchange", Detected::Opaque);
            told(decider(mesh, Role::Sidecar, workload).from_peer(&arriving, None))
        }
        ["bytes-out", workload, address] => {
            let address: SocketAddr = address.parse().unwrap();
            let port = Port::new(address.port()).unwrap();
            let mut decider = decider(mesh, Role::Sidecar, workload);
            told(decider.from_application(&Entrance::Captured(address), port, Said::Other, None, 0))
        }
        ["gateway", workload, port, name, method, url, ref headers @ ..] => {
            let (request, _) = request(method, url, headers);
            let hello = ClientHello { sni: Some(name.to_owned()), alpn: Vec::new() };
            let said = if name == "-" { Detected::Http1 } else { Detected::Tls(hello) };
            let arriving = Arriving { port: number(port), said, peer: None, source: SOURCE.into() };
            told(decider(mesh, Role::Gateway, workload).from_outside(&arriving, Some(&request)))
        }
        ["bytes-gateway", workload, port] => {
            let said = Detected::Opaque;
            let arriving = Arriving { port: number(port), said, peer: None, source: SOURCE.into() };
            told(decider(mesh, Role::Gateway, workload).from_outside(&arriving, None))
        }
        _ => panic!("not a call: {line}"),
    }
}

fn decider<'m>(mesh: &'m Mesh, role: Role, address: &str) -> Decider<'m> {
    match address.strip_suffix('?') {
        Some(address) => Decider::not_known(mesh, role, address.parse().unwrap()),
        None => Decider::new(mesh, role, address.parse().unwrap()),
    }
}

/// Where peers and clients come from.
const SOURCE: [u8; 4] = [10, 9, 9, 9];

fn number(port: &str) -> Port {
    Port::new(port.parse().unwrap()).unwrap()
}

fn arriving(port: Port, principal: &str, alpn: &str, plain: Detected) -> Arriving {
    let hello = |alpn: &[&str]| ClientHello { sni: None, alpn: alpn.iter().map(|p| p.as_bytes().to_vec()).collect() };
    let (said, peer) = match principal {
        "-" => (plain, None),
        "tls" => (Detected::Tls(hello(&["h2"])), None),
        principal => (Detected::Tls(hello(&[alpn, "istio"])), Some(principal.to_owned())),
    };
    Arriving { port, said, peer, source: SOURCE.into() }
}

fn told(verdict: Verdict) -> String {
    match verdict {
        Verdict::Forward { cluster, route, path, host } => format!("→ {cluster} by {route:?}: {path} at {host}"),
        Verdict::Carry { cluster } => format!("bytes → {cluster}"),
        Verdict::Answer { status, text } => format!("{status} {text}").trim().to_owned(),
        Verdict::Close { why } => format!("closed {why}"),
    }
}

fn request(method: &str, url: &str, headers: &[&str]) -> (Request, Port) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let port = host.rsplit_once(':').map_or(80, |(_, port)| port.parse().unwrap());
    let headers = headers.iter().filter_map(|h| h.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let request = Request { method: method.into(), host: host.into(), path: format!("/{path}"), headers };
    (request, Port::new(port).unwrap())
}

#[test]
fn rules_of_a_virtual_service() {
    case("rules");
}

#[test]
fn subsets_and_the_services_around_them() {
    case("subsets");
}

#[test]
fn policies_of_a_workload() {
    case("policies");
}

#[test]
fn each_stage_at_each_door() {
    case("doors");
}

#[test]
fn pods_that_are_called_by_their_address() {
    case("pods-by-address");
}

#[test]
fn hosts_that_are_not_known() {
    case("unknown-hosts");
}
