//! Objects: what every document has in common (kind, name, namespace, labels), before its fields are understood.

use super::node::{self, Digest, Node, Packed, Value};
use super::reader::{Fields, Item, Report};
use crate::diagnostic::{Diagnostic, ObjectRef, Origin, Severity};
use crate::kind::{GroupKind, ObjectKind, Scope};
use crate::model::{Labels, Precedence};
use crate::name::NamespacedName;
use crate::time;
use std::{ops::Deref, sync::Arc};

/// `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectMeta {
    /// `name`.
    pub name: Arc<str>,
    /// `namespace`; `default` when it is not given, empty for kinds that stand in none.
    pub namespace: Arc<str>,
    /// `labels`.
    pub labels: Labels,
    /// `annotations`.
    pub annotations: Labels,
    /// `creationTimestamp` in seconds since the epoch; 0 when it is not given.
    pub created: i64,
    /// `generation`; 0 when it is not given.
    pub generation: i64,
    /// `uid`; empty when it is not given.
    pub uid: Arc<str>,
}

/// What is known of an object whatever its kind is.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// `group/version`, or `v1`.
    pub api_version: Arc<str>,
    /// E.g. `VirtualService`.
    pub kind: Arc<str>,
    /// `metadata`.
    pub meta: ObjectMeta,
    /// File and first line.
    pub origin: Origin,
    /// Where it stands among the objects of its source: text order is source order.
    pub position: Arc<str>,
}

/// One object as written. Its tree is for reading it; who has read it keeps the head alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What is kept.
    pub head: Arc<Head>,
    /// All of it.
    pub root: Node,
}

impl Object {
    /// From what an API server sent of an object of `kind` in a version of its API. Entries of lists do not say what
    /// they are. Of two that are equally old the one with the first name counts, then that of the first namespace.
    ///
    /// # Errors
    /// Why it is none.
    pub fn from_server(mut root: Node, kind: ObjectKind, version: &str) -> Result<Object, Vec<Diagnostic>> {
        let api_version = match kind.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        if let Value::Map(entries) = &mut root.value {
            entries.retain(|(key, _)| key != "apiVersion" && key != "kind");
            entries.push(("apiVersion".to_owned(), Node::new(0, Value::String(api_version))));
            entries.push(("kind".to_owned(), Node::new(0, Value::String(kind.word().to_owned()))));
        }
        let text = |key: &str| root.get("metadata").and_then(|m| m.get(key)).and_then(Node::as_str).unwrap_or_default();
        // A blank comes before all that a name may hold.
        let position = format!("{} {}", text("name"), text("namespace"));
        object(root, &"".into(), position)
    }
}

impl Deref for Object {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// An object as it waits to be read, or to be read again.
#[derive(Clone, PartialEq)]
pub struct PackedObject {
    /// What can be seen without unpacking it.
    pub head: Arc<Head>,
    tree: Packed,
}

impl From<&Object> for PackedObject {
    fn from(object: &Object) -> Self {
        PackedObject { head: object.head.clone(), tree: Packed::of(&object.root) }
    }
}

impl PackedObject {
    /// The object again.
    pub fn unpack(&self) -> Object {
        Object { head: self.head.clone(), root: self.tree.unpack() }
    }

    /// Tells it from every other version of it, and from the same text in another place.
    pub fn digest(&self) -> Digest {
        Digest::of_tree(&self.position, &self.tree)
    }
}

impl Deref for PackedObject {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl Head {
    /// API group; empty for Kubernetes' core.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// API version without the group.
    pub fn version(&self) -> &str {
        self.api_version.split_once('/').map_or(&self.api_version, |(_, version)| version)
    }

    /// What it says that it is.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.group(), &self.kind)
    }

    /// `namespace/name`.
    pub fn name(&self) -> NamespacedName {
        NamespacedName { namespace: self.meta.namespace.clone().into(), name: self.meta.name.clone() }
    }

    /// For "oldest wins".
    pub fn precedence(&self) -> Precedence {
        Precedence { created: self.meta.created, position: self.position.clone() }
    }

