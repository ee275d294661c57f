//! What a VirtualService says about opaque connections: entries of `tls`, which are told apart by server name, and of
//! `tcp`.

use super::{forms, http_action, matching, names};
use crate::{
    crd::{
        Object, ParseContext,
        reader::{Fields, Item},
    },
    model::route::{Parent, Share, StreamMatch, StreamRule},
    name::Host,
};
use ipnet::IpNet;
use std::net::IpAddr;

/// The VirtualService that rules are of.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) object: &'a Object,
    pub(super) context: &'a ParseContext,
    pub(super) parents: &'a [Parent],
    pub(super) hosts: &'a [Host],
}

/// One entry of `tls`.
pub(super) fn tls(f: &mut Fields<'_>, of: Of<'_>) -> Option<StreamRule> {
    let item = f.required("match")?;
    let before = f.errors();
    let matches = item.list(|entry| entry.object(|f| tls_match(f, of)));
    if matches.is_empty() && f.errors() == before {
        return item.invalid("at least one match with sniHosts is required");
    }
    Some(StreamRule { matches, backends: route(f, of)? })
}

/// One entry of `tcp`.
pub(super) fn tcp(f: &mut Fields<'_>, of: Of<'_>) -> Option<StreamRule> {
    let matches = f.objects("match", |f| {
        forms::TCP_MATCH.read_inert(f);
        Some(conditions(f, of, Vec::new()))
    });
    Some(StreamRule { matches, backends: route(f, of)? })
}

fn tls_match(f: &mut Fields<'_>, of: Of<'_>) -> Option<StreamMatch> {
    let item = f.required("sniHosts")?;
    let before = f.errors();
    let server_names = item.list(|entry| server_name(&entry, of));
    if server_names.is_empty() && f.errors() == before {
        return item.invalid("at least one server name is required");
    }
    Some(conditions(f, of, server_names))
}

/// A name that one of the VirtualService's hosts contains, as written or in full.
fn server_name(item: &Item<'_>, of: Of<'_>) -> Option<Host> {
    let name = names::literal_host(item)?;
    if name.as_str().parse::<IpAddr>().is_ok() {
        item.warn("never-matches", "clients send no address as server name, so this never matches");
    }
    let full = names::service_host(item, of.object, of.context)?;
    // Without hosts that can be read there is nothing to compare with.
    if !of.hosts.is_empty() && !of.hosts.iter().any(|host| host.covers(&name) || host.covers(&full)) {
        return item.invalid(format!("{name} is within none of the VirtualService's hosts"));
    }
    Some(name)
}

fn conditions(f: &mut Fields<'_>, of: Of<'_>, server_names: Vec<Host>) -> StreamMatch {
    StreamMatch {
        server_names,
        subnets: f.list("destinationSubnets", |item| subnet(&item)),
        port: f.port("port"),
        source_labels: names::labels(f, "sourceLabels"),
        source_namespace: names::source_namespace(f),
        parents: matching::match_parents(f, of.object, of.parents),
    }
}

/// An address or a block of them.
pub(super) fn subnet(item: &Item<'_>) -> Option<IpNet> {
    let text = item.non_empty()?;
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    match text.parse::<IpNet>().ok().or_else(address) {
        Some(block) => Some(block.trunc()),
        None => item.invalid(format!("{text:?} is not an address or a block such as 10.0.0.0/8")),
    }
}

fn route(f: &mut Fields<'_>, of: Of<'_>) -> Option<Vec<Share>> {
    let item = f.required("route")?;
    let before = f.errors();
    let shares = item.list(|entry| entry.object(|f| share(f, of)));
    if f.errors() > before {
        return None;
    }
    http_action::weighted(&item, shares, |share| &mut share.weight)
}

fn share(f: &mut Fields<'_>, of: Of<'_>) -> Option<Share> {
    let target = f.required("destination").and_then(|item| http_action::target(&item, of.object, of.context));
    let weight = f.u32("weight").unwrap_or(0);
    Some(Share { target: target?, weight })
}
