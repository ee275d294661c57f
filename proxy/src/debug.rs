//! What an operator may ask a running proxy: its configuration as it is in force, in the columns that people know.
//!
//! The shape is described in `docs/reference/proxy-config.md`. Keys and tokens are never in it.

mod text;

use crate::{
    listeners::{BoundSet, Purpose},
    snapshot::{
        Snapshot,
        cluster::{Cluster, ClusterKey},
        listener::ListenerKind,
        outbound::{Destination, GatewayPort, shown},
        virtual_host::{Action, Resolved, VirtualHost, table::HostTable},
    },
};
use mesh_config::model::{
    Endpoint,
    endpoint::{EndpointAddress, Health},
    service::Resolution,
};
use mesh_runtime::{clock, tls::material::Identity};
use serde_json::{Value, json};
use std::sync::Arc;
use text::{conditions, rfc3339};

/// Everything that is in force.
pub fn config_dump(node: &str, snapshot: &Snapshot, bound: &BoundSet, identity: &Identity) -> Value {
    json!({
        "version": snapshot.version,
        "node": node,
        "own": {
            "namespace": snapshot.facts.namespace.as_str(),
            "workload": snapshot.info().workload,
            "uid": snapshot.local().map(|local| local.own.workload.uid.clone()),
            "labels": snapshot.local().map(|local| local.own.labels.0.clone()),
        },
        "listeners": listeners(snapshot, bound),
        "routes": routes(snapshot),
        "clusters": clusters(snapshot).map(|c| cluster(snapshot, c)).collect::<Vec<_>>(),
        "endpoints": endpoints(snapshot),
        "secrets": secrets(snapshot, identity),
        "index": snapshot.index.len(),
    })
}

fn listeners(snapshot: &Snapshot, bound: &BoundSet) -> Vec<Value> {
    let rows = bound.values().flat_map(|b| {
        let row = |matched: String, destination: String| {
            json!({
                "name": b.name,
                "address": b.address.ip().to_string(),
                "port": b.address.port(),
                "kind": kind(&b.purpose),
                "match": matched,
                "destination": destination,
            })
        };
        match &b.purpose {
            Purpose::OutboundCaptured => vec![row("ALL".into(), unknown_destination(snapshot))],
            Purpose::InboundCaptured => snapshot
                .local()
                .into_iter()
                .flat_map(|local| local.inbound.declared())
                .map(|p| row(format!("Addr: *:{}", p.port), format!("Cluster: {}", p.cluster.name)))
                .collect(),
            Purpose::Configured(ListenerKind::Ingress { port }) => {
                let cluster = snapshot.local().map_or("", |local| &local.inbound.policy(*port).cluster.name);
                vec![row("ALL".into(), format!("Cluster: {cluster}"))]
            }
            Purpose::Configured(ListenerKind::Egress { protocol, port, .. }) if protocol.is_http() => {
                vec![row("ALL".into(), format!("Route: {port}"))]
            }
            Purpose::Configured(ListenerKind::Egress { .. }) => {
                let egress = snapshot.outbound.egress(&b.name);
                let destination = egress.map(|e| crate::snapshot::outbound::through(snapshot, e));
                let name = match destination {
                    Some(Destination::Service { cluster, .. } | Destination::Refused(cluster)) => {
                        cluster.name.to_string()
                    }
                    Some(Destination::Passthrough(cluster)) => cluster.name.to_string(),
                    Some(Destination::Pending { service, .. }) => format!("{service} (not loaded)"),
                    Some(Destination::HttpPort(port)) => port.to_string(),
                    Some(Destination::Opening(_)) => "by server name".to_owned(),
                    Some(Destination::Unasked(_)) | None => "-".to_owned(),
                };
                vec![row("ALL".into(), format!("Cluster: {name}"))]
            }
            Purpose::Configured(ListenerKind::Gateway { port, .. }) => {
                match snapshot.outbound.gateway(*port).map(|gateway| &**gateway) {
                    Some(GatewayPort::Tls(servers)) => servers
                        .iter()
                        .map(|s| {
                            let hosts: Vec<&str> = s.hosts.iter().map(|h| h.as_str()).collect();
                            row(format!("SNI: {}", hosts.join(",")), s.then.shown(&s.route_config))
                        })
                        .collect(),
                    Some(GatewayPort::Bytes(to)) => vec![row("ALL".into(), shown(to.as_ref()))],
                    Some(GatewayPort::Requests(_)) | None => vec![row("ALL".into(), format!("Route: http.{port}"))],
                }
            }
        }
    });
    rows.collect()
}

