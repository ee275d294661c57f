//! Precedence between objects that say different things about one subject, in one place: the oldest counts. Who
//! counts for a client is decided in `scope`, by the same rule; here the losers get a finding.

use super::context::{Input, Inputs, Notes};
use mesh_config::{
    crd::Head,
    kind::ObjectKind,
    model::{
        Labels, Route, Visibility,
        route::{Parent, Section},
    },
    name::{Host, Namespace},
};
use std::collections::{BTreeMap, HashMap};

/// Tells every object that an older one takes its place.
pub(super) fn report(inputs: &Inputs<'_>, notes: &mut Notes) {
    hosts_of_the_mesh(inputs, notes);
    let sidecars = inputs.sidecars.iter().map(|s| (s.object, s.value.workload_selector.as_ref()));
    one_of_each(ObjectKind::Sidecar, sidecars, notes);
    let policies = inputs.peer_authentications.iter().map(|p| (p.object, p.value.selector.as_ref()));
    one_of_each(ObjectKind::PeerAuthentication, policies, notes);
}

/// On the mesh (unlike on gateways) VirtualServices with one host are not merged.
fn hosts_of_the_mesh(inputs: &Inputs<'_>, notes: &mut Notes) {
    let mut first: HashMap<&Host, Vec<&Input<'_, Route>>> = HashMap::new();
    for input in inputs.virtual_services.iter().filter(|i| i.value.parents.contains(&Parent::Mesh)) {
        for host in &input.value.hosts {
            let known = first.entry(host).or_default();
            let hides = |older: &Route| share_a_section(older, input.value) && stands_before(older, input.value);
            if let Some(older) = known.iter().find(|older| hides(older.value)) {
                let message = format!(
                    "{} is older, has host {host} on the mesh already, and takes precedence; merge the two, or narrow exportTo",
                    older.value.name
                );
                notes.conflict(input.object, older.value.name.clone(), "shadowed-host", "spec.hosts", message);
            }
            known.push(input);
        }
    }
}

/// Whether both say something about requests, or about the same opaque connections.
fn share_a_section(a: &Route, b: &Route) -> bool {
    Section::ALL.into_iter().any(|section| a.has(section) && b.has(section))
}

/// Whether there is a namespace that sees both and in which the older one counts.
fn stands_before(older: &Route, younger: &Route) -> bool {
    let counts = |client: &Namespace| older.rank(client) < younger.rank(client);
    match (&older.visibility, &younger.visibility) {
        (Visibility::Everywhere, Visibility::Everywhere) => true,
        (Visibility::Everywhere, Visibility::Namespaces(set))
        | (Visibility::Namespaces(set), Visibility::Everywhere) => set.iter().any(counts),
        (Visibility::Namespaces(a), Visibility::Namespaces(b)) => a.intersection(b).any(counts),
    }
}

/// At most one object of a kind per namespace and selector.
fn one_of_each<'a>(
    kind: ObjectKind,
    objects: impl Iterator<Item = (&'a std::sync::Arc<Head>, Option<&'a Labels>)>,
    notes: &mut Notes,
) {
    let mut first: BTreeMap<(Namespace, Option<&Labels>), &Head> = BTreeMap::new();
    for (object, selector) in objects {
        let subject = (object.name().namespace, selector);
        match first.get(&subject) {
            Some(older) => {
                let message =
                    format!("{kind} {} is older, selects the same workloads, and takes precedence", older.name());
                notes.conflict(object, older.name(), "shadowed-object", "", message);
            }
            None => {
                first.insert(subject, object);
            }
        }
    }
}
