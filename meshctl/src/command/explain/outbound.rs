//! A call of the application: listener, destination, route, cluster.

use super::{
    answer::{Answer, EndpointAnswer, Outcome, Security, Share},
    case::{Call, CallTls},
    desk::Desk,
    objects::Who,
    request::{self, Proof, caller},
};
use mesh_config::{
    model::{
        Endpoint, IndexEntry, ServiceKey, Workload,
        destination::UpstreamTls,
        endpoint::{EndpointAddress, Health},
        index::IndexKind,
        route::RouteAction,
    },
    name::{Port, host_of_authority},
};
use mesh_proxy::{
    decide::{
        Ask, Caller, Direction,
        outbound::{Entrance, Outgoing},
    },
    route::{RouteMeta, Routed, RuleEntry, rewrite},
    snapshot::{
        Snapshot,
        cluster::{Cluster, ClusterKey, Secret},
        listener::{DestinationKey, ListenerKind},
        outbound::Said,
        stream::StreamRoute,
        virtual_host::Resolved,
        workloads::Callee,
    },
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// Where a call goes that names neither an address nor a host that has one: in no network (RFC 5737).
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Decides on a call of the application.
pub(super) fn decide(desk: &mut Desk<'_>, call: &Call) -> Answer {
    let Some(port) = port_of(call) else {
        return Answer::refuse("no listener", "the call names no port between 1 and 65535");
    };
    let entrance = entrance(&desk.snapshot(), call, port);
    let name = server_name(call);
    let draw = desk.draw();
    let outgoing = desk.proxy.outgoing(&entrance, said(call, name.as_deref()), draw);
    let listener = listener(&desk.snapshot(), &entrance, &outgoing);
    let to = match &entrance {
        Entrance::Captured(to) => Some(*to),
        Entrance::Listener { .. } => None,
    };
    let mut answer = Answer { listener: Some(listener), ..carried(desk, call, (port, to), outgoing) };
    if matches!(entrance, Entrance::Captured(_)) && binds_everything(&desk.snapshot()) {
        let caution = "the Sidecar binds all its listeners itself and none of them is for this call: \
                       the proxy sees it only where connections are captured";
        answer.detail = Some(match answer.detail {
            Some(detail) => format!("{detail}; {caution}"),
            None => caution.to_owned(),
        });
    }
    answer
}

/// What becomes of a connection and of the request on it. `to`: where the application wanted to go, where that is known.
fn carried(desk: &mut Desk<'_>, call: &Call, (port, to): (Port, Option<SocketAddr>), outgoing: Outgoing) -> Answer {
    match outgoing {
        Outgoing::Requests(key) | Outgoing::Detect { key, .. } if call.is_http() => http(desk, call, &key, (port, to)),
        Outgoing::Requests(_) => Answer::refuse(
            "protocol error",
            format!(
                "port {port} carries HTTP, but something else arrived; name the port tcp-… where it carries something else"
            ),
        ),
        // As the proxy does, which looks at nothing more once bytes are no request.
        Outgoing::Detect { cluster, rule: Some(rule), .. } if cluster.key == ClusterKey::BlackHole => {
            let detail = "the rule leads to nothing that exists (UH)";
            let nowhere = Answer { cluster: Some(cluster.name.to_string()), ..Answer::refuse("no route", detail) };
            ruled(nowhere, Some(&rule))
        }
        Outgoing::Detect { key, cluster, rule, .. } | Outgoing::Opaque { key, cluster, rule } => {
            let mut answer = ruled(forwarded(&desk.snapshot(), &cluster, to), rule.as_deref());
            let unknown = matches!(key, DestinationKey::Unknown(_)) && cluster.key == ClusterKey::Passthrough;
            if unknown {
                answer.detail =
                    Some("no service has this address; outboundTrafficPolicy ALLOW_ANY passes it through".to_owned());
            }
            answer
        }
        Outgoing::Missing { cluster, rule, .. } => ruled(missing(&cluster), Some(&rule)),
        Outgoing::Refuse { cluster, .. } => Answer {
            cluster: Some(cluster.name.to_string()),
            ..Answer::refuse(
                "no route",
                "no service has this address, and unknown ones may not be reached (REGISTRY_ONLY)",
            )
        },
        Outgoing::Ask(ask) => request::not_had(&ask),
        Outgoing::Hear => Answer::refuse("no route", format!("port {port} asks for a server name")),
    }
}

/// Whether a `Sidecar` leaves no egress listener to capture.
fn binds_everything(snapshot: &Snapshot) -> bool {
    snapshot
        .local()
        .and_then(|local| local.sidecar.as_ref())
        .is_some_and(|s| !s.egress.is_empty() && s.egress.iter().all(|l| l.bind.is_some()))
}

/// The port of a call.
pub(super) fn port_of(call: &Call) -> Option<Port> {
    call.port.and_then(|p| u16::try_from(p).ok()).and_then(Port::new)
}

/// Where a connection comes in: at a listener of the `Sidecar` at the call's very address; without an address, at the one
/// for the port that serves the host; else it is captured on its way to the host.
fn entrance(snapshot: &Snapshot, call: &Call, port: Port) -> Entrance {
    let entry = host_entry(snapshot, call);
    let address = call.address.or(call.destination_ip);
    for spec in snapshot.listeners.iter() {
        let ListenerKind::Egress { port: own, protocol, .. } = &spec.kind else { continue };
        let serves = || {
            let egress = snapshot.outbound.egress(&spec.name)?;
            Some(entry.as_ref().is_none_or(|e| egress.listener.selects(&e.key)))
        };
        let here = match address {
            Some(address) => spec.address == SocketAddr::new(address, port.get()),
            None => *own == port && serves() == Some(true),
        };
        if here {
            return Entrance::Listener { name: spec.name.clone(), protocol: *protocol };
        }
    }
    let of_host = || call.host.as_deref().and_then(|h| host_of_authority(h).parse().ok());
    let of_entry = || entry.and_then(|e| e.addresses.first().map(|net| net.addr()));
    let address = address.or_else(of_host).or_else(of_entry).unwrap_or(NOWHERE);
    Entrance::Captured(SocketAddr::new(address, port.get()))
}

fn host_entry(snapshot: &Snapshot, call: &Call) -> Option<Arc<IndexEntry>> {
    let host = host_of_authority(call.host.as_deref()?);
    let service = |e: &IndexEntry| e.kind == IndexKind::Service;
    snapshot.index.find_exact(&host, service).or_else(|| snapshot.index.find_wildcard(&host, service)).cloned()
}

/// The name in the hello of a call: the host, where the application encrypts by itself and the call does not say.
fn server_name(call: &Call) -> Option<String> {
    let https = call.protocol.as_deref().is_some_and(|p| p.eq_ignore_ascii_case("https"));
    let in_tls = https || !call.is_http() || call.tls() != CallTls::Plaintext;
    let of_host = || call.host.as_deref().filter(|_| in_tls).map(|host| host_of_authority(host).into_owned());
    call.sni.as_deref().map(str::to_ascii_lowercase).or_else(of_host)
}

/// What the client of a call says first.
fn said<'a>(call: &Call, name: Option<&'a str>) -> Said<'a> {
    match (name, call.tls()) {
        (None, CallTls::Plaintext) => Said::Other,
        (name, _) => Said::Tls(name),
    }
}

