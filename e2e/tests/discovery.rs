//! Both ends of discovery against each other, without sockets: whatever the order of changes, wishes, answers, losses
//! and spoilt resources, the proxy ends with what pilot's scope says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_config::{
    kind::Role,
    model::{Kind, Part, PartName, ServiceKey},
    wire::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};
use mesh_pilot::{
    Mesh, ProxyFacts,
    discovery::{
        encode::{self, Pieces},
        session::{self as server, View},
    },
    offline::compile_text,
    scope,
};
use mesh_proxy::discovery::{
    Command, NodeFacts, Push,
    session::{self as client, Event},
    state,
};
use proptest::prelude::*;
use prost::Message as _;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
};

/// Objects, each with its variants; variant 0 is none at all.
const OBJECTS: [&[&str]; 9] = [
    &[
        "kind: ServiceEntry\nmetadata: {name: cart, namespace: shop}\nspec: {hosts: [cart.shop], resolution: STATIC, \
         ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {service: cart}}}",
        "kind: ServiceEntry\nmetadata: {name: cart, namespace: shop}\nspec: {hosts: [cart.shop], resolution: STATIC, \
         exportTo: [other], ports: [{number: 80, name: http, protocol: HTTP}], \
         workloadSelector: {labels: {service: cart}}}",
    ],
    &[
        "kind: WorkloadEntry\nmetadata: {name: cart-1, namespace: shop}\n\
         spec: {address: 127.0.1.1, serviceAccount: cart, labels: {service: cart, version: v1}}",
        "kind: WorkloadEntry\nmetadata: {name: cart-1, namespace: shop}\n\
         spec: {address: 127.0.1.9, serviceAccount: cart, labels: {service: cart, version: v2}}",
    ],
    &[
        "kind: WorkloadEntry\nmetadata: {name: cart-2, namespace: shop}\n\
         spec: {address: 127.0.1.2, serviceAccount: cart, labels: {service: cart}}",
        "kind: WorkloadEntry\nmetadata: {name: cart-2, namespace: shop}\n\
         spec: {address: 127.0.1.1, serviceAccount: cart, labels: {service: cart}}",
    ],
    &[
        "kind: VirtualService\nmetadata: {name: cart, namespace: shop}\n\
         spec: {hosts: [cart.shop, only.routes], http: [{route: [{destination: {host: cart.shop}}]}]}",
        "kind: VirtualService\nmetadata: {name: cart, namespace: shop}\n\
         spec: {hosts: [cart.shop], http: [{timeout: 3s, route: [{destination: {host: cart.shop}}]}]}",
    ],
    &[
        "kind: DestinationRule\nmetadata: {name: cart, namespace: shop}\n\
         spec: {host: '*.shop', trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
        "kind: DestinationRule\nmetadata: {name: cart, namespace: shop}\n\
         spec: {host: cart.shop, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}",
    ],
    &[
        "kind: ServiceEntry\nmetadata: {name: outside, namespace: web}\nspec: {hosts: [outside.example], \
         resolution: DNS, location: MESH_EXTERNAL, ports: [{number: 443, name: tls, protocol: TLS}]}",
        "kind: ServiceEntry\nmetadata: {name: outside, namespace: web}\nspec: {hosts: [outside.shop], \
         resolution: DNS, location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}]}",
    ],
    &[
        "kind: AuthorizationPolicy\nmetadata: {name: all, namespace: web}\nspec: {}",
        "kind: AuthorizationPolicy\nmetadata: {name: all, namespace: web}\nspec: {action: DENY}",
    ],
    &[
        "kind: Sidecar\nmetadata: {name: default, namespace: web}\nspec: {egress: [{hosts: ['./*']}]}",
        "kind: Sidecar\nmetadata: {name: default, namespace: web}\nspec: {egress: [{hosts: ['shop/*']}]}",
    ],
    &[
        "kind: Gateway\nmetadata: {name: edge, namespace: web}\nspec: {selector: {app: front}, \
         servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*/cart.shop']}]}",
        "kind: Gateway\nmetadata: {name: edge, namespace: web}\nspec: {selector: {app: front}, \
         servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*/*']}]}",
    ],
];

/// Always there: the workload whose proxy this is.
const OWN: &str = "kind: WorkloadEntry\nmetadata: {name: front-1, namespace: web}\n\
                   spec: {address: 127.0.2.1, serviceAccount: front, labels: {app: front}}";

const SERVICES: [&str; 4] = ["shop/cart.shop", "shop/only.routes", "web/outside.example", "web/outside.shop"];
const ADDRESSES: [&str; 4] = ["127.0.1.1", "127.0.1.2", "127.0.1.9", "127.0.9.9"];

