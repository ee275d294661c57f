//! Decisions without sockets: objects → compile → wire and back → a proxy that decides and carries nothing. The functions
//! are those that `explain` asks and that proxies execute; only what a client would see of them is put in words here.

use mesh_config::{
    identity::PeerIdentity,
    kind::Role,
    model::{Kind, Part, ServiceKey, Workload, gateway::ServerTls},
    name::{Namespace, Port},
    path, wire,
};
use mesh_pilot::{Mesh, ProxyFacts, offline, scope};
use mesh_proxy::{
    decide::{
        self, Caller, Decision, Direction, Refused, Step, gateway,
        inbound::{Admission, admit},
        outbound::{Entrance, Outgoing},
    },
    detect::Detected,
    offline::{Desk, Teller},
    route::{Answer, Routed, rewrite},
    snapshot::{OwnFacts, Snapshot, build::Changes, cluster::ClusterKey, listener::DestinationKey, outbound::Said},
};
use std::{net::IpAddr, sync::Arc};

/// A request, as far as decisions look at it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Host, with port where it has one.
    pub host: String,
    /// Path and query, as sent.
    pub path: String,
    /// Lower-case names and values.
    pub headers: Vec<(String, String)>,
}

/// A connection of a peer or of a client at the edge.
#[derive(Debug, Clone)]
pub struct Arriving {
    /// The port that rules know.
    pub port: Port,
    /// What its first bytes say.
    pub said: Detected,
    /// The identity that it proves, where TLS is terminated.
    pub peer: Option<String>,
    /// Where it comes from.
    pub source: IpAddr,
}

/// What a proxy does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Sends a request on.
    Forward {
        /// Name of the cluster.
        cluster: String,
        /// Name of the route.
        route: String,
        /// Path and query as sent on.
        path: String,
        /// Host as sent on.
        host: String,
    },
    /// Carries bytes that it does not look at.
    Carry {
        /// Name of the cluster.
        cluster: String,
    },
    /// Answers by itself.
    Answer {
        status: u16,
        /// Where to, for redirects; body, for answers; as in the access log, for refusals.
        text: String,
    },
    /// Ends the connection.
    Close {
        /// As in the access log.
        why: String,
    },
}

/// One proxy without its sockets.
pub struct Decider<'m> {
    desk: Desk<Pilot<'m>>,
    /// The URI that it shows to peers.
    own: Option<String>,
    address: IpAddr,
}

/// Pilot, as far as one proxy is told something.
struct Pilot<'m> {
    mesh: &'m Mesh,
    facts: ProxyFacts,
}

impl Teller for Pilot<'_> {
    fn details(&self, service: &ServiceKey) -> Option<Changes> {
        let details = offline::details(self.mesh, &self.facts, service)?;
        let upserts = details.parts.iter().map(carried).collect();
        Some(Changes { upserts, removed: details.removed, ..Changes::default() })
    }

    fn workload(&self, address: IpAddr) -> Option<Changes> {
        let answer = offline::workload(self.mesh, address);
        let upserts = answer.parts.iter().map(carried).collect();
        Some(Changes { upserts, removed: answer.removed, ..Changes::default() })
    }
}

/// Over the wire and back.
fn carried(part: &Part) -> Part {
    let encoded = wire::encode(part);
    let decoded = wire::decode(encoded.type_url, encoded.bytes).expect("what we encode can be read");
    assert!(decoded == *part, "{} {} changed on the wire", encoded.type_url, encoded.name);
    decoded
}

/// The workload at an address.
fn workload(mesh: &Mesh, address: IpAddr) -> Arc<Workload> {
    match scope::workload_at(mesh, address).map(|shared| shared.part()) {
        Some(Part::Workload(workload)) => workload.clone(),
        _ => panic!("no workload is at {address}"),
    }
}

impl<'m> Decider<'m> {
    /// The proxy of the workload at `address`, which has proven its account.
    pub fn new(mesh: &'m Mesh, role: Role, address: IpAddr) -> Self {
        Decider::told(mesh, role, address, |_| true)
    }

    /// The same, when pilot has said everything but who the workload is.
    pub fn not_known(mesh: &'m Mesh, role: Role, address: IpAddr) -> Self {
        Decider::told(mesh, role, address, |part| part.kind() != Kind::Instance)
    }

