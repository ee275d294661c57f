//! Bounds on what clients of discovery may take of pilot, once they are believed; those before are
//! [`grpc::Bounds`](mesh_runtime::tls::grpc::Bounds).

use clap::Args;
use mesh_runtime::{settings::duration, tls::grpc::positive};
use std::time::Duration;

/// For one client, for all of one service account, and for all from one address. An account may have more the more
/// workloads of it the registry knows.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(skip)]
pub struct ClientBounds {
    /// Streams at most.
    #[arg(long, env = "FERROMESH_MAX_STREAMS", default_value_t = DEFAULT.max_streams, value_parser = positive)]
    pub max_streams: usize,
    /// Streams from one address at most.
    #[arg(long, env = "FERROMESH_MAX_STREAMS_PER_SOURCE", default_value_t = DEFAULT.max_streams_per_source, value_parser = positive)]
    pub max_streams_per_source: usize,
    /// Streams of one service account at most, besides two for each of its workloads.
    #[arg(long, env = "FERROMESH_MAX_STREAMS_PER_ACCOUNT", default_value_t = DEFAULT.max_streams_per_account, value_parser = positive)]
    pub max_streams_per_account: usize,
    /// Names that one client may follow, and say to hold, at most.
    #[arg(long, env = "FERROMESH_MAX_NAMES", default_value_t = DEFAULT.max_names, value_parser = positive)]
    pub max_names: usize,
    /// Bytes that pilot keeps, at most, of what clients of one service account say from one address: names, and room for
    /// their longest messages. For all of an account: as many, and as many again for each of its workloads.
    #[arg(long, env = "FERROMESH_MAX_SAID", default_value_t = DEFAULT.max_said, value_parser = positive)]
    pub max_said: usize,
    /// Longest message that is accepted, in bytes.
    #[arg(long, env = "ISTIO_GPRC_MAXRECVMSGSIZE", default_value_t = DEFAULT.max_message, value_parser = positive)]
    pub max_message: usize,
    /// How long the first message of a stream may take to come, and any message from its first byte to its last.
    #[arg(long, env = "FERROMESH_MESSAGE_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub message_timeout: Duration,
    /// How long a log line that clients can repeat is left out after it was written.
    #[arg(long, env = "FERROMESH_LOG_REPEAT_AFTER", default_value = "60s", value_parser = duration)]
    pub log_repeat_after: Duration,
}

const DEFAULT: ClientBounds = ClientBounds {
    max_streams: 20_000,
    max_streams_per_source: 2_500,
    max_streams_per_account: 100,
    max_names: 100_000,
    max_said: 16 << 20,
    max_message: 4 << 20,
    message_timeout: Duration::from_secs(15),
    log_repeat_after: Duration::from_secs(60),
};

impl Default for ClientBounds {
    fn default() -> Self {
        DEFAULT
    }
}