fn mesh(variants: &[usize]) -> Mesh {
    let chosen = OBJECTS.iter().zip(variants).filter_map(|(objects, n)| n.checked_sub(1).map(|n| objects[n]));
    let texts = chosen.chain([OWN]).map(|object| {
        let group = if object.contains("AuthorizationPolicy") { "security" } else { "networking" };
        format!("apiVersion: {group}.istio.io/v1\n{object}\n---\n")
    });
    compile_text(&texts.collect::<String>(), None).0
}

#[derive(Debug, Clone)]
enum Step {
    /// An object becomes this variant.
    Change(usize, usize),
    Need(usize),
    Forget(usize),
    NeedWorkload(usize),
    /// One message reaches the proxy, the resource with this number in it spoilt.
    Down(Option<usize>),
    /// One message reaches pilot.
    Up,
    Reconnect,
    /// The proxy restarts from its state directory.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..OBJECTS.len(), 0..3usize).prop_map(|(object, variant)| Step::Change(object, variant)),
        3 => (0..SERVICES.len()).prop_map(Step::Need),
        1 => (0..SERVICES.len()).prop_map(Step::Forget),
        1 => (0..ADDRESSES.len()).prop_map(Step::NeedWorkload),
        8 => proptest::option::weighted(0.1, 0..4usize).prop_map(Step::Down),
        8 => Just(Step::Up),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Pilot, one proxy, and what is on its way between them.
struct World {
    role: Role,
    variants: Vec<usize>,
    mesh: Mesh,
    server: server::State,
    client: client::State,
    down: VecDeque<DeltaDiscoveryResponse>,
    up: VecDeque<DeltaDiscoveryRequest>,
    /// What the proxy has put in force.
    parts: BTreeMap<(Kind, PartName), Part>,
    answers: BTreeMap<IpAddr, Option<PartName>>,
    needed: BTreeSet<ServiceKey>,
    asked: BTreeSet<IpAddr>,
    spoilt: bool,
    pushes: usize,
}

impl World {
    fn new(role: Role) -> Self {
        let variants = vec![1; OBJECTS.len()];
        let mut world = World {
            role,
            mesh: mesh(&variants),
            variants,
            server: server::State::default(),
            client: client::State::new(node(role), true),
            down: VecDeque::new(),
            up: VecDeque::new(),
            parts: BTreeMap::new(),
            answers: BTreeMap::new(),
            needed: BTreeSet::new(),
            asked: BTreeSet::new(),
            spoilt: false,
            pushes: 0,
        };
        world.client(Event::Connected);
        world
    }

    fn facts(&self) -> ProxyFacts {
        ProxyFacts::resolve(&self.mesh, self.role, (&"web".into(), "front"), Some("front-1"), &[])
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Change(object, variant) => {
                self.variants[*object] = *variant;
                self.mesh = mesh(&self.variants);
                self.server(server::Event::MeshChanged);
            }
            Step::Need(service) => {
                let key: ServiceKey = SERVICES[*service].parse().unwrap();
                self.needed.insert(key.clone());
                self.client(Event::Command(Command::NeedService(key)));
            }
            Step::Forget(service) => {
                let key: ServiceKey = SERVICES[*service].parse().unwrap();
                self.needed.remove(&key);
                self.client(Event::Command(Command::ForgetService(key)));
            }
            Step::NeedWorkload(address) => {
                let address = ADDRESSES[*address].parse().unwrap();
                self.asked.insert(address);
                self.client(Event::Command(Command::NeedWorkload(address)));
            }
            Step::Down(spoil) => self.deliver_down(*spoil),
            Step::Up => self.deliver_up(),
            Step::Reconnect => self.reconnect(),
            Step::Restart => self.restart(),
        }
    }

    fn deliver_down(&mut self, spoil: Option<usize>) {
        let Some(mut response) = self.down.pop_front() else { return };
        if let Some(packed) = spoil.and_then(|at| response.resources.get_mut(at)).and_then(|r| r.resource.as_mut()) {
            packed.value = b"\xff\xff".as_slice().into();
            self.spoilt = true;
        }
        self.client(Event::Response(response));
    }

    fn deliver_up(&mut self) {
        if let Some(request) = self.up.pop_front() {
            let request = encode::request(request).expect("a kind that pilot knows");
            self.server(server::Event::Request(request));
        }
    }

    fn reconnect(&mut self) {
        self.down.clear();
        self.up.clear();
        self.server = server::State::default();
        self.client(Event::Disconnected);
        self.client(Event::Connected);
    }

    fn restart(&mut self) {
        let content = state::encode(&self.client, &node(self.role));
        let (client, push) = state::parse(content.into(), &node(self.role)).expect("what was written is read");
        self.parts.clear();
        self.client = client;
        self.put_in_force(push);
        self.reconnect();
    }