/// The listener that has the connection, as Istio names it.
fn listener(snapshot: &Snapshot, entrance: &Entrance, outgoing: &Outgoing) -> String {
    let to = match entrance {
        Entrance::Listener { name, .. } => return name.to_string(),
        Entrance::Captured(to) => to,
    };
    let of_service = |service: &ServiceKey, port: u16| match snapshot.index.at(to.ip()).any(|e| e.key == *service) {
        true => format!("{}_{port}", to.ip()),
        false => format!("0.0.0.0_{port}"),
    };
    let key = match outgoing {
        Outgoing::Requests(key)
        | Outgoing::Detect { key, .. }
        | Outgoing::Opaque { key, .. }
        | Outgoing::Missing { key, .. }
        | Outgoing::Refuse { key, .. } => key,
        Outgoing::Ask(Ask::Details(service)) => return of_service(service, to.port()),
        Outgoing::Ask(Ask::Workload(_)) | Outgoing::Hear => return "virtualOutbound".to_owned(),
    };
    match key {
        DestinationKey::HttpPort(port) => format!("0.0.0.0_{port}"),
        DestinationKey::Service(service, port) => of_service(service, port.get()),
        _ => "virtualOutbound".to_owned(),
    }
}

/// A request.
fn http(desk: &mut Desk<'_>, call: &Call, key: &DestinationKey, (port, to): (Port, Option<SocketAddr>)) -> Answer {
    // The application is this workload: it proves nothing.
    let proof = Proof::none();
    let caller = caller(call, &proof, Direction::Outbound, key, port);
    let destination = to.map(|to| to.ip()).or(caller.destination);
    request::decide(desk, call, &Caller { destination, ..caller }, "http")
}

pub(super) fn of_meta(meta: &RouteMeta) -> Answer {
    let text = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    Answer {
        route_config: text(&meta.route_config),
        virtual_host: text(&meta.virtual_host),
        route: text(&meta.route),
        object: meta.object.as_ref().map(ToString::to_string),
        ..Answer::default()
    }
}

