//! A field that the reference does not mark as without effect has one: taken out of its example or changed, something
//! changes of what proxies are told. The examples stand in `examples/fields`, the world around them in `data/fields`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_config::crd::{
    self, Object,
    form::{Field, Form, Holds},
    node::{Node, Value},
};
use mesh_config::kind::{ObjectKind, Role};
use mesh_config::model::Part;
use mesh_config::name::Namespace;
use mesh_pilot::{Mesh, offline, scope::ProxyFacts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where a value stands: keys of maps and places in lists.
type Place = Vec<Step>;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    At(usize),
}

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

/// Every value of a field in a node, with the field and whether a mark stands on it or above.
fn values(
    node: &Node,
    form: &'static Form,
    (at, path, inert): (&Place, &str, bool),
    see: &mut impl FnMut(&'static Field, &Place, &str, bool),
) {
    let Value::Map(entries) = &node.value else { return };
    for (key, node) in entries {
        let Some(field) = form.fields.iter().find(|field| field.name == key) else { continue };
        let mut place = at.clone();
        place.push(Step::Key(key.clone()));
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let inert = inert || field.inert().is_some();
        see(field, &place, &path, inert);
        beneath(node, field.holds, (&place, &path, inert), see);
    }
}

fn beneath(
    node: &Node,
    holds: Holds,
    (at, path, inert): (&Place, &str, bool),
    see: &mut impl FnMut(&'static Field, &Place, &str, bool),
) {
    let next = |step: Step| at.iter().cloned().chain([step]).collect::<Place>();
    match (holds, &node.value) {
        (Holds::Of(form), _) => values(node, form, (at, path, inert), see),
        (Holds::List(of), Value::Seq(items)) => {
            for (i, item) in items.iter().enumerate() {
                beneath(item, *of, (&next(Step::At(i)), &format!("{path}[]"), inert), see);
            }
        }
        (Holds::Map(of), Value::Map(entries)) => {
            for (key, item) in entries {
                beneath(item, *of, (&next(Step::Key(key.clone())), &format!("{path}.*"), inert), see);
            }
        }
        _ => {}
    }
}

/// The tree with another value at a place, or none.
fn with(node: &Node, place: &[Step], value: Option<&Value>) -> Node {
    let Some((first, rest)) = place.split_first() else { return node.clone() };
    let mut node = node.clone();
    let change = |inner: &Node| match rest {
        [] => value.map(|value| Node { value: value.clone(), ..inner.clone() }),
        rest => Some(with(inner, rest, value)),
    };
    match (&mut node.value, first) {
        (Value::Map(entries), Step::Key(key)) => {
            let i = entries.iter().position(|(k, _)| k == key).unwrap();
            match change(&entries[i].1) {
                Some(inner) => entries[i].1 = inner,
                None => drop(entries.remove(i)),
            }
        }
        (Value::Seq(items), Step::At(i)) => items[*i] = change(&items[*i]).unwrap(),
        _ => unreachable!("places are taken from the tree"),
    }
    node
}

fn at<'a>(node: &'a Node, place: &[Step]) -> &'a Node {
    place.iter().fold(node, |node, step| match (&node.value, step) {
        (Value::Map(_), Step::Key(key)) => node.get(key).unwrap(),
        (Value::Seq(items), Step::At(i)) => &items[*i],
        _ => unreachable!("places are taken from the tree"),
    })
}

/// Other values that a field could have.
fn others(holds: Holds, value: &Value) -> Vec<Value> {
    let words = |words: &[&str]| words.iter().map(|word| Value::String((*word).to_owned())).collect::<Vec<_>>();
    match (holds, value) {
        (Holds::Bool, Value::Bool(is)) => vec![Value::Bool(!is)],
        (Holds::Word(all), _) => words(all).into_iter().filter(|other| other != value).collect(),
        (Holds::Of(_) | Holds::Struct, Value::Map(_)) => vec![Value::Map(Vec::new())],
        (Holds::List(_), Value::Seq(items)) if items.len() > 1 => {
            vec![Value::Seq(items[1..].to_vec()), Value::Seq(items[..1].to_vec())]
        }
        (Holds::List(of), Value::Seq(items)) if items.len() == 1 => {
            let one = |value| Value::Seq(vec![Node { value, ..items[0].clone() }]);
            others(*of, &items[0].value).into_iter().map(one).collect()
        }
        (Holds::Map(of), Value::Map(entries)) if !entries.is_empty() => {
            let (key, node) = &entries[0];
            let one = |value| Value::Map(vec![(key.clone(), Node { value, ..node.clone() })]);
            others(*of, &node.value).into_iter().map(one).collect()
        }
        (Holds::Labels, Value::Map(entries)) if !entries.is_empty() => {
            let (key, node) = &entries[0];
            let other = Node { value: Value::String("other".to_owned()), ..node.clone() };
            vec![Value::Map(vec![(key.clone(), other)])]
        }
        (_, Value::Int(number)) => vec![Value::Int(number + 1), Value::Int(number - 1)],
        (_, Value::Float(number)) => vec![Value::Float(number + 1.0), Value::Float(number / 2.0)],
        (_, Value::String(text)) => {
            let mut texts = words(&[
                "7s",
                "77",
                "/other",
                "v2",
                "TLS",
                "TCP",
                "http",
                "ratings.shop.svc.cluster.local",
                "other",
                "connection.sni",
            ]);
            texts.extend([format!("{text}x"), format!("x{text}"), format!("1{text}")].map(Value::String));
            texts
        }
        _ => Vec::new(),
    }
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(is) => (*is).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::Seq(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), json(node))).collect(),
    }
}

fn is_valid(text: &str) -> bool {
    let (objects, found) = crd::read_text(&"changed".into(), text);
    let wrong = |object: &Object| {
        let found = crd::validate(object, &crd::ParseContext::default());
        found.iter().any(|finding| finding.severity == mesh_config::diagnostic::Severity::Error)
    };
    found.is_empty() && !objects.iter().any(wrong)
}

/// Marked fields that make a difference all the same: `meshctl explain` says whom a policy would ask, and an object is in
/// force nowhere that has targets, or a sidecar's TLS, but is without them.
const TOLD: [&str; 5] = [
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
    /// Changes each field of `root` at a place in turn. `text` makes the object that is then read.
    fn look(
        &mut self,
        world: &str,
        form: &'static Form,
        (root, place): (&Node, Place),
        text: impl Fn(&Node) -> String,
    ) {
        let before = mesh(world, &text(root));
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
            let changes = |other: Option<Value>| {
                let text = text(&with(root, place, other.as_ref()));
                is_valid(&text) && differs(&before, &mesh(world, &text))
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
            seen.look(&world, form, (&object.root, place), |root| json(root).to_string());
        }
        wrong.extend(seen.wrong(kind.label()));
    }
    assert_eq!(wrong, Vec::<String>::new());
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
            let data = serde_json::json!({"mesh": json(mesh).to_string()});
            serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).to_string()
        };
        seen.look(&world, &crd::mesh_config::MESH_CONFIG, (&mesh, Vec::new()), object);
    }
    assert_eq!(seen.wrong("MeshConfig"), Vec::<String>::new());
}
