//! Asking another process of the container to end.

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The one that its container began with.
///
/// # Errors
/// When it is not ours to ask.
pub fn run() -> anyhow::Result<()> {
    kill(Pid::from_raw(1), Signal::SIGTERM).context("the first process cannot be asked to end")
}
