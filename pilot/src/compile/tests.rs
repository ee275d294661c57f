//! The endpoints' lane says what compiling everything says, over random meshes and random changes of workloads.

use super::*;
use crate::{
    discovery::session::{Answer, Event, Request, Response, State, View, step},
    scope::ProxyFacts,
    source::{
        Batch, SourceId,
        file::{Directory, FileText},
    },
};
use mesh_config::{
    kind::Role,
    model::{Kind, PartName},
};
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::BTreeMap;

/// Services, entries and what is said about them, in two namespaces.
fn ground() -> impl Strategy<Value = Vec<String>> {
    let service = (
        0..3usize,
        namespace(),
        select(vec![
            "selector: {app: a}, ports: [{port: 80, targetPort: 8080}]",
            "selector: {app: b}, ports: [{port: 80, name: http, targetPort: web}, {port: 90, targetPort: 9090}]",
            "selector: {app: a, v: x}, clusterIP: None, ports: [{port: 80}]",
            "selector: {app: a}, publishNotReadyAddresses: true, ports: [{port: 81}, {port: 53, protocol: UDP}]",
            "ports: [{port: 80, name: http}]",
            "type: ExternalName, externalName: s0.one.svc.cluster.local, ports: [{port: 80}]",
            "type: ExternalName, externalName: far.example, ports: [{port: 80}]",
        ]),
    );
    let service = service.prop_map(|(n, namespace, spec)| {
        object("v1", "Service", &format!("s{n}"), namespace, "", &format!("spec: {{{spec}}}"))
    });
    let entry = (
        0..3usize,
        namespace(),
        select(vec![
            "hosts: [e.example, s0.one.svc.cluster.local], resolution: STATIC, workloadSelector: {labels: {app: a}}, ports: [{number: 80, name: http, protocol: HTTP}]",
            "hosts: [e.example], resolution: STATIC, location: MESH_INTERNAL, endpoints: [{address: 10.9.0.1, serviceAccount: x}, {address: 10.9.0.1}], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 88}]",
            "hosts: [f.example], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]",
            "hosts: [g.example], resolution: STATIC, location: MESH_EXTERNAL, workloadSelector: {labels: {app: b}}, ports: [{number: 90, name: tcp, protocol: TCP}]",
        ]),
    );
    let entry = entry.prop_map(|(n, namespace, spec)| {
        object("networking.istio.io/v1", "ServiceEntry", &format!("e{n}"), namespace, "", &format!("spec: {{{spec}}}"))
    });
    let other = (
        0..2usize,
        namespace(),
        select(vec![
            ("security.istio.io/v1", "PeerAuthentication", "selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}"),
            ("security.istio.io/v1", "PeerAuthentication", "mtls: {mode: DISABLE}"),
            (
                "networking.istio.io/v1",
                "DestinationRule",
                "host: s0, trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 3}}}",
            ),
            ("networking.istio.io/v1", "DestinationRule", "host: none.example, subsets: [{name: v, labels: {v: x}}]"),
            (
                "networking.istio.io/v1",
                "VirtualService",
                "hosts: [e.example], http: [{route: [{destination: {host: nothing.example}}]}]",
            ),
            ("networking.istio.io/v1", "Sidecar", "egress: [{hosts: ['./*']}]"),
        ]),
    );
    let other = other.prop_map(|(n, namespace, (version, kind, spec))| {
        object(version, kind, &format!("o{n}"), namespace, "", &format!("spec: {{{spec}}}"))
    });
    vec(prop_oneof![3 => service, 2 => entry, 1 => other], 0..8)
}

/// Pods, entries of workloads and slices: what moves. Some with findings.
fn workloads() -> impl Strategy<Value = Vec<String>> {
    let labels =
        || select(vec!["app: a", "app: b", "app: a, v: x", "app: a, security.istio.io/tlsMode: istio", "other: c"]);
    let pod = (
        0..4usize,
        namespace(),
        labels(),
        0..6usize,
        select(vec![
            "phase: Running",
            "phase: Running, conditions: [{type: Ready, status: 'True'}]",
            "phase: Running, conditions: [{type: Ready, status: 'False'}]",
            "phase: Succeeded",
        ]),
    );
    let pod = pod.prop_map(|(n, namespace, labels, ip, status)| {
        let rest = format!("spec: {{serviceAccountName: sa{n}, containers: [{{ports: [{{name: web, containerPort: 807{n}}}]}}]}}, status: {{{status}, podIP: 10.0.0.{ip}}}");
        object("v1", "Pod", &format!("p{n}"), namespace, labels, &rest)
    });
    let entry = (
        0..3usize,
        namespace(),
        labels(),
        select(vec![
            "address: 10.0.1.1, serviceAccount: sa0",
            "address: 10.0.1.2, ports: {http: 99}",
            "address: w.example, weight: 7",
            "address: 'no such'",
        ]),
    );
    let entry = entry.prop_map(|(n, namespace, labels, spec)| {
        object(
            "networking.istio.io/v1",
            "WorkloadEntry",
            &format!("w{n}"),
            namespace,
            labels,
            &format!("spec: {{{spec}}}"),
        )
    });
    let slice = (
        0..3usize,
        namespace(),
        0..3usize,
        0..4usize,
        select(vec!["", "conditions: {ready: false}", "conditions: {ready: false, serving: true, terminating: true}"]),
    );
    let slice = slice.prop_map(|(n, namespace, service, pod, conditions)| {
        let label = format!("kubernetes.io/service-name: s{service}");
        let rest = format!("addressType: IPv4, ports: [{{port: 8080}}, {{port: 8081, name: http}}], endpoints: [{{addresses: [10.0.0.{pod}], targetRef: {{kind: Pod, name: p{pod}}}, {conditions}}}, {{addresses: [10.0.5.5]}}]");
        object("discovery.k8s.io/v1", "EndpointSlice", &format!("l{n}"), namespace, &label, &rest)
    });
    vec(prop_oneof![3 => pod, 1 => entry, 1 => slice], 0..8)
}

