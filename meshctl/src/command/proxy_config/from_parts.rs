//! What a proxy makes of the parts that pilot gave it: the proxy's own snapshot, listed.

use super::dump::{Cluster, Dump, Endpoint, Listener, Route, Secret};
use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_config::{
    kind::Role,
    matcher::StringMatch,
    model::{
        Kind, Part, TrustBundle,
        destination::LoadBalancer,
        endpoint::{EndpointAddress, Health},
        route::RouteMatch,
        service::Resolution,
    },
    time::Utc,
    wire,
};
use mesh_proxy::{
    offline::Desk,
    snapshot::{
        OwnFacts, Snapshot,
        cluster::{self, ClusterKey},
        inbound::PortPolicy,
        listener::ListenerKind,
        outbound::{GatewayPort, shown},
        virtual_host::{Action, Resolved, VirtualHost, table::HostTable},
    },
};
use serde_json::Value;
use std::sync::Arc;

/// From pilot's answer to `Config`: `{client: {role, namespace}, parts: [{kind, name, wire}]}`.
pub(super) fn dump(answer: &Value) -> Result<Dump> {
    let list = answer.get("parts").and_then(Value::as_array).context("pilot's answer contains no parts")?;
    let parts: Vec<Part> = list.iter().filter_map(decode).collect();
    let text = |name: &str| answer["client"].get(name).and_then(Value::as_str).unwrap_or_default();
    let role = Role::from_word(text("role")).context("pilot's answer names no role that is known")?.served()?;
    let ips = parts.iter().find_map(|part| match part {
        Part::Instance(instance) => Some(instance.workload.addresses.clone()),
        _ => None,
    });
    let facts = OwnFacts { role, namespace: text("namespace").into(), ips: ips.unwrap_or_default() };
    Ok(of(&Desk::new(facts, parts, ()).snapshot()))
}

fn decode(entry: &Value) -> Option<Part> {
    let label = entry.get("kind")?.as_str()?;
    let kind = Kind::from_label(label)?;
    let bytes = STANDARD.decode(entry.get("wire")?.as_str()?).ok()?;
    wire::decode(kind.type_url(), bytes.into()).ok()
}

