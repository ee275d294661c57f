//! A cluster: one port of one service (or subset), and how it is reached. Endpoints are in a cell of their own.

use arc_swap::ArcSwap;
use mesh_config::{
    model::{
        Credential, Endpoint, Labels, Protocol, ServiceKey, destination::EffectivePolicy, endpoint::EndpointAddress,
        service::Resolution, sidecar::IngressEndpoint,
    },
    name::{NamespacedName, Port},
};
use std::{net::SocketAddr, sync::Arc};

/// Index of a cluster among the process's live state. The same key keeps its id over snapshots; ids of clusters
/// that are gone are given out again only after live state was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// What a cluster stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterKey {
    /// A port of a service, or of a subset of it.
    Outbound { service: ServiceKey, port: Port, subset: Option<Arc<str>> },
    /// A port of the application beside this proxy.
    Inbound {
        /// The application's port.
        port: Port,
    },
    /// Outbound, to the address that the client asked for.
    Passthrough,
    /// Inbound, to a port that no service declares.
    InboundPassthrough,
    /// Nowhere.
    BlackHole,
}

/// The endpoints of one service port, as last heard.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EndpointSet {
    /// All of them, whatever subset; ordered by key.
    pub endpoints: Vec<Arc<Endpoint>>,
}

impl EndpointSet {
    /// The endpoint that has this very address.
    pub fn at(&self, address: SocketAddr) -> Option<&Arc<Endpoint>> {
        let has = |endpoint: &&Arc<Endpoint>| {
            endpoint.target_port == address.port()
                && matches!(endpoint.address, EndpointAddress::Ip(ip) if ip == address.ip())
        };
        self.endpoints.iter().find(has)
    }
}

/// Holds the endpoints of one service port; shared by the clusters of all its subsets.
pub type EndpointCell = Arc<ArcSwap<EndpointSet>>;

/// The Secret that a cluster's TLS names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// None is named.
    Unnamed,
    /// This one.
    Here(Arc<Credential>),
    /// It is not there, or our account may not have it.
    Missing(NamespacedName),
    /// The rule is for all clients of the host, and sidecars get no keys by such a one.
    Withheld(NamespacedName),
}

/// One cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Index of its live state.
    pub id: ClusterId,
    /// What it stands for.
    pub key: ClusterKey,
    /// The name that users know: `outbound|80|v1|reviews.default.svc.cluster.local`, `inbound|8080||`,
    /// `PassthroughCluster`, `InboundPassthroughCluster`, `BlackHoleCluster`.
    pub name: Arc<str>,
    /// `outbound_.80_.v1_.reviews.default.svc.cluster.local`; empty where there is none.
    pub sni: Arc<str>,
    /// Protocol declared for the port.
    pub protocol: Protocol,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Which endpoints of the cell; empty: all.
    pub subset_labels: Labels,
    /// Load balancing, limits, TLS. Times have the mesh's defaults filled in.
    pub policy: EffectivePolicy,
    /// What the policy's TLS names.
    pub secret: Secret,
    /// Outside the mesh.
    pub external: bool,
    /// Names a server's certificate may carry besides its identity.
    pub subject_alt_names: Arc<[Arc<str>]>,
    /// `destination_service`: the service's host; empty where there is no service.
    pub service_host: Arc<str>,
    /// `destination_service_name`.
    pub service_name: Arc<str>,
    /// `destination_service_namespace`.
    pub service_namespace: Arc<str>,
    /// Where the endpoints are; empty for inbound and passthrough clusters.
    pub endpoints: EndpointCell,
    /// For inbound clusters: where the application listens.
    pub local: Option<IngressEndpoint>,
}

impl Cluster {
    /// Whether opaque bytes are carried as they are, although a rule says TLS: it names a Secret that sidecars do not get,
    /// so it is for gateways, and what applications send to such a port is TLS already.
    pub fn carries_tls(&self) -> bool {
        matches!(self.secret, Secret::Withheld(_)) && self.protocol.is_tls()
    }

    /// Whether calls may go by the address alone, and be secured as whose it is takes it: to no service of the mesh, or to one
    /// whose clients choose the address. Those to endpoints of it do not, see [`Cluster::has_endpoint`].
    pub fn may_go_by_address(&self) -> bool {
        match &self.key {
            ClusterKey::Passthrough => true,
            ClusterKey::Outbound { .. } => self.resolution == Resolution::Passthrough && !self.external,
            ClusterKey::Inbound { .. } | ClusterKey::InboundPassthrough | ClusterKey::BlackHole => false,
        }
    }

    /// Whether this very address is an endpoint's. Looks through all of them.
    pub fn has_endpoint(&self, address: SocketAddr) -> bool {
        self.endpoints.load().at(address).is_some()
    }
}
