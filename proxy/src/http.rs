//! The HTTP path of one request, on one screen: [`handle`] and [`carry`]. Everything on it belongs to one worker:
//! nothing is shared between threads but counts, nothing is locked.

pub use crate::body;
pub mod connections;
pub mod filters;
pub mod grpc;
pub mod headers;
pub mod respond;
mod rest;
pub mod server;
pub mod upgrade;

use crate::{
    attempt::{self, Attempt, Outgoing},
    authz::{self, Permit},
    conn::Direction,
    error::Error,
    exchange::{Exchange, Sink, Text, head_bytes},
    route::{self, RequestView, Routed, Selection, select},
    snapshot::{Snapshot, listener::DestinationKey},
    upstream::{Lease, Upstreams, WorkerCluster},
};
use body::{Body, Held, Observed};
use filters::Ops;
use http::{
    HeaderValue, Request, Response, StatusCode, Version, header,
    request::Parts,
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use mesh_config::model::{Protocol, ServiceKey, destination::H2Upgrade};
use mesh_runtime::snapshot::{Cached, Reader};
use respond::Client;
use server::Served;
use std::{
    borrow::Cow,
    cell::RefCell,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How long a request waits for the details of a service that is in the index.
const DETAILS: Duration = Duration::from_secs(1);

/// Asks for the details of a service.
pub trait Demand {
    /// Completes when they are in the published snapshot, or it is known that there are none. May never complete:
    /// the wait is bounded here.
    fn need(&self, service: &ServiceKey) -> Pin<Box<dyn Future<Output = ()>>>;
}

/// All that the requests of one worker share.
pub struct Worker {
    snapshots: RefCell<Cached<Snapshot>>,
    current: RefCell<crate::snapshot::WorkerSnapshot>,
    /// Live state of clusters.
    pub upstreams: Upstreams,
    /// Where records go.
    pub sink: Rc<dyn Sink>,
    /// Asks for details.
    pub demand: Rc<dyn Demand>,
    /// The worker's HTTP connections.
    pub connections: Rc<connections::Connections>,
    filters: filters::Cache,
}

impl Worker {
    /// A worker without connections.
    pub fn new(
        snapshots: &Reader<Snapshot>,
        upstreams: Upstreams,
        sink: Rc<dyn Sink>,
        demand: Rc<dyn Demand>,
    ) -> Rc<Self> {
        let mut cached = snapshots.cached();
        let current = Rc::new(cached.load().clone());
        Rc::new(Worker {
            snapshots: RefCell::new(cached),
            current: RefCell::new(current),
            upstreams,
            sink,
            demand,
            connections: Rc::default(),
            filters: filters::Cache::default(),
        })
    }

    /// The newest snapshot, counted in this worker only.
    pub fn snapshot(&self) -> crate::snapshot::WorkerSnapshot {
        let mut cached = self.snapshots.borrow_mut();
        let newest = cached.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current) {
            *current = Rc::new(newest.clone());
        }
        current.clone()
    }

    /// What has to be done from time to time: idle connections end, on both sides. Once a second is right.
    pub fn tick(&self, now: Instant) {
        self.upstreams.sweep(now);
        self.connections.sweep(now);
    }

    /// The next answer on each connection is its last; connections that wait for a request go on waiting.
    pub fn drain(&self) {
        self.connections.ask_all(connections::Wish::Last);
    }

    /// As [`Worker::finish`], but the application's own connections go on: it may need others to answer.
    pub fn finish_arrived(&self) {
        self.connections.ask_arrived(connections::Wish::Finish);
    }

    /// Requests that run may end, connections without one end now.
    pub fn finish(&self) {
        self.connections.ask_all(connections::Wish::Finish);
    }

    /// Connections end now, and the requests on them.
    pub fn end(&self) {
        self.connections.ask_all(connections::Wish::End);
    }
}

/// What one request is, besides its head and body.
struct Call {
    client: Client,
    facts: headers::Request,
    /// Operations on the answer's headers.
    ops: Option<Rc<Ops>>,
}

/// One request: the record begins, the request is carried, and whatever comes of it is an answer.
async fn handle(served: &Rc<Served>, request: Request<Incoming>) -> Response<Body> {
    let worker = &served.worker;
    let mut exchange = Exchange::begin(&worker.sink, &served.conn, Instant::now());
    exchange.activity = Some(served.entry.begin());
    exchange.protocol = Some(request.version());
    let (mut head, incoming) = request.into_parts();

    // The configuration of this request, from here to its end.
    let snapshot = worker.snapshot();
    exchange.snapshot = Some(snapshot.clone());
    if exchange.wants_text() {
        text(&mut exchange, Some(&head));
    }
    let made = headers::request(
        &mut head,
        &served.conn,
        &snapshot.settings,
        || u128::from(worker.upstreams.draw()) << 64 | u128::from(worker.upstreams.draw()),
        || served.client_cert.get_or_init(|| headers::client_cert_element(&served.conn)).clone(),
    );
    let (facts, refused) = match made {
        Ok(facts) => (facts, None),
        Err((error, facts)) => (facts, Some(error)),
    };
    exchange.is_grpc = facts.is_grpc;
    exchange.request_head_bytes = facts.head_bytes;
    if exchange.text.is_some() {
        text_as_forwarded(&mut exchange, &head, facts.client);
    }
    let client = Client {
        version: head.version,
        is_grpc: facts.is_grpc,
        is_head: head.method == http::Method::HEAD,
        direction: served.conn.direction,
    };
    let mut call = Call { client, facts, ops: None };
    exchange.body = Held::new(incoming, facts.is_grpc);

    let carried = match refused {
        None => carry(served, &snapshot, &mut exchange, &mut call, head).await,
        Some(error) => Err(error),
    };
    let mut local = match carried {
        Ok(Carried::Upstream(response, lease, deadline)) => {
            return answer(served, exchange, call, response, lease, deadline);
        }
        Ok(Carried::Local(response)) => response,
        Err(error) => respond::error(&error, call.client, &mut exchange),
    };
    if let Some(ops) = &call.ops {
        ops.on_response(local.headers_mut(), &exchange);
    }
    respond::record(&local, &mut exchange);
    local
}

/// What came of a request that was not refused.
enum Carried {
    /// An upstream's answer; its body must end by the deadline.
    Upstream(Response<Incoming>, Lease, Option<Instant>),
    /// An answer of our own.
    Local(Response<Body>),
}

/// Where to, whether it may, and there.
async fn carry(
    served: &Rc<Served>,
    snapshot: &Arc<Snapshot>,
    exchange: &mut Exchange,
    call: &mut Call,
    mut head: Parts,
) -> Result<Carried, Error> {
    // Route.
    let (selection, snapshot) = selected(served, snapshot, exchange, &head).await?;
    let routed = match forwarded(served, exchange, call, selection)? {
        Ok(routed) => routed,
        Err(local) => return Ok(Carried::Local(local)),
    };
    exchange.route = Some(routed.meta.clone());
    exchange.cluster = Some(routed.cluster.clone());
    if routed.cluster.service_host.is_empty() {
        exchange.authority = HeaderValue::from_str(headers::authority_of(&head)).ok();
    }

    // Permit.
    let permit = authorise(served, &snapshot, call, &head)?;

    // Change.
    let timeout = timeouts(&routed, served.conn.direction, call, &mut head);
    let cluster = served.worker.upstreams.cluster(&routed.cluster, exchange.started);
    let outgoing = outgoing(served, &snapshot, exchange, call, &routed, &cluster, head)?;

    // Try.
    let upstreams = &served.worker.upstreams;
    let attempt = Attempt { upstreams, snapshot: &snapshot, routed: &routed, cluster: &cluster };
    let body = exchange.body.clone();
    let run = attempt::run(&attempt, permit, exchange, outgoing);
    let answered = match timeout {
        None => run.await,
        Some(limit) => match attempt::within(limit, body.as_ref(), run).await {
            Some(answered) => answered,
            None if served.conn.direction == Direction::Inbound => Err(Error::Deadline),
            None => Err(Error::Timeout),
        },
    };
    let (response, lease) = answered?;
    let ended = body.as_ref().map_or(Some(exchange.started), |body| body.ended_at());
    let deadline = timeout.map(|limit| ended.unwrap_or_else(Instant::now) + limit);
    Ok(Carried::Upstream(response, lease, deadline))
}

/// What the snapshot says about the request; where details are missing, what the one with them says.
async fn selected(
    served: &Served,
    snapshot: &Arc<Snapshot>,
    exchange: &mut Exchange,
    head: &Parts,
) -> Result<(Selection, crate::snapshot::WorkerSnapshot), Error> {
    let conn = &served.conn;
    let view = RequestView {
        method: head.method.as_str(),
        scheme: head.uri.scheme_str().unwrap_or_else(|| headers::scheme(conn)),
        authority: headers::authority_of(head),
        path: head.uri.path_and_query().map_or("", |path| path.as_str()),
        headers: &head.headers,
        listener_port: conn.listener_port,
    };
    if view.path.is_empty() {
        return Err(Error::RouteNotFound);
    }
    let draw = served.worker.upstreams.draw();
    let key = &conn.key;
    let first = select(snapshot, key, &view, draw);
    let Selection::Pending { service } = first else {
        let held = exchange.snapshot.clone().expect("set when the request began");
        return Ok((first, held));
    };
    let deadline = Instant::now() + DETAILS;
    loop {
        let needed = served.worker.demand.need(&service);
        let in_time = tokio::time::timeout_at(deadline, needed).await.is_ok();
        let newest = served.worker.snapshot();
        match select(&newest, key, &view, draw) {
            Selection::Pending { service } if !in_time => return Err(Error::NotReady(service)),
            Selection::Pending { .. } => tokio::task::yield_now().await,
            selection => {
                exchange.snapshot = Some(newest.clone());
                return Ok((selection, newest));
            }
        }
    }
}

/// A selection that is not sent on becomes an answer or an error.
fn forwarded(
    served: &Served,
    exchange: &mut Exchange,
    call: &mut Call,
    selection: Selection,
) -> Result<Result<Routed, Response<Body>>, Error> {
    let filters = &served.worker.filters;
    match selection {
        Selection::Forward(routed) => {
            call.ops = filters.of_routed(&routed);
            Ok(Ok(routed))
        }
        Selection::Redirect { meta, rule, status, location } => {
            exchange.route = Some(meta);
            call.ops = filters.of(Some(&rule), 0);
            Ok(Err(respond::redirect(status, &location, call.client, exchange)))
        }
        Selection::Respond { meta, rule, status, body } => {
            exchange.route = Some(meta);
            call.ops = filters.of(Some(&rule), 0);
            Ok(Err(respond::direct(status, body, call.client, exchange)))
        }
        Selection::HttpsRedirect { meta, location } => {
            exchange.route = Some(meta);
            Ok(Err(respond::redirect(301, &location, call.client, exchange)))
        }
        Selection::NotFound { meta } => {
            exchange.route = meta;
            Err(Error::RouteNotFound)
        }
        Selection::Blocked { meta } => {
            exchange.route = Some(meta);
            Err(Error::Blocked)
        }
        Selection::ClusterNotFound { meta, rule, cluster } => {
            exchange.route = Some(meta);
            call.ops = filters.of(rule.as_ref(), 0);
            Err(Error::ClusterNotFound(cluster))
        }
        Selection::Pending { service } => Err(Error::NotReady(service)),
    }
}

/// Inbound: the workload's policies. Outbound nothing forbids what routing allows.
fn authorise(served: &Served, snapshot: &Snapshot, call: &Call, head: &Parts) -> Result<Permit, Error> {
    let conn = &served.conn;
    if conn.direction == Direction::Outbound {
        return Ok(authz::egress::permit());
    }
    let attributes = authz::Attributes {
        http: Some(authz::HttpAttributes {
            method: head.method.as_str().as_bytes(),
            path: head.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes(),
            authority: Some(headers::authority_of(head).as_bytes()),
            headers: &head.headers,
        }),
        peer: conn.peer_certificate().and_then(|peer| peer.uri.as_ref()),
        source_ip: Some(conn.remote.ip()),
        remote_ip: Some(call.facts.client.unwrap_or_else(|| conn.remote.ip())),
        destination_ip: Some(conn.local.ip()),
        destination_port: conn.listener_port.get(),
        sni: conn.sni(),
        metadata: None,
    };
    let verdict = authz::decide(&snapshot.policies, &attributes);
    for rule in &verdict.audited {
        tracing::info!(%rule, source = %conn.remote, method = %head.method, path = head.uri.path(), "audited");
    }
    verdict.permit().map_err(|denial| Error::Denied { details: denial.to_string().into() })
}

/// The limit of the whole request: the route's, or for gRPC the client's if it is shorter. Both are told upstream.
fn timeouts(routed: &Routed, direction: Direction, call: &Call, head: &mut Parts) -> Option<Duration> {
    let route = routed.timeout.filter(|limit| !limit.is_zero());
    let asked = if call.facts.is_grpc { grpc::timeout(&head.headers) } else { None };
    let limit = match (route, asked) {
        (Some(route), Some(asked)) => Some(route.min(asked)),
        (route, asked) => route.or(asked),
    }?;
    let per_try = routed.retries.as_ref().and_then(|r| r.per_try_timeout).filter(|t| !t.is_zero() && *t < limit);
    let told = per_try.unwrap_or(limit);
    if direction != Direction::Inbound {
        let millis = u64::try_from(told.as_millis()).unwrap_or(u64::MAX);
        head.headers.insert(headers::EXPECTED_TIMEOUT, HeaderValue::from(millis));
    }
    if asked.is_some() {
        head.headers.insert("grpc-timeout", grpc::timeout_value(told));
    }
    Some(limit)
}

/// The request as the upstream gets it.
fn outgoing(
    served: &Served,
    snapshot: &Snapshot,
    exchange: &mut Exchange,
    call: &Call,
    routed: &Routed,
    live: &WorkerCluster,
    mut head: Parts,
) -> Result<Outgoing, Error> {
    let conn = &served.conn;
    let http2 = speaks_http2(snapshot, routed, head.version);
    if call.facts.upgrade && http2 {
        return Err(Error::UpgradeRefused);
    }
    if conn.direction.is_client_side() && !routed.meta.operation.is_empty() {
        let operation = operation(served, &routed.meta.operation);
        head.headers.insert(headers::DECORATOR, operation);
    }
    if let Some(ops) = &call.ops {
        ops.on_request(&mut head.headers, exchange);
    }
    if let Some(rule) = &routed.rule {
        rewrite(rule, routed, &mut head);
    }
    let server_name = if live.wants_server_name() { server_name(headers::authority_of(&head)) } else { None };
    let secured = live.wants_tls();
    protocol(&mut head, http2, secured)?;
    Ok(Outgoing {
        head,
        body: exchange.body.clone(),
        http2,
        counts_attempts: conn.direction.is_client_side(),
        upgrade: call.facts.upgrade,
        server_name,
        original: original(&conn.key, conn.local),
    })
}

/// What is spoken to the upstream: what its port declares, else what the client speaks.
fn speaks_http2(snapshot: &Snapshot, routed: &Routed, client: Version) -> bool {
    let (cluster, pool) = (&routed.cluster, &routed.cluster.policy.connection_pool);
    if pool.use_client_protocol {
        return client >= Version::HTTP_2;
    }
    match cluster.protocol {
        Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => true,
        Protocol::Http => match cluster.local {
            Some(_) => false,
            None => pool.h2_upgrade.unwrap_or(snapshot.settings.h2_upgrade) == H2Upgrade::Upgrade,
        },
        Protocol::Auto | Protocol::Tcp | Protocol::Tls | Protocol::Https | Protocol::Udp => client >= Version::HTTP_2,
    }
}

fn operation(served: &Served, operation: &Arc<str>) -> HeaderValue {
    let mut last = served.operation.borrow_mut();
    if let Some((known, value)) = &*last
        && Arc::ptr_eq(known, operation)
    {
        return value.clone();
    }
    let value = HeaderValue::from_str(operation).unwrap_or_else(|_| HeaderValue::from_static(""));
    *last = Some((operation.clone(), value.clone()));
    value
}

/// Path and host changes of a rule.
fn rewrite(rule: &Arc<route::RuleEntry>, routed: &Routed, head: &mut Parts) {
    if let Some(matched) = &routed.matched {
        let old = head.uri.path_and_query().map_or("/", |path| path.as_str());
        if let Some(new) = route::rewrite::path(rule, matched, old) {
            let original = HeaderValue::from_str(old);
            if headers::set_path(&mut head.uri, new).is_ok()
                && let Ok(original) = original
            {
                head.headers.insert("x-envoy-original-path", original);
            }
        }
    }
    if let Some(host) = route::rewrite::authority(rule, routed.backend)
        && let Ok(value) = HeaderValue::from_str(host)
    {
        if let Ok(original) = HeaderValue::from_str(headers::authority_of(head)) {
            head.headers.insert("x-envoy-original-host", original);
        }
        if head.uri.authority().is_some() {
            let path = head.uri.path_and_query().cloned();
            head.uri = headers::origin_form(path);
        }
        head.headers.insert(header::HOST, value);
    }
}

/// Brings the head into the form of the upstream's protocol: the host in `Host` or in the URI.
fn protocol(head: &mut Parts, http2: bool, secured: bool) -> Result<(), Error> {
    if !http2 {
        if let Some(authority) = head.uri.authority() {
            let host = HeaderValue::from_str(authority.as_str());
            let host = host.map_err(|_| Error::Bad(crate::error::BadRequest::InvalidAuthority))?;
            head.headers.insert(header::HOST, host);
            head.uri = headers::origin_form(head.uri.path_and_query().cloned());
        }
        head.version = Version::HTTP_11;
        return Ok(());
    }
    head.version = Version::HTTP_2;
    let host = head.headers.remove(header::HOST);
    if head.uri.authority().is_none() {
        let invalid = || Error::Bad(crate::error::BadRequest::InvalidAuthority);
        let host = host.ok_or_else(invalid)?;
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| invalid())?);
        parts.scheme = Some(if secured { Scheme::HTTPS } else { Scheme::HTTP });
        head.uri = http::Uri::from_parts(parts).map_err(|_| invalid())?;
    }
    Ok(())
}