pub(super) fn refused(reason: &'static str, meta: &RouteMeta, detail: String) -> Answer {
    Answer { reason: Some(reason), detail: Some(detail), ..of_meta(meta) }
}

pub(super) fn forward(snapshot: &Snapshot, routed: &Routed, path: &str, to: Option<SocketAddr>) -> Answer {
    let names = of_meta(&routed.meta);
    let rewritten = routed.rule.as_ref().zip(routed.matched.as_ref()).and_then(|(r, m)| rewrite::path(r, m, path));
    Answer {
        route_config: names.route_config,
        virtual_host: names.virtual_host,
        route: names.route,
        object: names.object,
        backends: routed.rule.as_ref().map(|rule| shares(rule)).unwrap_or_default(),
        rewritten_path: rewritten,
        rewritten_host: routed.rule.as_ref().and_then(|r| rewrite::authority(r, routed.backend)).map(|h| h.to_string()),
        ..forwarded(snapshot, &routed.cluster, to)
    }
}

/// What a rule for opaque bytes adds: whose it is, and its other destinations.
pub(super) fn ruled(answer: Answer, rule: Option<&StreamRoute>) -> Answer {
    let Some(rule) = rule else { return answer };
    let share = |(to, weight): &(Resolved, u32)| Share { cluster: resolved(to), weight: *weight };
    let backends = if rule.backends.len() < 2 { Vec::new() } else { rule.backends.iter().map(share).collect() };
    Answer { object: Some(format!("VirtualService {}", rule.object)), backends, ..answer }
}

/// A rule for opaque bytes leads to what does not exist.
pub(super) fn missing(cluster: &str) -> Answer {
    let why = format!("the rule leads to {cluster}, which does not exist (closed, NC)");
    Answer { cluster: Some(cluster.to_owned()), ..Answer::refuse("no route", why) }
}

fn resolved(to: &Resolved) -> String {
    match to {
        Resolved::Ready(cluster) => cluster.name.to_string(),
        Resolved::Pending(service) => service.to_string(),
        Resolved::Missing(name) => format!("{name} (does not exist)"),
    }
}

fn shares(rule: &RuleEntry) -> Vec<Share> {
    let RouteAction::Forward(backends) = &rule.rule().action else { return Vec::new() };
    if backends.len() < 2 {
        return Vec::new();
    }
    backends.iter().zip(&rule.backends).map(|(b, to)| Share { cluster: resolved(to), weight: b.weight }).collect()
}

/// Sent to a cluster: its endpoints, or the workload at the address where it goes, and how connections to them are secured.
pub(super) fn forwarded(snapshot: &Snapshot, cluster: &Cluster, to: Option<SocketAddr>) -> Answer {
    if let Some((to, workload)) = to.and_then(|to| Some((to, snapshot.callee(cluster, to)?))) {
        // What a rule says holds for whoever is called.
        let security = match cluster.policy.tls {
            Some(_) => security(snapshot, cluster, &[]),
            None => Some(security_by_address(snapshot, workload, to)),
        };
        return Answer {
            outcome: Outcome::Forward,
            cluster: Some(cluster.name.to_string()),
            endpoints: vec![by_address(workload, to)],
            security,
            ..Answer::default()
        };
    }
    let set = cluster.endpoints.load();
    let members: Vec<&Arc<Endpoint>> =
        set.endpoints.iter().filter(|e| cluster.subset_labels.selects(&e.labels)).collect();
    let nobody = members.is_empty() && matches!(cluster.key, ClusterKey::Outbound { .. });
    let detail = (nobody && cluster.resolution == mesh_config::model::service::Resolution::Static)
        .then(|| "the cluster has no endpoints: the call will fail (503, UH)".to_owned());
    Answer {
        outcome: Outcome::Forward,
        cluster: Some(cluster.name.to_string()),
        endpoints: members.iter().map(|e| endpoint(e)).collect(),
        security: security(snapshot, cluster, &members),
        detail,
        ..Answer::default()
    }
}

fn endpoint(endpoint: &Endpoint) -> EndpointAnswer {
    let port = endpoint.target_port;
    EndpointAnswer {
        address: match &endpoint.address {
            EndpointAddress::Ip(ip) => SocketAddr::new(*ip, port).to_string(),
            EndpointAddress::Name(name) => format!("{name}:{port}"),
            EndpointAddress::Unix(path) => format!("unix://{path}"),
        },
        status: match endpoint.health {
            Health::Healthy => "HEALTHY",
            Health::Draining => "DRAINING",
            Health::Unhealthy => "UNHEALTHY",
        },
        workload: endpoint.workload.as_ref().map(|w| format!("{}/{}", w.namespace, w.workload)),
        identity: endpoint.identity.as_ref().map(|id| id.uri()),
        id: endpoint.key.id.to_string(),
        port,
    }
}

