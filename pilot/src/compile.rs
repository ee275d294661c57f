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
    mesh::{Mesh, Standing},
    world::World,
};
use context::{Inputs, Notes};
use mesh_config::model::Part;
use std::sync::Arc;

/// The mesh that `world` describes. With `previous`, routes and subsets are replaced only when what they need is
/// there (make before break, rules in `compile/hold.rs`).
pub fn compile(world: &World, previous: Option<&Mesh>) -> Mesh {
    let inputs = Inputs::of(world);
    let mut notes = Notes::new(world.notes(), &inputs);

    // What there is, and who is behind it.
    let registry = services::compile(&inputs, world.context(), &mut notes);
    let settings = settings::compile(world, &registry);
    let workloads = workloads::compile(&inputs, &settings);
    let endpoints = endpoints::compile(&inputs, &registry, &workloads, &settings);

    // How it is reached.
    conflict::report(&inputs, &mut notes);
    let written = hold::Written { routes: inputs.routes(), destinations: destinations::merge(&inputs, &mut notes) };
    let in_force = hold::hold(written, &registry, previous, &mut notes);
    let instances = instances::compile(&workloads, &endpoints, &registry, &in_force.destinations, &settings);

    let mut parts: Vec<Part> = Vec::new();
    parts.extend(settings::trust(world));
    parts.extend(index::compile(&registry, &in_force.routes));
    parts.extend(inputs.as_read());
    parts.extend(policies::compile(&inputs, &settings));
    let entitled = gateways::entitled(&inputs, &mut notes);
    parts.extend(gateways::compile(&inputs, &mut notes));
    parts.push(Part::Settings(Arc::new(settings)));
    parts.extend(instances.into_iter().map(|i| Part::Instance(Arc::new(i))));
    parts.extend(in_force.destinations.into_iter().map(|d| Part::Destination(Arc::new(d))));
    parts.extend(in_force.routes.into_iter().map(|r| Part::Route(Arc::new(r))));
    parts.extend(workloads.into_parts(endpoints.inline));
    parts.extend(endpoints.list.into_iter().map(|e| Part::Endpoint(Arc::new(e))));
    let (services, facts) = registry.into_parts();
    parts.extend(services);
    let standing = Standing { services: facts, sidecars: inputs.sidecar_ages(), entitled };
    Mesh::assemble(parts, standing, notes.finish(), previous)
}