    fn server(&mut self, event: server::Event) {
        let facts = self.facts();
        let view = View { mesh: &self.mesh, facts: &facts, secrets: true };
        let (state, actions) = server::step(std::mem::take(&mut self.server), event, &view);
        self.server = state;
        assert_eq!(actions.violation, None);
        self.down.extend(actions.responses.into_iter().map(sent));
    }

    fn client(&mut self, event: Event) {
        let blank = client::State::new(node(self.role), true);
        let (state, actions) = client::step(std::mem::replace(&mut self.client, blank), event);
        self.client = state;
        assert_eq!(actions.violation, None);
        self.up.extend(actions.requests);
        if let Some(push) = actions.push {
            self.put_in_force(push);
            self.client(Event::Applied(Vec::new()));
        }
    }

    fn put_in_force(&mut self, push: Push) {
        self.pushes += 1;
        for (kind, name) in push.changes.removed {
            self.parts.remove(&(kind, name));
        }
        for part in push.changes.upserts {
            self.parts.insert((part.kind(), part.name()), part);
        }
        let name = |workload: std::sync::Arc<mesh_config::model::Workload>| PartName(workload.uid.clone());
        self.answers.extend(push.addresses.into_iter().map(|(address, w)| (address, w.map(name))));
    }

    /// Delivers everything; a resource that was spoilt comes again on a new stream only.
    fn finish(&mut self) {
        if self.spoilt {
            self.reconnect();
        }
        for _ in 0..1000 {
            self.deliver_down(None);
            self.deliver_up();
            if self.down.is_empty() && self.up.is_empty() {
                assert!(self.server.is_quiet(), "nothing is on its way, and pilot still waits");
                return;
            }
        }
        panic!("they never come to rest");
    }

    fn wanted(&self) -> BTreeMap<(Kind, PartName), Part> {
        let facts = self.facts();
        let mut parts = scope::visible(&self.mesh, &facts).parts;
        for key in &self.needed {
            let children = scope::children(&self.mesh, &facts, key).unwrap_or_default();
            parts.extend(children.in_order().cloned());
        }
        parts.extend(self.asked.iter().filter_map(|a| scope::workload_at(&self.mesh, *a)).cloned());
        parts.iter().map(|part| ((part.kind(), part.name().clone()), part.part().clone())).collect()
    }

    fn check(&self) {
        assert_eq!(self.parts, self.wanted());
        for address in &self.asked {
            let workload = scope::workload_at(&self.mesh, *address).map(|part| part.name().clone());
            assert_eq!(self.answers.get(address), Some(&workload), "answer about {address}");
        }
        let held: BTreeSet<_> =
            self.client.held().map(|(kind, name, held)| (kind, name.clone(), held.version)).collect();
        let acknowledged: BTreeSet<_> = self.server.held().map(|(kind, name, v)| (kind, name.clone(), v)).collect();
        assert_eq!(held, acknowledged, "both ends agree on what the proxy holds");
    }
}

fn node(role: Role) -> NodeFacts {
    NodeFacts {
        id: format!("{role}~127.0.2.1~front-1.web~web.svc.cluster.local"),
        role,
        name: "front-1".into(),
        namespace: "web".into(),
        service_account: "front".into(),
        cluster: "Kubernetes".into(),
        addresses: vec!["127.0.2.1".parse().unwrap()],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_ends_with_what_scope_says(steps in steps(), router in any::<bool>()) {
        let mut world = World::new(if router { Role::Gateway } else { Role::Sidecar });
        steps.iter().for_each(|step| world.act(step));
        world.finish();
        world.check();
    }
}

#[test]
fn a_stream_that_has_nothing_to_say_says_so_once() {
    let mut world = World::new(Role::Sidecar);
    world.finish();
    world.check();
    let parts = world.parts.clone();
    assert!(!parts.is_empty());
    world.pushes = 0;
    world.reconnect();
    world.finish();
    assert_eq!((world.pushes, world.parts), (1, parts));
}

#[test]
fn a_service_comes_with_its_children_and_leaves_with_them() {
    let mut world = World::new(Role::Sidecar);
    // Without the Sidecar, which hides the namespace shop.
    world.act(&Step::Change(7, 0));
    world.finish();
    let before = world.parts.clone();
    world.pushes = 0;
    world.act(&Step::Need(0));
    world.finish();
    let kinds: BTreeSet<Kind> =
        world.parts.keys().filter(|key| !before.contains_key(key)).map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, BTreeSet::from([Kind::Destination, Kind::Endpoint, Kind::Service, Kind::Route]));
    assert_eq!(world.pushes, 1, "all of it in one push");
    world.act(&Step::Forget(0));
    world.finish();
    assert_eq!(world.parts, before);
}

/// A response as it arrives: behind a prefix of five bytes.
fn sent(response: server::Response) -> DeltaDiscoveryResponse {
    let framed = Pieces::of(response).flatten().collect::<Vec<u8>>();
    DeltaDiscoveryResponse::decode(&framed[5..]).unwrap()
}
