//! WorkloadEntry: a workload that is no pod; also the inline endpoints of a ServiceEntry.

pub(super) mod form;

use super::names;
use crate::{
    crd::{
        Object, ParseContext,
        form::Holds,
        reader::{Fields, Item},
    },
    model::{Labels, endpoint::EndpointAddress, workload::Locality},
    name::{NamespacedName, Port},
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// A WorkloadEntry.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadEntry {
    /// The object's name.
    pub name: NamespacedName,
    /// What it describes; the labels of the metadata are laid over its own.
    pub endpoint: EntryEndpoint,
}

/// Where a workload listens and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryEndpoint {
    /// Where it listens; `None` when only its network is known.
    pub address: Option<EndpointAddress>,
    /// By the name of the service's port; others listen on the service's target port.
    pub ports: BTreeMap<Arc<str>, Port>,
    /// Its labels.
    pub labels: Labels,
    /// Empty in a flat network.
    pub network: Arc<str>,
    /// Where it runs.
    pub locality: Locality,
    /// Relative weight, at least 1.
    pub weight: u32,
    /// Empty when not given.
    pub service_account: Arc<str>,
}

/// The whole WorkloadEntry.
pub(in crate::crd) fn workload_entry(
    object: &Object,
    f: &mut Fields<'_>,
    _context: &ParseContext,
) -> Option<WorkloadEntry> {
    let mut endpoint = endpoint(f)?;
    endpoint.labels.extend(object.meta.labels.0.iter().map(|(k, v)| (k.clone(), v.clone())));
    Some(WorkloadEntry { name: object.name(), endpoint })
}

/// A WorkloadEntry's fields, also where it appears inside a ServiceEntry.
pub(super) fn endpoint(f: &mut Fields<'_>) -> Option<EntryEndpoint> {
    let has_address = f.item("address").filter(names::is_filled);
    let address = has_address.as_ref().and_then(address);
    let network = f.opt_string("network").unwrap_or_default();
    if has_address.is_none() && network.is_empty() {
        return f.one_is_required(&["address", "network"], "one of address and network is required");
    }
    let ports = ports(f);
    if matches!(address, Some(EndpointAddress::Unix(_))) && !ports.is_empty() {
        return f.invalid("a unix socket has no ports");
    }
    let labels = f.labels("labels");
    if let Some(item) = f.item("labels") {
        item.leniently(|item| Holds::Labels.check(item));
    }
    let locality = f.item("locality").and_then(|item| locality(&item)).unwrap_or_default();
    // 0 is what a missing weight looks like on the wire.
    let weight = f.u32("weight").unwrap_or(0).max(1);
    let service_account = f.opt_string("serviceAccount").unwrap_or_default();
    if has_address.is_some() && address.is_none() {
        return None;
    }
    Some(EntryEndpoint { address, ports, labels, network, locality, weight, service_account })
}

fn address(item: &Item<'_>) -> Option<EndpointAddress> {
    let text = item.non_empty()?;
    if let Some(path) = text.strip_prefix("unix://") {
        return match names::is_socket_path(path) {
            true => Some(EndpointAddress::Unix(path.into())),
            false => item.invalid(names::SOCKET_FORM),
        };
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(EndpointAddress::Ip(ip));
    }
    match names::literal_host(item)? {
        host if host.is_wildcard() => item.invalid("an address must not be a wildcard"),
        host => Some(EndpointAddress::Name(host.shared())),
    }
}

fn ports(f: &mut Fields<'_>) -> BTreeMap<Arc<str>, Port> {
    let Some(item) = f.item("ports") else { return BTreeMap::new() };
    let ports: BTreeMap<_, _> = item.map(port).into_iter().collect();
    if ports.len() > 128 {
        item.invalid::<()>("at most 128 ports");
    }
    ports
}

fn port(name: &str, item: Item<'_>) -> Option<(Arc<str>, Port)> {
    names::check_port_name(&item, name);
    Some((name.into(), item.port()?))
}

/// `region/zone/subzone`, fewer parts allowed.
fn locality(item: &Item<'_>) -> Option<Locality> {
    let text = item.string()?;
    let mut parts = text.splitn(3, '/').map(Arc::<str>::from);
    let mut part = || parts.next().unwrap_or_default();
    Some(Locality { region: part(), zone: part(), subzone: part() })
}