/// The host as TLS to the upstream names it; an address is not named.
fn server_name(authority: &str) -> Option<Arc<str>> {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    (!is_address && !host.is_empty()).then(|| host.to_ascii_lowercase().into())
}

/// Where the client itself wanted to go, where that is known.
fn original(key: &DestinationKey, local: SocketAddr) -> Option<SocketAddr> {
    match key {
        DestinationKey::Egress(_) | DestinationKey::Gateway(_) | DestinationKey::GatewayTls { .. } => None,
        DestinationKey::HttpPort(_) | DestinationKey::Service(..) | DestinationKey::Inbound(_) => Some(local),
        DestinationKey::Unknown(address) => Some(*address),
    }
}

/// An upstream's answer on its way to the client.
fn answer(
    served: &Served,
    mut exchange: Box<Exchange>,
    call: Call,
    response: Response<Incoming>,
    lease: Lease,
    deadline: Option<Instant>,
) -> Response<Body> {
    let now = Instant::now();
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let mut response = response;
    let switched = upgraded.then(|| hyper::upgrade::on(&mut response));
    let (mut head, incoming) = response.into_parts();
    head.version = if call.client.version >= Version::HTTP_2 { Version::HTTP_2 } else { Version::HTTP_11 };
    if exchange.details.is_empty() {
        exchange.details = Cow::Borrowed("via_upstream");
    }
    exchange.status = Some(head.status);
    exchange.grpc_status = if call.facts.is_grpc { crate::exchange::grpc_status(&head.headers) } else { None };

    headers::response(&mut head.headers, call.client.version, upgraded);
    let ended = exchange.body.as_ref().map_or(Some(exchange.started), |body| body.ended_at());
    if let Some(ended) = ended.filter(|_| !upgraded) {
        let took = now.saturating_duration_since(ended);
        exchange.service_time = Some(took);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        head.headers.insert(headers::SERVICE_TIME, small_number(millis));
    }
    let direction = served.conn.direction;
    if direction == Direction::Inbound {
        let operation = exchange.route.as_ref().map(|route| &route.operation).filter(|o| !o.is_empty());
        if let Some(name) = operation.filter(|_| !call.facts.had_decorator) {
            head.headers.insert(headers::DECORATOR, self::operation(served, name));
        }
    } else {
        head.headers.remove(headers::DECORATOR);
    }
    if let Some(ops) = &call.ops {
        ops.on_response(&mut head.headers, &exchange);
    }
    head.headers.insert(header::SERVER, headers::server_name(direction));
    exchange.response_head_bytes = head_bytes(&head.headers) + 17;

    match switched {
        // The client's connection is taken over when this is out.
        Some(upstream) if call.facts.upgrade => {
            served.switched.replace(Some(upgrade::Switched { upstream, exchange, lease }));
            Response::from_parts(head, Body::Empty)
        }
        None if call.facts.upgrade && !head.status.is_client_error() && !head.status.is_server_error() => {
            // Neither yes nor no: its body would be taken for the new protocol.
            exchange.details = Cow::Borrowed("websocket_handshake_unsuccessful");
            exchange.complete = true;
            head.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(head, Body::Empty)
        }
        _ => Response::from_parts(head, Body::Observed(Observed::new(incoming, exchange, lease, deadline))),
    }
}

