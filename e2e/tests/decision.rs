//! Golden: objects and calls → decisions, without sockets. `data/<case>/mesh.yaml` and `calls.txt` give `want.snap`;
//! to accept a change, run with `INSTA_UPDATE=always` and read the difference.
//!
//! A line of `calls.txt`: `out WORKLOAD METHOD http://HOST[:PORT]/PATH [name=value …]`, or
//! `in WORKLOAD PORT PRINCIPAL|- METHOD http://HOST/PATH [name=value …]`. Workloads are named by their address.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_config::{kind::Role, name::Port};
use mesh_e2e::{
    golden,
    offline::{Decider, Outgoing, Request},
};
use mesh_pilot::{Mesh, offline::compile_text};
use mesh_proxy::snapshot::{listener::DestinationKey, outbound::lookup};
use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

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
            let mut decider = decider(mesh, workload);
            let nowhere = SocketAddr::new([192, 0, 2, 1].into(), port.get());
            let key: DestinationKey = lookup(decider.snapshot(), nowhere).key(nowhere);
            match decider.outgoing(&key, port, &request, 0) {
                Outgoing::Forward { cluster, route, path, host } => {
                    format!("→ {cluster} by {route:?}: {path} at {host}")
                }
                Outgoing::Answer { status, text } => format!("{status} {text}").trim().to_owned(),
            }
        }
        ["in", workload, port, principal, method, url, ref headers @ ..] => {
            let (request, _) = request(method, url, headers);
            let port = Port::new(port.parse().unwrap()).unwrap();
            let peer = (principal != "-").then_some(principal);
            let source = IpAddr::from([10, 9, 9, 9]);
            let incoming = decider(mesh, workload).incoming(port, peer, source, &request);
            if incoming.allowed { "allowed".into() } else { format!("refused {}", incoming.details) }
        }
        _ => panic!("not a call: {line}"),
    }
}

fn decider<'m>(mesh: &'m Mesh, address: &str) -> Decider<'m> {
    let address: IpAddr = address.parse().unwrap();
    let workload = mesh_pilot::scope::workload_at(mesh, address).unwrap_or_else(|| panic!("nobody at {address}"));
    let mesh_config::model::Part::Workload(workload) = workload.part() else { panic!("not a workload") };
    let account = &workload.service_account;
    Decider::new(mesh, Role::Sidecar, &workload.info.namespace, account, address)
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
fn hosts_that_are_not_known() {
    case("unknown-hosts");
}