fn by_address(workload: &Workload, to: SocketAddr) -> EndpointAnswer {
    EndpointAnswer {
        address: to.to_string(),
        status: "UNKNOWN",
        workload: Some(format!("{}/{}", workload.info.namespace, workload.info.workload)),
        identity: workload.identity.as_ref().map(|id| id.uri()),
        id: workload.uid.to_string(),
        port: to.port(),
    }
}

/// How a connection to a workload is secured that is called by its address, where no rule says anything.
fn security_by_address(snapshot: &Snapshot, workload: &Arc<Workload>, to: SocketAddr) -> Security {
    let callee = Callee::Workload(workload.clone());
    let secured = callee.is_secured(&snapshot.settings, Port::new(to.port()));
    let (transport, because) = match (secured, snapshot.settings.auto_mtls) {
        (true, _) => ("mutual TLS", "automatic: the proxy of the workload at this address accepts it"),
        (false, false) => ("as the application sends it", "enableAutoMtls is false in MeshConfig"),
        (false, true) => (
            "as the application sends it",
            "the workload at this address accepts no mutual TLS on this port (no proxy, the port is not captured, or \
             PeerAuthentication DISABLE)",
        ),
    };
    Security { transport: transport.to_owned(), because: because.to_owned() }
}

/// What is to be known of the Secret that TLS names.
fn secret(named: &Secret) -> String {
    match named {
        Secret::Unnamed => String::new(),
        Secret::Here(credential) => format!(", with the keys of Secret {}", credential.name),
        Secret::Missing(name) => {
            format!(", but Secret {name} is not here, or the proxy's service account may not read it: calls fail")
        }
        Secret::Withheld(name) => {
            format!(": sidecars get Secret {name} only by a rule with a workloadSelector")
        }
    }
}

/// How connections to these endpoints are secured, and which object says so.
fn security(snapshot: &Snapshot, cluster: &Cluster, members: &[&Arc<Endpoint>]) -> Option<Security> {
    let ClusterKey::Outbound { service, .. } = &cluster.key else {
        return matches!(cluster.key, ClusterKey::Passthrough).then(|| Security {
            transport: "as the application sends it".to_owned(),
            because: "the destination is in no service".to_owned(),
        });
    };
    let rule = snapshot.outbound.service(service).and_then(|s| s.destination.as_ref());
    let says = |mode: &str| match rule {
        Some(rule) => format!("DestinationRule {} says {mode}", rule.name),
        None => format!("the policy in force says {mode}"),
    };
    let of = |transport: &str, because: String| Some(Security { transport: transport.to_owned(), because });
    match &cluster.policy.tls {
        Some(UpstreamTls::Disable) => of("plain text", says("DISABLE")),
        Some(UpstreamTls::IstioMutual { .. }) => of("mutual TLS", says("ISTIO_MUTUAL")),
        Some(UpstreamTls::Simple(_)) if matches!(cluster.secret, Secret::Withheld(_)) => {
            let transport = match cluster.carries_tls() {
                true => "the application's own TLS; requests that it sends in plain text fail",
                false => "not at all: calls fail",
            };
            of(transport, format!("{}{}", says("TLS, for gateways alone"), secret(&cluster.secret)))
        }
        Some(UpstreamTls::Simple(simple)) => {
            let mode = if simple.shows_certificate() { "MUTUAL" } else { "SIMPLE" };
            of("TLS", format!("{}{}", says(mode), secret(&cluster.secret)))
        }
        None if !snapshot.settings.auto_mtls => of("plain text", "enableAutoMtls is false in MeshConfig".to_owned()),
        None if cluster.external => of(
            "plain text",
            "the service is outside of the mesh, which is never called by automatic mutual TLS".to_owned(),
        ),
        None => {
            let able = members.iter().filter(|e| e.mutual_tls).count();
            match (able, members.len()) {
                (_, 0) => of("mutual TLS where the endpoint can", "there are no endpoints to ask".to_owned()),
                (0, _) => of(
                    "plain text",
                    "no endpoint accepts mutual TLS (no proxy, or PeerAuthentication DISABLE)".to_owned(),
                ),
                (able, all) if able == all => {
                    of("mutual TLS", "automatic: the endpoints' proxies accept it".to_owned())
                }
                (able, all) => {
                    of("mutual TLS, plain text", format!("automatic: {able} of {all} endpoints accept mutual TLS"))
                }
            }
        }
    }
}

/// Whether calls to a cluster's endpoint prove the identity of `who`.
pub(super) fn proves(answer: &Answer, who: &Who) -> Option<String> {
    let mutual = answer.security.as_ref().is_some_and(|s| s.transport.starts_with("mutual TLS"));
    who.identity().filter(|_| mutual).map(|id| id.uri())
}
