//! Gateways and the key pairs that they name.

use super::context::{Inputs, Notes};
use mesh_config::{
    crd::kubernetes::Secret,
    model::{Credential, Part, gateway::ServerProtocol},
    name::NamespacedName,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// Gateways, and of the Secrets those that a Gateway names: no other leaves this process.
pub(super) fn compile(inputs: &Inputs<'_>, notes: &mut Notes) -> Vec<Part> {
    let mut named: BTreeSet<&Arc<str>> = BTreeSet::new();
    let mut parts = Vec::new();
    let known: BTreeSet<&Arc<str>> = inputs.secrets.iter().map(|secret| &secret.object.meta.name).collect();
    for input in &inputs.gateways {
        for (i, server) in input.value.servers.iter().enumerate() {
            let ServerProtocol::Https(tls) = &server.protocol else { continue };
            named.insert(&tls.credential_name);
            if !known.contains(&tls.credential_name) {
                let message = format!("there is no Secret {} in any namespace", tls.credential_name);
                let field = format!("spec.servers[{i}].tls.credentialName");
                notes.warn(input.object, "secret-not-found", &field, message);
            }
        }
        parts.push(Part::Gateway(Arc::new(input.value.clone())));
    }
    let by_name: HashMap<&NamespacedName, &Secret> = inputs.secrets.iter().map(|s| (&s.value.name, s.value)).collect();
    let wanted = inputs.secrets.iter().map(|input| input.value).filter(|secret| named.contains(&secret.name.name));
    let credentials = wanted.filter_map(|secret| credential(secret, &by_name));
    parts.extend(credentials.map(|credential| Part::Secret(Arc::new(credential))));
    parts
}

/// The key pair; a CA may be in a Secret of its own, called `NAME-cacert`.
fn credential(secret: &Secret, by_name: &HashMap<&NamespacedName, &Secret>) -> Option<Credential> {
    let mut credential = secret.credential()?;
    if credential.ca_pem.is_empty() {
        let beside = NamespacedName { name: format!("{}-cacert", secret.name.name).into(), ..secret.name.clone() };
        credential.ca_pem = by_name.get(&beside).map(|ca| ca.ca_pem.clone()).unwrap_or_default();
    }
    Some(credential)
}
