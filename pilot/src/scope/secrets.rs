//! Which Secrets a proxy gets: of its own namespace, those that servers of its Gateways name, and those that
//! DestinationRules for it name.

use super::{ProxyFacts, routers};
use crate::mesh::{Mesh, SharedPart};
use mesh_config::{
    kind::Role,
    model::{Kind, destination::Client},
    name::NamespacedName,
};
use std::{collections::BTreeSet, sync::Arc};

/// That a proxy says what it is proves nothing: the registry must know its workload, a Gateway must select that by its
/// labels, a rule be for it, and the proved account must be one that the Secret is for, or that may read it in the
/// cluster anyhow.
pub(super) fn select(mesh: &Mesh, facts: &ProxyFacts, parts: &mut Vec<Arc<SharedPart>>) {
    let account = NamespacedName::new(facts.namespace.as_str(), &facts.service_account);
    let may_have = named(mesh, facts).filter(|secret| facts.lists_secrets || mesh.lookups().may_have(&account, secret));
    let may_have: BTreeSet<NamespacedName> = may_have.collect();
    parts.extend(may_have.iter().filter_map(|name| mesh.part(Kind::Secret, &name.to_string())).cloned());
}

/// Whether objects name Secrets for a proxy, whether it may have them or not.
pub fn names_secrets(mesh: &Mesh, facts: &ProxyFacts) -> bool {
    facts.role == Role::Gateway || named(mesh, facts).next().is_some()
}

/// In the proxy's own namespace, whichever the object's is.
fn named<'a>(mesh: &'a Mesh, facts: &'a ProxyFacts) -> impl Iterator<Item = NamespacedName> {
    let at_gateway = facts.role == Role::Gateway;
    let gateways = at_gateway.then(|| routers::gateways(mesh, facts)).into_iter().flatten();
    let gateways = gateways.filter(|gateway| !gateway.selector.is_empty());
    let servers = gateways.flat_map(|gateway| &gateway.servers).filter_map(|server| server.protocol.secret());
    let client = Client { namespace: &facts.namespace, labels: &facts.labels };
    // Labels of an unknown workload are unknown, not none.
    let rules = mesh.lookups().with_secrets.iter().filter(|_| facts.workload.is_some());
    let rules = rules.filter(move |rule| rule.is_for(client) && rule.gives_secrets(at_gateway));
    let names = servers.chain(rules.flat_map(|rule| rule.secrets()));
    names.map(|secret| NamespacedName::new(facts.namespace.as_str(), secret))
}
