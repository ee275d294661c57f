//! May this outcome be tried again? Pure. Two questions, in this order: is it *safe* to send the request again
//! (then it is, whatever rules say, and the client never learns), and do the user's rules ask for another try.

use crate::error::{Error, Reset};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use hyper::body::Incoming;
use mesh_config::model::route::RetryOn;
use std::time::Duration;

/// How often a request is sent again because that is safe.
pub const MAX_REPLAYS: u32 = 2;

/// Set on answers to what was never given to the application, which took no connection: between proxies of the mesh.
pub const UNDELIVERED: HeaderName = HeaderName::from_static("x-ferromesh-undelivered");

/// What is known about a try that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The upstream certainly never began it.
    pub never_begun: bool,
    /// The connection had served before.
    pub reused: bool,
    /// How the try ended.
    pub reset: Reset,
    /// A byte of an answer was read.
    pub answered: bool,
    /// The method may be repeated.
    pub idempotent: bool,
    /// The whole request can be sent again.
    pub held: bool,
    /// Replays so far.
    pub replays: u32,
}

impl Lost {
    /// Whether sending the request again cannot do anything twice.
    pub fn is_safe_to_replay(&self) -> bool {
        // Whatever the upstream said was its answer: only a connection that was lost without a word says nothing. And
        // once only: two connections lost in a row are no accident.
        let silent = self.reset == Reset::Connection && !self.answered;
        let begun_but_repeatable = silent && self.reused && self.idempotent && self.replays == 0;
        is_safe_when_never_begun(self.held, self.replays) && (self.never_begun || begun_but_repeatable)
    }

    /// How the client hears of it when it is not sent again: a connection that had idled to death is told apart.
    pub fn told(&self) -> Reset {
        match self.reset {
            Reset::Connection if self.reused && !self.answered => Reset::Stale,
            other => other,
        }
    }
}

/// Whether a request that nobody has begun is sent again: the whole of it is `held`, and that was not done too often.
pub fn is_safe_when_never_begun(held: bool, replays: u32) -> bool {
    held && replays < MAX_REPLAYS
}

/// Methods that may be repeated (RFC 9110, 9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent()
}

/// Whether the rules ask for another try after `error`. `written`: some byte of the request reached an upstream.
pub fn after_error(on: &RetryOn, error: &Error, written: bool) -> bool {
    let any = on.server_error || on.gateway_error;
    match error {
        Error::Connect { .. } => any || on.connect_failure || on.reset || (on.reset_before_request && !written),
        Error::Reset(Reset::Refused) => any || on.refused_stream || on.reset || (on.reset_before_request && !written),
        Error::Reset(_) => any || on.reset || (on.reset_before_request && !written),
        Error::PerTryTimeout => any || on.reset || (on.reset_before_request && !written),
        Error::RouteNotFound
        | Error::ClusterNotFound(_)
        | Error::Blocked
        | Error::NotReady(_)
        | Error::NoHealthyUpstream
        | Error::Dns(_)
        | Error::Overflow
        | Error::Overloaded
        | Error::Timeout
        | Error::Deadline
        | Error::Denied { .. }
        | Error::Bad(_)
        | Error::ClientGone
        | Error::ClientLate
        | Error::UpgradeRefused => false,
    }
}

/// Whether this answer is a proxy's, whose application took no connection and so got nothing of the request. Believed of a
/// peer that proved to be of the mesh: a proxy takes the header from what its application says.
pub fn is_undelivered(response: &Response<Incoming>) -> bool {
    // An older proxy leaves the header in other answers of its application's.
    let can_be = response.status() == StatusCode::SERVICE_UNAVAILABLE || response.headers().contains_key("grpc-status");
    can_be && response.headers().contains_key(UNDELIVERED)
}

/// Whether the rules ask for another try after this answer.
pub fn after_answer(on: &RetryOn, status: StatusCode, headers: &HeaderMap) -> bool {
    if headers.contains_key("x-envoy-ratelimited") {
        return on.rate_limited;
    }
    let code = status.as_u16();
    let grpc = || {
        let status = crate::exchange::grpc_status(headers).and_then(|status| u8::try_from(status).ok());
        status.is_some_and(|status| on.grpc.contains(&status))
    };
    (on.server_error && (500..600).contains(&code))
        || (on.gateway_error && matches!(code, 502..=504))
        || (on.retriable_4xx && code == 409)
        || on.status_codes.contains(&code)
        || (!on.grpc.is_empty() && grpc())
}

