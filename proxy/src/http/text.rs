//! What an access log prints of a request's head, kept only where a log is written.

use super::{head, headers};
use crate::exchange::{Exchange, Text};
use http::{HeaderValue, header, request::Parts};
use std::net::IpAddr;

/// The request as it came.
pub(super) fn arrived(exchange: &mut Exchange, head: &Parts) {
    exchange.text = Some(Box::new(Text {
        start: mesh_runtime::clock::system_now(),
        method: Some(head.method.clone()),
        path: head.uri.path_and_query().cloned(),
        unread: None,
        user_agent: head.headers.get(header::USER_AGENT).cloned(),
        forwarded_for: None,
        request_id: None,
        client: None,
    }));
    exchange.authority = HeaderValue::from_str(head::authority_of(head)).ok();
}

/// The request as it is forwarded.
pub(super) fn forwarded(exchange: &mut Exchange, head: &Parts, client: Option<IpAddr>) {
    if let Some(text) = &mut exchange.text {
        text.forwarded_for = head.headers.get("x-forwarded-for").cloned();
        text.request_id = head.headers.get(headers::REQUEST_ID).cloned();
        text.client = client;
    }
}