fn namespace() -> impl Strategy<Value = &'static str> {
    select(vec!["one", "one", "two"])
}

fn object(version: &str, kind: &str, name: &str, namespace: &str, labels: &str, rest: &str) -> String {
    format!(
        "{{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}, {rest}}}\n"
    )
}

/// Objects in a directory: each kind, namespace and name once, so that there is nothing to say about the directory.
struct Objects {
    directory: Directory,
    world: World,
}

impl Objects {
    fn put(&mut self, texts: &[String]) -> Touched {
        let once: BTreeMap<&str, &String> =
            texts.iter().map(|text| (text.split(", labels").next().unwrap_or_default(), text)).collect();
        let path = |key: &str| key.replace(|c: char| !c.is_ascii_alphanumeric(), "-") + ".yaml";
        let tree = once.iter().map(|(key, text)| (path(key).into(), FileText::Text((*text).clone())));
        let changes = self.directory.scan(&tree.collect()).changes;
        self.world.apply(Batch { source: SourceId::Files, changes })
    }
}

fn parts(mesh: &Mesh) -> Vec<(Kind, PartName, Part)> {
    mesh.all().map(|shared| (shared.kind(), shared.name().clone(), shared.part().clone())).collect()
}

/// A proxy that follows all services, and some addresses.
#[derive(Default)]
struct Client(State);

impl Client {
    fn step(&mut self, mesh: &Mesh, event: Event) -> Vec<String> {
        let facts = ProxyFacts::resolve(mesh, Role::Sidecar, (&"one".into(), "sa1"), Some("p1"), &[]);
        let (state, actions) = step(std::mem::take(&mut self.0), event, &View { mesh, facts: &facts, secrets: true });
        self.0 = state;
        let mut said = Vec::new();
        for response in actions.responses {
            let versions =
                response.upserts.iter().map(|u| (u.part.name().clone(), u.part.encoded().version, u.aliases.clone()));
            said.push(format!("{} {:?} {:?}", response.kind, versions.collect::<Vec<_>>(), response.removed));
            let more = self.answer(mesh, &response);
            assert_eq!(more, Vec::<String>::new());
        }
        said
    }

    fn answer(&mut self, mesh: &Mesh, response: &Response) -> Vec<String> {
        let answer = Some(Answer { nonce: response.nonce, error: None });
        self.step(mesh, Event::Request(request(response.kind, &[], answer)))
    }

    fn connect(&mut self, mesh: &Mesh, services: &[&str]) {
        for kind in [Kind::Settings, Kind::Instance, Kind::Index] {
            self.step(mesh, Event::Request(request(kind, &["*"], None)));
        }
        self.step(mesh, Event::Request(request(Kind::Workload, &["10.0.0.1", "10.0.1.1", "10.9.0.1"], None)));
        self.step(mesh, Event::Request(request(Kind::Service, services, None)));
    }
}

fn request(kind: Kind, names: &[&str], answer: Option<Answer>) -> Request {
    let subscribe = names.iter().map(ToString::to_string).collect();
    Request { kind, subscribe, unsubscribe: Vec::new(), initial: BTreeMap::new(), answer }
}

const SERVICES: [&str; 5] = [
    "one/s0.one.svc.cluster.local",
    "one/s1.one.svc.cluster.local",
    "two/s0.two.svc.cluster.local",
    "one/e.example",
    "two/g.example",
];

proptest! {
    #[test]
    fn moving_endpoints_alone_comes_to_what_compiling_everything_comes_to(
        ground in ground(),
        steps in vec(workloads(), 1..5),
    ) {
        let mut objects = Objects { directory: Directory::default(), world: World::default() };
        let with = |workloads: &[String]| [&ground[..], workloads].concat();
        objects.put(&with(&steps[0]));
        let mut compiler = Compiler::default();
        let mut mesh = compiler.compile(&objects.world, Touched::REST, None);
        let (mut told, mut asked) = (Client::default(), Client::default());
        told.connect(&mesh, &SERVICES);
        asked.connect(&mesh, &SERVICES);
        for workloads in &steps[1..] {
            let touched = objects.put(&with(workloads));
            let (lane, whole) = (compiler.compile(&objects.world, Touched::ENDPOINTS, Some(&mesh)), compile(&objects.world, Some(&mesh)));
            prop_assert!(touched.endpoints_only() || touched.is_empty(), "{touched:?}");
            prop_assert_eq!(parts(&lane), parts(&whole));
            prop_assert_eq!(lane.diagnostics(), whole.diagnostics());
            prop_assert_eq!(lane.version(), whole.version());
            prop_assert_eq!(lane.workloads(), whole.workloads());
            // A client is told the same by a look at what moves and by a look at everything.
            let who = |mesh: &Mesh| ProxyFacts::resolve(mesh, Role::Sidecar, (&"one".into(), "sa1"), Some("p1"), &[]);
            prop_assert!(lane.differs_in_moving_parts(&mesh));
            let event = if who(&lane) == who(&mesh) { Event::EndpointsMoved } else { Event::MeshChanged };
            prop_assert_eq!(told.step(&lane, event), asked.step(&whole, Event::MeshChanged));
            mesh = lane;
        }
    }
}