    /// For diagnostics.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef { kind: self.kind.clone(), namespace: self.meta.namespace.clone(), name: self.meta.name.clone() }
    }
}

/// Most findings listed about the documents of one text that are no objects.
const MAX_FINDINGS: usize = 1000;

/// Every object of a text that came from `file`. Documents that are broken or are no objects are reported (codes
/// `broken-document`, `invalid-object`), the others served. The entries of a `List` are objects of their own.
pub fn read_text(file: &Arc<str>, text: &str) -> (Vec<Object>, Vec<Diagnostic>) {
    let (mut objects, mut diagnostics) = (Vec::new(), Vec::new());
    for document in node::read(text) {
        match document {
            Ok(document) => {
                let position = format!("{file}:{:06}", document.number);
                read_node(document.node, file, position, &mut objects, &mut diagnostics);
            }
            Err(broken) => {
                let report =
                    Report::new(ObjectRef { kind: "".into(), namespace: "".into(), name: "".into() }, file.clone());
                report.add(Severity::Error, "broken-document", ("", broken.place), broken.reason);
                add(&mut diagnostics, report.into_diagnostics());
            }
        }
    }
    (objects, diagnostics)
}

fn read_node(root: Node, file: &Arc<str>, position: String, objects: &mut Vec<Object>, found: &mut Vec<Diagnostic>) {
    let kind = root.get("kind").and_then(Node::as_str).unwrap_or_default();
    if kind.ends_with("List") && matches!(root.get("items"), Some(Node { value: Value::Seq(_), .. })) {
        let Value::Map(entries) = root.value else { return };
        let items = entries.into_iter().find(|(key, _)| key == "items").map(|(_, node)| node.value);
        if let Some(Value::Seq(items)) = items {
            for (i, item) in items.into_iter().enumerate() {
                read_node(item, file, format!("{position}/{i:06}"), objects, found);
            }
        }
        return;
    }
    match object(root, file, position) {
        Ok(object) => objects.push(object),
        Err(diagnostics) => add(found, diagnostics),
    }
}

fn add(found: &mut Vec<Diagnostic>, more: Vec<Diagnostic>) {
    if found.len() <= MAX_FINDINGS {
        found.extend(more);
    }
    if found.len() > MAX_FINDINGS {
        found.truncate(MAX_FINDINGS + 1);
        let last = &mut found[MAX_FINDINGS];
        last.code = "more-findings";
        last.field = String::new();
        last.message = format!("only the first {MAX_FINDINGS} findings about documents that are no objects are listed");
    }
}

fn object(root: Node, file: &Arc<str>, position: String) -> Result<Object, Vec<Diagnostic>> {
    let text = |key: &str| root.get(key).and_then(Node::as_str).unwrap_or_default();
    let metadata = |key: &str| root.get("metadata").and_then(|m| m.get(key)).and_then(Node::as_str).unwrap_or_default();
    let reference =
        ObjectRef { kind: text("kind").into(), namespace: metadata("namespace").into(), name: metadata("name").into() };
    let report = Report::new(reference, file.clone());
    let head = Item::new(&root, "", &report).object(|f| {
        let api_version = f.required("apiVersion").and_then(|item| item.non_empty());
        let kind = f.required("kind").and_then(|item| item.non_empty());
        // No API server has ever seen it, so it may have no name.
        let is_a_file = kind.as_deref() == Some(ObjectKind::IstioOperator.word());
        let meta = match f.has("metadata") || !is_a_file {
            true => f.required("metadata").and_then(|item| item.object(|f| metadata_fields(f, is_a_file))),
            false => Some(ObjectMeta::default()),
        };
        f.ignore_rest();
        Some((api_version?, kind?, meta?))
    });
    match head {
        Some((api_version, kind, meta)) if report.errors() == 0 => {
            let origin = Origin { file: file.clone(), line: root.line, column: root.column.into() };
            let mut head = Head { api_version, kind, meta, origin, position: position.into() };
            if let GroupKind::Of(kind) = head.group_kind()
                && kind.scope() == Scope::Cluster
            {
                head.meta.namespace = "".into();
            }
            Ok(Object { head: Arc::new(head), root })
        }
        _ => Err(report.into_diagnostics()),
    }
}

