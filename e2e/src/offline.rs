//! Decisions without sockets: objects → compile → wire and back → snapshot → select and authorise; the same functions
//! that `explain` asks and that proxies execute.

use mesh_config::{
    identity::PeerIdentity,
    kind::Role,
    model::{Kind, Part, PartName, ServiceKey},
    name::{Namespace, Port},
    path, wire,
};
use mesh_pilot::{Mesh, ProxyFacts, scope};
use mesh_proxy::{
    authz::{Attributes, HttpAttributes, decide},
    route::{Answer, RequestView, Routed, Selection, rewrite, select},
    snapshot::{
        OwnFacts, Snapshot,
        build::{Changes, State},
        listener::DestinationKey,
    },
};
use std::net::IpAddr;

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

/// What the caller's proxy does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Sends it on.
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
    /// Answers by itself.
    Answer {
        status: u16,
        /// Where to, for redirects; body, for answers.
        text: String,
    },
}

/// What the called workload's proxy does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// It may pass.
    pub allowed: bool,
    /// As in the access log: which rule refused it; empty when it may pass.
    pub details: String,
}

/// One proxy without its sockets.
pub struct Decider<'m> {
    mesh: &'m Mesh,
    facts: ProxyFacts,
    state: State,
}

/// Most details that one request may need.
const MOST_FETCHES: usize = 64;

impl<'m> Decider<'m> {
    /// The proxy of the workload at `address`, with this proven account.
    pub fn new(mesh: &'m Mesh, role: Role, namespace: &str, account: &str, address: IpAddr) -> Self {
        let namespace = Namespace::from(namespace);
        let facts = ProxyFacts::resolve(mesh, role, (&namespace, account), None, &[address]);
        let state = State::new(OwnFacts { role, namespace, ips: vec![address] });
        let mut decider = Decider { mesh, facts, state };
        let seen = scope::visible(mesh, &decider.facts).parts;
        decider.take(seen.iter().map(|shared| shared.part()), Vec::new());
        decider
    }

    /// The configuration now.
    pub fn snapshot(&self) -> &Snapshot {
        self.state.snapshot()
    }

    /// A request of the application. `draw` decides between weighted destinations.
    pub fn outgoing(&mut self, key: &DestinationKey, listener_port: Port, request: &Request, draw: u64) -> Outgoing {
        let path = match path::normalize(&request.path, self.snapshot().settings.path_normalization) {
            Ok(path) => path.into_owned(),
            Err(_) => return Outgoing::Answer { status: 400, text: String::new() },
        };
        let view = RequestView {
            method: &request.method,
            scheme: "http",
            authority: &request.host,
            path: &path,
            headers: &request.headers,
            listener_port,
        };
        for _ in 0..MOST_FETCHES {
            match select(self.state.snapshot(), key, &view, draw) {
                Selection::Pending { service } => self.fetch(&service),
                selection => return outcome(selection, request, &path),
            }
        }
        panic!("the details of {} cannot be had", request.host)
    }

    /// A request of a peer to a port of the workload.
    pub fn incoming(&self, port: Port, peer: Option<&str>, source: IpAddr, request: &Request) -> Incoming {
        let snapshot = self.snapshot();
        let path = path::normalize(&request.path, snapshot.settings.path_normalization).unwrap_or_default();
        let peer = peer.map(PeerIdentity::new);
        let Some(local) = snapshot.local() else {
            return Incoming { allowed: false, details: "no_configuration".to_owned() };
        };
        let verdict = decide(
            &local.policies,
            &Attributes {
                http: Some(HttpAttributes {
                    method: request.method.as_bytes(),
                    path: path.as_bytes(),
                    authority: Some(request.host.as_bytes()),
                    headers: &request.headers,
                }),
                peer: peer.as_ref(),
                source_ip: Some(source),
                remote_ip: Some(source),
                destination_ip: self.facts.addresses.first().copied(),
                destination_port: port.get(),
                sni: None,
                metadata: None,
            },
        );
        let denial = verdict.allowed().err();
        Incoming { allowed: denial.is_none(), details: denial.map(|d| d.to_string()).unwrap_or_default() }
    }

    fn fetch(&mut self, key: &ServiceKey) {
        let children = scope::children(self.mesh, &self.facts, key).unwrap_or_else(|| panic!("pilot knows no {key}"));
        let alone = children.service.is_none();
        let removed = alone.then(|| (Kind::Service, PartName(key.to_string().into()))).into_iter().collect();
        let parts: Vec<_> = children.in_order().cloned().collect();
        self.take(parts.iter().map(|shared| shared.part()), removed);
    }

    /// Over the wire and into the snapshot.
    fn take<'p>(&mut self, parts: impl Iterator<Item = &'p Part>, removed: Vec<(Kind, PartName)>) {
        let carried = |part: &Part| {
            let encoded = wire::encode(part);
            let decoded = wire::decode(encoded.type_url, encoded.bytes).expect("what we encode can be read");
            assert!(decoded == *part, "{} {} changed on the wire", encoded.type_url, encoded.name);
            decoded
        };
        self.state.apply(Changes { upserts: parts.map(carried).collect(), removed, ..Changes::default() });
    }
}

fn outcome(selection: Selection, request: &Request, path: &str) -> Outgoing {
    let answer = |status, text: String| Outgoing::Answer { status, text };
    match selection {
        Selection::Forward(routed) => forwarded(&routed, request, path),
        Selection::Answer(Answer::Redirect { status, location, .. }) => answer(status, location),
        Selection::Answer(Answer::Respond { status, body, .. }) => {
            answer(status, String::from_utf8_lossy(&body).into_owned())
        }
        Selection::Answer(Answer::NotFound { .. }) => answer(404, String::new()),
        Selection::Answer(Answer::Blocked { .. }) => answer(502, String::new()),
        Selection::Answer(Answer::ClusterNotFound { .. }) => answer(503, String::new()),
        Selection::Pending { service } => panic!("{service} is still pending"),
    }
}

fn forwarded(routed: &Routed, request: &Request, path: &str) -> Outgoing {
    let rule = routed.rule.as_ref();
    let rewritten = rule.zip(routed.matched.as_ref()).and_then(|(rule, matched)| rewrite::path(rule, matched, path));
    let host = rule.and_then(|rule| rewrite::authority(rule, routed.backend).map(|host| host.to_string()));
    Outgoing::Forward {
        cluster: routed.cluster.name.to_string(),
        route: routed.meta.route.to_string(),
        path: rewritten.unwrap_or_else(|| path.to_owned()),
        host: host.unwrap_or_else(|| request.host.clone()),
    }
}
