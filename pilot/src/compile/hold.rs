//! Make before break: no change of configuration may send requests to what is not there.
//!
//! Users change a route and the rule with its subsets in two steps, in either order, and files are saved one by
//! one. So routes and subsets are replaced only when what they need is there:
//!
//! 1. A subset that a route in force names stays as it was when its DestinationRule loses it or goes, until no
//!    route names it any more (`subset-held`). Its endpoints stay selected by its old labels.
//! 2. A new version of a route that names a host, port or subset that does not exist waits, while the version
//!    before it has all that it names (`route-held`). It goes into force when the missing part comes.
//! 3. Without such a version before it, a route is in force as written (`missing-destination`): requests to the
//!    missing part are answered 503 (NC), as Istio does.
//!
//! A subset *exists* when any rule that covers the host defines it; which rule a client uses is its own matter.
//! Services are never held: when one is gone, so are its endpoints. A control plane that starts knows no mesh before
//! and compiles everything as written.

mod present;

use super::{context::Notes, services::Registry};
use crate::{mesh::Mesh, object::Reference};
use mesh_config::{
    kind::ObjectKind,
    model::{Destination, Kind, Part, PartName, Route, route::Target},
    name::NamespacedName,
};
use present::Present;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// As the objects say.
pub(super) struct Written {
    pub(super) routes: Vec<WrittenRoute>,
    pub(super) destinations: Vec<Destination>,
}

/// A route, and whose it is.
pub(super) struct WrittenRoute {
    pub(super) route: Route,
    /// The objects that it is made of, all of one kind.
    pub(super) of: Vec<Said>,
}

/// What one object says in a route.
pub(super) struct Said {
    object: NamespacedName,
    /// Where its rules lead.
    pub(super) targets: BTreeSet<Target>,
    /// What its rules lead to and what cannot even be named as a target.
    pub(super) missing: Vec<String>,
}

impl Said {
    pub(super) fn of(object: NamespacedName) -> Self {
        Said { object, targets: BTreeSet::new(), missing: Vec::new() }
    }
}

impl From<Route> for WrittenRoute {
    /// One that is an object's own.
    fn from(route: Route) -> Self {
        let said = Said { targets: route.targets().cloned().collect(), ..Said::of(route.name.clone()) };
        WrittenRoute { route, of: vec![said] }
    }
}

/// As proxies are told.
pub(super) struct InForce {
    pub(super) routes: Vec<Route>,
    pub(super) destinations: Vec<Destination>,
}

/// Applies the rules above.
pub(super) fn hold(written: Written, registry: &Registry, previous: Option<&Mesh>, notes: &mut Notes) -> InForce {
    let present = Present::new(registry, &written.destinations, previous);
    let routes: Vec<Route> =
        written.routes.into_iter().map(|route| in_force(route, &present, previous, notes)).collect();
    let held = held_subsets(&routes, &present);
    drop(present);
    let destinations = with_held(written.destinations, held, notes);
    InForce { routes, destinations }
}

/// The route, or the version before it.
fn in_force(written: WrittenRoute, present: &Present<'_>, previous: Option<&Mesh>, notes: &mut Notes) -> Route {
    let WrittenRoute { route, of } = written;
    let missing: Vec<(NamespacedName, String)> = of
        .into_iter()
        .filter_map(|said| {
            let missing = missing(&said, route.object, present, notes)?;
            Some((said.object, missing))
        })
        .collect();
    if missing.is_empty() {
        return route;
    }
    let before = previous.and_then(|mesh| previous_route(mesh, &route)).filter(|before| ***before != route);
    let before = before.filter(|before| targets(before).into_iter().all(|t| present.missing(t).is_none()));
    let (code, then) = match before {
        Some(_) => ("route-held", "the previous version stays in force until it exists"),
        None => ("missing-destination", "requests routed there get 503"),
    };
    for (object, what) in missing {
        notes.warn_of(route.object, &object, code, format!("{what}; {then}"));
    }
    before.map_or(route, |before| Route::clone(before))
}

/// The first of what an object names and what is not there. Everything that it names is noted.
fn missing(said: &Said, kind: ObjectKind, present: &Present<'_>, notes: &mut Notes) -> Option<String> {
    let mut first = said.missing.first().cloned();
    for target in &said.targets {
        let missing = present.missing(target).map(|missing| missing.to_string());
        notes.names(kind, &said.object, Reference { to: named(target), missing: missing.clone() });
        first = first.or(missing);
    }
    first
}

fn named(target: &Target) -> String {
    let port = target.port.map(|port| format!(", port {port}")).unwrap_or_default();
    let subset = target.subset.as_ref().map(|subset| format!(", subset {subset}")).unwrap_or_default();
    format!("service {}{port}{subset}", target.host)
}

fn previous_route<'a>(mesh: &'a Mesh, written: &Route) -> Option<&'a Arc<Route>> {
    match mesh.part(Kind::Route, PartName::of(written.object, &written.name).as_str())?.part() {
        Part::Route(route) => Some(route),
        _ => None,
    }
}

/// Everything that a route may forward to.
fn targets(route: &Route) -> BTreeSet<&Target> {
    route.targets().collect()
}

/// Subsets of rules of the previous mesh that routes in force name and no rule defines any more: rule, subsets.
type HeldSubsets = Vec<(Arc<Destination>, BTreeSet<Arc<str>>)>;

fn held_subsets(routes: &[Route], present: &Present<'_>) -> HeldSubsets {
    let mut held: BTreeMap<NamespacedName, (Arc<Destination>, BTreeSet<Arc<str>>)> = BTreeMap::new();
    for target in routes.iter().flat_map(targets) {
        for (rule, subset) in present.only_before(target) {
            let entry = held.entry(rule.name.clone()).or_insert_with(|| (rule.clone(), BTreeSet::new()));
            entry.1.insert(subset.clone());
        }
    }
    held.into_values().collect()
}

/// Adds held subsets to their rule, or keeps the rule for them when it is gone.
fn with_held(mut rules: Vec<Destination>, held: HeldSubsets, notes: &mut Notes) -> Vec<Destination> {
    for (old, names) in held {
        let mut subsets = old.subsets.clone();
        subsets.retain(|subset| names.contains(&subset.name));
        let listed = names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
        let message = format!("routes still use subset {listed} of {}; it is kept until none does", old.host);
        notes.warn_of(old.object, &named_as_written(&old.name), "subset-held", message);
        let same_subject = |rule: &&mut Destination| {
            rule.object == old.object
                && rule.name.namespace == old.name.namespace
                && rule.host == old.host
                && rule.workload_selector == old.workload_selector
        };
        match rules.iter_mut().find(same_subject) {
            Some(rule) => rule.subsets.extend(subsets),
            None => {
                let taken = rules.iter().any(|rule| rule.name == named_as_written(&old.name));
                let name = if taken { named_as_held(&old.name) } else { named_as_written(&old.name) };
                rules.push(Destination { name, subsets, ..Destination::clone(&old) });
            }
        }
    }
    rules
}

/// Marks a rule that stays although its object is for another host now.
const HELD: &str = "~held";

fn named_as_held(name: &NamespacedName) -> NamespacedName {
    let name = named_as_written(name);
    NamespacedName { name: format!("{}{HELD}", name.name).into(), ..name }
}

fn named_as_written(name: &NamespacedName) -> NamespacedName {
    match name.name.strip_suffix(HELD) {
        Some(text) => NamespacedName { name: text.into(), namespace: name.namespace.clone() },
        None => name.clone(),
    }
}