fn metadata_fields(f: &mut Fields<'_>, is_a_file: bool) -> Option<ObjectMeta> {
    let name = match f.has("name") || !is_a_file {
        true => f.required("name").and_then(|item| item.non_empty()),
        false => Some("".into()),
    };
    let namespace = f.opt_string("namespace").filter(|ns| !ns.is_empty());
    let created = f.item("creationTimestamp").and_then(|item| {
        let text = item.string()?;
        time::epoch_seconds(&text)
            .or_else(|| item.invalid(format!("{text:?} is not a time such as 2024-05-01T12:00:00Z")))
    });
    let meta = ObjectMeta {
        name: name?,
        namespace: namespace.unwrap_or_else(|| "default".into()),
        labels: f.labels("labels"),
        annotations: f.labels("annotations"),
        created: created.unwrap_or(0),
        generation: f.item("generation").and_then(|item| item.i64()).unwrap_or(0),
        uid: f.opt_string("uid").unwrap_or_default(),
    };
    // The rest of metadata is the API server's bookkeeping.
    f.ignore_rest();
    Some(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_with_their_place() {
        let text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\nkind: B\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: g/v2\n  kind: C\n  metadata: {name: c, namespace: x, labels: {k: v}, managedFields: []}\n";
        let (objects, found) = read_text(&"f".into(), text);
        let seen: Vec<_> = objects.iter().map(|o| (o.name().to_string(), &*o.position, o.origin.line)).collect();
        assert_eq!(seen, [("default/a".into(), "f:000000", 1), ("x/c".into(), "f:000002/000000", 10)]);
        assert_eq!((objects[1].group(), objects[1].version()), ("g", "v2"));
        let codes: Vec<_> = found.iter().map(|d| (d.code, &*d.field, d.origin.line)).collect();
        assert_eq!(codes, [("missing-field", "apiVersion", 5), ("missing-field", "metadata", 5)]);
    }

    #[test]
    fn a_file_for_installing_needs_no_name() {
        let head = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n";
        for text in [head.to_owned(), format!("{head}metadata: {{namespace: a}}\n")] {
            let (objects, found) = read_text(&"f".into(), &text);
            assert_eq!((objects.len(), found), (1, Vec::new()), "{text}");
        }
    }

    #[test]
    fn an_object_of_an_api_server_is_of_the_kind_that_was_asked_for() {
        let read = |text: &str, kind| {
            let node::FromServer(root) = serde_json::from_str(text).unwrap();
            Object::from_server(root, kind, "v1")
        };
        let text = r#"{"metadata":{"name":"a","namespace":"x","creationTimestamp":"1970-01-01T00:00:09Z",
                       "generation":3,"uid":"u"},"kind":"Other","spec":{}}"#;
        let object = read(text, ObjectKind::VirtualService).unwrap();
        assert_eq!((&*object.api_version, &*object.kind), ("networking.istio.io/v1", "VirtualService"));
        assert_eq!(object.precedence(), Precedence { created: 9, position: "a x".into() });
        assert_eq!((object.meta.generation, &*object.meta.uid, &object.origin), (3, "u", &Origin::default()));
        assert_eq!(&*read(text, ObjectKind::Namespace).unwrap().api_version, "v1");
        let nameless = read(r#"{"metadata":{}}"#, ObjectKind::Pod).unwrap_err();
        assert_eq!((nameless[0].code, &*nameless[0].field), ("missing-field", "metadata.name"));
    }

    #[test]
    fn a_broken_document_is_reported_with_file_and_line() {
        let (objects, found) = read_text(&"f".into(), "a: [\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n");
        assert_eq!((objects.len(), found.len(), found[0].code), (1, 1, "broken-document"));
        assert_eq!(&*found[0].origin.file, "f");
    }
}
