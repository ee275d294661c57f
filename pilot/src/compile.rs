//! From the world to the mesh: an ordered list of passes over shared look-ups.
//!
//! Compiling never fails. A bad object removes itself and leaves a diagnostic; everything is rebuilt each time,
//! and what says the same as before stays the very same part (see [`Mesh`]).

mod conflict;
mod context;
mod destinations;
mod endpoints;
mod gateways;
mod hold;
mod index;
mod instances;
mod kubernetes;
mod policies;
mod services;
mod settings;
mod workloads;

use crate::{
    mesh::{ByHost, Mesh, Nodes, Standing},
    object::HoldsOf,
    world::{Touched, World},
};
use context::{Inputs, Notes, holds, in_order};
use mesh_config::model::{Destination, Part, Settings};
use services::Registry;
use std::sync::Arc;

/// The mesh that `world` describes. With `previous`, routes and subsets are replaced only when what they need is
/// there (make before break, rules in `compile/hold.rs`).
pub fn compile(world: &World, previous: Option<&Mesh>) -> Mesh {
    whole(world, previous).0
}

/// Compiles again and again, and only as much as was touched.
#[derive(Default)]
pub struct Compiler {
    ground: Option<Ground>,
}

impl Compiler {
    /// The mesh that `world` describes now. `previous` is what this compiler made of it before `touched`.
    pub fn compile(&mut self, world: &World, touched: Touched, previous: Option<&Mesh>) -> Mesh {
        match (&self.ground, previous) {
            (Some(ground), Some(previous)) if touched.endpoints_only() => moved(world, ground, previous),
            _ => {
                let (mesh, ground) = whole(world, previous);
                self.ground = Some(ground);
                mesh
            }
        }
    }
}

/// What a whole compile leaves behind for those that only move endpoints.
struct Ground {
    registry: Registry,
    settings: Settings,
    /// In force.
    rules: ByHost<Arc<Destination>>,
    /// What the passes found out about objects, without what holds of each by itself.
    found: HoldsOf,
}

fn whole(world: &World, previous: Option<&Mesh>) -> (Mesh, Ground) {
    let inputs = Inputs::of(world);
    let mut notes = Notes::new(&inputs);

    // What there is, and how it is reached.
    let registry = services::compile(&inputs, world.context(), &mut notes);
    let settings = settings::compile(world, &registry);
    conflict::report(&inputs, &mut notes);
    gateways::attach(&inputs, &mut notes);
    let written = hold::Written { routes: inputs.routes(), destinations: destinations::merge(&inputs, &mut notes) };
    let in_force = hold::hold(written, &registry, previous, &mut notes);
    let destinations: Vec<Arc<Destination>> = in_force.destinations.into_iter().map(Arc::new).collect();
    let mut rules = ByHost::default();
    destinations.iter().for_each(|rule| rules.insert(&rule.host, rule.clone()));

    let mut parts: Vec<Part> = Vec::new();
    parts.extend(settings::trust(world));
    parts.extend(index::compile(&registry, &in_force.routes));
    parts.extend(inputs.as_read());
    parts.extend(policies::compile(&inputs, &settings));
    let (gateways, entitled) = gateways::compile(&inputs, &mut notes);
    parts.extend(gateways);
    parts.push(Part::Settings(Arc::new(settings.clone())));
    parts.extend(destinations.into_iter().map(Part::Destination));
    parts.extend(in_force.routes.into_iter().map(|r| Part::Route(Arc::new(r))));
    parts.extend(registry.parts());
    let standing = Standing { services: registry.all_facts().clone(), sidecars: inputs.sidecar_ages(), entitled };
    let ground = Ground { registry, settings, rules, found: notes.finish() };
    let (moving, nodes) = moving(&inputs, &ground);
    parts.extend(moving);
    let holds = holds(world, &ground.found);
    let mesh = Mesh::assemble(parts, standing, nodes, previous).with(in_order(world.notes(), &holds), holds);
    (mesh, ground)
}

/// The mesh before, with the parts that workloads and their endpoints make as they are now.
fn moved(world: &World, ground: &Ground, previous: &Mesh) -> Mesh {
    let (parts, nodes) = moving(&Inputs::of(world), ground);
    let holds = holds(world, &ground.found);
    Mesh::moved(parts, nodes, previous).with(in_order(world.notes(), &holds), holds)
}

/// Who is behind the services: the parts of the kinds that are [`crate::mesh::MOVING`]. And where they are, when a service
/// is for clients of the same node alone.
fn moving(inputs: &Inputs<'_>, ground: &Ground) -> (Vec<Part>, Nodes) {
    let Ground { registry, settings, rules, .. } = ground;
    let workloads = workloads::compile(inputs, settings);
    let endpoints = endpoints::compile(inputs, registry, &workloads, settings);
    let instances = instances::compile(&workloads, &endpoints, registry, rules, settings);
    let mut parts: Vec<Part> = instances.into_iter().map(|i| Part::Instance(Arc::new(i))).collect();
    parts.extend(workloads.into_parts(endpoints.inline));
    parts.extend(endpoints.list.into_iter().map(|e| Part::Endpoint(Arc::new(e))));
    let nodes_matter = registry.all_facts().values().any(|facts| facts.node_local);
    let nodes = if nodes_matter { kubernetes::nodes(inputs) } else { Nodes::default() };
    (parts, nodes)
}

#[cfg(all(test, feature = "serve"))]
mod tests;
