//! The program that stands in pods of tests: it answers on every protocol and says who it is, what it got and over which
//! connection; and it calls others and says what came back. It shares no code with the mesh it is used to judge.

pub mod call;
pub mod end;
pub mod pause;
pub mod serve;
pub mod steady;
pub mod tally;

mod grpc;
mod http;
mod stream;
pub(crate) mod tls;
mod websocket;
mod who;

use std::time::Duration;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

/// A length of time as people write it: `30s`, `500ms`, `2m`; a bare number counts seconds.
///
/// # Errors
/// When it is none of these.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| format!("{text} is no length of time such as 30s or 500ms"))?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(format!("{unit} is none of the units ms, s, m, h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|e| format!("{text}: {e}"))
}

/// Ends when the process is asked to end.
///
/// # Errors
/// When the system gives no way to hear of it.
async fn asked_to_end() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The one place where this program reads time.
#[expect(clippy::disallowed_methods, reason = "it shares no clock with the mesh")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "what a person or a script asked for")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests;
