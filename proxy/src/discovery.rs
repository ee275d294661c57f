//! Client side of discovery: asks pilot for what this proxy needs, puts each push in force as a whole, and says what
//! it made of it.
//!
//! [`session`] is the conversation as a pure state machine, [`stream`] the connection around it, [`state`] what is
//! kept on disk so that a restarted proxy serves while pilot is away. Pushes go to a sink, which builds the snapshot;
//! whatever it or the decoder refuses keeps its last good value, and pilot is told why.

mod dial;
pub mod session;
pub mod state;
mod stream;

pub use session::{Command, Push, Refused};
pub use stream::run;

use mesh_config::{kind::Role, wire::proto::envoy::config::core::v3::Node};
use mesh_runtime::{drain, snapshot, tls::material::Identity};
use prost_types::{Struct, Value, value::Kind};
use std::{net::IpAddr, path::PathBuf};
use tokio::sync::{mpsc, watch};

/// What [`run`] is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who we say to be.
    pub node: NodeFacts,
    /// Pilot's `host:port`.
    pub address: String,
    /// The name in pilot's certificate.
    pub server_name: String,
    /// PEM file of the roots that pilot's certificate must be signed by, read at each connection.
    pub root_cert: PathBuf,
    /// File of the service-account token, read at each connection. Where there is none a certificate must do.
    pub token: PathBuf,
    /// Where the configuration is kept over a restart.
    pub state_dir: Option<PathBuf>,
}

/// What the node message says of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// `sidecar~ADDRESS~NAME.NAMESPACE~DOMAIN`.
    pub id: String,
    /// Chooses the kinds that are followed as a whole.
    pub role: Role,
    /// The workload's name.
    pub name: String,
    /// Must be the one that our token or certificate proves.
    pub namespace: String,
    /// Must be the one that our token or certificate proves.
    pub service_account: String,
    /// The cluster we run in.
    pub cluster: String,
    /// Our addresses. Pilot is dialled from the first of its family, if that is an address of this machine.
    pub addresses: Vec<IpAddr>,
}

/// The ends that [`run`] holds.
pub struct Ends<S> {
    /// What the data path needs.
    pub commands: mpsc::Receiver<Command>,
    /// Puts a push in force, as a whole; gives back what it refuses. Its first one is what the state directory had.
    pub sink: S,
    /// Our certificate, shown to pilot besides the token; `None` where there is only a token.
    pub identity: Option<snapshot::Reader<Identity>>,
    /// How it goes.
    pub status: watch::Sender<Status>,
    /// Ends it.
    pub drain: drain::Watch,
}

/// How discovery goes: for admin pages and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// A stream is open and a push was put in force on it.
    pub connected: bool,
    /// Streams that were opened.
    pub streams: u64,
    /// Pushes put in force.
    pub pushes: u64,
    /// Pilot's version of the mesh in the last push.
    pub mesh: u64,
    /// What was refused of the last push that had something to refuse.
    pub refused: Vec<Refused>,
    /// Why there is no stream.
    pub error: Option<String>,
}

impl Settings {
    /// From the process's boot parameters.
    pub fn of(boot: &crate::settings::Settings) -> Self {
        let control_plane = &boot.control_plane;
        Settings {
            node: NodeFacts {
                id: boot.node_id(),
                role: boot.role,
                name: boot.name.clone(),
                namespace: boot.namespace.clone(),
                service_account: boot.service_account.clone(),
                cluster: boot.cluster.clone(),
                addresses: boot.instance_ips.clone(),
            },
            address: control_plane.discovery.clone(),
            server_name: control_plane.server_name.clone(),
            root_cert: control_plane.root_cert.clone(),
            token: control_plane.token.clone(),
            state_dir: boot.state_dir.clone(),
        }
    }
}

impl NodeFacts {
    fn message(&self) -> Node {
        let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        let fields = [
            ("NAME", text(&self.name)),
            ("NAMESPACE", text(&self.namespace)),
            ("SERVICE_ACCOUNT", text(&self.service_account)),
            ("CLUSTER_ID", text(&self.cluster)),
            ("INSTANCE_IPS", text(&addresses.join(","))),
        ];
        Node {
            id: self.id.clone(),
            cluster: self.namespace.clone(),
            metadata: Some(Struct { fields: fields.map(|(key, value)| (key.to_owned(), value)).into() }),
            locality: None,
            user_agent_name: "ferromesh".to_owned(),
            user_agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
