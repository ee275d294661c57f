//! Whose fault it is that a request's body ended in the middle: the client's, one way or the other.

use std::{error::Error as _, io};

/// What the client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It went away, or took the request back.
    Gone,
    /// What it sent is no body.
    Malformed,
    /// It sends nothing, for longer than it may.
    Late,
}

impl Fault {
    pub(super) fn of(error: &hyper::Error) -> Fault {
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(h2) = inner.downcast_ref::<h2::Error>() {
                return if h2.is_remote() || h2.is_io() { Fault::Gone } else { Fault::Malformed };
            }
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return match io.kind() {
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Fault::Malformed,
                    _ => Fault::Gone,
                };
            }
            source = inner.source();
        }
        Fault::Gone
    }
}
