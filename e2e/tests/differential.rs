//! The same calls answered by the pure functions that `explain` asks, and over sockets: one verdict. What proxies
//! did is read from their access log, so that cluster, route and policy are compared and not the status alone. First
//! requests of one world by the hundred, then every kind of connection at every door of two worlds drawn at random.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "differential/doors.rs"]
mod doors;
#[path = "differential/worlds.rs"]
mod worlds;

use doors::{Cover, Door, Outcome, Visit, World};
use mesh_config::{kind::Role, model::Protocol, name::Port};
use mesh_e2e::{
    client::{Call, Connection},
    mesh::{AUTO, GATEWAY_PORT, HTTP, Mesh, Plan, Workload, fqdn, identity},
    offline::{Arriving, Decider, Request, Verdict},
    until,
    workload::Kind,
};
use mesh_pilot::{
    source::{Batch, SourceId, file},
    world::World as Objects,
};
use mesh_proxy::{
    decide::outbound::Entrance,
    detect::{ClientHello, Detected},
    snapshot::outbound::Said,
};
use std::{collections::BTreeMap, fmt::Write as _, fs, net::IpAddr};

/// So many calls besides those of the table.
const RANDOM: usize = 400;
const FORMAT: &str =
    "%REQ(X-REQUEST-ID)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER_RAW% %ROUTE_NAME%\n";

fn plan() -> Plan {
    let server = |name: &str, version: &str| Workload::new(name).version("server", version).serves(HTTP, Kind::Http1);
    let objects = OBJECTS.replace("SERVER", &fqdn("server")).replace("OTHER", &fqdn("other"));
    let workloads = [
        Workload::new("client"),
        Workload::new("guest"),
        server("server-v1", "v1"),
        server("server-v2", "v2"),
        Workload::new("other").serves(HTTP, Kind::Http1),
    ];
    Plan::new(workloads).objects(&objects).access_log(FORMAT)
}

