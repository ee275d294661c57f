//! How a workload is called that is called by its address and not as an endpoint: on which ports with the mesh's mutual
//! TLS, and which headless services it is called for.
//!
//! Ports whose callers are not captured are called in plain text: nobody would end the TLS there.

use super::{
    Ground,
    endpoints::{Inbound, PeerPolicies},
    services::Registry,
    workloads::Backing,
};
use mesh_config::{
    crd::kubernetes::Pod,
    model::{Part, Protocol, Workload, workload::HeadlessPort},
    name::Port,
};
use std::{collections::BTreeSet, sync::Arc};

/// Ports of the proxy itself, which no rule of capture has.
const OF_PROXY: [u16; 2] = [15090, 15021];
/// The same, where a pod's annotations do not say another.
const STATUS_PORT: u16 = 15020;

/// The ports whose callers a pod's proxy is given: all but these, or these alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Captured {
    all: bool,
    except: BTreeSet<Port>,
}

impl Captured {
    /// As the annotations of an injected pod say.
    pub(super) fn of(pod: &Pod) -> Self {
        let says = |name: &str| pod.meta.annotations.get(name).map(|text| text.trim());
        if says("sidecar.istio.io/interceptionMode") == Some("NONE") {
            return Captured { all: false, except: BTreeSet::new() };
        }
        let without = says("traffic.sidecar.istio.io/excludeInboundPorts");
        let mut without = without.map_or_else(|| Port::new(STATUS_PORT).into_iter().collect(), ports);
        without.extend(OF_PROXY.into_iter().filter_map(Port::new));
        match says("traffic.sidecar.istio.io/includeInboundPorts") {
            None | Some("*") => Captured { all: true, except: without },
            Some(listed) => Captured { all: false, except: ports(listed).difference(&without).copied().collect() },
        }
    }

    fn has(&self, port: Port) -> bool {
        self.all != self.except.contains(&port)
    }
}

fn ports(text: &str) -> BTreeSet<Port> {
    text.split(',').filter_map(|port| port.trim().parse().ok().and_then(Port::new)).collect()
}

/// The part of a workload. `inbound`: the ports by which it is an endpoint.
pub(super) fn part(backing: &Backing, inbound: &[Inbound], ground: &Ground) -> Part {
    let (mutual_tls, mutual_tls_except) = mutual_tls(backing, &ground.peers);
    let headless = headless(inbound, &ground.registry);
    let workload = Workload::clone(&backing.workload);
    Part::Workload(Arc::new(Workload { mutual_tls, mutual_tls_except, headless, ..workload }))
}

/// Whether its proxy takes mutual TLS, and the ports of which the opposite holds. Whose identity is not known is not
/// called so: there would be nothing to verify.
fn mutual_tls(backing: &Backing, peers: &PeerPolicies) -> (bool, Vec<Port>) {
    if !backing.mutual_tls || backing.workload.identity.is_none() {
        return (false, Vec::new());
    }
    let captured = backing.captured.as_deref();
    let on_others = captured.is_none_or(|captured| captured.all) && peers.take_mutual_tls(backing, None);
    let differs = |port: &Port| {
        let here = captured.is_none_or(|captured| captured.has(*port)) && peers.take_mutual_tls(backing, Some(*port));
        here != on_others
    };
    let mut named = peers.named_ports(backing);
    named.extend(captured.into_iter().flat_map(|captured| &captured.except));
    (on_others, named.into_iter().filter(differs).collect())
}

/// Requests name their service; for other connections the address must do. Clients dial the service's number at the pod,
/// whatever the target port is: nothing between them translates it.
fn headless(inbound: &[Inbound], registry: &Registry) -> Vec<HeadlessPort> {
    let by_address = |port: &&Inbound| {
        let is_headless = || registry.get(&port.service).is_some_and(|service| service.headless);
        let carries_bytes = !port.port.protocol.is_http() && port.port.protocol != Protocol::Udp;
        carries_bytes && is_headless()
    };
    let ports = inbound.iter().filter(by_address);
    let ports = ports.map(|port| HeadlessPort { service: port.service.clone(), port: port.port.number });
    ports.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(all(test, feature = "serve"))]
mod tests;
