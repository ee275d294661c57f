//! What is in force in place of an object that narrows access, has errors, and was never good.
//!
//! | object | stands in for it |
//! | --- | --- |
//! | AuthorizationPolicy | DENY to every workload that it selects; none for a policy that would have refused nobody |
//! | PeerAuthentication | STRICT for every workload that it selects |
//! | Sidecar | REGISTRY_ONLY, with the egress listeners that can be read; when none can, nothing is reachable |
//! | MeshConfig | the fields that can be read; REGISTRY_ONLY unless `outboundTrafficPolicy` is one of them |
//!
//! A selector that cannot be read selects everything in the object's reach: its namespace or, in the root namespace,
//! the mesh.

use mesh_config::{
    crd::{
        self, Head, Object, ParseContext, Parsed,
        mesh_config::{MeshConfig, parse_text},
        node::{Node, Value},
        reader::selector_of,
        security::is_dry_run,
    },
    diagnostic::Severity,
    kind::{GroupKind, ObjectKind},
    model::{
        Authorization, Labels, PeerAuthentication, Sidecar,
        authorization::{Action, Rule},
        peer_authentication::MtlsMode,
        service::Protocol,
        settings::OutboundPolicy,
        sidecar::EgressListener,
    },
};
use std::collections::BTreeMap;

/// What stands in for `object`, which has errors; `None` for one that narrows nothing.
pub(super) fn of(object: &Object, context: &ParseContext) -> Option<Parsed> {
    let GroupKind::Of(kind) = object.group_kind() else { return None };
    match kind {
        ObjectKind::AuthorizationPolicy => authorization(object).map(Parsed::AuthorizationPolicy),
        ObjectKind::PeerAuthentication => Some(Parsed::PeerAuthentication(peer_authentication(object))),
        ObjectKind::Sidecar => Some(Parsed::Sidecar(sidecar(object, context))),
        ObjectKind::ConfigMap if object.name() == context.mesh_config => {
            Some(Parsed::ConfigMap(Box::new(config(object, context))))
        }
        _ => None,
    }
}

/// For the finding about it.
pub(super) fn describe(object: &Head) -> String {
    let what = match object.group_kind() {
        GroupKind::Of(ObjectKind::AuthorizationPolicy) => "all calls to the workloads that it selects are denied",
        GroupKind::Of(ObjectKind::PeerAuthentication) => "the workloads that it selects accept mutual TLS only",
        GroupKind::Of(ObjectKind::Sidecar) => "the workloads that it selects reach only what can be read of its egress",
        _ => "what can be read of it is in force, and unknown hosts are refused unless it plainly says otherwise",
    };
    format!("has errors and was never good: until it is fixed or deleted, {what}")
}

/// None for a policy that would refuse nobody: AUDIT, a dry run, or one for other targets than workloads.
fn authorization(object: &Object) -> Option<Authorization> {
    let refuses_nobody = field(object, "action").and_then(Node::as_str) == Some("AUDIT")
        || ["targetRef", "targetRefs"].into_iter().any(|name| field(object, name).is_some())
        || is_dry_run(&object.meta) == Ok(true);
    (!refuses_nobody).then(|| Authorization {
        name: object.name(),
        selector: labels(object, "selector", "matchLabels").unwrap_or_default(),
        action: Action::Deny,
        dry_run: false,
        rules: vec![Rule::default()],
    })
}

fn peer_authentication(object: &Object) -> PeerAuthentication {
    PeerAuthentication {
        name: object.name(),
        precedence: object.precedence(),
        selector: labels(object, "selector", "matchLabels"),
        mode: Some(MtlsMode::Strict),
        ports: BTreeMap::new(),
    }
}

fn sidecar(object: &Object, context: &ParseContext) -> Sidecar {
    let listeners = match field(object, "egress").map(|node| &node.value) {
        None if has_only(object, &SIDECAR_FIELDS) => Vec::new(),
        // It may stand there under a name with a slip.
        None => vec![nothing()],
        Some(Value::Seq(listeners)) => readable(object, listeners, context),
        Some(_) => vec![nothing()],
    };
    Sidecar {
        name: object.name(),
        workload_selector: labels(object, "workloadSelector", "labels"),
        ingress: Vec::new(),
        egress: listeners,
        outbound_policy: Some(OutboundPolicy::RegistryOnly),
    }
}

const SIDECAR_FIELDS: [&str; 5] =
    ["workloadSelector", "ingress", "egress", "outboundTrafficPolicy", "inboundConnectionPool"];

/// Whether no other fields stand in `spec`.
fn has_only(object: &Object, fields: &[&str]) -> bool {
    let known = |(name, _): &(String, Node)| fields.contains(&name.as_str());
    match object.root.get("spec").map(|spec| &spec.value) {
        Some(Value::Map(entries)) => entries.iter().all(known),
        Some(Value::Null) | None => true,
        Some(_) => false,
    }
}

/// The listeners that can be read each by itself, of the catch-alls the last; [`nothing`] when none can.
fn readable(object: &Object, listeners: &[Node], context: &ParseContext) -> Vec<EgressListener> {
    let alone = |listener: &Node| {
        let list = Node::new(listener.line, Value::Seq(vec![listener.clone()]));
        let spec = Node::new(listener.line, Value::Map(vec![("egress".to_owned(), list)]));
        let root = Node::new(listener.line, Value::Map(vec![("spec".to_owned(), spec)]));
        match crd::parse(&Object { head: object.head.clone(), root }, context).0 {
            Some(Parsed::Sidecar(sidecar)) => sidecar.egress,
            _ => Vec::new(),
        }
    };
    let read: Vec<EgressListener> = listeners.iter().flat_map(alone).collect();
    let (catch_alls, mut of_ports): (Vec<_>, Vec<_>) = read.into_iter().partition(|listener| listener.port.is_none());
    of_ports.sort_by_key(|listener| (listener.port, listener.bind));
    of_ports.dedup_by_key(|listener| (listener.port, listener.bind));
    of_ports.push(catch_alls.into_iter().next_back().unwrap_or_else(nothing));
    of_ports
}

/// A catch-all that selects no host: an empty list of listeners would mean all of them.
fn nothing() -> EgressListener {
    EgressListener { port: None, protocol: Protocol::Auto, name: "".into(), bind: None, hosts: Vec::new() }
}

/// As for a file of settings, whatever is wrong is left at its default; but nothing unknown is let out by that.
fn config(object: &Object, context: &ParseContext) -> MeshConfig {
    let text = object.root.get("data").and_then(|data| data.get("mesh")).and_then(Node::as_str).unwrap_or_default();
    let (mut config, found) = parse_text(text, &context.mesh_config.namespace);
    let mut errors = found.iter().filter(|note| note.severity == Severity::Error);
    let policy = "outboundTrafficPolicy";
    let unsure = |field: &str| field.is_empty() || field.starts_with(policy);
    if text.is_empty() || errors.any(|note| unsure(&note.field)) {
        config.settings.outbound_policy = OutboundPolicy::RegistryOnly;
    }
    config
}

/// A selector of labels. `None`: there is none, or it cannot be read.
fn labels(object: &Object, selector: &str, key: &'static str) -> Option<Labels> {
    selector_of(field(object, selector)?, key)
}

fn field<'a>(object: &'a Object, name: &str) -> Option<&'a Node> {
    let found = object.root.get("spec")?.get(name)?;
    (found.value != Value::Null).then_some(found)
}
