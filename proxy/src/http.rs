//! The HTTP path of one request, on one screen: [`handle`] and [`carry`]. Everything on it belongs to one worker:
//! nothing is shared between threads but counts, nothing is locked.

mod answer;
mod body;
mod client_cert;
mod decision;
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

pub use requests::{Demand, Fetching, Requests, WHOSE};

use crate::{
    attempt::{self, Attempt},
    body::Held,
    conn::Direction,
    decide::{self, Ask, Asking, Plan},
    error::Error,
    exchange::Exchange,
    snapshot::WorkerSnapshot,
    upstream::Lease,
};
use body::AnswerBody;
use decision::{Again, Next};
use filters::Ops;
use http::{HeaderValue, Response, request::Parts};
use hyper::body::Incoming;
use mesh_runtime::clock;
use respond::Client;
use server::Served;
use std::{pin::pin, rc::Rc, time::Duration};
use tokio::time::Instant;

/// How long a request waits for the details of a service that is in the index.
const DETAILS: Duration = Duration::from_secs(1);

/// What one request is, besides its head and body.
struct Call {
    client: Client,
    facts: headers::Request,
    /// Operations on the answer's headers.
    ops: Option<Rc<Ops>>,
    /// Where a tunnel is asked for: the request, to be decided again while there is one.
    tunnel: Option<Box<Again>>,
}

/// One request: the record begins, the request is carried, and whatever comes of it is an answer. The head is lent: every
/// future that owned it would be larger by it.
async fn handle(served: &Rc<Served>, head: &mut Parts, incoming: Incoming) -> Response<AnswerBody> {
    let (mut exchange, mut call, fit) = begun(served, head, incoming);
    let carried = match fit {
        Ok(snapshot) => carry(served, snapshot, &mut exchange, &mut call, head).await,
        Err(error) => Err(error),
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
    respond::unless_read(&mut local, call.client, call.facts.expects, &exchange).await;
    respond::record(&local, &mut exchange);
    local
}

/// The record of a request, and the configuration that it is decided with, its head fit for that; or why it cannot be.
fn begun(
    served: &Served,
    head: &mut Parts,
    incoming: Incoming,
) -> (Box<Exchange>, Call, Result<WorkerSnapshot, Error>) {
    let requests = &served.requests;
    let mut exchange = Exchange::begin(&requests.sink, &served.conn, clock::now());
    exchange.activity = Some(served.entry.begin());
    exchange.protocol = Some(head.version);

    // The configuration of this request, from here to its end.
    let snapshot = requests.snapshot();
    exchange.snapshot = Some(snapshot.clone());
    if exchange.wants_text() {
        text::arrived(&mut exchange, head);
    }
    let made = headers::request(
        head,
        &served.conn,
        &snapshot.settings,
        || u128::from(requests.upstreams.draw()) << 64 | u128::from(requests.upstreams.draw()),
        || served.client_cert.get_or_init(|| client_cert::element(&served.conn)).clone(),
    );
    let (facts, fit) = match made {
        Ok(facts) => (facts, Ok(snapshot)),
        Err((error, facts)) => (facts, Err(error)),
    };
    exchange.is_grpc = facts.is_grpc;
    exchange.request_head_bytes = facts.head_bytes;
    if exchange.text.is_some() {
        text::forwarded(&mut exchange, head, facts.client);
    }
    let client = Client {
        version: head.version,
        is_grpc: facts.is_grpc,
        is_head: head.method == http::Method::HEAD,
        direction: served.conn.direction,
    };
    exchange.body = Held::new(incoming, facts.is_grpc, served.entry.room());
    let mut fit = fit;
    if let Some(activity) = &mut exchange.activity {
        if !activity.holds(usize::try_from(facts.head_bytes).unwrap_or(usize::MAX)) && fit.is_ok() {
            fit = Err(Error::Overloaded);
        }
        if let Some(body) = &exchange.body {
            activity.receives(body);
        }
    }
    (exchange, Call { client, facts, ops: None, tunnel: None }, fit)
}

/// What came of a request that was not refused.
enum Carried {
    /// An upstream's answer; its body must end by the deadline.
    Upstream(Response<Incoming>, Lease, Option<Instant>),
    /// An answer of our own.
    Local(Response<AnswerBody>),
}

/// Whether it may go, where to, and there.
async fn carry(
    served: &Rc<Served>,
    snapshot: WorkerSnapshot,
    exchange: &mut Exchange,
    call: &mut Call,
    head: &mut Parts,
) -> Result<Carried, Error> {
    // Decide.
    let (Plan { permit, routed }, snapshot) = match decided(served, snapshot, exchange, call, head).await? {
        (Ok(plan), snapshot) => (plan, snapshot),
        (Err(local), _) => return Ok(Carried::Local(local)),
    };
    exchange.route = Some(routed.meta.clone());
    exchange.cluster = Some(routed.cluster.clone());
    if routed.cluster.service_host.is_empty() {
        exchange.authority = HeaderValue::from_str(head::authority_of(head)).ok();
    }

    // Change.
    if call.facts.upgrade {
        call.tunnel = Some(Again::new(head, call));
    }
    let timeout = outgoing::timeouts(&routed, served.conn.direction, call, head);
    let cluster = served.requests.upstreams.cluster(&routed.cluster, exchange.started);
    let mut outgoing = outgoing::outgoing(served, &snapshot, exchange, call, &routed, &cluster, head)?;

    // Try.
    let upstreams = &served.requests.upstreams;
    let attempt = Attempt { upstreams, snapshot: &snapshot, routed: &routed, cluster: &cluster };
    let body = exchange.body.clone();
    let started = exchange.started;
    let run = pin!(attempt::run(&attempt, permit, exchange, &mut outgoing));
    let (response, lease) = match attempt::within(timeout, body.as_ref(), run).await {
        Some(answered) => answered?,
        None if served.conn.direction == Direction::Inbound => return Err(Error::Deadline),
        None => return Err(Error::Timeout),
    };
    let ended = body.as_ref().map_or(Some(started), |body| body.ended_at());
    let deadline = timeout.map(|limit| ended.unwrap_or_else(clock::now) + limit);
    Ok(Carried::Upstream(response, lease, deadline))
}

/// What becomes of a request, and the configuration that it was decided with.
async fn decided(
    served: &Rc<Served>,
    snapshot: WorkerSnapshot,
    exchange: &mut Exchange,
    call: &mut Call,
    head: &Parts,
) -> Result<(Next, WorkerSnapshot), Error> {
    let draw = served.requests.upstreams.draw();
    if let Some(next) = decision::look(served, &snapshot, exchange, call, (head, draw, Asking::All))? {
        return Ok((next, snapshot));
    }
    // Seldom, and in a box: the future of every request would have its room otherwise.
    let client = call.facts.client;
    let settled = async {
        let mut fetching = served.requests.fetching(DETAILS);
        decide::settle(&mut fetching, |snapshot, asking| decision::asks(served, snapshot, client, (head, draw, asking)))
            .await
    };
    let (snapshot, asking) = Box::pin(settled).await;
    exchange.snapshot = Some(snapshot.clone());
    match decision::look(served, &snapshot, exchange, call, (head, draw, asking))? {
        Some(next) => Ok((next, snapshot)),
        None => match decision::asks(served, &snapshot, client, (head, draw, asking)) {
            Some(Ask::Details(service)) => Err(Error::NotReady(service)),
            // Whose an address is has been done without by now.
            Some(Ask::Workload(_)) | None => Err(Error::RouteNotFound),
        },
    }
}