fn kind(purpose: &Purpose) -> &'static str {
    match purpose {
        Purpose::OutboundCaptured | Purpose::Configured(ListenerKind::Egress { .. }) => "outbound",
        Purpose::InboundCaptured | Purpose::Configured(ListenerKind::Ingress { .. }) => "inbound",
        Purpose::Configured(ListenerKind::Gateway { .. }) => "gateway",
    }
}

fn unknown_destination(snapshot: &Snapshot) -> String {
    use crate::snapshot::outbound::Beyond;
    match snapshot.outbound.unknown_address() {
        Beyond::Blocked { .. } => format!("Cluster: {}", snapshot.outbound.black_hole().name),
        Beyond::To { to, .. } => format!("Cluster: {to}"),
    }
}

/// One row a route; a host without routes of its own has its default route.
fn routes(snapshot: &Snapshot) -> Vec<Value> {
    let outbound = &snapshot.outbound;
    let mut rows = Vec::new();
    for (_, port) in outbound.ports() {
        table(&mut rows, &port.table);
    }
    for host in outbound.all_sniffed() {
        virtual_host(&mut rows, host);
    }
    for egress in outbound.all_egress() {
        table(&mut rows, &egress.table);
    }
    for (_, gateway) in outbound.gateways() {
        gateway.tables().for_each(|hosts| table(&mut rows, hosts));
    }
    for port in snapshot.local().into_iter().flat_map(|local| local.inbound.declared()) {
        rows.push(json!({
            "name": port.meta.route_config,
            "virtual_host": port.meta.virtual_host,
            "route": port.meta.route,
            "domains": ["*"],
            "match": "/*",
            "destination": port.cluster.name,
            "object": Value::Null,
        }));
    }
    rows
}

fn table(rows: &mut Vec<Value>, table: &HostTable) {
    table.iter().for_each(|host| virtual_host(rows, host));
}

fn virtual_host(rows: &mut Vec<Value>, host: &Arc<VirtualHost>) {
    for entry in &host.entries {
        let destinations: Vec<String> = match &entry.action {
            Action::Rule(rule) => rule.backends.iter().map(Resolved::to_string).collect(),
            Action::Service { to, .. } => vec![to.to_string()],
        };
        rows.push(json!({
            "name": entry.meta.route_config,
            "virtual_host": entry.meta.virtual_host,
            "route": entry.meta.route,
            "domains": host.domains,
            "match": entry.conditions().map_or_else(|| "/*".to_owned(), conditions),
            "destination": destinations.join(","),
            "object": entry.meta.object.as_ref().map(|object| object.name.to_string()),
        }));
    }
}

