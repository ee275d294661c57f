//! Rules of opaque connections in executable form: what a VirtualService says in `tls` and `tcp`, with its destinations
//! resolved.

use super::virtual_host::{Resolved, compile::Place};
use ipnet::IpNet;
use mesh_config::{
    model::{
        Route,
        route::{Parent, Section, StreamMatch, StreamRule},
    },
    name::{Host, NamespacedName},
};
use std::{net::IpAddr, sync::Arc};

/// Where the connections go that a rule takes.
#[derive(Debug, Clone)]
pub struct StreamRoute {
    /// The VirtualService.
    pub object: NamespacedName,
    /// Where to, each with its share; never empty.
    pub backends: Vec<(Resolved, u32)>,
    /// Sum of the shares.
    pub total_weight: u64,
}

/// Connections that a rule takes.
#[derive(Debug, Clone)]
pub struct StreamEntry {
    /// Names in the client's hello; empty: any, and none.
    server_names: Vec<Host>,
    /// Where the client wants to; empty: anywhere.
    subnets: Vec<IpNet>,
    /// The rule.
    to: Arc<StreamRoute>,
}

/// The rules for the opaque connections of one port; never empty.
#[derive(Debug, Clone)]
pub struct StreamTable {
    entries: Vec<StreamEntry>,
}

impl StreamRoute {
    /// Where it leads, as lists show it: names of clusters, with their shares where there are several.
    pub fn destinations(&self) -> String {
        match &self.backends[..] {
            [(only, _)] => only.to_string(),
            several => several.iter().map(|(to, weight)| format!("{to} {weight}")).collect::<Vec<_>>().join(", "),
        }
    }

    fn same(&self, other: &StreamRoute) -> bool {
        let backend = |(a, b): (&(Resolved, u32), &(Resolved, u32))| a.1 == b.1 && a.0.same(&b.0);
        self.object == other.object
            && self.backends.len() == other.backends.len()
            && self.backends.iter().zip(&other.backends).all(backend)
    }

    /// Whether the two lead to the same clusters, or both nowhere.
    pub(super) fn both_same(a: Option<&Arc<Self>>, b: Option<&Arc<Self>>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.same(b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

impl StreamEntry {
    fn same(&self, other: &StreamEntry) -> bool {
        self.server_names == other.server_names && self.subnets == other.subnets && self.to.same(&other.to)
    }

    /// How narrowly it is for an address: the length of the block, and one more than nothing. `None`: it is not.
    fn narrowness(&self, to: Option<IpAddr>) -> Option<u16> {
        let Some(to) = to.filter(|_| !self.subnets.is_empty()) else { return Some(0) };
        self.subnets.iter().filter(|block| block.contains(&to)).map(|block| u16::from(block.prefix_len()) + 1).max()
    }

    /// How well it knows the name.
    fn specificity(&self, name: Option<&Host>) -> Option<impl Ord + use<>> {
        if self.server_names.is_empty() {
            return Some(None);
        }
        let name = name?;
        self.server_names.iter().filter(|known| known.covers(name)).map(Host::specificity).max().map(Some)
    }
}

impl StreamTable {
    /// Of the rules that a VirtualService has for opaque connections, those that hold at a place. `None`: none does.
    pub(super) fn new(route: &Arc<Route>, section: Section, place: &Place<'_>) -> Option<Self> {
        let entries: Vec<_> = entries(route, section, place).collect();
        (!entries.is_empty()).then_some(StreamTable { entries })
    }

    /// The rule for a connection on its way to an address, with this name in its hello. As in Envoy's choice of filter
    /// chains, the narrowest block comes first, and a name that is unknown in it is not looked for in a wider one.
    pub fn find(&self, to: Option<IpAddr>, name: Option<&Host>) -> Option<&Arc<StreamRoute>> {
        let narrowest = self.entries.iter().filter_map(|entry| entry.narrowness(to)).max()?;
        let here = self.entries.iter().filter(|entry| entry.narrowness(to) == Some(narrowest));
        // Of equals the first.
        let ranked = here.rev().filter_map(|entry| Some((entry.specificity(name)?, entry)));
        ranked.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, entry)| &entry.to)
    }

    pub(super) fn same(&self, other: &StreamTable) -> bool {
        self.entries.len() == other.entries.len() && self.entries.iter().zip(&other.entries).all(|(a, b)| a.same(b))
    }
}

/// The entries of each rule that holds at a place, one for each match that can hold here.
fn entries<'a>(
    route: &'a Arc<Route>,
    section: Section,
    place: &'a Place<'_>,
) -> impl Iterator<Item = StreamEntry> + 'a {
    route.streams(section).iter().flat_map(move |rule| {
        let here: Vec<&StreamMatch> = rule.matches.iter().filter(|m| applies(m, place)).collect();
        if here.is_empty() && !rule.matches.is_empty() {
            return Vec::new();
        }
        let to = Arc::new(compiled(route, rule, place));
        let entry = |m: &StreamMatch| StreamEntry {
            server_names: m.server_names.clone(),
            subnets: m.subnets.clone(),
            to: to.clone(),
        };
        let everything = StreamMatch::default();
        if here.is_empty() { vec![entry(&everything)] } else { here.into_iter().map(entry).collect() }
    })
}

/// The rule of a gateway's server for opaque bytes: the first that holds there.
pub(super) fn first(route: &Arc<Route>, place: &Place<'_>) -> Option<Arc<StreamRoute>> {
    entries(route, Section::Tcp, place).next().map(|entry| entry.to)
}

/// The rules of a gateway's server that carries TLS on: names in the client's hello, and where they lead.
pub(super) fn by_name(route: &Arc<Route>, place: &Place<'_>) -> Vec<(Vec<Host>, Arc<StreamRoute>)> {
    entries(route, Section::Tls, place).map(|entry| (entry.server_names, entry.to)).collect()
}

/// Whether the conditions hold that do not depend on a connection. Who the client is, only its own proxy knows.
fn applies(m: &StreamMatch, place: &Place<'_>) -> bool {
    let parent = m.parents.is_empty() || m.parents.contains(place.parent);
    let client = match place.parent {
        Parent::Gateway(_) => true,
        Parent::Mesh => {
            m.source_labels.selects(&place.own.labels)
                && m.source_namespace.as_ref().is_none_or(|ns| *ns == place.own.namespace)
        }
    };
    parent && client && m.port.is_none_or(|port| port == place.port)
}

fn compiled(route: &Route, rule: &StreamRule, place: &Place<'_>) -> StreamRoute {
    let resolved =
        |share: &mesh_config::model::route::Share| ((place.resolve)(&share.target, place.port), share.weight);
    StreamRoute {
        object: route.name.clone(),
        backends: rule.backends.iter().map(resolved).collect(),
        total_weight: rule.backends.iter().map(|share| u64::from(share.weight)).sum(),
    }
}
