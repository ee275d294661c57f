//! ServiceEntry: names that the platform does not know.

pub(super) mod form;

use super::{
    EntryEndpoint, names,
    workload_entry::{self, form::labels},
};
use crate::{
    crd::{
        Object, ObjectMeta, ParseContext,
        node::Value,
        reader::{Fields, Item},
    },
    model::{
        Labels, Precedence, Protocol, Visibility,
        endpoint::EndpointAddress,
        service::{Resolution, ServicePort},
    },
    name::{Host, NamespacedName, Port},
};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// A ServiceEntry, understood but not yet linked: each of its hosts becomes a service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceEntry {
    /// The object's name.
    pub name: NamespacedName,
    /// The object's metadata.
    pub meta: ObjectMeta,
    /// Which wins where two name one host.
    pub precedence: Precedence,
    /// Never empty; fully qualified or `*.suffix`.
    pub hosts: Vec<Host>,
    /// Virtual addresses.
    pub addresses: Vec<IpNet>,
    /// In order.
    pub ports: Vec<EntryPort>,
    /// MESH_EXTERNAL.
    pub external: bool,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Inline endpoints; empty when `workload_selector` is set.
    pub endpoints: Vec<EntryEndpoint>,
    /// WorkloadEntries and pods of the namespace that are its endpoints.
    pub workload_selector: Option<Labels>,
    /// Which clients see it.
    pub visibility: Visibility,
    /// Names that the servers' certificates may carry.
    pub subject_alt_names: Vec<Arc<str>>,
}

/// A port of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPort {
    /// Number, name, protocol.
    pub port: ServicePort,
    /// Where endpoints listen that do not say otherwise; `None`: the number.
    pub target_port: Option<Port>,
}

/// The whole ServiceEntry.
pub(in crate::crd) fn service_entry(
    object: &Object,
    f: &mut Fields<'_>,
    context: &ParseContext,
) -> Option<ServiceEntry> {
    let hosts = f.required("hosts").and_then(|item| hosts(&item));
    let resolution = resolution(f);
    let addresses = f.item("addresses").map(|item| bounded(&item, item.list(|a| address(&a, resolution)), 256));
    let ports = f.item("ports").map(|item| bounded(&item, ports(&item), 256)).unwrap_or_default();
    let location = f.enum_of("location", &[("MESH_EXTERNAL", true), ("MESH_INTERNAL", false)]);
    let selector = f.item("workloadSelector");
    let workload_selector = selector.as_ref().and_then(|item| item.object(|f| Some(labels(f))));
    if let Some(item) = &selector
        && resolution == Resolution::Passthrough
    {
        item.warn("no-effect", "has no effect with resolution NONE");
    }
    let endpoints = f.item("endpoints").map(|item| {
        if selector.is_some() {
            item.invalid::<()>("endpoints and workloadSelector are mutually exclusive");
        }
        bounded(&item, endpoints(&item, resolution, &ports), 4096)
    });
    let (endpoints, hosts) = (endpoints.unwrap_or_default(), hosts?);
    if is_dns(resolution) && endpoints.is_empty() && hosts.iter().any(Host::is_wildcard) {
        let reason = "a wildcard host cannot be resolved: give endpoints, or another resolution";
        match selector {
            None => return f.invalid(reason),
            Some(_) => f.refuse(reason),
        }
    }
    if resolution != Resolution::Passthrough && hosts.len() > 1 && ports.iter().any(|p| !names_hosts(p.port.protocol)) {
        f.refuse("several hosts need ports of HTTP or TLS: nothing else says which of them is meant");
    }
    Some(ServiceEntry {
        name: object.name(),
        meta: object.meta.clone(),
        precedence: object.precedence(),
        hosts,
        addresses: addresses.unwrap_or_default(),
        ports,
        external: location.unwrap_or(true),
        resolution,
        endpoints,
        workload_selector,
        visibility: names::visibility(f, object, &context.default_service_export_to)?,
        subject_alt_names: f.strings("subjectAltNames"),
    })
}

fn resolution(f: &mut Fields<'_>) -> Resolution {
    let known = [
        ("NONE", Some(Resolution::Passthrough)),
        ("STATIC", Some(Resolution::Static)),
        ("DNS", Some(Resolution::Dns)),
        ("DNS_ROUND_ROBIN", Some(Resolution::DnsRoundRobin)),
        ("DYNAMIC_DNS", None),
    ];
    let addresses = f.item("addresses").is_some_and(|item| item.node().value != Value::Seq(Vec::new()));
    let host = |item: Item<'_>| item.node().as_str().map(|host| host.starts_with('*'));
    let wild = !f.list("hosts", host).contains(&false);
    let read = |item: Item<'_>| {
        item.enum_of(&known)?.or_else(|| {
            if addresses {
                item.refuse("DYNAMIC_DNS is for hosts, and goes without addresses");
            }
            if !wild {
                item.refuse("DYNAMIC_DNS is for hosts with a wildcard; use DNS for others");
            }
            item.not_served("DYNAMIC_DNS")
        })
    };
    f.item("resolution").and_then(read).unwrap_or(Resolution::Passthrough)
}

