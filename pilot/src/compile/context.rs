//! What the passes share: the inputs by kind, the oldest first, and a place for findings.

use super::ingress;
use crate::{
    object::{Conflict, Holds, HoldsOf, ObjectId, Reference},
    world::World,
};
use mesh_config::{
    crd::{Head, Parsed},
    diagnostic::{Diagnostic, ObjectRef, Origin, Severity},
    kind::{Lane, ObjectKind},
    model::{Part, Precedence, Route},
    name::NamespacedName,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// An object and its meaning.
pub(super) struct Input<'a, T> {
    pub(super) object: &'a Arc<Head>,
    pub(super) value: &'a T,
}

impl<T> Clone for Input<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Input<'_, T> {}

/// [`Inputs`]: a list for each kind that has one in the table of objects.
macro_rules! inputs {
    ($(
        $(#[$doc:meta])*
        $kind:ident: $group:literal $word:literal [$($version:literal)*] $plural:literal [$($short:literal)*]
        $scope:ident $lane:ident $shape:ident $([$form:path])? $($reader:path => $model:ty $(as $list:ident $(for $part:ident)?)?)?;
    )*) => {
        /// The inputs of the ground by kind; each list the oldest first.
        #[derive(Default)]
        pub(super) struct Inputs<'a> {
            $($($(pub(super) $list: Vec<Input<'a, $model>>,)?)?)*
        }

        impl<'a> Inputs<'a> {
            /// Objects that proxies get as they were read.
            pub(super) fn as_read(&self) -> Vec<Part> {
                let mut parts = Vec::new();
                $($($($(
                    parts.extend(self.$list.iter().map(|input| Part::$part(Arc::new(input.value.clone()))));
                )?)?)?)*
                parts
            }

            fn add(&mut self, object: &'a Arc<Head>, parsed: &'a Parsed) {
                match parsed {
                    $($($(Parsed::$kind(value) => self.$list.push(Input { object, value }),)?)?)*
                    // The world reads settings itself; nothing is compiled from the others.
                    _ => {}
                }
            }
        }
    };
}

mesh_config::objects!(inputs);

impl<'a> Inputs<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let mut inputs = Inputs::default();
        let kinds = ObjectKind::ALL.into_iter().filter(|kind| kind.lane() == Lane::Rest);
        let mut all: Vec<(&Arc<Head>, &Parsed)> = kinds.flat_map(|kind| world.parsed_of(kind)).collect();
        all.sort_by_cached_key(|(object, _)| (object.precedence(), object.name()));
        all.into_iter().for_each(|(object, parsed)| inputs.add(object, parsed));
        inputs
    }

    pub(super) fn routes(&self) -> Vec<Route> {
        self.virtual_services.iter().map(|input| input.value.clone()).collect()
    }

    pub(super) fn sidecar_ages(&self) -> BTreeMap<NamespacedName, Precedence> {
        self.sidecars.iter().map(|s| (s.value.name.clone(), s.object.precedence())).collect()
    }
}

/// What passes find out about objects.
pub(super) struct Notes {
    found: HoldsOf,
    /// Where the objects stand that findings are about by their name alone.
    origins: HashMap<(ObjectKind, NamespacedName), Origin>,
}

impl Notes {
    pub(super) fn new(inputs: &Inputs<'_>) -> Self {
        let routes = inputs.virtual_services.iter().map(|input| (ObjectKind::VirtualService, input.object));
        let rules = inputs.destination_rules.iter().map(|input| (ObjectKind::DestinationRule, input.object));
        let ingresses = inputs.ingresses.iter().map(|input| (ObjectKind::Ingress, input.object));
        let objects = routes.chain(rules).chain(ingresses);
        let origins = objects.map(|(kind, object)| ((kind, object.name()), object.origin.clone())).collect();
        Notes { found: HoldsOf::new(), origins }
    }

    /// About an object as a whole or one of its fields.
    pub(super) fn warn(&mut self, object: &Head, code: &'static str, field: &str, message: String) {
        let finding = finding(code, object.reference(), object.origin.clone(), field, message);
        self.of(ObjectId::local(object)).findings.push(finding);
    }

    /// About an object that may be gone.
    pub(super) fn warn_of(&mut self, kind: ObjectKind, name: &NamespacedName, code: &'static str, message: String) {
        let namespace = name.namespace.as_str().into();
        let object = ObjectRef { kind: kind.word().into(), namespace, name: name.name.clone() };
        let origin = self.origins.get(&(kind, name.clone())).cloned().unwrap_or_default();
        self.of(ObjectId::new(kind, name.clone())).findings.push(finding(code, object, origin, "", message));
    }

    /// Another object of its kind takes precedence over it.
    pub(super) fn conflict(
        &mut self,
        object: &Head,
        with: NamespacedName,
        code: &'static str,
        field: &str,
        message: String,
    ) {
        self.of(ObjectId::local(object)).conflicts.push(Conflict { with, over: code });
        self.warn(object, code, field, message);
    }

    /// It attaches itself there.
    pub(super) fn attached(&mut self, object: &Head, to: Reference) {
        self.of(ObjectId::local(object)).attached.push(to);
    }

    /// It names this.
    pub(super) fn names(&mut self, kind: ObjectKind, object: &NamespacedName, what: Reference) {
        self.of(ObjectId::new(kind, object.clone())).references.push(what);
    }

    fn of(&mut self, id: ObjectId) -> &mut Holds {
        self.found.entry(id).or_default()
    }

    pub(super) fn finish(self) -> HoldsOf {
        self.found
    }
}

fn finding(code: &'static str, object: ObjectRef, origin: Origin, field: &str, message: String) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, code, object, field: field.to_owned(), message, origin }
}

/// What holds of each object: by itself, and by what the passes found out.
pub(super) fn holds(world: &World, found: &HoldsOf) -> HoldsOf {
    let (mut all, foreign) = (found.clone(), ingress::foreign(world));
    let is_foreign = |id: &ObjectId| id.kind == ObjectKind::Ingress.into() && foreign.contains(&id.name);
    for (id, alone) in world.holds().filter(|(id, _)| !is_foreign(id)) {
        let holds = all.entry(id.clone()).or_default();
        holds.in_force = alone.in_force;
        holds.findings.extend(alone.findings);
    }
    all
}

/// All findings, in the order of files and lines, each once.
pub(super) fn in_order(of_sources: impl Iterator<Item = Diagnostic>, holds: &HoldsOf) -> Vec<Diagnostic> {
    let of_objects = holds.values().flat_map(|holds| &holds.findings).cloned();
    let mut found: Vec<Diagnostic> = of_sources.chain(of_objects).collect();
    found.sort_by(|a, b| (&a.origin, a).cmp(&(&b.origin, b)));
    found.dedup();
    found
}
