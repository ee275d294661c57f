//! Compiling what was touched comes to what compiling everything comes to, over random meshes and random changes of
//! objects of any kind; and how much of it is made anew.

mod objects;

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
    crd::read_text,
    kind::{ObjectKind, Role},
    model::{Kind, PartName},
    name::NamespacedName,
};
use objects::{changes, ground, object, well_formed_and_inert, workloads};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use std::collections::{BTreeMap, BTreeSet};

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
struct Client {
    role: Role,
    state: State,
}

impl Client {
    fn new(role: Role) -> Self {
        Client { role, state: State::default() }
    }

    fn step(&mut self, mesh: &Mesh, event: Event) -> Vec<String> {
        let facts = self.facts(mesh);
        let state = std::mem::take(&mut self.state);
        let (state, actions) = step(state, event, &View { mesh, facts: &facts, secrets: true });
        self.state = state;
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
        let role = self.role;
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_whole(role)) {
            self.step(mesh, Event::Request(request(kind, &["*"], None)));
        }
        self.step(mesh, Event::Request(request(Kind::Workload, &["10.0.0.1", "10.0.1.1", "10.9.0.1"], None)));
        self.step(mesh, Event::Request(request(Kind::Service, services, None)));
    }

    fn facts(&self, mesh: &Mesh) -> ProxyFacts {
        let (account, name) = match self.role {
            Role::Gateway => ("sa2", "p2"),
            _ => ("sa1", "p1"),
        };
        ProxyFacts {
            lists_secrets: true,
            ..ProxyFacts::resolve(mesh, self.role, (&"one".into(), account), Some(name), &[])
        }
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

#[test]
fn objects_of_every_kind_that_pilot_reads_come_and_go() {
    let mut runner = TestRunner::deterministic();
    let mut drawn: BTreeSet<ObjectKind> = BTreeSet::new();
    for _ in 0..400 {
        let mut texts = ground().new_tree(&mut runner).unwrap().current();
        texts.extend(workloads().new_tree(&mut runner).unwrap().current());
        drawn.extend(texts.iter().map(|text| kind_of(text)));
    }
    assert_eq!(drawn, BTreeSet::from(ObjectKind::ALL));
}

fn kind_of(text: &str) -> ObjectKind {
    let (objects, _) = read_text(&"object".into(), text);
    match &objects[0].group_kind() {
        GroupKind::Of(kind) => *kind,
        GroupKind::Foreign { .. } => panic!("{text}"),
    }
}

proptest! {
    #[test]
    fn compiling_what_was_touched_comes_to_what_compiling_everything_comes_to(steps in changes()) {
        let mut objects = Objects { directory: Directory::default(), world: World::default() };
        objects.put(&steps[0].0);
        let mut compiler = Compiler::default();
        let mut mesh = compiler.compile(&objects.world, &Touched::EVERYTHING, None);
        let mut clients = [Role::Sidecar, Role::Gateway].map(|role| (Client::new(role), Client::new(role)));
        for (told, asked) in &mut clients {
            told.connect(&mesh, &SERVICES);
            asked.connect(&mesh, &SERVICES);
        }
        let mut touched = Touched::default();
        for (there, with_next) in &steps[1..] {
            touched.merge(objects.put(there));
            if *with_next {
                continue;
            }
            let part = compiler.compile(&objects.world, &std::mem::take(&mut touched), Some(&mesh));
            let whole = compile(&objects.world, Some(&mesh));
            prop_assert_eq!(parts(&part), parts(&whole));
            prop_assert_eq!(part.diagnostics(), whole.diagnostics());
            prop_assert_eq!(part.holds(), whole.holds());
            prop_assert_eq!(part.version(), whole.version());
            prop_assert_eq!(part.workloads(), whole.workloads());
            // A client is told the same by a look at what moved and by a look at everything.
            for (told, asked) in &mut clients {
                let stays = told.facts(&part) == told.facts(&mesh);
                let event = match part.moved_since(&mesh).filter(|_| stays) {
                    Some(moved) => Event::Moved(moved),
                    None => Event::MeshChanged,
                };
                prop_assert_eq!(told.step(&part, event), asked.step(&whole, Event::MeshChanged));
            }
            mesh = part;
        }
    }
}

/// What is made anew when an object is put among others.
fn made_anew(object: &str, texts: &[String]) -> Worked {
    let mut objects = Objects { directory: Directory::default(), world: World::default() };
    objects.put(texts);
    let mut compiler = Compiler::default();
    let mesh = compiler.compile(&objects.world, &Touched::EVERYTHING, None);
    let touched = objects.put(&[texts, &[object.to_owned()]].concat());
    assert!(!touched.is_empty(), "{object} is no change");
    compiler.compile(&objects.world, &touched, Some(&mesh));
    compiler.worked()
}

#[test]
fn what_is_made_anew_is_what_depends_on_what_was_touched() {
    // Ten services of two pods each, five of them with routes and rules, in one namespace.
    let service = |n: usize, spec: &str| {
        let spec = format!("spec: {{selector: {{app: a{n}}}, {spec}}}");
        object(ObjectKind::Service, &format!("s{n}"), "one", "", &spec)
    };
    let pod = |name: &str, app: &str, ip: usize| {
        let rest =
            format!("spec: {{serviceAccountName: sa, nodeName: n0}}, status: {{phase: Running, podIP: 10.0.0.{ip}}}");
        object(ObjectKind::Pod, name, "one", &format!("app: {app}"), &rest)
    };
    let slice = |n: usize, conditions: &str| {
        let label = format!("kubernetes.io/service-name: s{n}");
        let endpoint = |p: usize, more: &str| {
            format!("{{addresses: [10.0.0.{}], targetRef: {{kind: Pod, name: p{n}-{p}}}{more}}}", n * 2 + p)
        };
        let rest = format!(
            "addressType: IPv4, ports: [{{port: 8080}}], endpoints: [{}, {}]",
            endpoint(0, conditions),
            endpoint(1, "")
        );
        object(ObjectKind::EndpointSlice, &format!("l{n}"), "one", &label, &rest)
    };
    let route = |n: usize, tries: u32| {
        let spec = format!(
            "spec: {{hosts: [s{n}], http: [{{retries: {{attempts: {tries}}}, route: [{{destination: {{host: s{n}}}}}]}}]}}"
        );
        object(ObjectKind::VirtualService, &format!("r{n}"), "one", "", &spec)
    };
    let rule = |n: usize, most: u32| {
        let spec = format!(
            "spec: {{host: s{n}, trafficPolicy: {{connectionPool: {{http: {{http1MaxPendingRequests: {most}}}}}}}}}"
        );
        object(ObjectKind::DestinationRule, &format!("r{n}"), "one", "", &spec)
    };
    let pods =
        |n: usize| (0..2).map(move |p| (n, p)).map(|(n, p)| pod(&format!("p{n}-{p}"), &format!("a{n}"), n * 2 + p));
    let of_service = |n: usize| [service(n, "ports: [{port: 80}]"), slice(n, "")].into_iter().chain(pods(n));
    let mut texts: Vec<String> = (0..10).flat_map(of_service).collect();
    texts.extend((0..5).flat_map(|n| [route(n, 1), rule(n, 1)]));

    let worked = |ground, services, instances| Worked { ground, services, instances };
    let said = |kind, spec: &str| object(kind, "o", "one", "", &format!("spec: {{{spec}}}"));
    let mut rows = vec![
        (slice(3, ", conditions: {ready: false}"), worked(false, 1, 2)),
        // Its labels are those of the other service then.
        (pod("p3-0", "a4", 6), worked(false, 2, 4)),
        (pod("p3-0", "a3", 60), worked(false, 1, 2)),
        (pod("new", "a3", 61), worked(false, 1, 3)),
        (object(ObjectKind::Node, "n0", "", "topology.kubernetes.io/region: r", "spec: {}"), worked(false, 10, 20)),
        (service(3, "ports: [{port: 81}]"), worked(true, 1, 2)),
        (service(11, "ports: [{port: 80}]"), worked(true, 1, 0)),
        (route(3, 2), worked(true, 0, 0)),
        (rule(3, 2), worked(true, 0, 2)),
        (said(ObjectKind::AuthorizationPolicy, "rules: [{}]"), worked(true, 0, 0)),
        (said(ObjectKind::PeerAuthentication, "mtls: {mode: DISABLE}"), worked(true, 10, 20)),
        (said(ObjectKind::Telemetry, "accessLogging: [{disabled: true}]"), worked(true, 0, 0)),
        (said(ObjectKind::Sidecar, "egress: [{hosts: ['./*']}]"), worked(true, 0, 0)),
        (
            said(ObjectKind::Gateway, "servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]"),
            worked(true, 0, 0),
        ),
        (said(ObjectKind::Ingress, "defaultBackend: {service: {name: s0, port: {number: 80}}}"), worked(true, 0, 0)),
        (
            object(ObjectKind::IngressClass, "o", "", "", "spec: {controller: istio.io/ingress-controller}"),
            worked(true, 0, 0),
        ),
        // The workload that it lists is one of its own.
        (said(ObjectKind::ServiceEntry, ENTRY), worked(true, 1, 1)),
        (
            said(ObjectKind::WorkloadEntry, "address: 10.0.1.1, labels: {app: a3}, serviceAccount: sa"),
            worked(false, 1, 3),
        ),
        (object(ObjectKind::Secret, "o", "one", "", "stringData: {tls.crt: chain, tls.key: key}"), worked(true, 0, 0)),
        (object(ObjectKind::Namespace, "one", "", "a: b", "spec: {}"), worked(true, 0, 0)),
        // Anything may mean something else.
        (
            object(ObjectKind::ConfigMap, "istio", "istio-system", "", "data: {mesh: 'rootNamespace: two'}"),
            worked(true, 10, 20),
        ),
    ];
    rows.extend(well_formed_and_inert().map(|text| (text, worked(true, 0, 0))));
    let kinds: BTreeSet<ObjectKind> = rows.iter().map(|(text, _)| kind_of(text)).collect();
    assert_eq!(kinds, BTreeSet::from(ObjectKind::ALL), "each kind has a row");
    for (object, want) in rows {
        assert_eq!(made_anew(&object, &texts), want, "{object}");
    }
}

const ENTRY: &str = "hosts: [e.example], resolution: STATIC, location: MESH_INTERNAL, endpoints: [{address: 10.9.0.1, serviceAccount: x}], \
                     ports: [{number: 80, name: http, protocol: HTTP}]";

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
        object(ObjectKind::Service, "s0", "one", "", "spec: {ports: [{port: 80}]}"),
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