    fn told(mesh: &'m Mesh, role: Role, address: IpAddr, said: impl Fn(&Part) -> bool) -> Self {
        let workload = workload(mesh, address);
        let namespace = Namespace::from(&*workload.info.namespace);
        let facts = ProxyFacts::resolve(mesh, role, (&namespace, &workload.service_account), None, &[address]);
        let told: Vec<Part> = offline::start(mesh, &facts).iter().filter(|part| said(part)).map(carried).collect();
        let desk = Desk::new(OwnFacts { role, namespace, ips: vec![address] }, told, Pilot { mesh, facts });
        Decider { desk, own: workload.identity.as_ref().map(|identity| identity.uri()), address }
    }

    /// The configuration now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.desk.snapshot()
    }

    /// A connection of the application that comes in at `entrance`, and the request on it; without one, bytes that are
    /// none. `draw` decides between weighted destinations.
    pub fn from_application(
        &mut self,
        entrance: &Entrance,
        port: Port,
        said: Said<'_>,
        request: Option<&Request>,
        draw: u64,
    ) -> Verdict {
        let own = Arriving { port, said: Detected::NeedMore, peer: None, source: self.address };
        let address = self.address;
        let caller = |key| arrived(Direction::Outbound, key, &own, address);
        match (self.desk.outgoing(entrance, said, draw), request) {
            (Outgoing::Requests(key) | Outgoing::Detect { key, .. }, Some(request)) => {
                decided(&mut self.desk, &caller(&key), request, "http", draw)
            }
            (Outgoing::Requests(_), None) => no_request(),
            // The rule's destination does not exist.
            (Outgoing::Detect { cluster, rule: Some(_), .. }, _) if cluster.key == ClusterKey::BlackHole => {
                close(&cluster.name)
            }
            (Outgoing::Detect { key, cluster, .. } | Outgoing::Opaque { key, cluster, .. }, _) => {
                carry(&self.desk.snapshot(), &caller(&key), &cluster.name)
            }
            (Outgoing::Missing { cluster, .. }, _) => close(&cluster),
            (Outgoing::Refuse { cluster, .. }, _) => close(&cluster.name),
            (other @ (Outgoing::Ask(_) | Outgoing::Hear), _) => panic!("still undecided: {other:?}"),
        }
    }

    /// A connection of a peer, and the request on it; without one, bytes that are none.
    pub fn from_peer(&mut self, arriving: &Arriving, request: Option<&Request>) -> Verdict {
        let snapshot = self.desk.snapshot();
        let Some(local) = snapshot.local() else { return close(&Refused::NotKnown) };
        let policy = local.inbound.port(arriving.port);
        let admission = admit(&policy, &arriving.said);
        let secured = matches!(admission, Admission::Terminate { .. });
        if secured && arriving.peer.is_none() {
            return close(&"mutual TLS failed");
        }
        let peer = arriving.peer.as_deref().filter(|_| secured).map(PeerIdentity::new);
        let key = DestinationKey::Inbound(arriving.port);
        let caller = Caller {
            secured,
            peer: peer.as_ref(),
            own: self.own.as_deref(),
            ..arrived(Direction::Inbound, &key, arriving, self.address)
        };
        match (admission, request) {
            (Admission::Requests | Admission::Terminate { requests: true }, Some(request)) => {
                decided(&mut self.desk, &caller, request, if secured { "https" } else { "http" }, 0)
            }
            (Admission::Requests | Admission::Terminate { requests: true }, None) => {
                decide::stands(&snapshot, &caller).map_or_else(|why| close(&why), |_| no_request())
            }
            (Admission::Terminate { requests: false } | Admission::Opaque { .. }, _) => {
                carry(&snapshot, &caller, &policy.cluster.name)
            }
            (Admission::Refuse(why), _) => close(&why),
        }
    }

    /// A connection to a port of a gateway, and the request on it; without one, bytes that are none.
    pub fn from_outside(&mut self, arriving: &Arriving, request: Option<&Request>) -> Verdict {
        let (key, tls, bytes) = match self.desk.arriving(arriving.port, &arriving.said, 0) {
            gateway::Arriving::Requests(key) => (key, None, None),
            gateway::Arriving::Terminate { tls, .. } if tls.asks_for_certificate() && arriving.peer.is_none() => {
                return close(&"no client certificate");
            }
            gateway::Arriving::Terminate { tls, key, bytes } => (key, Some(tls), bytes),
            gateway::Arriving::Opaque { key, bytes } => (key, None, Some(bytes)),
            gateway::Arriving::Refuse(why) => return close(&why),
            gateway::Arriving::Hear | gateway::Arriving::Ask(_) => panic!("still undecided: {arriving:?}"),
        };
        let asked = tls.as_ref().is_some_and(ServerTls::asks_for_certificate);
        let peer = arriving.peer.as_deref().filter(|_| asked).map(PeerIdentity::new);
        let caller = Caller {
            secured: tls.is_some(),
            peer: peer.as_ref(),
            own: self.own.as_deref().filter(|_| tls == Some(ServerTls::Mesh)),
            ..arrived(Direction::Gateway, &key, arriving, self.address)
        };
        if let Some(bytes) = bytes {
            // Whether it may go on is asked before where to.
            let snapshot = self.desk.snapshot();
            return match bytes.to {
                Ok(cluster) => carry(&snapshot, &caller, &cluster.name),
                Err(missing) => match carry(&snapshot, &caller, &missing) {
                    Verdict::Carry { .. } => close(&missing),
                    refused => refused,
                },
            };
        }
        match request.filter(|_| tls.is_some() || !matches!(arriving.said, Detected::Tls(_))) {
            Some(request) => decided(&mut self.desk, &caller, request, if tls.is_some() { "https" } else { "http" }, 0),
            None => no_request(),
        }
    }
}

