//! Answers of our own: errors, redirects, direct responses; in gRPC's form where the request is gRPC.

use super::{
    body::AnswerBody,
    grpc,
    headers::{OVERLOADED, server_name},
};
use crate::{
    attempt::retry::UNDELIVERED,
    conn::Direction,
    error::Error,
    exchange::{Exchange, Flag, head_bytes},
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Version, header};
use std::borrow::Cow;

/// What decides an answer's form.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its protocol.
    pub version: Version,
    /// The request is gRPC.
    pub is_grpc: bool,
    /// It asked for the head only.
    pub is_head: bool,
    /// Which half of the path.
    pub direction: Direction,
}

/// The answer for an error; what it means is written to the record.
pub fn error(error: &Error, client: Client, exchange: &mut Exchange) -> Response<AnswerBody> {
    if let Some(flag) = error.flag() {
        exchange.flags.set(flag);
    }
    exchange.details = error.details();
    let retried = exchange.retries > 0;
    let mut response = local(error.status(), error.body(retried).into(), client, error.grpc_status());
    if error.is_overload() {
        response.headers_mut().insert(OVERLOADED, HeaderValue::from_static("true"));
    }
    let to_peer = client.direction == Direction::Inbound && exchange.conn.secured.as_ref().is_some_and(|s| s.in_mesh);
    if to_peer && !exchange.sent && matches!(error, Error::Connect { .. }) {
        response.headers_mut().insert(UNDELIVERED, HeaderValue::from_static("true"));
    }
    response
}

pub fn redirect(status: u16, location: &str, client: Client, exchange: &mut Exchange) -> Response<AnswerBody> {
    exchange.details = Cow::Borrowed("direct_response");
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
    let mut response = local(status, Text::default(), client, None);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A rule's own answer.
pub fn direct(status: u16, body: Bytes, client: Client, exchange: &mut Exchange) -> Response<AnswerBody> {
    exchange.details = Cow::Borrowed("direct_response");
    local(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), Text(body), client, None)
}

/// An answer of our own may come before its request has been read. What is here already is dropped; if that is not all,
/// an HTTP/1 client is told that the connection ends. `expects`: it waits to be asked for its body.
pub async fn unless_read(response: &mut Response<AnswerBody>, client: Client, expects: bool, exchange: &Exchange) {
    let Some(body) = exchange.body.as_ref().filter(|body| client.version < Version::HTTP_2 && !body.has_ended()) else {
        return;
    };
    if expects || !body.drop_what_came().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Hands an answer of our own to the record: it is whole once it is made.
pub fn record(response: &Response<AnswerBody>, exchange: &mut Exchange) {
    // A client that is gone gets nothing.
    exchange.status = (!exchange.flags.has(Flag::DownstreamDisconnect)).then(|| response.status());
    exchange.grpc_status = crate::exchange::grpc_status(response.headers());
    exchange.response_head_bytes = head_bytes(response.headers()) + 17;
    if let AnswerBody::Full(text) = response.body() {
        exchange.response_body_bytes = text.len() as u64;
    }
    exchange.complete = true;
}

#[derive(Default)]
struct Text(Bytes);

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        Text(match text {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        })
    }
}

fn local(status: StatusCode, Text(text): Text, client: Client, grpc_status: Option<u16>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Empty);
    let headers = response.headers_mut();
    if client.is_grpc {
        let code = grpc_status.unwrap_or_else(|| grpc::status_of(status.as_u16()));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(code));
        if !text.is_empty() {
            headers.insert("grpc-message", grpc::message_value(&String::from_utf8_lossy(&text)));
        }
        headers.insert(header::SERVER, server_name(client.direction));
        return response;
    }
    if !text.is_empty() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    headers.insert(header::SERVER, server_name(client.direction));
    if status == StatusCode::BAD_REQUEST && client.version < Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    *response.status_mut() = status;
    if !client.is_head && !text.is_empty() {
        *response.body_mut() = AnswerBody::Full(text);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Client =
        Client { version: Version::HTTP_11, is_grpc: false, is_head: false, direction: Direction::Outbound };

    #[test]
    fn grpc_gets_a_trailers_only_answer() {
        let response = local(
            StatusCode::FORBIDDEN,
            Text::from(Cow::Borrowed("RBAC: access denied")),
            Client { is_grpc: true, ..PLAIN },
            None,
        );
        assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &HeaderValue::from(7)));
        assert_eq!(response.headers()["grpc-message"], "RBAC: access denied");
        assert!(matches!(response.body(), AnswerBody::Empty) && !response.headers().contains_key("content-length"));
    }

    #[test]
    fn head_gets_the_length_without_the_text() {
        let text = || Text::from(Cow::Borrowed("no healthy upstream"));
        let response = local(StatusCode::SERVICE_UNAVAILABLE, text(), Client { is_head: true, ..PLAIN }, None);
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "19");
        assert!(matches!(response.body(), AnswerBody::Empty));
    }

    #[test]
    fn a_bad_request_ends_an_http1_connection() {
        let response = local(StatusCode::BAD_REQUEST, Text::default(), PLAIN, None);
        assert_eq!(response.headers()[header::CONNECTION], "close");
        let h2 = Client { version: Version::HTTP_2, ..PLAIN };
        assert!(!local(StatusCode::BAD_REQUEST, Text::default(), h2, None).headers().contains_key("connection"));
    }
}
