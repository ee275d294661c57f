//! What every process of the mesh does: read settings, start, become ready, serve, drain, end with an exit code;
//! log, measure, and prove who it is.
//!
//! The life of a process: settings → build → run → drain → exit code. Nothing here knows what a process is for.
//! Time is read in [`clock`] only; long-lived values are handed out through [`snapshot`]; every task ends through
//! [`drain`].

#![warn(missing_docs)]

pub mod admin;
pub mod backoff;
pub mod carried;
pub mod clock;
pub mod drain;
pub mod file;
pub mod identity;
pub mod process;
pub mod ready;
pub mod settings;
pub mod snapshot;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
