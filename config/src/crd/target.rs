//! Which workloads an object is for: by labels, or by the names of what stands before them.

use super::{
    form::{Fact, Form, Holds, forms},
    reader::Fields,
};

forms! {
    /// Labels, under `matchLabels`.
    pub(super) SELECTOR {
        "matchLabels": Holds::Map(&Holds::Text), "Labels that a workload must have, all of them.",
            Fact::MostEntries(4096),
            Fact::Rule("self.all(name, name != '')", "key must not be empty"),
            Fact::Rule("!self.exists(name, name.contains('*'))", "wildcard not allowed in label key match"),
            Fact::Each(&[
                Fact::MostLength(63),
                Fact::Rule("!self.contains('*')", "wildcard not allowed in label value match"),
            ]);
    } => selector;

    /// A Gateway, Service or other object by name.
    pub(super) REFERENCE {
        "group": Holds::Text, "API group of the target.",
            Fact::MostLength(253), Fact::Pattern(r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$");
        "kind": Holds::Filled, "Kind of the target.", Fact::Required,
            Fact::LeastLength(1), Fact::MostLength(63), Fact::Pattern("^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$");
        "name": Holds::Filled, "Name of the target.", Fact::Required, Fact::LeastLength(1), Fact::MostLength(253);
        "namespace": Holds::Text, "Must be left out: the target stands in the object's own namespace.",
            Fact::Rule("self == ''", "cross namespace referencing is not currently supported");
    } => reference;
}

/// Most targets of an object.
pub(super) const MOST_TARGETS: Fact = Fact::MostEntries(16);
/// What [`one_way`] checks, for API servers: of kinds that may have a `targetRef`,
pub(super) const ONE_OF_THREE: Fact = Fact::Rule(
    "[has(self.selector), has(self.targetRef), has(self.targetRefs)].filter(way, way).size() <= 1",
    "only one of targetRefs or selector can be set",
);
/// and of others.
pub(super) const ONE_OF_TWO: Fact =
    Fact::Rule("!(has(self.selector) && has(self.targetRefs))", "only one of targetRefs or selector can be set");

/// What may be named, by group and kind.
const TARGETS: [(&str, &str); 5] = [
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
];

fn selector(f: &mut Fields<'_>) {
    f.selector("matchLabels");
}

fn reference(f: &mut Fields<'_>) {
    let text = |f: &mut Fields<'_>, name| f.opt_string(name).unwrap_or_default();
    let (group, kind) = (text(f, "group"), text(f, "kind"));
    if !TARGETS.contains(&(&*group, &*kind)) {
        f.invalid::<()>(format!(
            "{kind} of group {group:?} is no target; name a Gateway or GatewayClass of gateway.networking.k8s.io, a Service \
             or a ServiceEntry of networking.istio.io"
        ));
    }
    if let Some(item) = f.item("namespace")
        && item.string().is_some_and(|namespace| !namespace.is_empty())
    {
        item.invalid::<()>("must not be set: a target stands in the object's own namespace");
    }
}

/// Whether an object that may have targets is for workloads: one with targets is for gateways and waypoints, which take
/// none yet, and a workload must not take it for its own. `form`: the object's, which says what comes of that.
pub(super) fn is_for_workloads(f: &mut Fields<'_>, form: &'static Form) -> bool {
    let for_targets = form.read_inert_of(f, &["targetRef", "targetRefs"]);
    // Objects were always in force that have several.
    if let Some(message) = several_ways(f) {
        f.refuse(message);
    }
    !for_targets
}

/// At most one of `targetRef`, `targetRefs` and the selector may be there.
pub(super) fn one_way(f: &mut Fields<'_>) {
    if let Some(message) = several_ways(f) {
        f.invalid::<()>(message);
    }
}

fn several_ways(f: &Fields<'_>) -> Option<String> {
    let ways = ["selector", "workloadSelector", "targetRef", "targetRefs"];
    let there: Vec<&str> = ways.into_iter().filter(|way| f.has(way)).collect();
    (there.len() > 1).then(|| format!("only one of {} may be set", there.join(" and ")))
}
