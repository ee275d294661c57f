//! Policies that say more to proxies than was written.

mod trust_domain;

use super::context::Inputs;
use mesh_config::model::{Authorization, Part, Settings};
use std::sync::Arc;

/// AuthorizationPolicies with trust domain aliases expanded.
pub(super) fn compile<'a>(inputs: &'a Inputs<'_>, settings: &'a Settings) -> impl Iterator<Item = Part> {
    inputs.authorization_policies.iter().map(|input| {
        let mut policy = Authorization::clone(input.value);
        trust_domain::expand(&mut policy, settings);
        Part::Authorization(Arc::new(policy))
    })
}
