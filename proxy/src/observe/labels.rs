//! The label values of the standard metrics, in Istio's order and by its rules.
//!
//! A value of one's own that is missing is empty; one of the peer that is missing is `unknown` (`latest` for the
//! canonical revision).

use super::{peers::Peers, stream::Stream};
use crate::{
    conn::{Connection, Direction, Upstream},
    exchange::Exchange,
    snapshot::cluster::{Cluster, ClusterKey},
};
use mesh_config::{identity::PeerIdentity, model::workload::WorkloadInfo};
use std::sync::Arc;

/// The labels that requests and connections share.
pub const COMMON: [&str; 23] = [
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
    "request_protocol",
    "response_flags",
    "connection_security_policy",
];

/// What only requests have.
pub const REQUEST: [&str; 2] = ["response_code", "grpc_response_status"];

/// The gRPC message counters end before `request_protocol`.
pub const MESSAGES: usize = 20;

const UNKNOWN: &str = "unknown";

/// On which side of the connection this proxy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The client's; gateways too.
    Source,
    /// The server's.
    Destination,
}

impl Reporter {
    /// By the connection's direction.
    pub fn of(direction: Direction) -> Self {
        if direction.is_client_side() { Reporter::Source } else { Reporter::Destination }
    }
}

/// Values for [`COMMON`] and then [`REQUEST`].
pub fn of_request(reporter: Reporter, exchange: &Exchange, peers: &Peers) -> Vec<String> {
    let own = exchange.snapshot.as_ref().map(|s| s.info());
    let authority = exchange.authority.as_ref().and_then(|a| a.to_str().ok());
    let route = exchange.route.as_ref().map(|r| &*r.route);
    let facts = Facts {
        reporter,
        own: own.as_deref(),
        conn: &exchange.conn,
        cluster: exchange.cluster.as_deref(),
        upstream: exchange.upstream.as_deref(),
        said: None,
        authority: authority.filter(|_| exchange.conn.direction == Direction::Outbound),
        route,
    };
    let mut values = facts.values(peers, exchange.request_protocol(), exchange.flags.to_string());
    values.push(exchange.code().to_string());
    let grpc = exchange.is_grpc.then(|| exchange.grpc_status.map(|s| s.to_string())).flatten();
    values.push(grpc.unwrap_or_default());
    values
}

/// Values for [`COMMON`].
pub fn of_stream(reporter: Reporter, stream: &Stream, peers: &Peers) -> Vec<String> {
    let said = stream.said.borrow();
    let facts = Facts {
        reporter,
        own: Some(&stream.own),
        conn: &stream.conn,
        cluster: stream.cluster.as_deref(),
        upstream: stream.upstream.as_deref(),
        said: said.as_ref(),
        authority: None,
        route: None,
    };
    facts.values(peers, "tcp", stream.flags.to_string())
}

/// What the values are made of.
struct Facts<'a> {
    reporter: Reporter,
    own: Option<&'a WorkloadInfo>,
    conn: &'a Connection,
    cluster: Option<&'a Cluster>,
    upstream: Option<&'a Upstream>,
    said: Option<&'a Arc<WorkloadInfo>>,
    authority: Option<&'a str>,
    route: Option<&'a str>,
}

/// One side's values.
struct Side {
    workload: String,
    namespace: String,
    canonical_service: String,
    canonical_revision: String,
    app: String,
    version: String,
    cluster: String,
    principal: String,
}

