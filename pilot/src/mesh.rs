//! The compiled mesh: immutable, made of shared parts.
//!
//! A [`Mesh`] is never changed: compiling makes the next one, in which every part that says the same as before is
//! the very same [`SharedPart`], with the bytes and the version it already had. So "what changed" is a comparison
//! of pointers, and each part is encoded once, whoever many clients hold it.

mod hosts;
mod lookups;
mod moved;
mod parts;

pub(crate) use self::{
    hosts::ByHost,
    lookups::{Nodes, ServiceFacts, Standing, WorkloadLookups},
};
pub use self::{lookups::Lookups, moved::Moved};

use crate::object::HoldsOf;
use mesh_config::{
    diagnostic::{Diagnostic, ObjectRef, Origin, Severity},
    model::{Kind, Part, PartName},
    wire::{self, Encoded},
};
use parts::{Parts, Said};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, OnceLock},
};

/// One part with its name, and its bytes once somebody asked for them.
pub struct SharedPart {
    name: PartName,
    part: Part,
    encoded: OnceLock<Encoded>,
}

impl SharedPart {
    fn named(name: PartName, part: Part) -> Self {
        SharedPart { name, part, encoded: OnceLock::new() }
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
    said: Arc<AboutObjects>,
    /// See [`Mesh::moved_since`]: since the mesh before, for those who have seen that.
    moved: Option<(MeshVersion, Option<Arc<Moved>>)>,
}

/// What is to be said of the objects that a mesh was made of.
#[derive(Debug, Default)]
pub(crate) struct AboutObjects {
    /// In the order of files and lines.
    pub(crate) findings: Vec<Diagnostic>,
    pub(crate) holds: HoldsOf,
}

/// The kinds whose parts change when workloads come, go and become ready: the endpoints' lane.
pub const MOVING: [Kind; 3] = [Kind::Instance, Kind::Endpoint, Kind::Workload];

/// What parts say in the next mesh.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<Kind, Said>);

impl Changes {
    /// There is this part.
    pub(crate) fn put(&mut self, part: Part) {
        self.0.entry(part.kind()).or_default().insert(part.name(), Some(part));
    }

    /// There is no such part.
    pub(crate) fn remove(&mut self, kind: Kind, name: PartName) {
        self.0.entry(kind).or_default().insert(name, None);
    }

    /// There are these parts. Of two with the same kind and name the first counts, and there is a finding about the
    /// other.
    pub(crate) fn put_all(&mut self, parts: Vec<Part>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for part in parts {
            let (kind, name) = (part.kind(), part.name());
            let said = self.0.entry(kind).or_default();
            match said.contains_key(&name) {
                true => found.push(left_out(kind, &name)),
                false => drop(said.insert(name, Some(part))),
            }
        }
        found
    }

    /// Of these kinds there is nothing else.
    pub(crate) fn nothing_else(&mut self, kinds: impl IntoIterator<Item = Kind>, before: &Mesh) {
        for kind in kinds {
            let said = self.0.entry(kind).or_default();
            for part in before.parts(kind).filter(|part| !said.contains_key(&part.name)).collect::<Vec<_>>() {
                said.insert(part.name.clone(), None);
            }
        }
    }
}

impl Mesh {
    /// The mesh after `before`, with what is said of parts now. What is given as `None` is as it was.
    pub(crate) fn after(
        before: Option<&Mesh>,
        changes: Changes,
        standing: Option<Standing>,
        nodes: Option<Nodes>,
    ) -> Self {
        let nothing = Mesh::default();
        let old = before.unwrap_or(&nothing);
        let mut parts = old.parts.clone();
        for (kind, said) in changes.0 {
            let before = parts.remove(&kind).unwrap_or_default();
            let after = before.after(said).map_or(before, Arc::new);
            if !after.is_empty() {
                parts.insert(kind, after);
            }
        }
        let same = |kind: &Kind| same(parts.get(kind), old.parts.get(kind));
        let stays = Kind::ALL.iter().filter(|kind| !MOVING.contains(kind)).all(same);
        // Visibility is no part of a service's bytes and still changes what proxies see.
        let standing = standing.filter(|standing| *standing != *old.lookups.standing);
        let lookups = match (stays, standing) {
            (true, None) => old.lookups.clone(),
            (_, standing) => {
                let standing = standing.map_or_else(|| old.lookups.standing.clone(), Arc::new);
                let services = same(&Kind::Service).then(|| old.lookups.services.clone());
                Arc::new(Lookups::new(&parts, standing, services))
            }
        };
        let nodes = nodes.filter(|nodes| *nodes != *old.workloads.nodes);
        let workloads = match (same(&Kind::Workload), nodes) {
            (true, None) => old.workloads.clone(),
            (_, nodes) => {
                let nodes = nodes.map_or_else(|| old.workloads.nodes.clone(), Arc::new);
                Arc::new(WorkloadLookups::new(parts.get(&Kind::Workload).map(|parts| &**parts), nodes))
            }
        };
        let differs = before.is_none()
            || !Kind::ALL.iter().all(same)
            || !Arc::ptr_eq(&lookups, &old.lookups)
            || !Arc::ptr_eq(&workloads, &old.workloads);
        let version = if differs { MeshVersion(old.version.0 + 1) } else { old.version };
        let mut mesh = Mesh { version, parts, lookups, workloads, said: old.said.clone(), moved: None };
        mesh.moved = before.map(|before| (before.version, Moved::between(before, &mesh).map(Arc::new)));
        mesh
    }

