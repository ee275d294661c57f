//! What hyper's errors say about a request that went to an upstream: how it ended, and whether it may have begun.

use crate::error::Reset;
use std::error::Error as StdError;

/// How the stream or connection ended.
pub fn reset_of(error: &hyper::Error) -> Reset {
    if let Some(h2) = h2_error(error) {
        if h2.is_reset() && h2.is_remote() {
            return match h2.reason() {
                Some(h2::Reason::REFUSED_STREAM) => Reset::Refused,
                _ => Reset::Remote,
            };
        }
        if h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR) {
            // Streams up to the last one of a graceful GOAWAY go on: what fails with it was above.
            return Reset::Refused;
        }
        return if h2.is_io() || h2.is_remote() { Reset::Connection } else { Reset::Protocol };
    }
    if error.is_parse() {
        return Reset::Protocol;
    }
    Reset::Connection
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(h2) = inner.downcast_ref::<h2::Error>() {
            return Some(h2);
        }
        source = inner.source();
    }
    None
}
