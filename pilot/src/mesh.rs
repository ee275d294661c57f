//! The compiled mesh: immutable, made of shared parts.
//!
//! A [`Mesh`] is never changed: compiling makes the next one, in which every part that says the same as before is
//! the very same [`SharedPart`], with the bytes and the version it already had. So "what changed" is a comparison
//! of pointers, and each part is encoded once, whoever many clients hold it.

mod hosts;
mod lookups;

pub use self::lookups::Lookups;
pub(crate) use self::{
    hosts::ByHost,
    lookups::{Nodes, ServiceFacts, Standing, WorkloadLookups},
};

use crate::object::HoldsOf;
use mesh_config::{
    diagnostic::{Diagnostic, ObjectRef, Origin, Severity},
    model::{Kind, Part, PartName},
    wire::{self, Encoded},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::{Arc, OnceLock},
};

/// One part with its name, and its bytes once somebody asked for them.
pub struct SharedPart {
    name: PartName,
    part: Part,
    encoded: OnceLock<Encoded>,
}

impl SharedPart {
    pub(crate) fn new(part: Part) -> Self {
        SharedPart { name: part.name(), part, encoded: OnceLock::new() }
    }

    pub fn kind(&self) -> Kind {
        self.part.kind()
    }

    /// Its name within its kind.
    pub fn name(&self) -> &PartName {
        &self.name
    }

    /// What it says.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Version and bytes, made at the first call and shared from then on.
    pub fn encoded(&self) -> &Encoded {
        self.encoded.get_or_init(|| wire::encode(&self.part))
    }
}

impl fmt::Debug for SharedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name)
    }
}

/// The parts of one kind, in the order of their names.
pub type Parts = BTreeMap<PartName, Arc<SharedPart>>;

/// Counts the meshes of one process that differ from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MeshVersion(pub u64);

impl fmt::Display for MeshVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything that pilot tells anybody, at one moment.
#[derive(Debug, Default)]
pub struct Mesh {
    version: MeshVersion,
    parts: BTreeMap<Kind, Arc<Parts>>,
    lookups: Arc<Lookups>,
    workloads: Arc<WorkloadLookups>,
    diagnostics: Vec<Diagnostic>,
    holds: HoldsOf,
    /// About parts that are not in it.
    left_out: BTreeMap<Kind, Vec<Diagnostic>>,
}

/// The kinds whose parts change when workloads come, go and become ready: the endpoints' lane.
pub const MOVING: [Kind; 3] = [Kind::Instance, Kind::Endpoint, Kind::Workload];

impl Mesh {
    /// The mesh of `parts`: those that equal a part of `previous` are the previous ones. Of two parts with the
    /// same kind and name the first counts, and there is a finding about the other.
    pub(crate) fn assemble(parts: Vec<Part>, standing: Standing, nodes: Nodes, previous: Option<&Mesh>) -> Self {
        let (parts, left_out) = shared(parts, previous);
        let lookups = Arc::new(Lookups::new(&parts, standing));
        let workloads = Arc::new(WorkloadLookups::new(parts.get(&Kind::Workload).map(|parts| &**parts), nodes));
        let mesh = Mesh { version: MeshVersion(1), parts, lookups, workloads, left_out, ..Mesh::default() };
        mesh.finish(previous)
    }

    /// The mesh in which these are all parts of the kinds that are [`MOVING`], and everything else is as in `previous`.
    pub(crate) fn moved(moving: Vec<Part>, nodes: Nodes, previous: &Mesh) -> Self {
        let (mut parts, mut left_out) = shared(moving, Some(previous));
        let stays = |kind: &Kind| !MOVING.contains(kind);
        parts.extend(previous.parts.iter().filter(|(kind, _)| stays(kind)).map(|(kind, parts)| (*kind, parts.clone())));
        left_out
            .extend(previous.left_out.iter().filter(|(kind, _)| stays(kind)).map(|(kind, list)| (*kind, list.clone())));
        let same_workloads = same(parts.get(&Kind::Workload), previous.parts.get(&Kind::Workload));
        let workloads = match same_workloads && nodes == previous.workloads.nodes {
            true => previous.workloads.clone(),
            false => Arc::new(WorkloadLookups::new(parts.get(&Kind::Workload).map(|parts| &**parts), nodes)),
        };
        let (version, lookups) = (previous.version, previous.lookups.clone());
        Mesh { version, parts, lookups, workloads, left_out, ..Mesh::default() }.finish(Some(previous))
    }