/// How long to wait before retry number `retry` (from 1): a random time below the base doubled each time, at most
/// ten times the base. `draw` is below 1.
pub fn backoff(base: Duration, retry: u32, draw: f64) -> Duration {
    let doubled = base.saturating_mul(1 << (retry - 1).min(16));
    let bound = doubled.min(base.saturating_mul(10));
    Duration::from_millis((bound.as_millis() as f64 * draw) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn lost() -> Lost {
        let reset = Reset::Connection;
        Lost { never_begun: false, reused: true, reset, answered: false, idempotent: true, held: true, replays: 0 }
    }

    #[test]
    fn what_may_have_begun_is_repeated_only_if_that_does_no_harm() {
        assert!(lost().is_safe_to_replay());
        assert!(!Lost { idempotent: false, ..lost() }.is_safe_to_replay(), "a POST may have been done");
        assert!(!Lost { reused: false, ..lost() }.is_safe_to_replay(), "a fresh connection was not stale");
        assert!(!Lost { answered: true, ..lost() }.is_safe_to_replay());
        assert!(!Lost { held: false, ..lost() }.is_safe_to_replay());
        assert!(!Lost { replays: 1, ..lost() }.is_safe_to_replay(), "once is an accident");
        for said in [Reset::Remote, Reset::Protocol] {
            assert!(!Lost { reset: said, ..lost() }.is_safe_to_replay(), "{said:?} is an answer");
        }
    }

    #[test]
    fn what_never_began_is_repeated_whatever_the_method() {
        let post = Lost { never_begun: true, idempotent: false, reused: false, ..lost() };
        assert!(post.is_safe_to_replay());
        assert!(!Lost { held: false, ..post }.is_safe_to_replay());
        assert!(Lost { reset: Reset::Refused, replays: 1, ..post }.is_safe_to_replay());
        assert!(!Lost { replays: MAX_REPLAYS, ..post }.is_safe_to_replay());
    }

    #[test]
    fn a_lost_stale_connection_is_labelled() {
        assert_eq!(lost().told(), Reset::Stale);
        assert_eq!(Lost { reused: false, ..lost() }.told(), Reset::Connection);
        assert_eq!(Lost { reset: Reset::Remote, ..lost() }.told(), Reset::Remote);
    }

    #[test]
    fn the_default_words_do_not_repeat_a_request_that_was_written() {
        let on = RetryOn { connect_failure: true, refused_stream: true, grpc: vec![1, 14], ..RetryOn::default() };
        let connect = Error::Connect { failure: crate::error::ConnectFailure::Remote, reason: "".into() };
        assert!(after_error(&on, &connect, false));
        assert!(after_error(&on, &Error::Reset(Reset::Refused), true));
        assert!(!after_error(&on, &Error::Reset(Reset::Connection), true));
        assert!(!after_error(&on, &Error::PerTryTimeout, true));
        assert!(!after_error(&on, &Error::Overflow, false));
        let before = RetryOn { reset_before_request: true, ..RetryOn::default() };
        assert!(after_error(&before, &connect, false) && !after_error(&before, &Error::Reset(Reset::Connection), true));
    }

    #[test]
    fn answers_are_retried_by_their_words_only() {
        let headers = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            headers
        };
        let none = HeaderMap::new();
        let five = RetryOn { server_error: true, ..RetryOn::default() };
        let gateway = RetryOn { gateway_error: true, ..RetryOn::default() };
        let codes = RetryOn { status_codes: vec![418], ..RetryOn::default() };
        let grpc = RetryOn { grpc: vec![14], ..RetryOn::default() };
        let status = |code| StatusCode::from_u16(code).unwrap();
        for (on, code, headers, want) in [
            (&five, 500, &none, true),
            (&five, 404, &none, false),
            (&gateway, 500, &none, false),
            (&gateway, 503, &none, true),
            (&codes, 418, &none, true),
            (&codes, 503, &none, false),
            (&grpc, 200, &headers("grpc-status", "14"), true),
            (&grpc, 200, &headers("grpc-status", "5"), false),
            (&five, 503, &headers("x-envoy-ratelimited", "true"), false),
        ] {
            assert_eq!(after_answer(on, status(code), headers), want, "{on:?} {code} {headers:?}");
        }
    }

    #[test]
    fn waits_double_up_to_ten_times_the_base() {
        let base = Duration::from_millis(25);
        let bounds: Vec<_> = (1..=6).map(|retry| backoff(base, retry, 1.0).as_millis()).collect();
        assert_eq!(bounds, [25, 50, 100, 200, 250, 250]);
        assert_eq!(backoff(base, 3, 0.0), Duration::ZERO);
    }
}
