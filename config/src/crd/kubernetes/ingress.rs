//! Ingress and IngressClass: requests from outside by host and path, and who serves them. Which Ingresses are the mesh's
//! and what several say of one host is the compiler's to decide. A rule that has errors is left out by itself.

pub(in crate::crd) mod form;

use crate::{
    crd::{
        Object, ParseContext,
        reader::{Fields, Item},
    },
    name::{Host, Port},
};
use form::{BACKEND, INGRESS_CLASS};
use std::sync::Arc;

/// A Kubernetes Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// Its class; `None`: it names none. An annotation may say otherwise.
    pub class: Option<Arc<str>>,
    /// Where requests go that no rule takes.
    pub default_backend: Option<IngressBackend>,
    /// In order.
    pub tls: Vec<IngressTls>,
    /// In order; a host may have several.
    pub rules: Vec<IngressRule>,
}

/// TLS for some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressTls {
    /// Its place in the list.
    pub position: usize,
    /// Names in the client's hello; never empty.
    pub hosts: Vec<Host>,
    /// Name of the Secret, in the namespace of the gateway's pods.
    pub secret: Arc<str>,
}

/// What is said of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressRule {
    /// `*`: all.
    pub host: Host,
    /// In order; empty: everything goes to the default backend.
    pub paths: Vec<IngressPath>,
}

/// What is said of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressPath {
    /// Which paths.
    pub path: PathRule,
    /// Where their requests go.
    pub backend: IngressBackend,
}

/// Which paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathRule {
    /// This one.
    Exact(Arc<str>),
    /// Those that begin with the elements of this one, as written.
    Elements(Arc<str>),
    /// All.
    Any,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressBackend {
    /// Where it stands, for findings.
    pub field: Arc<str>,
    /// A Service of the Ingress' namespace; `None`: something else, which is not served.
    pub service: Option<(Arc<str>, IngressPort)>,
}

/// Which port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressPort {
    /// That of this number.
    Number(Port),
    /// That of this name.
    Name(Arc<str>),
}

/// A Kubernetes IngressClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressClass {
    /// Who serves its Ingresses.
    pub controller: Arc<str>,
}

/// The whole IngressClass.
pub(in crate::crd) fn ingress_class(
    _object: &Object,
    f: &mut Fields<'_>,
    _context: &ParseContext,
) -> Option<IngressClass> {
    let controller = f.opt_string("controller").unwrap_or_default();
    INGRESS_CLASS.read_inert(f);
    Some(IngressClass { controller })
}

/// The whole Ingress.
pub(in crate::crd) fn ingress(_object: &Object, f: &mut Fields<'_>, _context: &ParseContext) -> Option<Ingress> {
    let default_backend = f.item("defaultBackend").map(|item| backend(&item));
    let mut position = 0..;
    let tls = f.list("tls", |item| {
        let position = position.next()?;
        item.apart(|item| item.object(|f| tls(f, position)))
    });
    let rules: Vec<IngressRule> = f.objects_apart("rules", rule);
    let said_nothing = default_backend.is_none() && !f.has("rules");
    if said_nothing {
        return f.one_is_required(&["defaultBackend", "rules"], "one of defaultBackend and rules is required");
    }
    Some(Ingress {
        class: f.opt_string("ingressClassName"),
        default_backend: default_backend.flatten(),
        tls: tls.into_iter().flatten().collect(),
        rules,
    })
}

/// Inner `None`: it names no Secret, so that there is no TLS.
fn tls(f: &mut Fields<'_>, position: usize) -> Option<Option<IngressTls>> {
    let mut hosts = f.list("hosts", |item| host(&item));
    if hosts.is_empty() {
        hosts.push(any());
    }
    match f.opt_string("secretName").filter(|name| !name.is_empty()) {
        Some(secret) => Some(Some(IngressTls { position, hosts, secret })),
        None => {
            f.warn("tls-without-secret", "names no Secret (secretName), so the hosts are not served with TLS");
            Some(None)
        }
    }
}

