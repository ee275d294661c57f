//! A proxy in memory (feature `testing`): parts become a snapshot, upstreams are scripts behind in-memory pipes, and
//! clients speak raw bytes. Time is paused: it jumps when everybody waits, so no test waits for real.

pub mod wire;

use crate::{
    conn::{Connection, Direction, Memo, PeerAddress, Secured},
    connections::{Connections, Counted},
    decide::Ask,
    exchange::{Exchange, Sink},
    http::{
        Demand, Requests,
        server::{Protocol as Spoken, serve},
    },
    limit::clients::Bounds,
    snapshot::{
        OwnFacts, Snapshot,
        build::{Changes, State},
        fixture::complete,
        listener::DestinationKey,
    },
    upstream::{Connector, Dial, Shared, Upstreams},
};
use mesh_config::{
    identity::PeerIdentity,
    kind::Role,
    model::{
        Destination, Endpoint, Part, Protocol, Route, Service, ServiceKey,
        endpoint::{EndpointAddress, EndpointKey, Health},
        service::{Resolution, ServicePort},
    },
    name::Port,
};
use mesh_runtime::{
    snapshot::{Publisher, publisher},
    telemetry::metrics::Registry,
    tls::verify::PeerCertificate,
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{DuplexStream, duplex},
    runtime::{Builder, LocalOptions},
};
use wire::Wire;

/// Runs a test on one thread with paused time.
pub fn run<F: Future>(test: F) -> F::Output {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build_local(LocalOptions::default());
    runtime.expect("a runtime can be made").block_on(test)
}

/// A mesh of parts, and the proxy of one workload in it.
pub struct Proxy {
    state: RefCell<State>,
    publisher: Publisher<Snapshot>,
    /// Scripted upstreams.
    pub net: Rc<Net>,
    /// What its one worker's requests share.
    pub requests: Rc<Requests>,
    /// What was recorded.
    pub records: Rc<Records>,
    metrics: Registry,
    connections: Cell<u64>,
}

impl Proxy {
    /// A sidecar that knows these parts.
    pub fn sidecar(parts: impl IntoIterator<Item = Part>) -> Rc<Proxy> {
        Proxy::new(Role::Sidecar, parts)
    }

    /// A proxy of this role that knows these parts.
    pub fn new(role: Role, parts: impl IntoIterator<Item = Part>) -> Rc<Proxy> {
        Proxy::told(role, complete(parts))
    }

    /// A proxy of this role that was told these parts and nothing more.
    pub fn told(role: Role, parts: impl IntoIterator<Item = Part>) -> Rc<Proxy> {
        let ips = vec!["10.0.0.1".parse().expect("an address")];
        let mut state = State::new(OwnFacts { role, namespace: "shop".into(), ips });
        state.apply(Changes::upserts(parts));
        let (publisher, reader) = publisher(state.snapshot().clone());
        let net = Rc::new(Net::default());
        let dialled = net.clone();
        let connector = Connector::new(Dial::Memory(Rc::new(move |address| dialled.dial(address))), None);
        let upstreams = Upstreams::new(Arc::<Shared>::default(), connector);
        let records = Rc::new(Records::default());
        let bounds = if role == Role::Gateway { Bounds::of_gateway() } else { Bounds::default() };
        let metrics = Registry::new();
        let counted = Counted::new(&metrics).expect("the first of this name");
        let connections = Connections::new(bounds, Some(counted));
        let requests = Requests::new(&reader, upstreams, records.clone(), Rc::new(Never), connections);
        Rc::new(Proxy {
            state: RefCell::new(state),
            publisher,
            net,
            requests,
            records,
            metrics,
            connections: Cell::new(0),
        })
    }

    /// How many were ended for a clock, by reason.
    pub fn ended_for(&self, reason: &str) -> u64 {
        let name = format!("mesh_client_connections_ended_total{{reason=\"{reason}\"}}");
        let text = self.metrics.render();
        let value = |line: &str| line.strip_prefix(&name)?.trim().parse().ok();
        text.lines().find_map(value).unwrap_or(0)
    }

    /// Parts that come later; as in the process, what is open is held against them.
    pub fn apply(&self, parts: impl IntoIterator<Item = Part>) {
        self.publish(parts);
        self.requests.look_again();
    }

    /// Parts that come later, the moment before open connections hear of them.
    pub fn publish(&self, parts: impl IntoIterator<Item = Part>) {
        let mut state = self.state.borrow_mut();
        let applied = state.apply(Changes::upserts(parts));
        self.publisher.publish(applied.snapshot);
    }

    /// A connection of the application to port 80, HTTP/1 or HTTP/2 as its first bytes say.
    pub fn client(&self) -> Wire {
        self.connect(Direction::Outbound, DestinationKey::HttpPort(port(80)), 80)
    }