/// A number as a header, without formatting the usual ones.
fn small_number(n: u64) -> HeaderValue {
    const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    match SMALL.get(usize::try_from(n).unwrap_or(usize::MAX)) {
        Some(text) => HeaderValue::from_static(text),
        None => HeaderValue::from(n),
    }
}

/// What an access log prints of the request as it came.
fn text(exchange: &mut Exchange, head: Option<&Parts>) {
    exchange.text = Some(Box::new(Text {
        start: mesh_runtime::clock::system_now(),
        method: head.map_or(http::Method::GET, |head| head.method.clone()),
        path: head.and_then(|head| head.uri.path_and_query().cloned()),
        user_agent: head.and_then(|head| head.headers.get(header::USER_AGENT).cloned()),
        forwarded_for: None,
        request_id: None,
        client: None,
    }));
    if let Some(head) = head {
        exchange.authority = HeaderValue::from_str(headers::authority_of(head)).ok();
    }
}

/// And of the request as it is forwarded.
fn text_as_forwarded(exchange: &mut Exchange, head: &Parts, client: Option<IpAddr>) {
    if let Some(text) = &mut exchange.text {
        text.forwarded_for = head.headers.get("x-forwarded-for").cloned();
        text.request_id = head.headers.get(headers::REQUEST_ID).cloned();
        text.client = client;
    }
}
