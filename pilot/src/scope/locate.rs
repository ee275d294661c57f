//! Which workload is this?

use crate::mesh::{Mesh, SharedPart};
use mesh_config::{
    model::{Kind, Workload},
    name::{Namespace, NamespacedName},
};
use std::{net::IpAddr, sync::Arc};

/// The workload that a proxy belongs to, among those of the namespace and service account that it proved. What it
/// claims only picks: name and address, else address, else name. `None` when nothing that it claims fits.
pub fn locate<'a>(
    mesh: &'a Mesh,
    namespace: &Namespace,
    service_account: &str,
    claimed_name: Option<&str>,
    claimed_addresses: &[IpAddr],
) -> Option<&'a Arc<Workload>> {
    let account = NamespacedName::new(namespace.as_str(), service_account);
    let workloads = mesh.workloads().by_account.get(&account)?;
    let rank = |w: &Workload| {
        let named = claimed_name.is_some_and(|name| w.uid.rsplit('/').next() == Some(name));
        let addressed = w.addresses.iter().any(|a| claimed_addresses.contains(a));
        (addressed, named)
    };
    let best = workloads.iter().map(|w| rank(w)).max().filter(|rank| *rank != (false, false))?;
    workloads.iter().find(|w| rank(w) == best)
}

/// The workload at an address. Where several share one, the first by uid.
pub fn workload_at(mesh: &Mesh, address: IpAddr) -> Option<&Arc<SharedPart>> {
    let name = mesh.workloads().by_address.get(&address)?;
    mesh.part(Kind::Workload, name.as_str())
}
