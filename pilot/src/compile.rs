//! From the world to the mesh: an ordered list of passes over shared look-ups.
//!
//! Compiling never fails. A bad object removes itself and leaves a diagnostic. There are two lanes: the ground (services,
//! routes, rules, policies), which is made anew as a whole when any of it was touched, and what stands on it, workloads
//! and endpoints, of which there are many: of these what depends on something that was touched (see [`lane`]). What says
//! the same as before stays the very same part (see [`Mesh`]).

mod by_address;
mod claims;
mod conflict;
mod context;
mod destinations;
mod endpoints;
mod gateways;
mod hold;
mod index;
pub(crate) mod ingress;
mod instances;
mod kubernetes;
mod lane;
mod policies;
mod services;
mod settings;
mod slices;
mod workloads;

use crate::{
    mesh::{AboutObjects, ByHost, Changes, MOVING, Mesh, Nodes, Standing},
    object::HoldsOf,
    world::{Touched, World},
};
use context::{Inputs, Notes, holds, in_order};
use endpoints::PeerPolicies;
use lane::Lane;
use mesh_config::{
    diagnostic::Diagnostic,
    kind::{GroupKind, ObjectKind},
    model::{Destination, Kind, Part, Settings},
    name::NamespacedName,
};
use services::Registry;
use std::{collections::BTreeMap, sync::Arc};

/// The mesh that `world` describes. With `previous`, routes and subsets are replaced only when what they need is
/// there (make before break, rules in `compile/hold.rs`).
pub fn compile(world: &World, previous: Option<&Mesh>) -> Mesh {
    Compiler::default().compile(world, &Touched::EVERYTHING, previous)
}

/// Compiles again and again, and only what depends on what was touched.
#[derive(Default)]
pub struct Compiler {
    /// As made last.
    made: Option<(Ground, Lane)>,
    worked: Worked,
}

/// How much a compile has made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worked {
    /// Services, routes, rules and policies, all of them.
    pub ground: bool,
    /// Services whose endpoints it made.
    pub services: usize,
    /// Workloads whose inbound ports it made.
    pub instances: usize,
}

impl Compiler {
    /// The mesh that `world` describes now. `previous` is what this compiler made of it before `touched`.
    pub fn compile(&mut self, world: &World, touched: &Touched, previous: Option<&Mesh>) -> Mesh {
        let made = self.made.take().filter(|_| previous.is_some() && !touched.everything);
        let mut changes = Changes::default();
        let (ground, before, standing, made) = match made {
            Some((ground, lane)) if !touched.is_of_ground() => (ground, None, None, Some(lane)),
            made => {
                let (ground, standing) = ground(world, previous, &mut changes);
                let (before, lane) = made.filter(|(before, _)| before.identifies_like(&ground)).unzip();
                (ground, before, Some(standing), lane)
            }
        };
        let is_first = made.is_none();
        let mut lane = made.unwrap_or_default();
        let objects = if is_first { &lane::all(world) } else { &touched.objects };
        let mut stale = lane.look(world, objects, &ground.settings);
        if standing.is_some() {
            lane.stand_on(&ground, before.as_ref(), objects, &mut stale);
        }
        let (services, instances) = lane.make(world, &ground, stale, &mut changes);
        self.worked = Worked { ground: standing.is_some(), services, instances };

        let of_ground = |kind: &Kind| !MOVING.contains(kind);
        let whole = Kind::ALL.into_iter().filter(|kind| if of_ground(kind) { standing.is_some() } else { is_first });
        if let Some(previous) = previous {
            changes.nothing_else(whole, previous);
        }
        let said = (standing.is_some() || touched.findings).then(|| ground.said(world));
        let with_pods = objects.iter().any(|object| object.kind == GroupKind::Of(ObjectKind::Pod));
        let nodes = (standing.is_some() || with_pods).then(|| ground.nodes(world));
        self.made = Some((ground, lane));
        Mesh::after(previous, changes, standing, nodes).with(said)
    }

    /// What the last compile has made anew.
    pub fn worked(&self) -> Worked {
        self.worked
    }
}