/// The declared ports of the workload, once it is known.
fn declared(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<PortPolicy>> {
    snapshot.local().into_iter().flat_map(|local| local.inbound.declared())
}

/// A snapshot as lists.
fn of(snapshot: &Snapshot) -> Dump {
    Dump {
        listeners: listeners(snapshot),
        routes: routes(snapshot),
        clusters: clusters(snapshot),
        endpoints: endpoints(snapshot),
        secrets: snapshot.trust.iter().flat_map(|bundle| roots(bundle)).collect(),
    }
}

fn listeners(snapshot: &Snapshot) -> Vec<Listener> {
    let bound = snapshot.listeners.iter().map(|spec| {
        let (kind, destination) = match &spec.kind {
            ListenerKind::Egress { protocol, port, .. } if protocol.is_http() => {
                let egress = snapshot.outbound.egress(&spec.name);
                let config = egress.and_then(|e| e.table.iter().next().map(|host| host.meta.route_config.to_string()));
                ("HTTP", format!("Route: {}", config.unwrap_or_else(|| port.to_string())))
            }
            ListenerKind::Egress { .. } => {
                let single = snapshot.outbound.egress(&spec.name).and_then(|e| e.single.clone());
                let to = single.map(|(service, port)| format!("Cluster: outbound|{}||{}", port.number, service.host));
                ("TCP", to.unwrap_or_else(|| "Cluster: BlackHoleCluster".to_owned()))
            }
            ListenerKind::Ingress { port } => {
                let policy = snapshot.local().map(|local| local.inbound.policy(*port));
                let kind = if policy.is_some_and(|p| p.protocol.is_http()) { "HTTP" } else { "TCP" };
                (kind, format!("Cluster: {}", policy.map_or("", |p| &p.cluster.name)))
            }
            ListenerKind::Gateway { port, .. } => match snapshot.outbound.gateway(*port).map(|gateway| &**gateway) {
                Some(GatewayPort::Bytes(to)) => ("TCP", shown(to.as_ref())),
                Some(GatewayPort::Requests(_)) | None => ("HTTP", format!("Route: http.{port}")),
                Some(GatewayPort::Tls(servers)) => {
                    let shown: Vec<String> = servers.iter().map(|s| s.then.shown(&s.route_config)).collect();
                    let requests = servers.iter().any(|s| s.then.table().is_some());
                    (if requests { "HTTP" } else { "TCP" }, shown.join("; "))
                }
            },
        };
        Listener {
            name: spec.name.to_string(),
            address: spec.address.ip().to_string(),
            port: spec.address.port(),
            kind: kind.to_owned(),
            matches: "ALL".to_owned(),
            destination,
        }
    });
    bound.collect()
}

fn routes(snapshot: &Snapshot) -> Vec<Route> {
    let outbound = &snapshot.outbound;
    let mut routes = Vec::new();
    let mut table = |table: &HostTable| table.iter().for_each(|host| host_routes(host, &mut routes));
    outbound.ports().for_each(|(_, port)| table(&port.table));
    outbound.all_egress().for_each(|egress| table(&egress.table));
    for (_, gateway) in outbound.gateways() {
        gateway.tables().for_each(&mut table);
    }
    outbound.all_sniffed().for_each(|host| host_routes(host, &mut routes));
    routes.extend(declared(snapshot).map(|policy| Route {
        name: policy.meta.route_config.to_string(),
        virtual_host: policy.meta.virtual_host.to_string(),
        domains: vec!["*".to_owned()],
        matches: "/*".to_owned(),
        route: policy.meta.route.to_string(),
        destination: policy.cluster.name.to_string(),
        object: String::new(),
    }));
    routes
}

fn host_routes(host: &VirtualHost, routes: &mut Vec<Route>) {
    let empty = Route {
        name: host.meta.route_config.to_string(),
        virtual_host: host.meta.virtual_host.to_string(),
        domains: host.domains.iter().map(|d| d.to_string()).collect(),
        matches: "/*".to_owned(),
        object: "404".to_owned(),
        ..Route::default()
    };
    if host.entries.is_empty() {
        routes.push(empty);
        return;
    }
    routes.extend(host.entries.iter().map(|entry| {
        let to: Vec<String> = match &entry.action {
            Action::Rule(rule) => rule.backends.iter().map(Resolved::to_string).collect(),
            Action::Service { to, .. } => vec![to.to_string()],
        };
        Route {
            matches: path_of(entry.conditions()),
            route: entry.meta.route.to_string(),
            destination: to.join(","),
            object: entry.meta.object.as_ref().map(|object| object.name.to_string()).unwrap_or_default(),
            ..empty.clone()
        }
    }));
}

fn path_of(conditions: Option<&RouteMatch>) -> String {
    match conditions.and_then(|c| c.path.as_ref()).map(|p| &p.matcher) {
        None | Some(StringMatch::Present) => "/*".to_owned(),
        Some(StringMatch::Exact(path)) => path.to_string(),
        Some(StringMatch::Prefix(path)) => format!("{path}*"),
        Some(StringMatch::Suffix(path)) => format!("*{path}"),
        Some(StringMatch::Regex(pattern)) => format!("regex {}", pattern.as_str()),
    }
}

fn clusters(snapshot: &Snapshot) -> Vec<Cluster> {
    let outbound = snapshot.outbound.clusters().map(|c| cluster_of(snapshot, c));
    let inbound = declared(snapshot).chain(snapshot.local().map(|local| local.inbound.other()));
    outbound.chain(inbound.map(|policy| cluster_of(snapshot, &policy.cluster))).collect()
}

fn cluster_of(snapshot: &Snapshot, cluster: &cluster::Cluster) -> Cluster {
    let kind = match (&cluster.policy.load_balancer, cluster.resolution) {
        (LoadBalancer::Passthrough, _) | (_, Resolution::Passthrough) => "ORIGINAL_DST",
        (_, Resolution::Static) => "EDS",
        (_, Resolution::Dns) => "STRICT_DNS",
        (_, Resolution::DnsRoundRobin) => "LOGICAL_DNS",
    };
    let name = cluster.name.to_string();
    let bare =
        |kind: &str| Cluster { name: name.clone(), fqdn: name.clone(), kind: kind.to_owned(), ..Cluster::default() };
    match &cluster.key {
        ClusterKey::Outbound { service, port, subset } => Cluster {
            fqdn: service.host.to_string(),
            port: port.get(),
            subset: subset.as_deref().unwrap_or_default().to_owned(),
            direction: "outbound".to_owned(),
            kind: kind.to_owned(),
            destination_rule: snapshot
                .outbound
                .service(service)
                .and_then(|s| s.destination.as_ref())
                .map(|rule| rule.name.to_string())
                .unwrap_or_default(),
            name,
        },
        ClusterKey::Inbound { port } => Cluster {
            fqdn: if cluster.service_host.is_empty() { name.clone() } else { cluster.service_host.to_string() },
            port: port.get(),
            direction: "inbound".to_owned(),
            kind: "STATIC".to_owned(),
            name,
            ..Cluster::default()
        },
        ClusterKey::Passthrough | ClusterKey::InboundPassthrough => bare("ORIGINAL_DST"),
        ClusterKey::BlackHole => bare("STATIC"),
    }
}

fn endpoints(snapshot: &Snapshot) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for cluster in snapshot.outbound.clusters() {
        let set = cluster.endpoints.load();
        let members = set.endpoints.iter().filter(|e| cluster.subset_labels.selects(&e.labels));
        endpoints.extend(members.map(|endpoint| {
            let (address, port) = match &endpoint.address {
                EndpointAddress::Ip(ip) => (ip.to_string(), endpoint.target_port),
                EndpointAddress::Name(name) => (name.to_string(), endpoint.target_port),
                EndpointAddress::Unix(path) => (format!("unix://{path}"), 0),
            };
            let status = match endpoint.health {
                Health::Healthy => "HEALTHY",
                Health::Draining => "DRAINING",
                Health::Unhealthy => "UNHEALTHY",
            };
            // Only the proxy itself knows whether it has put one aside.
            Endpoint {
                address,
                port,
                status: status.to_owned(),
                outlier: String::new(),
                cluster: cluster.name.to_string(),
                identity: endpoint.identity.as_ref().map(ToString::to_string).unwrap_or_default(),
                mutual_tls: endpoint.mutual_tls,
            }
        }));
    }
    endpoints.extend(snapshot.workloads.iter().filter_map(|(address, workload)| {
        let workload = workload?;
        Some(Endpoint {
            address: address.to_string(),
            status: "UNKNOWN".to_owned(),
            cluster: snapshot.outbound.passthrough().name.to_string(),
            identity: workload.identity.as_ref().map(ToString::to_string).unwrap_or_default(),
            mutual_tls: workload.mutual_tls,
            ..Endpoint::default()
        })
    }));
    endpoints
}

fn roots(bundle: &TrustBundle) -> impl Iterator<Item = Secret> {
    bundle.roots.iter().map(|root| {
        let parsed = x509_parser::parse_x509_certificate(root).map(|(_, certificate)| certificate).ok();
        let time = |pick: fn(&x509_parser::certificate::Validity) -> x509_parser::time::ASN1Time| {
            parsed.as_ref().map(|c| Utc::of_seconds(pick(c.validity()).timestamp()).to_string()).unwrap_or_default()
        };
        Secret {
            name: "ROOTCA".to_owned(),
            kind: "CA".to_owned(),
            status: "ACTIVE".to_owned(),
            valid: parsed.as_ref().is_some_and(|c| c.validity().is_valid()),
            serial: parsed
                .as_ref()
                .map(|c| format!("{:0>32}", format!("{:x}", c.tbs_certificate.serial)))
                .unwrap_or_default(),
            not_after: time(|v| v.not_after),
            not_before: time(|v| v.not_before),
            trust_domain: bundle.trust_domain.to_string(),
        }
    })
}