const OBJECTS: &str = "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: server, namespace: test}
spec:
  host: SERVER
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: test}
spec:
  hosts: [SERVER]
  http:
  - name: teapot
    match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - name: moved
    match: [{uri: {prefix: /moved/}}]
    redirect: {uri: /elsewhere, redirectCode: 302}
  - name: rewritten
    match: [{uri: {prefix: /api/}, headers: {x-user: {regex: 'a.*'}}}]
    rewrite: {uri: /deep/}
    route: [{destination: {host: SERVER, subset: v2}}]
  - name: nowhere
    match: [{uri: {prefix: /nowhere}}]
    route: [{destination: {host: gone.test}}]
  - name: other
    match: [{method: {exact: PUT}}, {queryParams: {to: {exact: other}}}, {headers: {x-to: {prefix: oth}}}]
    route: [{destination: {host: OTHER}}]
  - name: guests
    match: [{sourceLabels: {app: guest}}]
    route: [{destination: {host: SERVER, subset: v2}}]
  - name: known-methods
    match: [{method: {regex: 'GET|POST'}}]
    route: [{destination: {host: SERVER, subset: v1}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deep, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  action: DENY
  rules:
  - to: [{operation: {paths: [/deep/secret*]}}]
  - from: [{source: {notPrincipals: [cluster.local/ns/test/sa/client]}}]
    to: [{operation: {methods: [POST]}}]
  - when: [{key: 'request.headers[x-user]', values: [mallory]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: test}
spec:
  selector: {matchLabels: {app: other}}
  rules:
  - to: [{operation: {methods: [GET], notPaths: ['*/private']}}]
  - from: [{source: {principals: ['*/sa/guest']}}]
    to: [{operation: {paths: [/b*]}}]
";

/// Nobody's proxy: calls in plain text, straight to the proxy of `server-v1`.
const STRANGER: &str = "stranger";

/// One call and who makes it: a workload, through its proxy, or [`STRANGER`].
#[derive(Debug, Clone)]
struct Case {
    from: &'static str,
    request: Request,
}

fn table() -> Vec<Case> {
    let mut cases = Vec::new();
    for from in ["client", "guest", STRANGER] {
        for (method, host, path, header) in [
            ("GET", "server.test", "/", ""),
            ("GET", "server.test:8080", "/teapot", ""),
            ("GET", "server", "/moved/on?x=1", ""),
            ("GET", "server.test", "/api/secret", "x-user: ann"),
            ("GET", "server.test", "/api/secret", "x-user: bob"),
            ("GET", "server.test", "/api/%2e%2e/api//secret", "x-user: ann"),
            ("GET", "server.test", "/nowhere", ""),
            ("POST", "server.test", "/", ""),
            ("PUT", "server.test", "/", ""),
            ("PUT", "server.test", "/b/1", ""),
            ("DELETE", "server.test", "/", ""),
            ("GET", "server.test", "/?to=other", ""),
            ("GET", "server.test", "/a/private?to=other", ""),
            ("GET", "server.test", "/", "x-user: mallory"),
            ("GET", "other.test", "/a/private", ""),
            ("GET", "nobody.test", "/", ""),
        ] {
            let headers = header.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).into_iter().collect();
            let request = Request { method: method.into(), host: host.into(), path: path.into(), headers };
            cases.push(Case { from, request });
        }
    }
    cases
}

fn random(seed: u64) -> Vec<Case> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut pick = |from: &[&'static str]| from[rng.usize(..from.len())];
    let mut cases = Vec::new();
    for _ in 0..RANDOM {
        let mut path = String::new();
        for _ in 0..pick(&["1", "2", "3"]).len() + 1 {
            path.push_str(pick(&[
                "/", "/api/", "/api", "/secret", "/teapot", "/moved/", "/private", "/b", "//", "/..", "/%41",
            ]));
        }
        path.push_str(pick(&["", "", "?to=other", "?to=others", "?x=%zz"]));
        let mut headers = Vec::new();
        for (name, values) in [("x-user", &["ann", "bob", "mallory", ""][..]), ("x-to", &["other", "others", "Oth"])] {
            if pick(&["yes", "no", "no"]) == "yes" {
                headers.push((name.to_owned(), pick(values).to_owned()));
            }
        }
        cases.push(Case {
            from: pick(&["client", "guest", STRANGER]),
            request: Request {
                method: pick(&["GET", "GET", "POST", "PUT", "DELETE"]).into(),
                host: pick(&["server.test", "server.test.svc.cluster.local:8080", "SERVER", "other.test", "else.test"])
                    .into(),
                path,
                headers,
            },
        });
    }
    cases
}

/// What the pure functions say: one line for each proxy on the way.
fn decided(mesh: &Mesh, compiled: &mesh_pilot::Mesh, case: &Case) -> Vec<String> {
    let port = Port::new(HTTP.target()).unwrap();
    let incoming =
        |to: &str, arriving: &Arriving, request: &Request| match Decider::new(compiled, Role::Sidecar, mesh.ip(to))
            .from_peer(arriving, Some(request))
        {
            Verdict::Forward { cluster, route, .. } => (200, format!("200 via_upstream {cluster} {route}")),
            Verdict::Answer { status, text } => (status, format!("{status} {text} inbound|{port}|| default")),
            other => panic!("{other:?}"),
        };
    if case.from == STRANGER {
        let arriving = Arriving { port, said: Detected::Http1, peer: None, source: [127, 0, 0, 1].into() };
        return vec![incoming("server-v1", &arriving, &case.request).1];
    }
    let source: IpAddr = mesh.ip(case.from);
    let name = format!("{source}_{}", HTTP.number).into();
    let entrance = Entrance::Listener { name, protocol: Protocol::Http };
    let listener = Port::new(HTTP.number).unwrap();
    let mut caller = Decider::new(compiled, Role::Sidecar, source);
    let (cluster, route, path, host) =
        match caller.from_application(&entrance, listener, Said::Other, Some(&case.request), 0) {
            Verdict::Forward { cluster, route, path, host } => (cluster, route, path, host),
            Verdict::Answer { status, .. } => return vec![format!("{status}")],
            other => panic!("{other:?}"),
        };
    let to = match cluster.split('|').collect::<Vec<_>>()[..] {
        ["outbound", _, "v1", _] => "server-v1",
        ["outbound", _, "v2", _] => "server-v2",
        _ => "other",
    };
    let hello = ClientHello { sni: None, alpn: vec![b"istio-http/1.1".to_vec(), b"istio".to_vec()] };
    let arriving = Arriving { port, said: Detected::Tls(hello), peer: Some(identity(case.from)), source };
    let (status, line) = incoming(to, &arriving, &Request { path, host, ..case.request.clone() });
    vec![format!("{status} via_upstream {cluster} {route}"), line]
}

/// Lines of the log by request, in the form of [`decided`].
fn logged(log: &str) -> BTreeMap<String, Vec<String>> {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in log.lines() {
        let Some((id, rest)) = line.split_once(' ') else { continue };
        let words: Vec<&str> = rest.split(' ').collect();
        let [status, details, cluster, route] = words[..] else { continue };
        let inbound = cluster.starts_with("inbound");
        // A proxy that answers by itself is compared by its status.
        let text = match details {
            "via_upstream" => format!("{status} {details} {cluster} {route}"),
            _ if details.starts_with("rbac") => format!("{status} {details} inbound|{}|| default", HTTP.target()),
            _ => status.to_owned(),
        };
        let all = lines.entry(id.to_owned()).or_default();
        // The server's proxy may write first.
        if inbound || details.starts_with("rbac") { all.push(text) } else { all.insert(0, text) }
    }
    lines
}

/// The mesh of the very files that pilot reads.
fn compiled(mesh: &Mesh) -> mesh_pilot::Mesh {
    let mut objects = Objects::default();
    let tree = file::read_tree(&mesh.dir().join("objects")).unwrap();
    objects.apply(Batch { source: SourceId::Files, changes: file::Directory::default().scan(&tree).changes });
    mesh_pilot::compile(&objects, None)
}

#[tokio::test]
async fn explain_and_the_wire_say_the_same() {
    let mesh = Mesh::start(plan()).await;
    let compiled = compiled(&mesh);
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let cases: Vec<Case> = table().into_iter().chain(random(seed)).collect();
    let at = |from: &str| match from {
        STRANGER => mesh.ingress("server-v1", HTTP),
        workload => mesh.egress(workload, HTTP),
    };
    let mut connections = BTreeMap::new();
    for from in ["client", "guest", STRANGER] {
        connections.insert(from, Connection::open(at(from), None).await.unwrap());
    }
    for (number, case) in cases.iter().enumerate() {
        let Request { method, host, path, headers } = &case.request;
        let mut call = Call::get(host, path).method(method).header("x-request-id", &format!("case-{number}"));
        call.headers.extend(headers.iter().cloned());
        let connection = connections.get_mut(case.from).unwrap();
        let reply = connection.call(&call).await.unwrap_or_else(|e| panic!("{case:?}: {e:#}"));
        if reply.closes {
            *connection = Connection::open(at(case.from), None).await.unwrap();
        }
    }

    let expected: Vec<Vec<String>> = cases.iter().map(|case| decided(&mesh, &compiled, case)).collect();
    let whole: usize = expected.iter().map(Vec::len).sum();
    let log = until("the whole log", || async {
        let log = fs::read_to_string(mesh.access_log()).unwrap_or_default();
        if log.lines().count() >= whole { Ok(log) } else { Err(log.lines().count()) }
    })
    .await;
    let mut lines = logged(&log);
    let mut differences = String::new();
    for (number, (case, expected)) in cases.iter().zip(&expected).enumerate() {
        let seen = lines.remove(&format!("case-{number}")).unwrap_or_default();
        if seen != *expected && differences.lines().count() < 30 {
            let _ = writeln!(differences, "{case:?}\n  decided {expected:?}\n  seen    {seen:?}");
        }
    }
    assert!(differences.is_empty(), "SEED={seed}\n{differences}");
    // The cases are worth something: all kinds of verdicts are among them.
    for kind in ["418", "302", "404", "502", "503", "403 rbac", "200 via_upstream"] {
        assert!(expected.iter().flatten().any(|line| line.starts_with(kind)), "no case ends in {kind}");
    }
}

/// So many visits of each of two worlds, besides one of each kind at each door.
const VISITS: usize = 150;

/// Each kind of connection at each door.
fn doors() -> Vec<(Door, Cover, bool)> {
    let mesh = |account, domain| Cover::Mesh { account, domain };
    let covers = [
        Cover::Plain,
        mesh("client", "cluster.local"),
        mesh("guest", "cluster.local"),
        mesh("client", "stranger.example"),
    ];
    let mut all = Vec::new();
    for (name, opaque) in worlds::SERVERS.into_iter().zip(worlds::BYTES) {
        let mut ports = vec![(HTTP, true), (HTTP, false), (opaque, false)];
        if name == "gamma" {
            ports.extend([(worlds::AUTO_HTTP, true), (AUTO, false)]);
        }
        for (port, request) in ports {
            all.extend(covers.map(|cover| (Door::Peer(name, port.target()), cover, request)));
            // An application that speaks HTTP makes nothing of a hello.
            if port != worlds::AUTO_HTTP {
                all.push((Door::Peer(name, port.target()), Cover::Foreign, false));
            }
        }
        all.push((Door::App("client", opaque), Cover::Plain, false));
    }
    for from in ["client", "guest"] {
        all.extend(
            [(HTTP, true), (worlds::AUTO_HTTP, true), (AUTO, false)]
                .map(|(p, r)| (Door::App(from, p), Cover::Plain, r)),
        );
    }
    let edge = |name, certificate| Cover::Edge { name, certificate };
    all.extend([(GATEWAY_PORT, true), (worlds::EDGE_REDIRECT, true)].map(|(p, r)| (Door::Edge(p), Cover::Plain, r)));
    all.extend([true, false].map(|request| (Door::Edge(worlds::EDGE_TLS), Cover::Plain, request)));
    for name in ["a.example", "b.example", "c.example"] {
        all.extend([true, false].map(|certificate| (Door::Edge(worlds::EDGE_TLS), edge(name, certificate), true)));
    }
    all.push((Door::Edge(GATEWAY_PORT), Cover::Foreign, false));
    all
}

fn visit(rng: &mut fastrand::Rng, (door, cover, request): (Door, Cover, bool)) -> Visit {
    use worlds::pick;
    let mut drawn = || {
        let hosts: &[&str] = match door {
            Door::Edge(_) => &["a.example", "a.example", "b.example", "c.example"],
            Door::App(_, port) if port == HTTP => {
                &["alpha.test", "beta.test", "gamma", "gamma.test:8080", "nobody.test"]
            }
            Door::App(..) | Door::Peer(..) => &["alpha.test", "server"],
        };
        let paths = ["/", "/a", "/a/private", "/b/1", "/teapot", "/moved/x", "/nowhere", "/a/%2e%2e/b"];
        let user = pick(rng, &["", "", "ann", "bob", "eve"]);
        Request {
            method: pick(rng, &["GET", "GET", "POST", "DELETE"]).into(),
            host: pick(rng, hosts).into(),
            path: pick(rng, &paths).into(),
            headers: if user.is_empty() { Vec::new() } else { vec![("x-user".into(), user.into())] },
        }
    };
    Visit { door, cover, request: request.then(&mut drawn) }
}

/// Visits whose ends no draw changes.
fn sure_ends() -> impl Iterator<Item = Visit> {
    let (edge, friend) = (Door::Edge(GATEWAY_PORT), Cover::Mesh { account: "client", domain: "cluster.local" });
    let all = [
        (edge, Cover::Plain, "GET", "a.example", "/teapot"),
        (edge, Cover::Plain, "GET", "a.example", "/moved/x"),
        (edge, Cover::Plain, "GET", "a.example", "/nowhere"),
        (edge, Cover::Plain, "PUT", "a.example", "/other"),
        (Door::Edge(worlds::EDGE_REDIRECT), Cover::Plain, "GET", "a.example", "/"),
        (Door::App("client", HTTP), Cover::Plain, "GET", "nobody.test", "/"),
        (Door::Peer("gamma", HTTP.target()), friend, "GET", "gamma.test", "/forbidden"),
        (Door::Peer("gamma", HTTP.target()), friend, "GET", "gamma.test", "/"),
    ];
    all.into_iter().map(|(door, cover, method, host, path)| {
        let request = Request { method: method.into(), host: host.into(), path: path.into(), headers: Vec::new() };
        Visit { door, cover, request: Some(request) }
    })
}

/// A world, and what of its visits was decided.
async fn held_against(edge_policies: bool) -> Vec<Outcome> {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let mut rng = fastrand::Rng::with_seed(seed);
    let edge = mesh_runtime::testing::TestCa::new("edge.example");
    let mesh = Mesh::start(worlds::plan(&mut rng, edge_policies, &edge, doors::FORMAT)).await;
    let compiled = compiled(&mesh);
    let world = World { mesh: &mesh, compiled: &compiled, edge: &edge };
    let kinds = doors();
    let mut visits: Vec<Visit> = kinds.iter().map(|kind| visit(&mut rng, *kind)).collect();
    visits.extend(sure_ends());
    visits.extend((0..VISITS).map(|_| {
        let kind = kinds[rng.usize(..kinds.len())];
        visit(&mut rng, kind)
    }));
    let decided: Vec<Outcome> = visits.iter().map(|visit| world.decided(visit)).collect();
    let mut made = Vec::new();
    for visit in &visits {
        made.push(world.made(visit).await);
    }
    // Lines are written when connections have ended, in any order.
    until(&format!("one verdict (SEED={seed})"), || async {
        let log = fs::read_to_string(mesh.access_log()).unwrap_or_default();
        let log: Vec<_> = log.lines().filter_map(doors::logged).collect();
        let differ = visits.iter().zip(decided.iter().zip(&made)).filter_map(|(visit, (expected, (seen, own)))| {
            let seen = Outcome { seen: seen.clone(), lines: lines_of(&log, own) };
            (seen != *expected).then(|| format!("{visit:?}\n  decided {expected:?}\n  seen    {seen:?}\n"))
        });
        let first: String = differ.take(15).collect();
        if first.is_empty() { Ok(()) } else { Err(Differences(first)) }
    })
    .await;
    decided
}

/// Shown as lines.
struct Differences(String);

impl std::fmt::Debug for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}", self.0)
    }
}

