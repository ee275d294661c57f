//! Names as objects write them: short hosts, `exportTo`, gateways, protocols.

use crate::{
    crd::{
        Object, ParseContext,
        form::{Form, Holds},
        node::Value,
        reader::{Fields, Item},
    },
    kind::ObjectKind,
    model::{Labels, Protocol, Visibility, route::Parent},
    name::{Host, Namespace, NamespacedName},
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// A host as written: a DNS name, maybe with a leading wildcard label, or an address. A last dot is dropped.
pub(super) fn literal_host(item: &Item<'_>) -> Option<Host> {
    host_text(item, &item.string()?)
}

/// As [`literal_host`], of a text that is part of the item's.
pub(super) fn host_text(item: &Item<'_>, text: &str) -> Option<Host> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_address = text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if !is_address && !is_dns_name(text) {
        return item.invalid(format!("{text:?} is not a DNS name such as a.example.com or *.example.com"));
    }
    if !is_address && let Some(reason) = stricter(text) {
        item.refuse(format!("{text:.80?} is not a DNS name: {reason}"));
    }
    text.parse().map_err(|e: crate::name::NameError| item.invalid::<()>(e.to_string())).ok()
}

/// A host after a namespace in a Gateway or Sidecar: `*`, `*.suffix`, an address, or fully qualified.
pub(super) fn qualified_host(item: &Item<'_>, text: &str) -> Option<Host> {
    let host = host_text(item, text)?;
    match host.as_str() {
        "*" => {}
        partial if partial.starts_with("*-") => {
            return item.invalid(format!("{partial:?}: a wildcard must replace whole labels, as in *.example.com"));
        }
        short if !short.contains(['.', ':']) => {
            return item.invalid(format!("{short} is a short name; a fully qualified one is required"));
        }
        _ => {}
    }
    Some(host)
}

/// A host that may be short: a name without a dot is a service of the object's namespace.
pub(super) fn service_host(item: &Item<'_>, object: &Object, context: &ParseContext) -> Option<Host> {
    let host = literal_host(item)?;
    if host.is_wildcard() || host.as_str().contains(['.', ':']) {
        return Some(host);
    }
    let full = format!("{host}.{}.svc.{}", object.meta.namespace, context.cluster_domain);
    full.parse().map_err(|e: crate::name::NameError| item.invalid::<()>(e.to_string())).ok()
}

/// Labels of letters, digits, `-` and `_`, at most 63 bytes; the first may be `*` or begin with `*-`.
fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let mut labels = text.split('.');
    let first = labels.next().unwrap_or_default();
    (first == "*" || label(first.strip_prefix("*-").unwrap_or(first))) && labels.all(label)
}

/// Why a name that can be looked up must not be written all the same.
fn stricter(text: &str) -> Option<&'static str> {
    if text.len() > 255 {
        return Some("it is longer than 255 characters");
    }
    // Gateways between networks name a service's port in server names: outbound_.80_.v1_.host.
    if text.contains('_') && !text.starts_with("outbound_") {
        return Some("labels are of letters, digits and -");
    }
    let last = text.rsplit('.').next().unwrap_or(text);
    last.bytes().all(|b| b.is_ascii_digit()).then_some("its last label is a number")
}

