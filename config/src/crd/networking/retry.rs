//! Retry policies.

use super::traffic_policy::positive;
use crate::crd::{
    form::{Fact, Holds, forms},
    reader::Item,
};
use crate::model::route::{RetryOn, RetryPolicy};
use std::time::Duration;

forms! {
    /// `retries` of a rule, also MeshConfig's.
    pub(in crate::crd) RETRIES {
        "attempts": Holds::Whole(0, i32::MAX as i64), "How often a request is sent again at most; 0: never.", Fact::Default("2"), Fact::Signed;
        "perTryTimeout": Holds::Span, "How long one attempt may take.", Fact::Default("no limit");
        "retryOn": Holds::Text, "What is retried: words of Envoy and status codes, with commas between them.",
            Fact::Default("connect-failure,refused-stream,unavailable,cancelled");
        "retryRemoteLocalities": Holds::Bool, "Whether other localities are tried.", Fact::Inert(""), Fact::Nullable;
        "retryIgnorePreviousHosts": Holds::Bool, "Whether endpoints that were tried are avoided.", Fact::Default("true"), Fact::Nullable;
        "backoff": Holds::Span, "Least time before the first retry; it doubles with each.", Fact::Default("25ms");
    };
}

/// `retries` of a rule, also MeshConfig's `defaultHttpRetryPolicy`.
pub(in crate::crd) fn retries(item: &Item<'_>) -> Option<RetryPolicy> {
    item.object(|f| {
        let detailed = ["perTryTimeout", "retryOn", "retryRemoteLocalities"].iter().any(|name| f.has(name));
        let before = f.errors();
        let attempts = f.u32("attempts").unwrap_or(0);
        if attempts == 0 && detailed && f.errors() == before {
            return f
                .invalid("attempts of 0 disables retries: leave perTryTimeout, retryOn and retryRemoteLocalities out");
        }
        RETRIES.read_inert(f);
        Some(RetryPolicy {
            attempts,
            per_try_timeout: positive(f, "perTryTimeout"),
            on: f.item("retryOn").and_then(|item| retry_on(&item)).unwrap_or_else(default_retry_on),
            backoff: positive(f, "backoff").unwrap_or(Duration::from_millis(25)),
            avoid_previous: f.bool("retryIgnorePreviousHosts").unwrap_or(true),
        })
    })
}

/// What is retried by default.
pub(in crate::crd) fn default_retry_on() -> RetryOn {
    RetryOn { connect_failure: true, refused_stream: true, grpc: vec![1, 14], ..RetryOn::default() }
}

/// Comma-separated words and status codes. `None` for a text without any: the default stands.
fn retry_on(item: &Item<'_>) -> Option<RetryOn> {
    let text = item.string()?;
    let mut on = RetryOn::default();
    let mut words = text.split(',').map(str::trim).filter(|word| !word.is_empty()).peekable();
    words.peek()?;
    for word in words {
        match word {
            "5xx" => on.server_error = true,
            "gateway-error" => on.gateway_error = true,
            "reset" => on.reset = true,
            "reset-before-request" => on.reset_before_request = true,
            "connect-failure" => on.connect_failure = true,
            "refused-stream" => on.refused_stream = true,
            "retriable-4xx" => on.retriable_4xx = true,
            "envoy-ratelimited" => on.rate_limited = true,
            // Only with codes beside it does it say anything, and those are kept as they come.
            "retriable-status-codes" => {}
            "cancelled" => push(&mut on.grpc, 1),
            "deadline-exceeded" => push(&mut on.grpc, 4),
            "resource-exhausted" => push(&mut on.grpc, 8),
            "internal" => push(&mut on.grpc, 13),
            "unavailable" => push(&mut on.grpc, 14),
            "retriable-headers" | "http3-post-connect-failure" => {
                item.warn("field-not-acted-on", format!("retryOn: {word} is not acted on yet"));
            }
            _ => match word.parse::<u16>() {
                Ok(code @ 100..=599) => {
                    if !is_status(code) {
                        item.refuse(format!("{code} is no status that HTTP has"));
                    }
                    push(&mut on.status_codes, code);
                }
                _ => {
                    item.warn("unknown-word", format!("retryOn: {word:?} is not known and has no effect"));
                    item.refuse(format!("{word:.40?} is no condition to retry on"));
                }
            },
        }
    }
    Some(on)
}

/// Whether a status has a meaning that is registered.
fn is_status(code: u16) -> bool {
    matches!(
        code,
        100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451 | 500..=508 | 510 | 511
    )
}

fn push<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}