fn clusters(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Cluster>> {
    let inbound = || snapshot.local().map(|local| &local.inbound);
    let declared = inbound().into_iter().flat_map(|inbound| inbound.declared()).map(|p| &p.cluster);
    let special = [snapshot.outbound.passthrough(), snapshot.outbound.black_hole()];
    let special = special.into_iter().chain(inbound().map(|inbound| &inbound.other().cluster));
    snapshot.outbound.services().flat_map(|s| s.clusters()).chain(declared).chain(special)
}

fn cluster(snapshot: &Snapshot, cluster: &Cluster) -> Value {
    let (port, subset, direction, rule) = match &cluster.key {
        ClusterKey::Outbound { service, port, subset } => {
            let rule = snapshot.outbound.service(service).and_then(|s| s.destination.as_ref());
            (Some(port.get()), subset.as_deref(), "outbound", rule.map(|r| r.name.to_string()))
        }
        ClusterKey::Inbound { port } => (Some(port.get()), None, "inbound", None),
        ClusterKey::Passthrough | ClusterKey::InboundPassthrough | ClusterKey::BlackHole => (None, None, "", None),
    };
    let kind = match (&cluster.key, cluster.resolution) {
        (ClusterKey::Outbound { .. }, Resolution::Static) => "EDS",
        (ClusterKey::Outbound { .. }, Resolution::Dns) => "STRICT_DNS",
        (ClusterKey::Outbound { .. }, Resolution::DnsRoundRobin) => "LOGICAL_DNS",
        (ClusterKey::BlackHole, _) => "STATIC",
        (ClusterKey::Inbound { .. }, _) if cluster.local.is_some() => "STATIC",
        _ => "ORIGINAL_DST",
    };
    let fqdn = if cluster.service_host.is_empty() { &cluster.name } else { &cluster.service_host };
    json!({
        "name": cluster.name,
        "fqdn": fqdn,
        "port": port,
        "subset": subset,
        "direction": direction,
        "type": kind,
        "destination_rule": rule,
    })
}

fn endpoints(snapshot: &Snapshot) -> Vec<Value> {
    let mut rows = Vec::new();
    for service in snapshot.outbound.services() {
        for cluster in service.clusters() {
            let set = cluster.endpoints.load();
            let members = set.endpoints.iter().filter(|e| cluster.subset_labels.selects(&e.labels));
            rows.extend(members.map(|endpoint| row(endpoint, cluster)));
        }
    }
    let workloads = snapshot.workloads.iter().filter_map(|(address, workload)| Some((address, workload?)));
    rows.extend(workloads.map(|(address, workload)| {
        json!({
            "address": address.to_string(),
            "port": 0,
            "status": "UNKNOWN",
            "outlier": "OK",
            "cluster": snapshot.outbound.passthrough().name,
            "identity": workload.identity.as_ref().map(ToString::to_string),
            "mutual_tls": workload.mutual_tls,
        })
    }));
    rows
}

fn row(endpoint: &Endpoint, cluster: &Cluster) -> Value {
    let address = match &endpoint.address {
        EndpointAddress::Ip(ip) => ip.to_string(),
        EndpointAddress::Name(name) => name.to_string(),
        EndpointAddress::Unix(path) => format!("unix://{path}"),
    };
    let status = match endpoint.health {
        Health::Healthy => "HEALTHY",
        Health::Draining => "DRAINING",
        Health::Unhealthy => "UNHEALTHY",
    };
    json!({
        "address": address,
        "port": endpoint.target_port,
        "status": status,
        "outlier": "OK",
        "cluster": cluster.name,
        "identity": endpoint.identity.as_ref().map(ToString::to_string),
        "mutual_tls": endpoint.mutual_tls,
    })
}

/// Our certificate, the roots, and a gateway's credentials: what they are, never what they hold.
fn secrets(snapshot: &Snapshot, identity: &Identity) -> Vec<Value> {
    let material = &identity.material;
    let own = json!({
        "name": "default",
        "type": "Cert Chain",
        "status": "ACTIVE",
        "valid": material.not_after > clock::system_now(),
        "serial": material.serial,
        "not_before": rfc3339(material.not_before),
        "not_after": rfc3339(material.not_after),
        "trust_domain": material.identity.trust_domain.as_str(),
    });
    let roots = snapshot.trust.iter().map(|bundle| {
        json!({
            "name": "ROOTCA",
            "type": "CA",
            "status": "ACTIVE",
            "valid": true,
            "serial": Value::Null,
            "certificates": bundle.roots.len(),
            "trust_domain": bundle.trust_domain.as_str(),
        })
    });
    let credentials = snapshot.credentials.keys().map(|name| {
        json!({ "name": format!("kubernetes://{}", name.name), "type": "Cert Chain", "status": "ACTIVE", "valid": true })
    });
    std::iter::once(own).chain(roots).chain(credentials).collect()
}
