//! What routing looks up in the index: the entries of hosts that somebody names, and the services that opaque listeners
//! of the `Sidecar` lead to. With thousands of services most entries come and go without being among these.

use super::{Sources, listeners};
use mesh_config::{
    model::{
        IndexEntry, Protocol, ServiceKey, index::IndexKind, route::Target, service::ServicePort,
        settings::OutboundPolicy, sidecar::EgressListener,
    },
    name::{Host, Port},
};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

/// The entries that matter here.
#[derive(Debug, Default, PartialEq)]
pub(in crate::snapshot) struct Named {
    hosts: BTreeMap<Host, Vec<Arc<IndexEntry>>>,
    singles: HashMap<SocketAddr, (ServiceKey, ServicePort)>,
}

impl Named {
    pub(super) fn new(sources: &Sources<'_>) -> Self {
        let mut named = Named::default();
        for route in sources.parts.routes.values() {
            route.hosts.iter().for_each(|host| named.add(sources, host));
            route.targets().for_each(|target| named.add(sources, &target.host));
        }
        if let Some(target) = egress_proxy(outbound_policy(sources)) {
            named.add(sources, &target.host);
        }
        for listener in sources.sidecar.map_or(&[][..], |s| &s.egress) {
            let Some((address, port)) = listeners::egress_address(listener) else { continue };
            if !named.singles.contains_key(&address) {
                named.singles.extend(single(sources, listener, port).map(|found| (address, found)));
            }
        }
        named
    }

    fn add(&mut self, sources: &Sources<'_>, host: &Host) {
        if !self.hosts.contains_key(host) {
            let entries = sources.parts.index.by_host(host.as_str());
            if !entries.is_empty() {
                self.hosts.insert(host.clone(), entries.to_vec());
            }
        }
    }

    /// The entries of a host, the client's own namespace first.
    pub(in crate::snapshot) fn by_host(&self, host: &Host) -> &[Arc<IndexEntry>] {
        self.hosts.get(host).map_or(&[], Vec::as_slice)
    }

    /// The service that opaque connections to a listener of the `Sidecar` are for.
    pub(super) fn single(&self, listener: SocketAddr) -> Option<&(ServiceKey, ServicePort)> {
        self.singles.get(&listener)
    }
}

/// The `Sidecar`'s, else the mesh's.
pub(super) fn outbound_policy<'a>(sources: &Sources<'a>) -> &'a OutboundPolicy {
    sources.sidecar.and_then(|s| s.outbound_policy.as_ref()).unwrap_or(&sources.settings.outbound_policy)
}

/// Where what is unknown goes, if somewhere.
pub(super) fn egress_proxy(policy: &OutboundPolicy) -> Option<&Target> {
    match policy {
        OutboundPolicy::EgressProxy(target) => Some(target),
        OutboundPolicy::AllowAny | OutboundPolicy::RegistryOnly => None,
    }
}

/// The one service that opaque connections to a listener are for: one that does not declare the port as HTTP, if there
/// is any; the own namespace's first.
fn single(sources: &Sources<'_>, listener: &EgressListener, port: Port) -> Option<(ServiceKey, ServicePort)> {
    if listener.protocol.is_http() {
        return None;
    }
    let (index, own) = (&sources.parts.index, &sources.own.namespace);
    let first = |entries: &mut dyn Iterator<Item = &Arc<IndexEntry>>| {
        entries
            .filter(|e| e.kind == IndexKind::Service && listener.selects(&e.key))
            .filter_map(|e| Some((&e.key, e.ports.iter().find(|p| p.number == port && p.protocol != Protocol::Udp)?)))
            .min_by_key(|(key, _)| (key.namespace != *own, *key))
            .map(|(key, port)| (key.clone(), port.clone()))
    };
    first(&mut index.port(port).into_iter().flat_map(|used| &used.others)).or_else(|| first(&mut index.iter()))
}
