//! The HTTP path of one request, on one screen: [`handle`] and [`carry`]. Everything on it belongs to one worker:
//! nothing is shared between threads but counts, nothing is locked.

mod answer;
mod body;
mod client_cert;
pub mod filters;
pub mod grpc;
mod head;
pub mod headers;
mod linger;
mod outgoing;
mod requests;
pub mod respond;
mod rest;
pub mod server;
mod text;
mod unread;
pub mod upgrade;

pub use requests::{Demand, Requests};

use crate::{
    attempt::{self, Attempt},
    authz::{self, Permit},
    body::Held,
    conn::Direction,
    error::Error,
    exchange::Exchange,
    route::{RequestView, Routed, Selection, select},
    snapshot::Snapshot,
    upstream::Lease,
};
use body::AnswerBody;
use filters::Ops;
use http::{HeaderValue, Request, Response, request::Parts};
use hyper::body::Incoming;
use mesh_runtime::clock;
use respond::Client;
use server::Served;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a request waits for the details of a service that is in the index.
const DETAILS: Duration = Duration::from_secs(1);

/// What one request is, besides its head and body.
struct Call {
    client: Client,
    facts: headers::Request,
    /// Operations on the answer's headers.
    ops: Option<Rc<Ops>>,
}

/// One request: the record begins, the request is carried, and whatever comes of it is an answer.
async fn handle(served: &Rc<Served>, request: Request<Incoming>) -> Response<AnswerBody> {
    let requests = &served.requests;
    let mut exchange = Exchange::begin(&requests.sink, &served.conn, clock::now());
    exchange.activity = Some(served.entry.begin());
    exchange.protocol = Some(request.version());
    let (mut head, incoming) = request.into_parts();

    // The configuration of this request, from here to its end.
    let snapshot = requests.snapshot();
    exchange.snapshot = Some(snapshot.clone());
    if exchange.wants_text() {
        text::arrived(&mut exchange, &head);
    }
    let made = headers::request(
        &mut head,
        &served.conn,
        &snapshot.settings,
        || u128::from(requests.upstreams.draw()) << 64 | u128::from(requests.upstreams.draw()),
        || served.client_cert.get_or_init(|| client_cert::element(&served.conn)).clone(),
    );
    let (facts, refused) = match made {
        Ok(facts) => (facts, None),
        Err((error, facts)) => (facts, Some(error)),
    };
    exchange.is_grpc = facts.is_grpc;
    exchange.request_head_bytes = facts.head_bytes;
    if exchange.text.is_some() {
        text::forwarded(&mut exchange, &head, facts.client);
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
            return answer::answer(served, exchange, call, response, lease, deadline);
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
    Local(Response<AnswerBody>),
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
        exchange.authority = HeaderValue::from_str(head::authority_of(&head)).ok();
    }

    // Permit.
    let permit = authorise(served, &snapshot, call, &head)?;

    // Change.
    let timeout = outgoing::timeouts(&routed, served.conn.direction, call, &mut head);
    let cluster = served.requests.upstreams.cluster(&routed.cluster, exchange.started);
    let outgoing = outgoing::outgoing(served, &snapshot, exchange, call, &routed, &cluster, head)?;

    // Try.
    let upstreams = &served.requests.upstreams;
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
    let deadline = timeout.map(|limit| ended.unwrap_or_else(clock::now) + limit);
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
        authority: head::authority_of(head),
        path: head.uri.path_and_query().map_or("", |path| path.as_str()),
        headers: &head.headers,
        listener_port: conn.listener_port,
    };
    if view.path.is_empty() {
        return Err(Error::RouteNotFound);
    }
    let draw = served.requests.upstreams.draw();
    let key = &conn.key;
    let first = select(snapshot, key, &view, draw);
    let Selection::Pending { service } = first else {
        let held = exchange.snapshot.clone().expect("set when the request began");
        return Ok((first, held));
    };
    let deadline = clock::now() + DETAILS;
    loop {
        let needed = served.requests.demand.need(&service);
        let in_time = tokio::time::timeout_at(deadline, needed).await.is_ok();
        let newest = served.requests.snapshot();
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
) -> Result<Result<Routed, Response<AnswerBody>>, Error> {
    let filters = &served.requests.filters;
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
    let Some(local) = snapshot.local() else { return Err(Error::Denied { details: "no_configuration".into() }) };
    if conn.direction == Direction::Outbound {
        return Ok(authz::egress::permit());
    }
    let attributes = authz::Attributes {
        http: Some(authz::HttpAttributes {
            method: head.method.as_str().as_bytes(),
            path: head.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes(),
            authority: Some(head::authority_of(head).as_bytes()),
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
    let verdict = authz::decide(&local.policies, &attributes);
    for rule in &verdict.audited {
        tracing::info!(%rule, source = %conn.remote, method = %head.method, path = head.uri.path(), "audited");
    }
    verdict.permit().map_err(|denial| Error::Denied { details: denial.to_string().into() })
}