/// What workloads and endpoints stand on.
struct Ground {
    registry: Registry,
    settings: Settings,
    /// In force.
    rules: ByHost<Arc<Destination>>,
    peers: PeerPolicies,
    /// What the passes found out about objects, without what holds of each by itself.
    found: HoldsOf,
    /// About parts that are not in the mesh.
    left_out: Vec<Diagnostic>,
}

/// Makes it, and the parts that are of it.
fn ground(world: &World, previous: Option<&Mesh>, changes: &mut Changes) -> (Ground, Standing) {
    let inputs = Inputs::of(world);
    let mut notes = Notes::new(&inputs);

    // What there is, and how it is reached.
    let registry = services::compile(&inputs, world.context(), &mut notes);
    let settings = settings::compile(world, &registry);
    conflict::report(&inputs, &mut notes);
    let ingresses = ingress::compile(&inputs, world.ingress(), world.context(), &mut notes);
    let gateways: Vec<_> = gateways::stated(&inputs, &ingresses.gateways).collect();
    gateways::attach(&inputs, &gateways, &mut notes);
    let routes = inputs.routes().into_iter().map(hold::WrittenRoute::from).chain(ingresses.routes).collect();
    let written = hold::Written { routes, destinations: destinations::merge(&inputs, &mut notes) };
    let in_force = hold::hold(written, &registry, previous, &mut notes);
    let destinations: Vec<Arc<Destination>> = in_force.destinations.into_iter().map(Arc::new).collect();
    let mut rules = ByHost::default();
    destinations.iter().for_each(|rule| rules.insert(&rule.host, rule.clone()));

    let mut parts: Vec<Part> = Vec::new();
    parts.extend(settings::trust(world));
    parts.extend(index::compile(&registry, &in_force.routes));
    parts.extend(inputs.as_read());
    parts.extend(policies::compile(&inputs, &settings));
    let (gateways, entitled) = gateways::compile(&gateways, &inputs, &mut notes);
    parts.extend(gateways);
    parts.push(Part::Settings(Arc::new(settings.clone())));
    parts.extend(destinations.into_iter().map(Part::Destination));
    parts.extend(in_force.routes.into_iter().map(|r| Part::Route(Arc::new(r))));
    parts.extend(registry.parts());
    let standing = Standing { services: registry.all_facts().clone(), sidecars: inputs.sidecar_ages(), entitled };
    let (found, left_out) = (notes.finish(), changes.put_all(parts));
    (Ground { registry, peers: PeerPolicies::new(&inputs, &settings), settings, rules, found, left_out }, standing)
}

impl Ground {
    /// What is to be said of objects.
    fn said(&self, world: &World) -> AboutObjects {
        let holds = holds(world, &self.found);
        let mut findings = in_order(world.notes(), &holds);
        findings.extend(self.left_out.iter().cloned());
        AboutObjects { findings, holds }
    }

    /// Where workloads are, when a service is for clients of the same node alone.
    fn nodes(&self, world: &World) -> Nodes {
        let matter = self.registry.all_facts().values().any(|facts| facts.node_local);
        if matter { kubernetes::nodes(world) } else { Nodes::default() }
    }

    /// Whether workloads come to the same on both, whatever is said of services and rules.
    fn identifies_like(&self, other: &Ground) -> bool {
        let of = |ground: &Ground| (ground.settings.trust_domain.clone(), ground.settings.root_namespace.clone());
        of(self) == of(other)
    }

    /// Rules that are not the same on both.
    fn rules_that_differ<'a>(&'a self, other: &'a Ground) -> Vec<&'a Destination> {
        let by_name = |ground: &'a Ground| -> BTreeMap<(ObjectKind, &NamespacedName), &'a Destination> {
            let all = ground.rules.iter().flat_map(|(_, rules)| rules);
            all.map(|rule| ((rule.object, &rule.name), &**rule)).collect()
        };
        let (old, new) = (by_name(self), by_name(other));
        let differ = |one: &BTreeMap<_, &'a Destination>, from: &BTreeMap<_, &'a Destination>| {
            let other = one.iter().filter(|(name, rule)| from.get(*name) != Some(rule));
            other.map(|(_, rule)| *rule).collect::<Vec<_>>()
        };
        [differ(&old, &new), differ(&new, &old)].concat()
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests;