/// The caller on a connection that is not decrypted.
fn arrived<'a>(
    direction: Direction,
    key: &'a DestinationKey,
    arriving: &'a Arriving,
    destination: IpAddr,
) -> Caller<'a> {
    let sni = match &arriving.said {
        Detected::Tls(hello) => hello.sni.as_deref(),
        _ => None,
    };
    Caller {
        direction,
        key,
        port: arriving.port,
        secured: false,
        peer: None,
        own: None,
        source: Some(arriving.source),
        destination: Some(destination),
        sni,
    }
}

fn close(why: &dyn std::fmt::Display) -> Verdict {
    Verdict::Close { why: why.to_string() }
}

/// Requests are expected, and something else comes.
fn no_request() -> Verdict {
    Verdict::Answer { status: 400, text: String::new() }
}

fn carry(snapshot: &Snapshot, caller: &Caller<'_>, cluster: &str) -> Verdict {
    match decide::opaque(snapshot, caller, None).0 {
        Ok(_) => Verdict::Carry { cluster: cluster.to_owned() },
        Err(why) => close(&why),
    }
}

fn decided(desk: &mut Desk<Pilot<'_>>, caller: &Caller<'_>, request: &Request, scheme: &str, draw: u64) -> Verdict {
    let mode = desk.snapshot().settings.path_normalization;
    let Ok(path) = path::normalize(&request.path, mode) else { return no_request() };
    let known = decide::Request {
        method: &request.method,
        scheme,
        authority: Some(&request.host),
        path: &path,
        headers: &request.headers,
        client: None,
        metadata: None,
        draw,
    };
    desk.request(caller, &known, |_, decision| outcome(decision, request, &path))
}

fn outcome(decision: Decision<'_>, request: &Request, path: &str) -> Verdict {
    let answer = |status, text: String| Verdict::Answer { status, text };
    match decision.step {
        Step::Forward(plan) => forwarded(&plan.routed, request, path),
        // As early as the handshake: it fails where no connection that it made could stand.
        Step::Refuse(why @ Refused::TrustDomain) => close(&why),
        Step::Refuse(why) => answer(403, why.to_string()),
        Step::Answer(Answer::Redirect { status, location, .. }) => answer(status, location),
        Step::Answer(Answer::Respond { status, body, .. }) => {
            answer(status, String::from_utf8_lossy(&body).into_owned())
        }
        Step::Answer(Answer::NotFound { .. }) => answer(404, String::new()),
        Step::Answer(Answer::Blocked { .. }) => answer(502, String::new()),
        Step::Answer(Answer::ClusterNotFound { .. }) => answer(503, String::new()),
        Step::Ask(ask) => panic!("{ask:?} cannot be had"),
    }
}

fn forwarded(routed: &Routed, request: &Request, path: &str) -> Verdict {
    let rule = routed.rule.as_ref();
    let rewritten = rule.zip(routed.matched.as_ref()).and_then(|(rule, matched)| rewrite::path(rule, matched, path));
    let host = rule.and_then(|rule| rewrite::authority(rule, routed.backend).map(|host| host.to_string()));
    Verdict::Forward {
        cluster: routed.cluster.name.to_string(),
        route: routed.meta.route.to_string(),
        path: rewritten.unwrap_or_else(|| path.to_owned()),
        host: host.unwrap_or_else(|| request.host.clone()),
    }
}
