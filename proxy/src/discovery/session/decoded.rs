//! A response, decoded: what can be read of it, and why the rest cannot be.

use super::Held;
use bytes::Bytes;
use mesh_config::{
    model::{Kind, Part, PartName, Workload},
    wire::{
        Refusal, decode,
        proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource},
        reason_of,
    },
};
use std::{net::IpAddr, sync::Arc};

/// See the module.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) kind: Kind,
    pub(super) nonce: String,
    pub(super) upserts: Vec<(PartName, Held)>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) removed: Vec<PartName>,
    pub(super) parts: Vec<Part>,
    pub(super) workloads: Vec<(IpAddr, Option<Arc<Workload>>)>,
}

impl Decoded {
    pub(super) fn of(kind: Kind, response: DeltaDiscoveryResponse, keep: bool) -> Self {
        let mut decoded = Decoded {
            kind,
            nonce: response.nonce,
            upserts: Vec::with_capacity(response.resources.len()),
            refusals: Vec::new(),
            removed: response.removed_resources.into_iter().map(|name| PartName(name.into())).collect(),
            parts: Vec::with_capacity(response.resources.len()),
            workloads: Vec::new(),
        };
        for resource in response.resources {
            decoded.take(resource, keep);
        }
        if kind == Kind::Workload {
            let nobody = decoded.removed.iter().filter_map(|name| name.as_str().parse().ok());
            decoded.workloads.extend(nobody.map(|address| (address, None)));
        }
        decoded
    }

    fn take(&mut self, resource: Resource, keep: bool) {
        let Resource { version, resource, name, aliases: _ } = resource;
        let (part, held) = match understood(self.kind, &name, &version, resource, keep) {
            Ok(understood) => understood,
            Err(reason) => return self.refusals.push(Refusal { name, reason: reason_of(&reason) }),
        };
        let name = part.name();
        if let Part::Workload(workload) = &part {
            let had = workload.addresses.iter().map(|address| (*address, Some(workload.clone())));
            self.workloads.extend(had);
        }
        self.upserts.push((name, held));
        self.parts.push(part);
    }
}

fn understood(
    kind: Kind,
    name: &str,
    version: &str,
    resource: Option<mesh_config::wire::Packed>,
    keep: bool,
) -> Result<(Part, Held), String> {
    let packed = resource.ok_or("it is empty")?;
    let version = version.parse().map_err(|e| format!("{e}"))?;
    // A copy: a slice would hold the whole message that it came in.
    let bytes = keep.then(|| Bytes::copy_from_slice(&packed.value));
    let part = decode(&packed.type_url, packed.value).map_err(|e| e.to_string())?;
    if part.kind() != kind || part.name().as_str() != name {
        return Err(format!("it is a {} named {}", part.kind(), part.name()));
    }
    Ok((part, Held { version, bytes }))
}