/// The lines of a visit: that of its own connection, and those of its request at other proxies.
fn lines_of(log: &[(doors::Ends, String, String)], own: &doors::Ends) -> Vec<String> {
    let Some((_, id, first)) = log.iter().find(|(ends, ..)| ends == own) else { return Vec::new() };
    let sent = first.contains("via_upstream");
    let same = log.iter().filter(|(ends, other, _)| sent && other == id && ends != own);
    std::iter::once(first).chain(same.map(|(_, _, line)| line)).cloned().collect()
}

fn ends_somewhere_in(all: &[Outcome], kinds: &[&str]) {
    for kind in kinds {
        let found = all.iter().flat_map(|o| o.lines.iter().chain([&o.seen])).any(|text| text.starts_with(kind));
        assert!(found, "no visit ends in {kind}");
    }
}

#[tokio::test]
async fn every_door_says_on_the_wire_what_was_decided() {
    let all = held_against(false).await;
    ends_somewhere_in(
        &all,
        &[
            "200 gamma",
            "echo",
            "closed",
            "400",
            "418",
            "301",
            "302",
            "404",
            "502",
            "closed plain_text",
            "closed TLS_of_no",
            "closed no_TLS",
            "closed no_server",
            "closed handshake",
            "carried outbound",
            "carried inbound",
            "403 rbac",
        ],
    );
}

#[tokio::test]
async fn a_gateway_with_policies_says_on_the_wire_what_was_decided() {
    ends_somewhere_in(&held_against(true).await, &["200 gamma", "closed no_server", "closed handshake"]);
}
