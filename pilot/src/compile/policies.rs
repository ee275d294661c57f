//! Policies and Sidecars, as proxies get them.

mod trust_domain;

use super::context::Inputs;
use mesh_config::model::{Authorization, Part, Settings};
use std::sync::Arc;

/// AuthorizationPolicies (trust domain aliases expanded), PeerAuthentications, Sidecars, Telemetries.
pub(super) fn compile<'a>(inputs: &'a Inputs<'_>, settings: &'a Settings) -> impl Iterator<Item = Part> {
    let authorizations = inputs.authorization_policies.iter().map(|input| {
        let mut policy = Authorization::clone(input.value);
        trust_domain::expand(&mut policy, settings);
        Part::Authorization(Arc::new(policy))
    });
    let peers = inputs.peer_authentications.iter().map(|p| Part::PeerAuthentication(Arc::new(p.value.clone())));
    let sidecars = inputs.sidecars.iter().map(|s| Part::Sidecar(Arc::new(s.value.clone())));
    let telemetries = inputs.telemetries.iter().map(|t| Part::Telemetry(Arc::new(t.value.clone())));
    authorizations.chain(peers).chain(sidecars).chain(telemetries)
}
