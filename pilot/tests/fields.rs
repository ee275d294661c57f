//! A field that the reference does not mark as without effect has one: taken out of its example or changed, something
//! changes of what proxies are told. The examples stand in `examples/fields`, the world around them in `data/fields`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "inject/defaults.rs"]
mod defaults;
#[path = "fields/tree.rs"]
mod tree;

use defaults::{config_of_values, default_values};
use mesh_config::crd::{self, Object, form::Form, node::Node};
use mesh_config::diagnostic::Severity;
use mesh_config::kind::{ObjectKind, Role};
use mesh_config::model::Part;
use mesh_config::name::Namespace;
use mesh_config::wire;
use mesh_pilot::{
    Mesh,
    inject::{Environment, Injector, Question},
    offline,
    scope::ProxyFacts,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tree::{Place, Step, at, is_valid, others, values, with};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Whether a world changes for anybody when other objects are beside its own.
fn differs(before: &Mesh, after: &Mesh) -> bool {
    all(before) != all(after) || VIEWERS.iter().any(|viewer| visible(before, *viewer) != visible(after, *viewer))
}

fn mesh(world: &str, objects: &str) -> Mesh {
    offline::compile_text(&format!("{world}\n---\n{objects}"), None).0
}

fn all(mesh: &Mesh) -> Vec<&Part> {
    mesh.all().map(|shared| shared.part()).collect()
}

/// What one is told.
fn visible(mesh: &Mesh, (role, namespace, account, address): (Role, &str, &str, &str)) -> Vec<Part> {
    let namespace = Namespace::from(namespace);
    let facts = ProxyFacts::resolve(mesh, role, (&namespace, account), None, &[address.parse().unwrap()]);
    offline::everything(mesh, &facts)
}

/// Who looks: a server, a client of its namespace, one of another, a gateway.
const VIEWERS: [(Role, &str, &str, &str); 4] = [
    (Role::Sidecar, "shop", "reviews", "10.1.0.1"),
    (Role::Sidecar, "shop", "ratings", "10.1.0.3"),
    (Role::Sidecar, "other", "visitor", "10.1.0.5"),
    (Role::Gateway, "istio-system", "istio-ingressgateway", "10.1.0.9"),
];

/// Marked fields that make a difference all the same: `meshctl explain` says whom a policy would ask, and an object is in
/// force nowhere that has targets, or a sidecar's TLS, but is without them; injection tells where an application listens.
const TOLD: [&str; 6] = [
    "inboundTrafficPolicy",
    "extensionProviders[].envoyExtAuthzHttp",
    "extensionProviders[].envoyExtAuthzGrpc",
    "targetRef",
    "targetRefs",
    "ingress[].tls",
];

/// What came of changing the fields of one thing.
#[derive(Default)]
struct Seen {
    /// Path of a field to whether any change of it changed anything.
    acted: BTreeMap<String, bool>,
    marked: BTreeSet<String>,
}

impl Seen {
    /// Changes each field of `root` at a place in turn. `text` makes the object that is then read; `pods` is what becomes of
    /// pods with it.
    fn look(
        &mut self,
        world: &str,
        form: &'static Form,
        (root, place): (&Node, Place),
        text: impl Fn(&Node) -> String,
        pods: impl Fn(&str) -> Value,
    ) {
        let before = mesh(world, &text(root));
        let pods_before = pods(&text(root));
        values(at(root, &place), form, (&place, "", false), &mut |field, place, path, inert| {
            if inert {
                self.marked.insert(path.to_owned());
                // The mark above speaks for what is beneath it.
                let above = path.rsplit_once('.').map_or("", |(above, _)| above.trim_end_matches("[]"));
                if self.marked.contains(above) {
                    return;
                }
            }
            if self.acted.get(path).is_some_and(|acted| *acted) {
                return;
            }
            let value = &at(root, place).value;
            let ways = [None].into_iter().chain(others(field.holds, value).into_iter().map(Some));
            let changes = |other: Option<mesh_config::crd::node::Value>| {
                let text = text(&with(root, place, other.as_ref()));
                is_valid(&text) && (differs(&before, &mesh(world, &text)) || pods_before != pods(&text))
            };
            let any = ways.into_iter().any(changes);
            self.acted.insert(path.to_owned(), any);
        });
    }

    fn acts_beneath(&self, path: &str) -> bool {
        let is_beneath = |other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
        self.acted.iter().any(|(other, acted)| *acted && is_beneath(other))
    }

    fn wrong(&self, name: &str) -> Vec<String> {
        let judge = |(path, acted): (&String, &bool)| match (self.marked.contains(path), acted) {
            (true, true) if TOLD.contains(&&**path) => None,
            // A message that must be there acts by its fields.
            (false, false) if self.acts_beneath(path) => None,
            // A message that its object cannot be without acts by what is in it.
            (false, false) if self.acted.iter().any(|(inner, acted)| *acted && is_beneath(inner, path)) => None,
            (false, false) => Some(format!("{name}: {path} has no effect and is not marked")),
            (true, true) => Some(format!("{name}: {path} is marked and has an effect")),
            _ => None,
        };
        self.acted.iter().filter_map(judge).collect()
    }
}

fn is_beneath(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn data(name: &str) -> String {
    std::fs::read_to_string(root().join(format!("pilot/tests/data/fields/{name}.yaml"))).unwrap()
}

/// The examples of a kind; none where there is no file yet.
fn examples(name: &str) -> Vec<Object> {
    let file = root().join(format!("examples/fields/{}.yaml", name.to_lowercase()));
    let Ok(text) = std::fs::read_to_string(&file) else { return Vec::new() };
    crd::read_text(&name.into(), &text).0
}

#[test]
fn fields_have_an_effect_unless_they_are_marked() {
    let world = data("world");
    let mut wrong = Vec::new();
    for kind in ObjectKind::ALL {
        let Some(form) = crd::form(kind) else { continue };
        if crd::is_read_by_form(kind) || !crd::is_under_spec(kind) {
            continue;
        }
        let mut seen = Seen::default();
        for object in examples(kind.label()) {
            let place = vec![Step::Key("spec".to_owned())];
            seen.look(&world, form, (&object.root, place), tree::text, |_| Value::Null);
        }
        wrong.extend(seen.wrong(kind.label()));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A workload's pod and a gateway's, injected by a MeshConfig that stands in a ConfigMap, with both forms of sidecars.
fn injected(config_map: &str) -> Value {
    let object: Value = serde_json::from_str(config_map).unwrap();
    let mesh = object["data"]["mesh"].as_str().unwrap();
    let (config, values) = config_of_values(&default_values());
    let container = json!([{"name": "app", "image": "app", "ports": [{"containerPort": 80}]}]);
    let pod = json!({"metadata": {"name": "cart"}, "spec": {"containers": container}});
    let of = |native_sidecars: bool| {
        let environment = Environment { native_sidecars, ..Environment::default() };
        let injector = Injector::new(&config.to_string(), &values.to_string(), mesh, environment).unwrap();
        let own = BTreeMap::new();
        let question = Question { pod: &pod, namespace: "shop", workload: None, environment: &own };
        let mut pod = injector.injected(&question).unwrap().unwrap();
        for container in ["initContainers", "containers"].map(|list| pod["spec"][list].take()) {
            lay_beside(&container, &mut pod);
        }
        pod
    };
    json!([of(true), of(false)])
}

/// What a proxy reads of `PROXY_CONFIG`, which holds all of a ProxyConfig: docs/reference/proxy.md.
const READ: [&str; 5] = ["discoveryAddress", "concurrency", "statusPort", "proxyAdminPort", "terminationDrainDuration"];

/// Puts containers beside the pod, their `PROXY_CONFIG` without what no proxy reads.
fn lay_beside(containers: &Value, pod: &mut Value) {
    let mut containers = containers.clone();
    let variables = containers.as_array_mut().into_iter().flatten();
    let variables = variables.flat_map(|container| container["env"].as_array_mut().into_iter().flatten());
    for variable in variables.filter(|variable| variable["name"] == "PROXY_CONFIG") {
        let said = variable["value"].as_str().unwrap_or("{}");
        let mut config: Value = serde_json::from_str(said).unwrap();
        config.as_object_mut().unwrap().retain(|key, _| READ.contains(&&**key));
        variable["value"] = config;
    }
    match &mut pod["containers"] {
        Value::Array(list) => list.push(containers),
        none => *none = json!([containers]),
    }
}

#[test]
fn fields_of_mesh_config_have_an_effect_unless_they_are_marked() {
    let world = format!("{}\n---\n{}", data("world"), data("mesh"));
    let mut seen = Seen::default();
    for object in examples("MeshConfig") {
        let mesh = object.root.get("data").unwrap().get("mesh").unwrap().as_str().unwrap().to_owned();
        let mesh = mesh_config::crd::node::read(&mesh).remove(0).unwrap().node;
        let object = |mesh: &Node| {
            let metadata = serde_json::json!({"name": "istio", "namespace": "istio-system"});
            let data = serde_json::json!({"mesh": tree::text(mesh)});
            serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).to_string()
        };
        seen.look(&world, &crd::mesh_config::MESH_CONFIG, (&mesh, Vec::new()), object, injected);
    }
    assert_eq!(seen.wrong("MeshConfig"), Vec::<String>::new());
}

#[test]
fn what_a_form_says_is_required_is_asked_for() {
    let mut asked: BTreeMap<String, bool> = BTreeMap::new();
    for kind in ObjectKind::ALL.into_iter().filter(|kind| crd::is_under_spec(*kind)) {
        let Some(form) = crd::form(kind) else { continue };
        for object in examples(kind.label()) {
            let spec: Place = vec![Step::Key("spec".to_owned())];
            values(at(&object.root, &spec), form, (&spec, "", false), &mut |field, place, path, _| {
                if field.is_required() {
                    let refused = !is_valid(&tree::text(&with(&object.root, place, None)));
                    *asked.entry(format!("{kind:?}: {path}")).or_default() |= refused;
                }
            });
        }
    }
    let missed: Vec<_> = asked.into_iter().filter(|(_, refused)| !refused).map(|(path, _)| path).collect();
    assert_eq!(missed, Vec::<String>::new());
}

/// The kinds that are acted on, and their examples.
fn acting() -> Vec<(&'static Form, Object)> {
    let acts = |kind: &ObjectKind| crd::is_under_spec(*kind) && !crd::is_read_by_form(*kind);
    let of = |kind: ObjectKind| {
        let form = crd::form(kind).unwrap();
        examples(kind.label()).into_iter().map(move |object| (form, object))
    };
    ObjectKind::ALL.into_iter().filter(acts).flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// However an example is changed: what may be written is compiled without an error but that something is not
    /// served, and each part that comes of it is read back by who receives it.
    #[test]
    fn what_may_be_written_is_compiled_and_can_be_read_by_proxies(
        example: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
    ) {
        let all = acting();
        let (form, object) = example.get(&all);
        let mut root = object.root.clone();
        for (which, how) in changes {
            let mut places = Vec::new();
            let spec: Place = vec![Step::Key("spec".to_owned())];
            values(at(&root, &spec), form, (&spec, "", false), &mut |field, place, _, _| {
                places.push((field.holds, place.clone()));
            });
            if places.is_empty() {
                break;
            }
            let (holds, place) = which.get(&places);
            let ways: Vec<_> = [None].into_iter().chain(others(*holds, &at(&root, place).value).into_iter().map(Some)).collect();
            root = with(&root, place, how.get(&ways).as_ref());
        }
        let text = tree::text(&root);
        prop_assume!(is_valid(&text));
        let (mesh, found) = offline::compile_text(&format!("{}\n---\n{text}", data("world")), None);
        let is_wrong = |finding: &&mesh_config::diagnostic::Diagnostic| {
            finding.severity == Severity::Error && finding.code != "field-not-served"
        };
        let wrong: Vec<_> = found.iter().filter(is_wrong).collect();
        prop_assert!(wrong.is_empty(), "{wrong:?}\n{text}");
        for shared in mesh.all() {
            let encoded = wire::encode(shared.part());
            let read = wire::decode(shared.kind().type_url(), encoded.bytes.clone());
            prop_assert_eq!(read.as_ref().ok(), Some(shared.part()), "{}", text);
        }
    }
}