fn rule(f: &mut Fields<'_>) -> Option<IngressRule> {
    let host = match f.item("host").filter(|item| item.node().as_str() != Some("")) {
        Some(item) => host(&item)?,
        None => any(),
    };
    let paths = match f.item("http") {
        Some(item) => item.object(|f| {
            let item = f.required("paths")?;
            let paths = item.list(|item| item.object(path));
            if paths.is_empty() { item.invalid("at least one path is required") } else { Some(paths) }
        })?,
        None => Vec::new(),
    };
    Some(IngressRule { host, paths })
}

fn any() -> Host {
    "*".parse().expect("a wildcard is a host")
}

fn host(item: &Item<'_>) -> Option<Host> {
    let host = item.host()?;
    if host.as_str() == "*" {
        return item.invalid("* stands for one label of a name; leave the field out for all hosts");
    }
    Some(host)
}

fn path(f: &mut Fields<'_>) -> Option<IngressPath> {
    let item = f.item("path");
    let text = item.as_ref().map_or(Some("".into()), |item| item.string())?;
    f.required("pathType")?;
    let kinds = [("Exact", Kind::Exact), ("Prefix", Kind::Elements), ("ImplementationSpecific", Kind::Own)];
    let kind = f.enum_of("pathType", &kinds)?;
    let wrong = |message: &str| match &item {
        Some(item) => item.invalid::<()>(format!("{text:.80?} {message}")),
        None => f.invalid::<()>("path is required for this pathType"),
    };
    let may_be_empty = kind == Kind::Own;
    if !text.starts_with('/') && (!text.is_empty() || !may_be_empty) {
        wrong("does not begin with /");
        return None;
    }
    if kind != Kind::Own && (NEVER.iter().any(|never| text.contains(never)) || text.ends_with("/..")) {
        wrong("holds //, /./, /../ or an encoded slash, which no path of a request has when it is compared");
        return None;
    }
    let path = match kind {
        Kind::Exact => PathRule::Exact(text),
        Kind::Elements => PathRule::Elements(text),
        Kind::Own => own(&text, item.as_ref()),
    };
    Some(IngressPath { path, backend: backend(&f.required("backend")?)? })
}

/// A path holds none of these once it has been made alike.
const NEVER: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];

/// What `pathType` says.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Exact,
    Elements,
    Own,
}

/// `ImplementationSpecific`: as Istio has it.
fn own(text: &Arc<str>, item: Option<&Item<'_>>) -> PathRule {
    if matches!(&**text, "" | "*" | "/*" | ".*") {
        return PathRule::Any;
    }
    if let Some(start) = text.strip_suffix(".*").or_else(|| text.strip_suffix("/*")) {
        return PathRule::Elements(start.into());
    }
    if let Some(item) = item.filter(|_| text.contains(['*', '(', '[', '$', '^', '\\', '|'])) {
        item.warn(
            "path-is-no-pattern",
            format!("{text:.80?} is compared as it stands: only .* or /* at its end mean more"),
        );
    }
    PathRule::Exact(text.clone())
}

fn backend(item: &Item<'_>) -> Option<IngressBackend> {
    let field = item.path().into();
    item.object(|f| {
        let service = f.item("service").map(|item| item.object(service));
        let other = f.has("resource");
        BACKEND.read_inert(f);
        match (service, other) {
            (Some(_), true) => f.invalid("service and resource are mutually exclusive"),
            (None, false) => f.one_is_required(&["service", "resource"], "one of service and resource is required"),
            (Some(service), false) => Some(IngressBackend { field, service: Some(service?) }),
            (None, true) => Some(IngressBackend { field, service: None }),
        }
    })
}

fn service(f: &mut Fields<'_>) -> Option<(Arc<str>, IngressPort)> {
    let name = f.required("name")?.non_empty()?;
    let port = f.required("port")?.object(|f| {
        let name = f.opt_string("name").filter(|name| !name.is_empty());
        let number = f.item("number");
        match (name, number) {
            (Some(_), Some(_)) => f.invalid("name and number are mutually exclusive"),
            (None, None) => f.one_is_required(&["name", "number"], "one of name and number is required"),
            (Some(name), None) => Some(IngressPort::Name(name)),
            (None, Some(number)) => number.port().map(IngressPort::Number),
        }
    })?;
    Some((name, port))
}

#[cfg(test)]
mod tests;
