//! What the passes share: the inputs by kind, the oldest first, and a place for findings.

use crate::world::World;
use mesh_config::{
    crd::{Object, Parsed, kubernetes, networking},
    diagnostic::{Diagnostic, ObjectRef, Origin, Severity},
    model::{Authorization, Destination, Gateway, PeerAuthentication, Precedence, Route, Sidecar, Telemetry},
    name::NamespacedName,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// An object and its meaning.
pub(super) struct Input<'a, T> {
    pub(super) object: &'a Arc<Object>,
    pub(super) value: &'a T,
}

impl<T> Clone for Input<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Input<'_, T> {}

/// Every input by kind; each list the oldest first.
#[derive(Default)]
pub(super) struct Inputs<'a> {
    pub(super) kube_services: Vec<Input<'a, kubernetes::Service>>,
    pub(super) slices: Vec<Input<'a, kubernetes::EndpointSlice>>,
    pub(super) pods: Vec<Input<'a, kubernetes::Pod>>,
    pub(super) secrets: Vec<Input<'a, kubernetes::Secret>>,
    pub(super) service_entries: Vec<Input<'a, networking::ServiceEntry>>,
    pub(super) workload_entries: Vec<Input<'a, networking::WorkloadEntry>>,
    pub(super) virtual_services: Vec<Input<'a, Route>>,
    pub(super) destination_rules: Vec<Input<'a, Destination>>,
    pub(super) gateways: Vec<Input<'a, Gateway>>,
    pub(super) sidecars: Vec<Input<'a, Sidecar>>,
    pub(super) authorizations: Vec<Input<'a, Authorization>>,
    pub(super) peer_authentications: Vec<Input<'a, PeerAuthentication>>,
    pub(super) telemetries: Vec<Input<'a, Telemetry>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let mut inputs = Inputs::default();
        let mut all: Vec<(&Arc<Object>, &Parsed)> = world.parsed().collect();
        all.sort_by_cached_key(|(object, _)| (object.precedence(), object.name()));
        for (object, parsed) in all {
            match parsed {
                Parsed::Route(value) => inputs.virtual_services.push(Input { object, value }),
                Parsed::Destination(value) => inputs.destination_rules.push(Input { object, value }),
                Parsed::Gateway(value) => inputs.gateways.push(Input { object, value }),
                Parsed::Sidecar(value) => inputs.sidecars.push(Input { object, value }),
                Parsed::ServiceEntry(value) => inputs.service_entries.push(Input { object, value }),
                Parsed::WorkloadEntry(value) => inputs.workload_entries.push(Input { object, value }),
                Parsed::Authorization(value) => inputs.authorizations.push(Input { object, value }),
                Parsed::PeerAuthentication(value) => inputs.peer_authentications.push(Input { object, value }),
                Parsed::Telemetry(value) => inputs.telemetries.push(Input { object, value }),
                Parsed::KubeService(value) => inputs.kube_services.push(Input { object, value }),
                Parsed::EndpointSlice(value) => inputs.slices.push(Input { object, value }),
                Parsed::Pod(value) => inputs.pods.push(Input { object, value }),
                Parsed::Secret(value) => inputs.secrets.push(Input { object, value }),
                // The world reads settings itself; nothing depends on a Namespace object yet.
                Parsed::MeshConfig(_) | Parsed::Namespace(_) => {}
            }
        }
        inputs
    }

    pub(super) fn routes(&self) -> Vec<Route> {
        self.virtual_services.iter().map(|input| input.value.clone()).collect()
    }

    pub(super) fn sidecar_ages(&self) -> BTreeMap<NamespacedName, Precedence> {
        self.sidecars.iter().map(|s| (s.value.name.clone(), s.object.precedence())).collect()
    }
}

/// Findings, gathered by all passes.
pub(super) struct Notes {
    found: Vec<Diagnostic>,
    /// Where the objects stand that findings are about by their name alone.
    origins: HashMap<(Arc<str>, NamespacedName), Origin>,
}

impl Notes {
    pub(super) fn new(first: impl Iterator<Item = Diagnostic>, inputs: &Inputs<'_>) -> Self {
        let routes = inputs.virtual_services.iter().map(|input| input.object);
        let objects = routes.chain(inputs.destination_rules.iter().map(|input| input.object));
        let origins = objects.map(|object| ((object.kind.clone(), object.name()), object.origin.clone())).collect();
        Notes { found: first.collect(), origins }
    }

    /// About an object as a whole or one of its fields.
    pub(super) fn warn(&mut self, object: &Object, code: &'static str, field: &str, message: String) {
        self.add(Severity::Warning, code, object.reference(), object.origin.clone(), field, message);
    }

    /// About an object that may be gone.
    pub(super) fn warn_of(&mut self, kind: &str, name: &NamespacedName, code: &'static str, message: String) {
        let namespace = name.namespace.as_str().into();
        let object = ObjectRef { kind: kind.into(), namespace, name: name.name.clone() };
        let origin = self.origins.get(&(kind.into(), name.clone())).cloned().unwrap_or_default();
        self.add(Severity::Warning, code, object, origin, "", message);
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        object: ObjectRef,
        origin: Origin,
        field: &str,
        message: String,
    ) {
        self.found.push(Diagnostic { severity, code, object, field: field.to_owned(), message, origin });
    }

    /// All of them, in the order of files and lines.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| (&a.origin, a).cmp(&(&b.origin, b)));
        self.found.dedup();
        self.found
    }
}
