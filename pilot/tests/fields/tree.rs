//! Objects as trees that are changed at a place.

use mesh_config::crd::{
    self, Object,
    form::{Field, Form, Holds},
    node::{Node, Value},
};

/// Where a value stands: keys of maps and places in lists.
pub(crate) type Place = Vec<Step>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Key(String),
    At(usize),
}

/// Every value of a field in a node, with the field and whether a mark stands on it or above.
pub(crate) fn values(
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
pub(crate) fn with(node: &Node, place: &[Step], value: Option<&Value>) -> Node {
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

pub(crate) fn at<'a>(node: &'a Node, place: &[Step]) -> &'a Node {
    place.iter().fold(node, |node, step| match (&node.value, step) {
        (Value::Map(_), Step::Key(key)) => node.get(key).unwrap(),
        (Value::Seq(items), Step::At(i)) => &items[*i],
        _ => unreachable!("places are taken from the tree"),
    })
}

/// Other values that a field could have.
pub(crate) fn others(holds: Holds, value: &Value) -> Vec<Value> {
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

/// Its text, as JSON.
pub(crate) fn text(node: &Node) -> String {
    serde_json::to_string(node).unwrap()
}

pub(crate) fn is_valid(text: &str) -> bool {
    let (objects, found) = crd::read_text(&"changed".into(), text);
    let wrong = |object: &Object| {
        let found = crd::validate(object, &crd::ParseContext::default());
        found.iter().any(|finding| finding.severity == mesh_config::diagnostic::Severity::Error)
    };
    found.is_empty() && !objects.iter().any(wrong)
}
