//! The endpoints' lane says what compiling everything says, over random meshes and random changes of workloads.

use super::*;
use crate::{
    discovery::session::{Answer, Event, Request, Response, State, View, step},
    object::{Conflict, Holds, InForce, ObjectId, Reference},
    scope::ProxyFacts,
    source::{
        Batch, SourceId,
        file::{Directory, FileText},
    },
};
use mesh_config::{
    kind::{ObjectKind, Role},
    model::{Kind, PartName},
    name::NamespacedName,
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
            prop_assert_eq!(lane.holds(), whole.holds());
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

#[test]
fn what_holds_of_an_object_is_what_it_is_attached_to_what_it_names_and_what_stands_before_it() {
    let route = |name: &str, gateways: &str, host: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}, namespace: one}}, \
             spec: {{hosts: [cart.example], gateways: [{gateways}], http: [{{route: [{{destination: {{host: {host}}}}}]}}]}}}}\n---\n"
        )
    };
    let objects = [
        route("first", "mesh", "s0"),
        route("second", "mesh, edge, none", "nowhere.example"),
        "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: one}, spec: {selector: {app: edge}, \
         servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: pair}}]}}\n---\n"
            .to_owned(),
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p, namespace: one}, spec: {mtls: {mod: STRICT}}}\n---\n"
            .to_owned(),
        object("v1", "Service", "s0", "one", "", "spec: {ports: [{port: 80}]}"),
    ];
    let mesh = crate::offline::compile_text(&objects.concat(), None).0;
    let holds = |kind: ObjectKind, name: &str| &mesh.holds()[&ObjectId::new(kind, NamespacedName::new("one", name))];
    let there = |to: &str| Reference { to: to.to_owned(), missing: None };
    let missing = |to: &str, why: &str| Reference { to: to.to_owned(), missing: Some(why.to_owned()) };

    let first = Holds {
        in_force: InForce::Latest,
        attached: vec![there("the mesh")],
        references: vec![there("service s0.one.svc.cluster.local")],
        ..Holds::default()
    };
    assert_eq!(*holds(ObjectKind::VirtualService, "first"), first);
    let second = holds(ObjectKind::VirtualService, "second");
    let attached =
        [there("the mesh"), there("Gateway one/edge"), missing("Gateway one/none", "there is no Gateway one/none")];
    assert_eq!(second.attached, attached);
    assert_eq!(second.references, [missing("service nowhere.example", "there is no service nowhere.example")]);
    assert_eq!(second.conflicts, [Conflict { with: NamespacedName::new("one", "first"), over: "shadowed-host" }]);
    let codes: Vec<&str> = second.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["shadowed-host", "missing-destination"]);
    let gateway = holds(ObjectKind::Gateway, "edge");
    assert_eq!(gateway.references, [missing("Secret pair", "there is no Secret pair in any namespace")]);
    assert_eq!(holds(ObjectKind::PeerAuthentication, "p").in_force, InForce::StandIn);
    // Of what Kubernetes brings only what is to be said is kept.
    assert!(mesh.holds().keys().all(|id| id.kind != ObjectKind::Service.into()));
}
