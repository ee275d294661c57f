//! Gateways, and the Secrets that they and DestinationRules name.

use super::{
    context::{Input, Inputs, Notes},
    ingress::Derived,
};
use crate::object::Reference;
use mesh_config::{
    crd::{Head, kubernetes::Secret},
    kind::ObjectKind,
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

/// Gateways, and of the Secrets those that a gateway or a DestinationRule names: no other leaves this process, and these
/// go to proxies of entitled accounts alone.
pub(super) fn compile(gateways: &[Stated<'_>], inputs: &Inputs<'_>, notes: &mut Notes) -> (Vec<Part>, Entitled) {
    let mut named = Named::new(inputs);
    let mut parts = Vec::new();
    for stated in gateways {
        for (i, server) in stated.gateway.servers.iter().enumerate() {
            let Some(secret) = server.protocol.secret() else { continue };
            named.add(notes, (stated.gateway.object, stated.object), secret, || stated.field(i));
        }
        parts.push(Part::Gateway(Arc::new(stated.gateway.clone())));
    }
    for input in &inputs.destination_rules {
        for (block, tls) in input.value.tls_blocks() {
            let Some(secret) = tls.secret() else { continue };
            named.add(notes, (ObjectKind::DestinationRule, input.object), secret, || format!("{block}.credentialName"));
        }
    }
    let by_name: HashMap<&NamespacedName, Input<'_, Secret>> =
        inputs.secrets.iter().map(|input| (&input.value.name, *input)).collect();
    let mut entitled = BTreeMap::new();
    for (name, input) in named.found(inputs, &by_name) {
        parts.push(Part::Secret(Arc::new(credential(&name, &by_name))));
        entitled.insert(name, accounts(&input, notes));
    }
    (parts, entitled)
}

/// The names by which objects ask for Secrets, each of the namespace of whichever proxy asks.
struct Named<'a> {
    known: BTreeSet<&'a str>,
    asked: BTreeSet<Arc<str>>,
}

impl<'a> Named<'a> {
    fn new(inputs: &Inputs<'a>) -> Self {
        let names = inputs.secrets.iter().map(|secret| &*secret.object.meta.name);
        let known = names.flat_map(|name| [Some(name), name.strip_suffix(AUTHORITIES)]).flatten().collect();
        Named { known, asked: BTreeSet::new() }
    }

    fn add(
        &mut self,
        notes: &mut Notes,
        (kind, object): (ObjectKind, &Head),
        secret: &Arc<str>,
        field: impl Fn() -> String,
    ) {
        let missing =
            (!self.known.contains(&**secret)).then(|| format!("there is no Secret {secret} in any namespace"));
        let reference = Reference { to: format!("Secret {secret}"), missing: missing.clone() };
        notes.names(kind, &object.name(), reference);
        if let Some(message) = missing {
            notes.warn(object, "secret-not-found", &field(), message);
        }
        self.asked.insert(secret.clone());
    }

    /// The Secrets that are asked for, by the name that asks: the one so called, or where there is none beside it, the one
    /// with authorities alone.
    fn found(
        &self,
        inputs: &Inputs<'a>,
        by_name: &HashMap<&NamespacedName, Input<'a, Secret>>,
    ) -> BTreeMap<NamespacedName, Input<'a, Secret>> {
        let asked = |input: &Input<'a, Secret>| {
            let name = &input.value.name;
            let beside = name.name.strip_suffix(AUTHORITIES);
            let beside = beside.map(|text| NamespacedName { name: text.into(), ..name.clone() });
            let alone = beside.filter(|name| self.asked.contains(&name.name) && !by_name.contains_key(name));
            [self.asked.contains(&name.name).then(|| name.clone()), alone]
                .into_iter()
                .flatten()
                .map(|n| (n, *input))
                .collect::<Vec<_>>()
        };
        inputs.secrets.iter().flat_map(asked).collect()
    }
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
            "an object names it, and no proxy gets it: annotation {ACCOUNTS} must list the service accounts that may"
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

/// Annotation of a Secret: the service accounts whose gateways may have its key, and whose sidecars.
const ACCOUNTS: &str = "ferromesh.io/gateway-accounts";

/// What the name of a Secret ends in that has the authorities for another.
const AUTHORITIES: &str = "-cacert";

/// What there is under a name; authorities may be in a Secret of their own.
fn credential(name: &NamespacedName, by_name: &HashMap<&NamespacedName, Input<'_, Secret>>) -> Credential {
    let mut credential = match by_name.get(name) {
        Some(secret) => secret.value.credential(),
        None => Credential::nothing(name.clone()),
    };
    if credential.ca_pem.is_empty() {
        let beside = NamespacedName { name: format!("{}{AUTHORITIES}", name.name).into(), ..name.clone() };
        credential.ca_pem = by_name.get(&beside).map(|ca| ca.value.ca_pem.clone()).unwrap_or_default();
    }
    credential
}