    /// With what holds of its objects, and all findings.
    pub(crate) fn with(mut self, diagnostics: Vec<Diagnostic>, holds: HoldsOf) -> Self {
        (self.diagnostics, self.holds) = (diagnostics, holds);
        self.diagnostics.extend(self.left_out.values().flatten().cloned());
        self
    }

    /// Says whether it differs from the mesh before.
    fn finish(mut self, previous: Option<&Mesh>) -> Self {
        if let Some(old) = previous {
            // Visibility is no part of a service's bytes and still changes what proxies see.
            let same = self.same_parts(old, Kind::ALL)
                && old.lookups.same_standing(&self.lookups)
                && old.workloads.nodes == self.workloads.nodes;
            self.version = if same { old.version } else { MeshVersion(old.version.0 + 1) };
        }
        self
    }

    /// Whether the two differ in parts that are [`MOVING`] at most. `false` where that would have to be searched for.
    #[cfg(feature = "serve")]
    pub(crate) fn differs_in_moving_parts(&self, other: &Mesh) -> bool {
        let staying = Kind::ALL.into_iter().filter(|kind| !MOVING.contains(kind));
        Arc::ptr_eq(&self.lookups, &other.lookups) && self.same_parts(other, staying)
    }

    /// Whether the two have the very same parts of these kinds.
    fn same_parts(&self, other: &Mesh, kinds: impl IntoIterator<Item = Kind>) -> bool {
        kinds.into_iter().all(|kind| same(self.parts.get(&kind), other.parts.get(&kind)))
    }

    /// Grows with every mesh that differs from the one before.
    pub fn version(&self) -> MeshVersion {
        self.version
    }

    /// What is wrong, or might be, with the objects that it was made of. In the order of files and lines.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// What holds of each object that it was made of.
    pub fn holds(&self) -> &HoldsOf {
        &self.holds
    }

    /// The parts of one kind.
    pub fn parts(&self, kind: Kind) -> impl Iterator<Item = &Arc<SharedPart>> + Clone {
        self.parts.get(&kind).into_iter().flat_map(|parts| parts.values())
    }

    /// All parts, in push order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<SharedPart>> {
        self.parts.values().flat_map(|parts| parts.values())
    }

    /// One part.
    pub fn part(&self, kind: Kind, name: &str) -> Option<&Arc<SharedPart>> {
        self.parts.get(&kind)?.get(name)
    }

    /// The parts of one kind whose names begin with `prefix`.
    pub fn starting_with<'a>(&'a self, kind: Kind, prefix: &'a str) -> impl Iterator<Item = &'a Arc<SharedPart>> {
        self.parts
            .get(&kind)
            .into_iter()
            .flat_map(move |parts| parts.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)))
            .take_while(move |(name, _)| name.as_str().starts_with(prefix))
            .map(|(_, part)| part)
    }

    /// Look-ups that choosing needs: by host, by gateway.
    pub fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// Look-ups over workloads.
    pub(crate) fn workloads(&self) -> &WorkloadLookups {
        &self.workloads
    }
}