    /// With what is said of its objects; `None`: what was.
    pub(crate) fn with(mut self, said: Option<AboutObjects>) -> Self {
        if let Some(said) = said {
            self.said = Arc::new(said);
        }
        self
    }

    /// Whether the same is said of objects as in another mesh.
    #[cfg(feature = "serve")]
    pub(crate) fn says_the_same(&self, other: &Mesh) -> bool {
        let (one, other) = (&self.said, &other.said);
        Arc::ptr_eq(one, other) || (one.findings == other.findings && one.holds == other.holds)
    }

    /// What moved since another mesh; `None`: which parts a client sees may be different.
    #[cfg(feature = "serve")]
    pub(crate) fn moved_since(&self, other: &Mesh) -> Option<Arc<Moved>> {
        match &self.moved {
            Some((since, moved)) if *since == other.version => moved.clone(),
            _ => Moved::between(other, self).map(Arc::new),
        }
    }

    /// Whether the two have the very same workloads.
    #[cfg(feature = "serve")]
    pub(crate) fn has_workloads_of(&self, other: &Mesh) -> bool {
        Arc::ptr_eq(&self.workloads, &other.workloads)
    }

    /// Grows with every mesh that differs from the one before.
    pub fn version(&self) -> MeshVersion {
        self.version
    }

    /// What is wrong, or might be, with the objects that it was made of. In the order of files and lines.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.said.findings
    }

    /// What holds of each object that it was made of.
    pub fn holds(&self) -> &HoldsOf {
        &self.said.holds
    }

    /// The parts of one kind.
    pub fn parts(&self, kind: Kind) -> impl Iterator<Item = &Arc<SharedPart>> + Clone {
        self.parts.get(&kind).into_iter().flat_map(|parts| parts.iter())
    }

    /// All parts, in push order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<SharedPart>> {
        self.parts.values().flat_map(|parts| parts.iter())
    }

    /// One part.
    pub fn part(&self, kind: Kind, name: &str) -> Option<&Arc<SharedPart>> {
        self.parts.get(&kind)?.get(name)
    }

    /// The parts of one kind whose names begin with `prefix`.
    pub fn starting_with<'a>(&'a self, kind: Kind, prefix: &'a str) -> impl Iterator<Item = &'a Arc<SharedPart>> {
        self.parts.get(&kind).into_iter().flat_map(move |parts| parts.starting_with(prefix))
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

/// The passes make each name once. Where they fail to, configuration is missing, and somebody must be told.
fn left_out(kind: Kind, name: &PartName) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code: "duplicate-part",
        object: ObjectRef { kind: kind.label().into(), namespace: "".into(), name: name.0.clone() },
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
        let name = |part: &Arc<SharedPart>| part.name.clone();
        let differences = parts::differences(before.map(|parts| &**parts), after.map(|parts| &**parts));
        let upserted: BTreeSet<PartName> = differences.iter().filter_map(|(_, is)| is.map(name)).collect();
        let gone = differences.iter().filter(|(_, is)| is.is_none());
        let removed: BTreeSet<PartName> = gone.filter_map(|(was, _)| was.map(name)).collect();
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
        let mut changes = Changes::default();
        let found = changes.put_all(parts.into());
        let mesh = Mesh::after(None, changes, None, None);
        let names = mesh.all().map(|part| format!("{part:?}")).collect();
        (names, found.iter().map(|d| d.to_string()).collect())
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