    /// A connection of a peer to an inbound port.
    pub fn peer(&self, number: u16) -> Wire {
        self.connect(Direction::Inbound, DestinationKey::Inbound(port(number)), number)
    }

    /// A connection with any key.
    pub fn connect(&self, direction: Direction, key: DestinationKey, number: u16) -> Wire {
        Wire::new(self.pipe(direction, key, number))
    }

    /// As [`Proxy::connect`], without the raw client.
    pub fn pipe(&self, direction: Direction, key: DestinationKey, number: u16) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        let conn = self.connection(direction, key, number);
        tokio::task::spawn_local(serve(theirs, conn, Spoken::Either, self.requests.clone()));
        ours
    }

    /// A connection of a peer that has proved to be `peer` to us, who showed `own`.
    pub fn mutual_peer(&self, number: u16, peer: &str, own: &str) -> Wire {
        let certificate = PeerCertificate {
            uri: Some(PeerIdentity::new(peer)),
            uris: vec![peer.to_owned()],
            dns: Vec::new(),
            ips: Vec::new(),
            subject: String::new(),
            hash: String::new(),
            serial: String::new(),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH,
            der: Vec::new().into(),
        };
        let secured = Secured {
            peer: Some(Arc::new(certificate)),
            own: own.into(),
            sni: None,
            alpn: b"http/1.1".as_slice().into(),
            in_mesh: true,
        };
        let (ours, theirs) = duplex(64 * 1024);
        let conn = self.facts(Direction::Inbound, DestinationKey::Inbound(port(number)), number, Some(secured));
        tokio::task::spawn_local(serve(theirs, conn, Spoken::Http1, self.requests.clone()));
        Wire::new(ours)
    }

    /// The facts of a connection in plain text.
    pub fn connection(&self, direction: Direction, key: DestinationKey, number: u16) -> Rc<Connection> {
        self.facts(direction, key, number, None)
    }

    fn facts(
        &self,
        direction: Direction,
        key: DestinationKey,
        number: u16,
        secured: Option<Secured>,
    ) -> Rc<Connection> {
        self.connections.set(self.connections.get() + 1);
        Rc::new(Connection {
            id: self.connections.get(),
            direction,
            key,
            listener_port: port(number),
            local: SocketAddr::from(([10, 0, 0, 1], number)),
            remote: "10.0.0.9:40000".parse().expect("an address"),
            secured,
            asked_for: None,
            memo: Memo::default(),
        })
    }
}

/// Has nothing.
struct Never;

impl Demand for Never {
    fn need(&self, ask: &Ask) -> Pin<Box<dyn Future<Output = bool>>> {
        match ask {
            Ask::Details(_) => Box::pin(std::future::pending()),
            Ask::Workload(_) => Box::pin(std::future::ready(false)),
        }
    }
}

/// What a record said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Response code, 0 for none.
    pub code: u16,
    /// Response flags as text.
    pub flags: String,
    /// Response code details.
    pub details: String,
    /// Retries asked for by rules.
    pub retries: u32,
    /// Safe replays.
    pub replays: u32,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// `grpc-status`.
    pub grpc_status: Option<u16>,
}

/// Keeps all records.
#[derive(Default)]
pub struct Records(RefCell<Vec<Record>>);

impl Records {
    /// All so far.
    pub fn all(&self) -> Vec<Record> {
        self.0.borrow().clone()
    }

    /// The last one, waiting for number `count`.
    pub async fn number(&self, count: usize) -> Record {
        let there = || self.0.borrow().len() >= count;
        mesh_runtime::testing::eventually(Duration::from_secs(60), there).await;
        self.0.borrow()[count - 1].clone()
    }
}

impl Sink for Records {
    fn record(&self, exchange: &Exchange) {
        self.0.borrow_mut().push(Record {
            code: exchange.code(),
            flags: exchange.flags.to_string(),
            details: exchange.details.to_string(),
            retries: exchange.retries,
            replays: exchange.replays,
            request_bytes: exchange.request_body_bytes,
            response_bytes: exchange.response_body_bytes,
            grpc_status: exchange.grpc_status,
        });
    }
}

type Script = Rc<dyn Fn(Wire, usize) -> Pin<Box<dyn Future<Output = ()>>>>;

/// Upstreams by address. What is not there refuses connections.
#[derive(Default)]
pub struct Net {
    listeners: RefCell<HashMap<SocketAddr, Script>>,
    dialled: RefCell<HashMap<SocketAddr, usize>>,
}

