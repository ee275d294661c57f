//! A request as [`crate::decide`] looks at it, and its decision as an answer.

use super::{Call, body::AnswerBody, head, headers, respond, server::Served};
use crate::{
    conn::Direction,
    decide::{self, Ask, Asking, Plan, Refused, Step},
    error::Error,
    exchange::Exchange,
    route::Answer,
    snapshot::Snapshot,
};
use http::{Response, request::Parts};
use std::net::IpAddr;

/// What becomes of a request: a plan, or an answer of our own.
pub(super) type Next = Result<Plan, Response<AnswerBody>>;

/// A request's canonical head, its random number, and what its decision may ask for.
pub(super) type Asked<'a> = (&'a Parts, u64, Asking);

/// What becomes of a request. `None`: something is missing, see [`asks`].
pub(super) fn look(
    served: &Served,
    snapshot: &Snapshot,
    exchange: &mut Exchange,
    call: &mut Call,
    (head, draw, asking): Asked<'_>,
) -> Result<Option<Next>, Error> {
    let conn = &served.conn;
    let request = request(served, snapshot, call.facts.client, head, draw);
    let decision = decide::request(snapshot, &conn.caller(), &request, asking);
    if let Step::Ask(_) = decision.step {
        return Ok(None);
    }
    for rule in decision.verdict.iter().flat_map(|verdict| &verdict.audited) {
        tracing::info!(%rule, source = %conn.remote, method = %head.method, path = head.uri.path(), "audited");
    }
    match decision.step {
        Step::Ask(_) => Ok(None),
        Step::Forward(plan) => {
            call.ops = served.requests.filters.of_routed(&plan.routed);
            Ok(Some(Ok(plan)))
        }
        Step::Refuse(why) => Err(refused(served, why)),
        Step::Answer(local) => answer(served, exchange, call, local).map(|response| Some(Err(response))),
    }
}

/// What is missing for a decision.
pub(super) fn asks(
    served: &Served,
    snapshot: &Snapshot,
    client: Option<IpAddr>,
    (head, draw, asking): Asked<'_>,
) -> Option<Ask> {
    let request = request(served, snapshot, client, head, draw);
    decide::request(snapshot, &served.conn.caller(), &request, asking).step.asks()
}

/// A request that has become a tunnel, as it was decided: the canonical head, before rules changed it.
pub(super) struct Again {
    head: Parts,
    client: Option<IpAddr>,
}

impl Again {
    /// Of a request that wants to become one; seldom, so that its head may be copied.
    pub(super) fn new(head: &Parts, call: &Call) -> Box<Self> {
        Box::new(Again { head: head.clone(), client: call.facts.client })
    }

    /// Whether the request would still be sent on; else what it would be answered, as logs say it.
    pub(super) fn still_stands(&self, served: &Served, snapshot: &Snapshot) -> Result<(), String> {
        let request = request(served, snapshot, self.client, &self.head, 0);
        match decide::request(snapshot, &served.conn.caller(), &request, Asking::Needed).step {
            // Details that have been given up meanwhile say nothing against it.
            Step::Forward(_) | Step::Ask(_) => Ok(()),
            Step::Refuse(why) => Err(why.to_string()),
            Step::Answer(_) => Err("route_not_found".to_owned()),
        }
    }
}

fn request<'a>(
    served: &Served,
    snapshot: &Snapshot,
    client: Option<IpAddr>,
    head: &'a Parts,
    draw: u64,
) -> decide::Request<'a> {
    decide::Request {
        method: head.method.as_str(),
        scheme: scheme(served, snapshot, head),
        authority: Some(head::authority_of(head)),
        path: head.uri.path_and_query().map_or("", |path| path.as_str()),
        headers: &head.headers,
        client,
        metadata: None,
        draw,
    }
}

/// The connection's; at a gateway behind trusted proxies, what they say of the client's connection. What an HTTP/2 client
/// itself says in `:scheme` proves nothing.
fn scheme(served: &Served, snapshot: &Snapshot, head: &Parts) -> &'static str {
    let conn = &served.conn;
    if conn.direction == Direction::Gateway && snapshot.settings.trusted_proxies > 0 {
        match head.headers.get(headers::FORWARDED_PROTO).map(|value| value.as_bytes()) {
            Some(b"https") => return "https",
            Some(b"http") => return "http",
            _ => {}
        }
    }
    headers::scheme(conn)
}

fn refused(served: &Served, why: Refused<'_>) -> Error {
    if let Refused::PlainText | Refused::TrustDomain = why {
        // No request of this connection can be served: the client had better make another one.
        served.entry.ends_with_this();
    }
    Error::Denied { details: why.to_string().into() }
}

/// An answer of our own; errors become one where all errors do.
fn answer(
    served: &Served,
    exchange: &mut Exchange,
    call: &mut Call,
    local: Answer,
) -> Result<Response<AnswerBody>, Error> {
    let filters = &served.requests.filters;
    match local {
        Answer::Redirect { meta, rule, status, location } => {
            exchange.route = Some(meta);
            call.ops = filters.of(rule.as_ref(), 0);
            Ok(respond::redirect(status, &location, call.client, exchange))
        }
        Answer::Respond { meta, rule, status, body } => {
            exchange.route = Some(meta);
            call.ops = filters.of(Some(&rule), 0);
            Ok(respond::direct(status, body, call.client, exchange))
        }
        Answer::NotFound { meta } => {
            exchange.route = meta;
            Err(Error::RouteNotFound)
        }
        Answer::Blocked { meta } => {
            exchange.route = Some(meta);
            Err(Error::Blocked)
        }
        Answer::ClusterNotFound { meta, rule, cluster } => {
            exchange.route = Some(meta);
            call.ops = filters.of(rule.as_ref(), 0);
            Err(Error::ClusterNotFound(cluster))
        }
    }
}
