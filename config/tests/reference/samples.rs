//! The examples under `examples/fields`: together they hold every field of every kind.

use super::page::inner;
use mesh_config::crd::form::{Fact, Form, Holds};
use mesh_config::crd::node::{Node, Value};
use mesh_config::crd::{Object, read_text};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The objects of the file of a kind; none where it has no file.
pub(crate) fn of_kind(folder: &Path, kind: &str) -> Vec<Object> {
    let name = format!("{}.yaml", kind.to_lowercase());
    let Ok(text) = std::fs::read_to_string(folder.join(&name)) else { return Vec::new() };
    let (objects, findings) = read_text(&name.as_str().into(), &text);
    assert_eq!(findings, [], "{name}");
    objects
}

/// The paths of a form's fields; lists and maps stand as `[]` and `.*`. Beneath a field without an effect too.
pub(crate) fn paths(form: &'static Form, at: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    walk(form, at, &mut Vec::new(), &mut |path, _| {
        paths.insert(path.to_owned());
    });
    paths
}

/// Calls `see` for each field, with whether it or one above it is marked as without effect.
pub(crate) fn walk(form: &'static Form, at: &str, above: &mut Vec<*const Form>, see: &mut impl FnMut(&str, bool)) {
    go(form, at, false, above, see);
}

fn go(form: &'static Form, at: &str, inert: bool, above: &mut Vec<*const Form>, see: &mut impl FnMut(&str, bool)) {
    above.push(form);
    for field in form.fields.iter().filter(|field| !field.facts.contains(&Fact::Forbidden)) {
        let path = join(at, field.name);
        let inert = inert || field.inert().is_some();
        see(&path, inert);
        if let Some((inner, suffix)) = inner(field.holds)
            && !above.contains(&std::ptr::from_ref(inner))
        {
            go(inner, &format!("{path}{suffix}"), inert, above, see);
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

/// The fields of every message, told apart by message and not by place, with one place of each.
pub(crate) fn fields(form: &'static Form, at: &str) -> BTreeMap<(usize, &'static str), String> {
    let mut fields = BTreeMap::new();
    let mut open = vec![(form, at.to_owned())];
    while let Some((form, at)) = open.pop() {
        for field in form.fields.iter().filter(|field| !field.facts.contains(&Fact::Forbidden)) {
            let path = join(&at, field.name);
            let key = (std::ptr::from_ref(form).addr(), field.name);
            if fields.insert(key, path.clone()).is_none()
                && let Some((inner, suffix)) = inner(field.holds)
            {
                open.push((inner, format!("{path}{suffix}")));
            }
        }
    }
    fields
}

/// A field of a message, wherever the message stands.
type FieldKey = (usize, &'static str);

/// The fields that these paths are of.
pub(crate) fn held_fields(form: &'static Form, at: &str, held: &BTreeSet<String>) -> BTreeSet<FieldKey> {
    let mut keys = BTreeSet::new();
    walk_forms(form, at, &mut Vec::new(), &mut |form, name, path| {
        if held.contains(path) {
            keys.insert((std::ptr::from_ref(form).addr(), name));
        }
    });
    keys
}

/// Fields whose message's field stands in none of the examples, wherever the message stands.
pub(crate) fn missing(form: &'static Form, at: &str, held: &BTreeSet<String>) -> Vec<String> {
    let keys = held_fields(form, at, held);
    fields(form, at).into_iter().filter(|(key, _)| !keys.contains(key)).map(|(_, path)| path).collect()
}

/// Paths that no example holds. Beneath a field without an effect a message is read alike wherever it stands, so that an
/// example of any kind will do.
pub(crate) fn missing_beside_marks(
    form: &'static Form,
    at: &str,
    held: &BTreeSet<String>,
    everywhere: &BTreeSet<FieldKey>,
) -> Vec<String> {
    let mut marked = BTreeSet::new();
    walk(form, at, &mut Vec::new(), &mut |path, is_inert| {
        if is_inert {
            marked.insert(path.to_owned());
        }
    });
    let above = |path: &str| path.rsplit_once('.').map(|(above, _)| above.trim_end_matches("[]").to_owned());
    let mut missing = Vec::new();
    walk_forms(form, at, &mut Vec::new(), &mut |form, name, path| {
        let is_beneath = above(path).is_some_and(|above| marked.contains(&above));
        let elsewhere = is_beneath && everywhere.contains(&(std::ptr::from_ref(form).addr(), name));
        if !held.contains(path) && !elsewhere {
            missing.push(path.to_owned());
        }
    });
    missing
}

fn walk_forms(
    form: &'static Form,
    at: &str,
    above: &mut Vec<*const Form>,
    see: &mut impl FnMut(&'static Form, &'static str, &str),
) {
    above.push(form);
    for field in form.fields.iter().filter(|field| !field.facts.contains(&Fact::Forbidden)) {
        let path = join(at, field.name);
        see(form, field.name, &path);
        if let Some((inner, suffix)) = inner(field.holds)
            && !above.contains(&std::ptr::from_ref(inner))
        {
            walk_forms(inner, &format!("{path}{suffix}"), above, see);
        }
    }
    above.pop();
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}