impl Net {
    /// `script` runs for each connection, which it is told the number of, from 1.
    pub fn listen<F>(&self, address: &str, script: impl Fn(Wire, usize) -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let boxed: Script = Rc::new(move |io, number| Box::pin(script(io, number)));
        self.listeners.borrow_mut().insert(address.parse().expect("an address"), boxed);
    }

    /// An upstream that answers every request with `answer(request)`, head and body as text.
    pub fn serve(&self, address: &str, answer: impl Fn(&str) -> String + 'static) {
        let answer = Rc::new(answer);
        self.listen(address, move |mut io, _| {
            let answer = answer.clone();
            async move {
                while let Some(request) = io.message().await {
                    io.write(&answer(&request)).await;
                }
            }
        });
    }

    /// How often an address was dialled.
    pub fn dialled(&self, address: &str) -> usize {
        let address: SocketAddr = address.parse().expect("an address");
        self.dialled.borrow().get(&address).copied().unwrap_or(0)
    }

    fn dial(&self, address: &PeerAddress) -> Option<DuplexStream> {
        let PeerAddress::Ip(address) = address else { return None };
        *self.dialled.borrow_mut().entry(*address).or_default() += 1;
        let script = self.listeners.borrow().get(address).cloned()?;
        let (ours, theirs) = duplex(64 * 1024);
        let number = self.dialled.borrow()[address];
        tokio::task::spawn_local(script(Wire::new(theirs), number));
        Some(ours)
    }
}

pub fn port(number: u16) -> Port {
    Port::new(number).expect("not zero")
}

/// A service in namespace `shop` with one port, its index entry and its endpoints.
pub fn service(host: &str, number: u16, protocol: Protocol, endpoints: &[&str]) -> Vec<Part> {
    let key = ServiceKey { namespace: "shop".into(), host: host.parse().expect("a host") };
    let service = Service {
        name: host.split('.').next().unwrap_or(host).into(),
        key: key.clone(),
        addresses: Vec::new(),
        ports: vec![ServicePort { number: port(number), name: "p".into(), protocol }],
        resolution: Resolution::Static,
        external: false,
        headless: false,
        subject_alt_names: Vec::new(),
    };
    let mut parts = vec![Part::Index(Arc::new((&service).into()))];
    parts.extend(endpoints.iter().map(|address| Part::Endpoint(Arc::new(endpoint(&key, number, address)))));
    parts.push(Part::Service(Arc::new(service)));
    parts
}

/// An endpoint at `address:port`, plain text.
pub fn endpoint(service: &ServiceKey, number: u16, address: &str) -> Endpoint {
    let address: SocketAddr = address.parse().expect("an address");
    Endpoint {
        key: EndpointKey { service: service.clone(), port: port(number), id: address.to_string().into() },
        address: EndpointAddress::Ip(address.ip()),
        target_port: address.port(),
        labels: Default::default(),
        health: Health::Healthy,
        weight: 1,
        locality: Default::default(),
        mutual_tls: false,
        identity: None,
        workload: None,
    }
}

/// A route for a host.
pub fn route(host: &str, rules: Vec<mesh_config::model::route::RouteRule>) -> Part {
    Part::Route(Arc::new(Route {
        object: mesh_config::kind::ObjectKind::VirtualService,
        name: "shop/route".parse().expect("a name"),
        hosts: vec![host.parse().expect("a host")],
        parents: vec![mesh_config::model::route::Parent::Mesh],
        precedence: Default::default(),
        visibility: mesh_config::model::Visibility::Everywhere,
        rules,
        tls: Vec::new(),
        tcp: Vec::new(),
    }))
}

/// A rule that sends everything to a host.
pub fn rule_to(host: &str) -> mesh_config::model::route::RouteRule {
    use mesh_config::model::route::{Backend, RouteAction, RouteRule, Target};
    let target = Target { host: host.parse().expect("a host"), port: None, subset: None };
    RouteRule {
        name: "".into(),
        matches: Vec::new(),
        action: RouteAction::Forward(vec![Backend { target, weight: 1, headers: Default::default() }]),
        rewrite: None,
        timeout: None,
        retries: None,
        headers: Default::default(),
    }
}

/// Limits for a host.
pub fn limits(host: &str, pool: mesh_config::model::destination::ConnectionPool) -> Part {
    Part::Destination(Arc::new(Destination {
        object: mesh_config::kind::ObjectKind::DestinationRule,
        name: "shop/limits".parse().expect("a name"),
        host: host.parse().expect("a host"),
        precedence: Default::default(),
        visibility: mesh_config::model::Visibility::Everywhere,
        workload_selector: None,
        policy: mesh_config::model::destination::TrafficPolicy { connection_pool: Some(pool), ..Default::default() },
        subsets: Vec::new(),
    }))
}
