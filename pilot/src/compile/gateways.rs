//! Gateways and the key pairs that they name.

use super::{
    context::{Input, Inputs, Notes},
    ingress::Derived,
};
use crate::object::Reference;
use mesh_config::{
    crd::{Head, kubernetes::Secret},
    model::{Credential, Gateway, Part, route::Parent},
    name::NamespacedName,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Which accounts are entitled to which Secret.
type Entitled = BTreeMap<NamespacedName, BTreeSet<NamespacedName>>;

/// A gateway, whichever kind of object says it.
pub(super) struct Stated<'a> {
    object: &'a Arc<Head>,
    gateway: &'a Gateway,
    /// Where its servers name their Secrets, where that is not as in a Gateway.
    fields: &'a [String],
}

impl Stated<'_> {
    fn field(&self, server: usize) -> String {
        self.fields.get(server).cloned().unwrap_or_else(|| format!("spec.servers[{server}].tls.credentialName"))
    }
}

/// Gateways that users write, then those that are made of Ingresses.
pub(super) fn stated<'a>(inputs: &'a Inputs<'_>, ingresses: &'a [Derived<'_>]) -> impl Iterator<Item = Stated<'a>> {
    let written = inputs.gateways.iter().map(|i| Stated { object: i.object, gateway: i.value, fields: &[] });
    let derived = |i: &'a Derived<'_>| Stated { object: i.object, gateway: &i.gateway, fields: &i.fields };
    written.chain(ingresses.iter().map(derived))
}

/// Gateways, and of the Secrets those that a Gateway names: no other leaves this process, and these go to gateways of
/// entitled accounts alone.
pub(super) fn compile(gateways: &[Stated<'_>], inputs: &Inputs<'_>, notes: &mut Notes) -> (Vec<Part>, Entitled) {
    let mut named: BTreeSet<&Arc<str>> = BTreeSet::new();
    let mut parts = Vec::new();
    let known: BTreeSet<&Arc<str>> = inputs.secrets.iter().map(|secret| &secret.object.meta.name).collect();
    for stated in gateways {
        for (i, server) in stated.gateway.servers.iter().enumerate() {
            let Some(secret) = server.protocol.secret() else { continue };
            named.insert(secret);
            let missing = (!known.contains(secret)).then(|| format!("there is no Secret {secret} in any namespace"));
            let reference = Reference { to: format!("Secret {secret}"), missing: missing.clone() };
            notes.names(stated.gateway.object, &stated.object.name(), reference);
            if let Some(message) = missing {
                notes.warn(stated.object, "secret-not-found", &stated.field(i), message);
            }
        }
        parts.push(Part::Gateway(Arc::new(stated.gateway.clone())));
    }
    let by_name: HashMap<&NamespacedName, &Secret> = inputs.secrets.iter().map(|s| (&s.value.name, s.value)).collect();
    let mut entitled = BTreeMap::new();
    for input in inputs.secrets.iter().filter(|input| named.contains(&input.value.name.name)) {
        let Some(credential) = credential(input.value, &by_name) else { continue };
        parts.push(Part::Secret(Arc::new(credential)));
        entitled.insert(input.value.name.clone(), accounts(input, notes));
    }
    (parts, entitled)
}

/// Which service accounts' gateways may have the key of a Secret: those that it names, in the annotation [`ACCOUNTS`],
/// separated by commas; a name alone is one of the Secret's own namespace. Beside them there are those whom a cluster
/// lets read the Secret; objects in files know none, so a Secret without the annotation stays here.
fn accounts(input: &Input<'_, Secret>, notes: &mut Notes) -> BTreeSet<NamespacedName> {
    let meta = &input.object.meta;
    let list = meta.annotations.get(ACCOUNTS).map(|text| &**text).unwrap_or_default();
    let listed = list.split(',').map(str::trim).filter(|account| !account.is_empty());
    let accounts: BTreeSet<NamespacedName> = listed
        .map(|account| account.split_once('/').unwrap_or((&*meta.namespace, account)))
        .map(|(namespace, account)| NamespacedName::new(namespace, account))
        .collect();
    let is_in_file = !input.object.origin.file.is_empty();
    if accounts.is_empty() && is_in_file {
        let message = format!(
            "a Gateway names it, and no gateway gets it: annotation {ACCOUNTS} must list the service accounts that may"
        );
        notes.warn(input.object, "secret-for-nobody", "metadata.annotations", message);
    }
    accounts
}

/// Where VirtualServices attach themselves.
pub(super) fn attach(inputs: &Inputs<'_>, gateways: &[Stated<'_>], notes: &mut Notes) {
    let known: BTreeSet<&NamespacedName> = gateways.iter().map(|stated| &stated.gateway.name).collect();
    for input in &inputs.virtual_services {
        for parent in &input.value.parents {
            notes.attached(
                input.object,
                match parent {
                    Parent::Mesh => Reference { to: "the mesh".to_owned(), missing: None },
                    Parent::Gateway(name) => {
                        let missing = (!known.contains(name)).then(|| format!("there is no Gateway {name}"));
                        Reference { to: format!("Gateway {name}"), missing }
                    }
                },
            );
        }
    }
}

/// Annotation of a Secret: the service accounts whose gateways may have its key.
const ACCOUNTS: &str = "ferromesh.io/gateway-accounts";

/// The key pair; a CA may be in a Secret of its own, called `NAME-cacert`.
fn credential(secret: &Secret, by_name: &HashMap<&NamespacedName, &Secret>) -> Option<Credential> {
    let mut credential = secret.credential()?;
    if credential.ca_pem.is_empty() {
        let beside = NamespacedName { name: format!("{}-cacert", secret.name.name).into(), ..secret.name.clone() };
        credential.ca_pem = by_name.get(&beside).map(|ca| ca.ca_pem.clone()).unwrap_or_default();
    }
    Some(credential)
}
