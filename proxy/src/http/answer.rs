//! An upstream's answer on its way to the client.

use super::{
    Call,
    body::{AnswerBody, Observed},
    headers,
    server::Served,
    upgrade,
};
use crate::{
    attempt::retry,
    conn::Direction,
    exchange::{Exchange, head_bytes},
    upstream::Lease,
};
use http::{HeaderValue, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use mesh_runtime::clock;
use std::borrow::Cow;
use tokio::time::Instant;

/// An upstream's answer on its way to the client.
pub(super) fn answer(
    served: &Served,
    mut exchange: Box<Exchange>,
    call: Call,
    response: Response<Incoming>,
    lease: Lease,
    deadline: Option<Instant>,
) -> Response<AnswerBody> {
    let now = clock::now();
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

    super::head::answer(&mut head.headers, upgraded);
    let ended = exchange.body.as_ref().map_or(Some(exchange.started), |body| body.ended_at());
    if let Some(ended) = ended.filter(|_| !upgraded) {
        let took = now.saturating_duration_since(ended);
        exchange.service_time = Some(took);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        head.headers.insert(headers::SERVICE_TIME, small_number(millis));
    }
    if ended.is_none() && !upgraded && head.version < Version::HTTP_2 {
        // The upstream has what it needs of the request, and the rest of it is in the way of another.
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let direction = served.conn.direction;
    if direction == Direction::Inbound {
        let operation = exchange.route.as_ref().map(|route| &route.operation).filter(|o| !o.is_empty());
        if let Some(name) = operation.filter(|_| !call.facts.had_decorator) {
            head.headers.insert(headers::DECORATOR, served.operation(name));
        }
    } else {
        head.headers.remove(headers::DECORATOR);
    }
    // Of an application it says nothing, and to one neither.
    head.headers.remove(retry::UNDELIVERED);
    if let Some(ops) = &call.ops {
        ops.on_response(&mut head.headers, &exchange);
    }
    head.headers.insert(header::SERVER, headers::server_name(direction));
    exchange.response_head_bytes = head_bytes(&head.headers) + 17;

    match switched {
        // The client's connection is taken over when this is out.
        Some(upstream) if call.facts.upgrade => {
            served.switched.replace(Some(upgrade::Switched { upstream, exchange, lease, tunnel: call.tunnel }));
            Response::from_parts(head, AnswerBody::Empty)
        }
        None if call.facts.upgrade && !head.status.is_client_error() && !head.status.is_server_error() => {
            // Neither yes nor no: its body would be taken for the new protocol.
            exchange.details = Cow::Borrowed("websocket_handshake_unsuccessful");
            exchange.complete = true;
            head.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(head, AnswerBody::Empty)
        }
        _ => Response::from_parts(head, AnswerBody::Observed(Observed::new(incoming, exchange, lease, deadline))),
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