fn hosts(item: &Item<'_>) -> Option<Vec<Host>> {
    let mut known = BTreeSet::new();
    let mut read = |entry: &Item<'_>| {
        let host = names::literal_host(entry)?;
        if host.as_str().parse::<IpAddr>().is_ok() {
            entry.refuse(format!("{host} is an address; a host is a name, and addresses stand in addresses"));
        }
        if host.as_str() == "*" {
            return entry.invalid("the host * alone is not allowed");
        }
        if !host.as_str().contains(['.', ':']) {
            entry.warn("short-host", format!("{host} is used as written: only this exact name reaches it"));
        }
        if !known.insert(host.clone()) {
            entry.warn("listed-twice", format!("{host} is listed twice"));
            return None;
        }
        Some(host)
    };
    let before = item.errors();
    let hosts = item.list(|entry| entry.apart(&mut read));
    match hosts.is_empty() {
        true if item.errors() == before => item.invalid("at least one host is required"),
        // Each of them is said already.
        true => None,
        false => Some(bounded(item, hosts, 256)),
    }
}

fn address(item: &Item<'_>, resolution: Resolution) -> Option<IpNet> {
    let text = item.non_empty()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.into());
    }
    let Ok(block) = text.parse::<IpNet>() else {
        return item.invalid(format!("{text:?} is not an address or a block such as 10.1.0.0/16"));
    };
    if is_dns(resolution) && block.prefix_len() != block.max_prefix_len() {
        return item.invalid("a block of addresses needs resolution NONE or STATIC");
    }
    Some(block.trunc())
}

fn ports(item: &Item<'_>) -> Vec<EntryPort> {
    let (mut numbers, mut named) = (BTreeSet::new(), BTreeSet::new());
    item.list(|entry| {
        let port = entry.object(port)?;
        if !numbers.insert(port.port.number) {
            return entry.invalid(format!("port {} is listed twice", port.port.number));
        }
        if !port.port.name.is_empty() && !named.insert(port.port.name.clone()) {
            return entry.invalid(format!("port name {} is listed twice", port.port.name));
        }
        Some(port)
    })
}

fn port(f: &mut Fields<'_>) -> Option<EntryPort> {
    let number = f.required("number").and_then(|item| item.port());
    let item = f.item("name");
    let name = names::port_name(item, || f.refuse("name is required: what the port is called"));
    let protocol = f.item("protocol").map_or(Some(Protocol::Auto), |item| names::protocol(&item));
    // 0 is what a missing target port looks like on the wire.
    let target_port = f.item("targetPort").filter(|item| item.i64() != Some(0)).and_then(|item| item.port());
    Some(EntryPort { port: ServicePort { number: number?, name, protocol: protocol? }, target_port })
}

fn endpoints(item: &Item<'_>, resolution: Resolution, ports: &[EntryPort]) -> Vec<EntryEndpoint> {
    let endpoints = item.list(|entry| {
        let endpoint = entry.object(workload_entry::endpoint)?;
        if let Some(unknown) = endpoint.ports.keys().find(|name| !ports.iter().any(|p| p.port.name == **name)) {
            return entry.invalid(format!("ports names {unknown}, which is not a port of the ServiceEntry"));
        }
        match (&endpoint.address, resolution) {
            (None, _) if is_dns(resolution) => entry.refuse("resolution DNS needs an address"),
            (Some(EndpointAddress::Unix(_)), Resolution::Static) if ports.len() != 1 => {
                entry.refuse("a unix socket serves one port: the ServiceEntry must have exactly one");
            }
            _ => {}
        }
        match (&endpoint.address, resolution) {
            (Some(EndpointAddress::Name(name)), Resolution::Static) => {
                entry.invalid(format!("{name} is a name; resolution STATIC needs addresses"))
            }
            (Some(EndpointAddress::Unix(_)), _) if is_dns(resolution) => {
                entry.invalid("a unix socket needs resolution STATIC")
            }
            _ => Some(endpoint),
        }
    });
    if resolution == Resolution::Passthrough && !endpoints.is_empty() {
        item.invalid::<()>("resolution NONE forwards to the original destination: it cannot have endpoints");
    }
    if resolution == Resolution::DnsRoundRobin && endpoints.len() > 1 {
        item.invalid::<()>("resolution DNS_ROUND_ROBIN allows at most one endpoint");
    }
    endpoints
}

fn bounded<T>(item: &Item<'_>, list: Vec<T>, most: usize) -> Vec<T> {
    if list.len() > most {
        item.invalid::<()>(format!("has {} entries; at most {most} are allowed", list.len()));
    }
    list
}

/// Whether what is carried says for which host it is.
fn names_hosts(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb | Protocol::Https | Protocol::Tls => true,
        Protocol::Tcp | Protocol::Udp | Protocol::Auto => false,
    }
}

/// Names are resolved.
fn is_dns(resolution: Resolution) -> bool {
    matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin)
}
