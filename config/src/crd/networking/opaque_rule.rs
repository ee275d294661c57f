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
use std::{collections::HashSet, net::IpAddr};

/// The VirtualService that rules are of.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) object: &'a Object,
    pub(super) context: &'a ParseContext,
    pub(super) parents: &'a [Parent],
    pub(super) hosts: &'a Hosts,
}

/// The hosts of a VirtualService, to be asked for many names.
#[derive(Default)]
pub(super) struct Hosts(HashSet<String>);

impl Hosts {
    pub(super) fn of(hosts: &[Host]) -> Self {
        Hosts(hosts.iter().map(|host| host.as_str().to_owned()).collect())
    }

    /// Equal, or beneath a wildcard. As [`Host::covers`] of each, without looking at each.
    fn cover(&self, name: &Host) -> bool {
        let name = name.as_str();
        let dots = name.match_indices('.').map(|(at, _)| format!("*{}", &name[at..]));
        self.0.contains(name) || self.0.contains("*") || dots.into_iter().any(|wildcard| self.0.contains(&wildcard))
    }
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
    if !of.hosts.0.is_empty() && !of.hosts.cover(&name) && !of.hosts.cover(&full) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host() -> impl Strategy<Value = Host> {
        "(\\*\\.)?[ab](\\.[ab]){0,3}|\\*".prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn looking_hosts_up_is_asking_each(hosts in prop::collection::vec(host(), 0..6), name in host()) {
            let each = hosts.iter().any(|host| host.covers(&name));
            prop_assert_eq!(Hosts::of(&hosts).cover(&name), each);
        }
    }
}
