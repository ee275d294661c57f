//! The examples under `examples/fields`: together they hold every field of every kind.

use super::page::inner;
use mesh_config::crd::form::{Fact, Form, Holds};
use mesh_config::crd::node::{Node, Value};
use mesh_config::crd::{Object, read_text};
use std::collections::BTreeSet;
use std::path::Path;

/// The objects of the file of a kind; none where it has no file.
pub(crate) fn of_kind(folder: &Path, kind: &str) -> Vec<Object> {
    let name = format!("{}.yaml", kind.to_lowercase());
    let Ok(text) = std::fs::read_to_string(folder.join(&name)) else { return Vec::new() };
    let (objects, findings) = read_text(&name.as_str().into(), &text);
    assert_eq!(findings, [], "{name}");
    objects
}

/// A field of a message, wherever the message stands.
pub(crate) type FieldKey = (usize, &'static str);

/// A field at one of the places where its message stands.
pub(crate) struct Place {
    /// Lists and maps stand as `[]` and `.*`.
    pub(crate) path: String,
    pub(crate) key: FieldKey,
    /// It is marked as without effect, or one above it is.
    pub(crate) is_inert: bool,
    /// One above it is.
    is_beneath_mark: bool,
}

/// Every field that may be written, beneath those without an effect too.
pub(crate) fn places(form: &'static Form, at: &str) -> Vec<Place> {
    let mut places = Vec::new();
    walk(form, at, false, &mut Vec::new(), &mut places);
    places
}

fn walk(form: &'static Form, at: &str, marked: bool, above: &mut Vec<*const Form>, places: &mut Vec<Place>) {
    above.push(form);
    for field in form.fields.iter().filter(|field| !field.facts.contains(&Fact::Forbidden)) {
        let path = join(at, field.name);
        let key = (std::ptr::from_ref(form).addr(), field.name);
        let is_inert = marked || field.inert().is_some();
        places.push(Place { path: path.clone(), key, is_inert, is_beneath_mark: marked });
        if let Some((inner, suffix)) = inner(field.holds)
            && !above.contains(&std::ptr::from_ref(inner))
        {
            walk(inner, &format!("{path}{suffix}"), is_inert, above, places);
        }
    }
    above.pop();
}

/// The paths that a node holds, by a form; what the form does not have is there too.
pub(crate) fn paths_in(node: &Node, form: &'static Form, at: &str, paths: &mut BTreeSet<String>) {
    let Value::Map(entries) = &node.value else { return };
    for (key, node) in entries {
        let path = join(at, key);
        paths.insert(path.clone());
        if let Some(field) = form.fields.iter().find(|field| field.name == key) {
            values_in(node, field.holds, &path, paths);
        }
    }
}

fn values_in(node: &Node, holds: Holds, at: &str, paths: &mut BTreeSet<String>) {
    match (holds, &node.value) {
        (Holds::Of(form), _) => paths_in(node, form, at, paths),
        (Holds::List(of), Value::Seq(items)) => {
            items.iter().for_each(|item| values_in(item, *of, &format!("{at}[]"), paths));
        }
        (Holds::Map(of), Value::Map(entries)) => {
            entries.iter().for_each(|(_, item)| values_in(item, *of, &format!("{at}.*"), paths));
        }
        _ => {}
    }
}

/// The fields that these paths are of.
pub(crate) fn held_fields(places: &[Place], held: &BTreeSet<String>) -> BTreeSet<FieldKey> {
    places.iter().filter(|place| held.contains(&place.path)).map(|place| place.key).collect()
}

/// Fields whose message's field stands in none of the examples, wherever the message stands.
pub(crate) fn missing(places: &[Place], held: &BTreeSet<String>) -> Vec<String> {
    let mut keys = held_fields(places, held);
    places.iter().filter(|place| keys.insert(place.key)).map(|place| place.path.clone()).collect()
}

/// Paths that no example holds. Beneath a field without an effect a message is read alike wherever it stands, so that an
/// example of any kind will do.
pub(crate) fn missing_beside_marks(
    places: &[Place],
    held: &BTreeSet<String>,
    everywhere: &BTreeSet<FieldKey>,
) -> Vec<String> {
    let is_elsewhere = |place: &Place| place.is_beneath_mark && everywhere.contains(&place.key);
    let missing = places.iter().filter(|place| !held.contains(&place.path) && !is_elsewhere(place));
    missing.map(|place| place.path.clone()).collect()
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}