/// Whether a value says something: an empty text, list or map and `false` are as if they were not there.
pub(super) fn is_filled(item: &Item<'_>) -> bool {
    match &item.node().value {
        Value::String(text) => !text.is_empty(),
        Value::Seq(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        value => *value != Value::Bool(false),
    }
}

/// `targetPort` of a port that says which one it is: it never had an effect.
pub(super) fn no_target_port(f: &mut Fields<'_>, port: &'static Form) {
    port.read_inert_of(f, &["targetPort"]);
    if let Some(item) = f.item("targetPort")
        && item.i64().is_some_and(|number| number != 0)
    {
        item.refuse("must be left out: it never had an effect");
    }
}

/// For findings about unix sockets.
pub(super) const SOCKET_FORM: &str = "a unix socket is written unix:///absolute/path or unix://@name";

/// The path of a unix socket, as it stands after `unix://`.
pub(super) fn is_socket_path(path: &str) -> bool {
    path.starts_with('@') || (path.starts_with('/') && !path.ends_with('/'))
}

/// The name of a port, where it must have one.
pub(super) fn port_name(item: Option<Item<'_>>, missing: impl FnOnce()) -> Arc<str> {
    let name = item.as_ref().and_then(Item::string).unwrap_or_default();
    match item {
        Some(item) if !name.is_empty() => check_port_name(&item, &name),
        _ => missing(),
    }
    name
}

/// Names of ports are DNS labels.
pub(super) fn check_port_name(item: &Item<'_>, name: &str) {
    if !is_subset(name) {
        item.refuse(format!("{name:.80?} is no name of a port: at most 63 letters, digits and - between them"));
    }
}

/// A name of a subset.
pub(super) fn is_subset(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A name of a namespace.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Labels, as Kubernetes takes them; those that nothing can have are refused when they are written.
pub(super) fn labels(f: &mut Fields<'_>, name: &'static str) -> Labels {
    let before = f.errors();
    let labels = f.selector(name);
    if let Some(item) = f.item(name).filter(|_| f.errors() == before) {
        item.leniently(|item| Holds::Labels.check(item));
    }
    labels
}

/// `sourceNamespace` of a match.
pub(super) fn source_namespace(f: &mut Fields<'_>) -> Option<Namespace> {
    let item = f.item("sourceNamespace")?;
    let namespace = item.string().filter(|namespace| !namespace.is_empty())?;
    if !is_label(&namespace) {
        item.refuse(format!("{namespace:.80?} is no name of a namespace"));
    }
    Some((&*namespace).into())
}

/// `exportTo`, or the mesh's default for the kind.
pub(super) fn visibility(f: &mut Fields<'_>, object: &Object, default: &[Arc<str>]) -> Option<Visibility> {
    let Some(item) = f.item("exportTo") else { return Some(Visibility::named(default, &object.meta.namespace)) };
    let entries = item.list(|entry| entry.non_empty());
    let distinct: BTreeSet<_> = entries.iter().collect();
    if distinct.len() != entries.len() {
        return item.invalid("lists a namespace twice");
    }
    if entries.len() > 1 && entries.iter().any(|e| matches!(&**e, "*" | "~")) {
        return item.invalid("\"*\" and \"~\" must be the only entry");
    }
    if entries.iter().any(|e| &**e == ".") && distinct.contains(&object.meta.namespace) {
        return item.invalid("\".\" and the object's own namespace are the same");
    }
    for entry in &entries {
        match &**entry {
            "~" if &*object.kind != ObjectKind::ServiceEntry.word() => {
                item.refuse("\"~\" is for ServiceEntries alone; name namespaces, or \".\"");
            }
            "." | "*" | "~" => {}
            other if !is_label(other) => item.refuse(format!("{other:.80?} is no name of a namespace")),
            _ => {}
        }
    }
    let default = if entries.is_empty() { default } else { &entries };
    Some(Visibility::named(default, &object.meta.namespace))
}

/// An entry of `gateways`: `mesh`, `name`, `namespace/name`, or the old `name.namespace[.svc…]`.
pub(super) fn parent(item: &Item<'_>, object: &Object) -> Option<Parent> {
    let text = item.non_empty()?;
    let own = &*object.meta.namespace;
    let (namespace, name) = match text.split_once('/') {
        _ if &*text == "mesh" => return Some(Parent::Mesh),
        Some((".", name)) => (own, name),
        Some(pair) => pair,
        None => match text.split_once('.') {
            Some((name, rest)) => (rest.split('.').next().unwrap_or(rest), name),
            None => (own, &*text),
        },
    };
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        return item.invalid(format!("{text:?} is not mesh, a name, or namespace/name"));
    }
    if !(is_label(namespace) && is_dns_name(name)) {
        item.refuse(format!("{text:?} is not a name or namespace/name; no gateway is called so"));
    }
    Some(Parent::Gateway(NamespacedName::new(namespace, name)))
}

/// A port's protocol as ServiceEntry, Gateway and Sidecar write it. Databases are opaque bytes here.
pub(super) fn protocol(item: &Item<'_>) -> Option<Protocol> {
    let text = item.string()?;
    Some(match text.to_ascii_uppercase().as_str() {
        "" => Protocol::Auto,
        "HTTP" | "HTTP_PROXY" => Protocol::Http,
        "HTTP2" => Protocol::Http2,
        "GRPC" => Protocol::Grpc,
        "GRPC-WEB" => Protocol::GrpcWeb,
        "HTTPS" => Protocol::Https,
        "TLS" => Protocol::Tls,
        "TCP" | "MONGO" | "MYSQL" | "REDIS" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        _ => {
            let known = "HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, MYSQL, REDIS or UDP";
            return item.invalid(format!("{text:?} is not one of {known}"));
        }
    })
}
