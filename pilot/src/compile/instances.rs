//! Workloads with an identity as their own proxies see them: labels and inbound ports.

use super::{Ground, endpoints::Inbound, services::Registry};
use mesh_config::{
    model::{
        Instance, Precedence, Workload,
        destination::{self, ConnectionPool},
        instance::InboundPort,
    },
    name::Port,
};
use std::collections::BTreeMap;

/// Of a workload that has an identity, and so can have a proxy that proves it.
pub(super) fn of(workload: &Workload, inbound: &[Inbound], ground: &Ground) -> Instance {
    let ports = oldest_of_each(inbound, &ground.registry).into_values();
    let ports = ports.map(|port| inbound_port(port, workload, ground)).collect();
    Instance { workload: workload.clone(), ports }
}

/// A port of several services appears once, for the oldest.
fn oldest_of_each<'a>(inbound: &'a [Inbound], registry: &Registry) -> BTreeMap<Port, &'a Inbound> {
    let age = |port: &Inbound| -> Option<Precedence> { registry.facts(&port.service).map(|f| f.precedence.clone()) };
    let rank = |port: &Inbound| (age(port), port.service.clone(), port.port.number);
    let mut oldest: BTreeMap<Port, &Inbound> = BTreeMap::new();
    for port in inbound {
        match oldest.get(&port.target_port) {
            Some(known) if rank(known) <= rank(port) => {}
            _ => {
                oldest.insert(port.target_port, port);
            }
        }
    }
    oldest
}

fn inbound_port(port: &Inbound, workload: &Workload, ground: &Ground) -> InboundPort {
    let Ground { registry, rules, settings, .. } = ground;
    let namespace = (&*workload.info.namespace).into();
    let client = destination::Client { namespace: &namespace, labels: &workload.labels };
    let covering = rules.covering(&port.service.host).flat_map(|(_, rules)| rules);
    let rule = destination::choose(covering, client, &port.service, &settings.root_namespace);
    let pool = rule.map(|rule| rule.effective(None, port.port.number).connection_pool);
    InboundPort {
        target_port: port.target_port,
        service: port.service.clone(),
        service_name: registry.get(&port.service).map_or_else(|| port.service.host.shared(), |s| s.name.clone()),
        service_port: port.port.number,
        protocol: port.port.protocol,
        connection_pool: pool.filter(|pool| *pool != ConnectionPool::default()),
    }
}