impl Facts<'_> {
    fn values(&self, peers: &Peers, protocol: &str, flags: String) -> Vec<String> {
        let peer = self.peer(peers);
        let (source, destination) = match self.reporter {
            Reporter::Source => (self.own_side(self.own_principal()), self.peer_side(peer.as_deref())),
            Reporter::Destination => (self.peer_side(peer.as_deref()), self.own_side(self.own_principal())),
        };
        let (service, service_name, service_namespace) = self.service(peer.as_deref());
        let security = match self.reporter {
            Reporter::Source => UNKNOWN,
            Reporter::Destination if self.conn.peer_uri().is_some() && self.own_uri().is_some() => "mutual_tls",
            Reporter::Destination => "none",
        };
        let reporter = match self.reporter {
            Reporter::Source => "source",
            Reporter::Destination => "destination",
        };
        vec![
            reporter.to_owned(),
            source.workload,
            source.canonical_service,
            source.canonical_revision,
            source.namespace,
            source.principal,
            source.app,
            source.version,
            source.cluster,
            destination.workload,
            destination.namespace,
            destination.principal,
            destination.app,
            destination.version,
            service,
            destination.canonical_service,
            destination.canonical_revision,
            service_name,
            service_namespace,
            destination.cluster,
            protocol.to_owned(),
            flags,
            security.to_owned(),
        ]
    }

    /// What is known of the workload on the other side.
    fn peer(&self, peers: &Peers) -> Option<Arc<WorkloadInfo>> {
        if let Some(said) = self.said {
            return Some(said.clone());
        }
        match self.reporter {
            Reporter::Source => self.upstream?.callee.as_ref()?.info().cloned(),
            Reporter::Destination => Some(peers.workload(self.conn.remote.ip())?.info.clone()),
        }
    }

    /// The identity that the other side proved.
    fn peer_identity(&self) -> Option<PeerIdentity> {
        let uri = match self.reporter {
            Reporter::Source => self.upstream?.peer_uri()?,
            Reporter::Destination => self.conn.peer_uri()?,
        };
        Some(PeerIdentity::new(uri))
    }

    /// The identity that we showed.
    fn own_uri(&self) -> Option<&str> {
        let uri = match self.reporter {
            Reporter::Source => &*self.upstream?.own,
            Reporter::Destination => &*self.conn.secured.as_ref()?.own,
        };
        Some(uri).filter(|uri| !uri.is_empty())
    }

    fn own_principal(&self) -> String {
        self.own_uri().unwrap_or(UNKNOWN).to_owned()
    }

    fn own_side(&self, principal: String) -> Side {
        let text = |pick: fn(&WorkloadInfo) -> &Arc<str>| self.own.map(|o| pick(o).to_string()).unwrap_or_default();
        Side {
            workload: text(|o| &o.workload),
            namespace: text(|o| &o.namespace),
            canonical_service: text(|o| &o.canonical_name),
            canonical_revision: text(|o| &o.canonical_revision),
            app: text(|o| &o.app),
            version: text(|o| &o.version),
            cluster: text(|o| &o.cluster),
            principal,
        }
    }

    fn peer_side(&self, peer: Option<&WorkloadInfo>) -> Side {
        let identity = self.peer_identity();
        let text = |pick: fn(&WorkloadInfo) -> &Arc<str>, missing: &str| {
            peer.map(|p| pick(p).to_string()).filter(|t| !t.is_empty()).unwrap_or_else(|| missing.to_owned())
        };
        let proven = identity.as_ref().and_then(|i| i.spiffe()).map(|s| s.namespace.to_string());
        Side {
            workload: text(|p| &p.workload, UNKNOWN),
            namespace: proven.unwrap_or_else(|| text(|p| &p.namespace, UNKNOWN)),
            canonical_service: text(|p| &p.canonical_name, UNKNOWN),
            canonical_revision: text(|p| &p.canonical_revision, "latest"),
            app: text(|p| &p.app, UNKNOWN),
            version: text(|p| &p.version, UNKNOWN),
            cluster: text(|p| &p.cluster, UNKNOWN),
            principal: identity.map_or_else(|| UNKNOWN.to_owned(), |i| i.uri().to_owned()),
        }
    }

    /// `destination_service`, its name and namespace.
    fn service(&self, peer: Option<&WorkloadInfo>) -> (String, String, String) {
        let known = self.cluster.filter(|c| !c.service_host.is_empty());
        let special = match (self.route, self.cluster.map(|c| &c.key)) {
            (Some("block_all"), _) => Some("BlackHoleCluster"),
            (Some("allow_any"), _) | (_, Some(ClusterKey::Passthrough)) => Some("PassthroughCluster"),
            (_, Some(ClusterKey::BlackHole)) => Some("BlackHoleCluster"),
            (_, Some(ClusterKey::InboundPassthrough)) => Some("InboundPassthroughCluster"),
            _ => None,
        };
        let host = match (known, self.reporter) {
            (Some(cluster), _) => cluster.service_host.to_string(),
            (None, Reporter::Destination) => self.own.map(|o| o.canonical_name.to_string()).unwrap_or_default(),
            (None, Reporter::Source) => self.authority.unwrap_or(UNKNOWN).to_owned(),
        };
        let name = match (special, known) {
            (Some(special), _) => special.to_owned(),
            (None, Some(cluster)) => cluster.service_name.to_string(),
            (None, None) => host.split('.').next().unwrap_or_default().to_owned(),
        };
        let namespace = match (self.reporter, known) {
            (Reporter::Destination, _) => self.own.map(|o| o.namespace.to_string()).unwrap_or_default(),
            (Reporter::Source, Some(cluster)) => cluster.service_namespace.to_string(),
            (Reporter::Source, None) => peer.map_or_else(|| UNKNOWN.to_owned(), |p| p.namespace.to_string()),
        };
        (host, name, namespace)
    }
}
