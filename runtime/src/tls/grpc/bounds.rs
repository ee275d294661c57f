//! How much of a gRPC server's connections may be taken up by those who have proved nothing, as settings, and what is
//! counted of them. What a call may do once it is believed is the service's own matter.

use crate::{
    settings::duration,
    telemetry::metrics::{RegisterError, Registry},
};
use clap::Args;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};
use std::time::Duration;
use tonic::transport::Server;

/// Bounds on connections. A connection is idle while no believed call is on it: from its first packet to its first such
/// call, and between calls.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(skip)]
pub struct Bounds {
    /// TLS handshakes in flight at most; the oldest one gives way to a newcomer.
    #[arg(long, env = "FERROMESH_MAX_HANDSHAKES", default_value_t = DEFAULT.max_handshakes, value_parser = positive)]
    pub max_handshakes: usize,
    /// TLS handshakes in flight with one address at most.
    #[arg(long, env = "FERROMESH_MAX_HANDSHAKES_PER_SOURCE", default_value_t = DEFAULT.max_handshakes_per_source, value_parser = positive)]
    pub max_handshakes_per_source: usize,
    /// Connections without a believed call at most; the oldest one gives way to a newcomer.
    #[arg(long, env = "FERROMESH_MAX_IDLE_CONNECTIONS", default_value_t = DEFAULT.max_idle_connections, value_parser = positive)]
    pub max_idle_connections: usize,
    /// Connections without a believed call from one address at most.
    #[arg(long, env = "FERROMESH_MAX_IDLE_CONNECTIONS_PER_SOURCE", default_value_t = DEFAULT.max_idle_connections_per_source, value_parser = positive)]
    pub max_idle_connections_per_source: usize,
    /// How long a connection may send nothing at all.
    #[arg(long, env = "FERROMESH_FIRST_BYTE_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub first_byte_timeout: Duration,
    /// How long a ClientHello may take from its first byte on.
    #[arg(long, env = "FERROMESH_HELLO_TIMEOUT", default_value = "3s", value_parser = duration)]
    pub hello_timeout: Duration,
    /// How long a connection may be without a believed call.
    #[arg(long, env = "FERROMESH_IDLE_CONNECTION_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub idle_connection_timeout: Duration,
    /// How old a connection gets, give or take; its calls may end, and the client connects again.
    #[arg(long, env = "FERROMESH_MAX_CONNECTION_AGE", alias = "keepaliveMaxServerConnectionAge", default_value = "30m", value_parser = duration)]
    pub keepalive_max_server_connection_age: Duration,
    /// Calls on one connection at once at most.
    #[arg(long, env = "ISTIO_GPRC_MAXSTREAMS", default_value_t = DEFAULT.max_calls_per_connection, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_calls_per_connection: u32,
    /// How long a call may take until its answer begins.
    #[arg(long, env = "FERROMESH_CALL_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub call_timeout: Duration,
}

const DEFAULT: Bounds = Bounds {
    max_handshakes: 256,
    max_handshakes_per_source: 64,
    max_idle_connections: 4096,
    max_idle_connections_per_source: 256,
    first_byte_timeout: Duration::from_secs(15),
    hello_timeout: Duration::from_secs(3),
    idle_connection_timeout: Duration::from_secs(60),
    keepalive_max_server_connection_age: Duration::from_secs(30 * 60),
    max_calls_per_connection: 100,
    call_timeout: Duration::from_secs(15),
};

/// Longest header list of a call: the longest token, and what a client says besides.
const HEADERS: u32 = 32 << 10;
/// What a client may send ahead on one call, and on one connection, in bytes.
const WINDOWS: (u32, u32) = (64 << 10, 256 << 10);
/// How often a quiet client is asked whether it is there, and how long it may take to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

impl Default for Bounds {
    fn default() -> Self {
        DEFAULT
    }
}

/// For settings that bound something: there is nothing without any.
///
/// # Errors
/// When it is no number above zero.
pub fn positive(text: &str) -> Result<usize, String> {
    let parsed = text.parse().ok().filter(|number| *number > 0);
    parsed.ok_or_else(|| format!("{text:?} is not a number above zero"))
}

/// Bounds, and what is counted of the connections that they are about; one value for all ports of a process.
#[derive(Debug, Clone)]
pub struct Limits {
    pub(super) bounds: Bounds,
    pub(super) open: IntGauge,
    ended: IntCounterVec,
}

/// Why a connection was ended from this side.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// It sent nothing.
    Silent,
    /// Its handshake failed, or took too long.
    Handshake,
    /// A newcomer had to have its place.
    GaveWay,
    /// No believed call was on it for too long.
    Idle,
}

impl Limits {
    /// With these bounds; registers `mesh_grpc_connections` and `mesh_grpc_connections_ended_total{reason}`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(bounds: Bounds, registry: &Registry) -> Result<Self, RegisterError> {
        let ended = Opts::new("mesh_grpc_connections_ended_total", "Connections ended for a bound, by reason");
        Ok(Limits {
            bounds,
            open: registry.register(IntGauge::new("mesh_grpc_connections", "Connections open")?)?,
            ended: registry.register(IntCounterVec::new(ended, &["reason"])?)?,
        })
    }

    /// A gRPC server that keeps to them.
    pub fn server(&self) -> Server {
        // Calls that go on for as long as they may have ended before, so nothing of theirs is lost.
        let age = self.bounds.keepalive_max_server_connection_age.mul_f64(1.25);
        Server::builder()
            .http2_keepalive_interval(Some(PING.0))
            .http2_keepalive_timeout(Some(PING.1))
            .http2_max_header_list_size(HEADERS)
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_concurrent_streams(self.bounds.max_calls_per_connection)
            .max_connection_age(age)
            .timeout(self.bounds.call_timeout)
    }

    pub(super) fn ended(&self, reason: Ended) -> IntCounter {
        let reason = match reason {
            Ended::Silent => "silent",
            Ended::Handshake => "handshake",
            Ended::GaveWay => "gave_way",
            Ended::Idle => "idle",
        };
        self.ended.with_label_values(&[reason])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bounds: Bounds,
    }

    #[test]
    fn a_command_line_that_says_nothing_means_the_defaults() {
        assert_eq!(Cli::parse_from(["x"]).bounds, Bounds::default());
        let set = Cli::parse_from(["x", "--max-handshakes", "7", "--hello-timeout", "500ms"]).bounds;
        assert_eq!((set.max_handshakes, set.hello_timeout), (7, Duration::from_millis(500)));
        assert!(Cli::try_parse_from(["x", "--max-handshakes", "0"]).is_err());
    }
}