/// Whether these are the very same parts.
fn same(one: Option<&Arc<Parts>>, other: Option<&Arc<Parts>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Parts by kind, and findings about those whose names are taken. A kind whose parts are all those of `previous` is the
/// very same map.
fn shared(parts: Vec<Part>, previous: Option<&Mesh>) -> (BTreeMap<Kind, Arc<Parts>>, BTreeMap<Kind, Vec<Diagnostic>>) {
    let mut by_kind: BTreeMap<Kind, Parts> = BTreeMap::new();
    let mut out: BTreeMap<Kind, Vec<Diagnostic>> = BTreeMap::new();
    let mut fresh_ones: BTreeSet<Kind> = BTreeSet::new();
    for part in parts {
        let fresh = SharedPart::new(part);
        let kind = fresh.kind();
        let map = by_kind.entry(kind).or_default();
        if map.contains_key(&fresh.name) {
            out.entry(kind).or_default().push(left_out(&fresh));
            continue;
        }
        let before = previous.and_then(|p| p.part(kind, fresh.name.as_str()));
        let shared = match before {
            Some(old) if old.part == fresh.part => old.clone(),
            _ => {
                fresh_ones.insert(kind);
                Arc::new(fresh)
            }
        };
        map.insert(shared.name.clone(), shared);
    }
    let whole = |(kind, parts): (Kind, Parts)| {
        let before = previous.and_then(|p| p.parts.get(&kind));
        match before.filter(|before| before.len() == parts.len() && !fresh_ones.contains(&kind)) {
            Some(before) => (kind, before.clone()),
            None => (kind, Arc::new(parts)),
        }
    };
    (by_kind.into_iter().map(whole).collect(), out)
}

/// The passes make each name once. Where they fail to, configuration is missing, and somebody must be told.
fn left_out(part: &SharedPart) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code: "duplicate-part",
        object: ObjectRef { kind: part.kind().label().into(), namespace: "".into(), name: part.name.0.clone() },
        field: String::new(),
        message: "two objects come to one part of this kind and name; the first of them counts".to_owned(),
        origin: Origin::default(),
    }
}

/// Names of parts that differ between two meshes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangedKeys {
    /// New, or saying something else.
    pub upserted: BTreeMap<Kind, BTreeSet<PartName>>,
    /// Gone.
    pub removed: BTreeMap<Kind, BTreeSet<PartName>>,
}

impl ChangedKeys {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        self.upserted.is_empty() && self.removed.is_empty()
    }
}

/// What differs: a comparison of pointers, since equal parts are shared.
pub fn changed(old: &Mesh, new: &Mesh) -> ChangedKeys {
    let mut keys = ChangedKeys::default();
    for kind in Kind::ALL {
        let (before, after) = (old.parts.get(&kind), new.parts.get(&kind));
        if same(before, after) {
            continue;
        }
        let upserted: BTreeSet<PartName> = after
            .into_iter()
            .flat_map(|parts| parts.iter())
            .filter(|(name, part)| before.and_then(|b| b.get(*name)).is_none_or(|b| !Arc::ptr_eq(b, part)))
            .map(|(name, _)| name.clone())
            .collect();
        let removed: BTreeSet<PartName> = before
            .into_iter()
            .flat_map(|b| b.keys())
            .filter(|name| after.is_none_or(|a| !a.contains_key(*name)))
            .cloned()
            .collect();
        if !upserted.is_empty() {
            keys.upserted.insert(kind, upserted);
        }
        if !removed.is_empty() {
            keys.removed.insert(kind, removed);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_config::{
        kind::ObjectKind,
        model::{Precedence, Route, Visibility, route::Parent},
    };

    fn route(object: ObjectKind) -> Part {
        Part::Route(Arc::new(Route {
            object,
            name: "shop/cart".parse().unwrap(),
            hosts: vec!["cart.shop".parse().unwrap()],
            parents: vec![Parent::Mesh],
            precedence: Precedence::default(),
            visibility: Visibility::Everywhere,
            rules: Vec::new(),
            tls: Vec::new(),
            tcp: Vec::new(),
        }))
    }

    fn assembled(parts: [Part; 2]) -> (Vec<String>, Vec<String>) {
        let mesh =
            Mesh::assemble(parts.into(), Standing::default(), Nodes::default(), None).with(Vec::new(), HoldsOf::new());
        let names = mesh.all().map(|part| format!("{part:?}")).collect();
        (names, mesh.diagnostics().iter().map(|d| d.to_string()).collect())
    }

    #[test]
    fn objects_of_two_kinds_with_one_name_are_two_parts() {
        let (names, found) = assembled([route(ObjectKind::VirtualService), route(ObjectKind::ServiceEntry)]);
        assert_eq!(names, ["Route ServiceEntry/shop/cart", "Route VirtualService/shop/cart"]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_second_part_of_one_name_is_not_left_out_in_silence() {
        let (names, found) = assembled([route(ObjectKind::VirtualService), route(ObjectKind::VirtualService)]);
        assert_eq!(names, ["Route VirtualService/shop/cart"]);
        let want = "Warning [duplicate-part] (Route VirtualService/shop/cart) two objects come to one part of this kind \
                    and name; the first of them counts";
        assert_eq!(found, [want]);
    }
}
