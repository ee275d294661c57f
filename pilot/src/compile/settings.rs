//! Settings and trust bundles.

use super::services::Registry;
use crate::world::World;
use mesh_config::model::{Part, Settings, TrustBundle};
use std::sync::Arc;

/// The settings in force. An external authoriser whose service does not exist refuses everything, as one whose
/// definition is wrong.
pub(super) fn compile(world: &World, registry: &Registry) -> Settings {
    let mut settings = world.settings();
    for authorizer in settings.external_authorizers.iter_mut().filter(|a| a.invalid.is_none()) {
        if registry.with_host(&authorizer.service).next().is_none() {
            authorizer.invalid = Some(format!("there is no service {}", authorizer.service).into());
        }
    }
    settings
}

/// One bundle a trust domain.
pub(super) fn trust(world: &World) -> impl Iterator<Item = Part> {
    world.roots().iter().map(|(trust_domain, roots)| {
        Part::Trust(Arc::new(TrustBundle { trust_domain: trust_domain.clone(), roots: roots.clone() }))
    })
}
