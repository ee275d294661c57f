//! How clients reach a service: load balancing, connection pools, upstream TLS, subsets.

use super::{Labels, Precedence, Visibility};
use crate::kind::ObjectKind;
use crate::name::{Host, NamespacedName, Port};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// Which endpoint is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LoadBalancer {
    /// The less busy of two random ones.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The address that the client asked for.
    Passthrough,
}

/// TCP keep-alive probes; `None` leaves the system's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpKeepalive {
    /// Probes without an answer before the connection is dead.
    pub probes: Option<u32>,
    /// Idle time before the first probe.
    pub time: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
}

/// Whether HTTP/1.1 requests are sent as HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum H2Upgrade {
    /// `UPGRADE`.
    Upgrade,
    /// `DO_NOT_UPGRADE`.
    DoNotUpgrade,
}

/// Limits; `None` means unlimited (counts) or the mesh's default (times).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ConnectionPool {
    /// `tcp.maxConnections`, all endpoints of the cluster together.
    pub max_connections: Option<u32>,
    /// `tcp.connectTimeout`: TCP and TLS handshake.
    pub connect_timeout: Option<Duration>,
    /// `tcp.tcpKeepalive`.
    pub keepalive: Option<TcpKeepalive>,
    /// `tcp.maxConnectionDuration`.
    pub max_connection_duration: Option<Duration>,
    /// `tcp.idleTimeout`; zero switches it off.
    pub tcp_idle_timeout: Option<Duration>,
    /// `http.http1MaxPendingRequests`.
    pub max_pending_requests: Option<u32>,
    /// `http.http2MaxRequests`: active requests, HTTP/1.1 and HTTP/2.
    pub max_requests: Option<u32>,
    /// `http.maxRequestsPerConnection`.
    pub max_requests_per_connection: Option<u32>,
    /// `http.maxRetries`: concurrent retries.
    pub max_retries: Option<u32>,
    /// `http.idleTimeout` of pooled connections.
    pub http_idle_timeout: Option<Duration>,
    /// `http.h2UpgradePolicy`.
    pub h2_upgrade: Option<H2Upgrade>,
    /// `http.useClientProtocol`.
    pub use_client_protocol: bool,
    /// `http.maxConcurrentStreams` of an HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
}

/// How the connection to an endpoint is secured. Where a policy has none, mutual TLS is used when the endpoint
/// can (`Endpoint::mutual_tls`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamTls {
    /// Plain text.
    Disable,
    /// The mesh's mutual TLS.
    IstioMutual {
        /// Instead of `outbound_.<port>_.<subset>_.<host>`.
        sni: Option<Arc<str>>,
        /// Instead of the endpoint's identity.
        subject_alt_names: Vec<Arc<str>>,
    },
    /// TLS with a server outside the mesh (`SIMPLE`, `MUTUAL`).
    Simple(SimpleTls),
}

impl UpstreamTls {
    /// The Secret that it needs.
    pub fn secret(&self) -> Option<&Arc<str>> {
        match self {
            UpstreamTls::Simple(SimpleTls { keys: UpstreamKeys::Secret(secret), .. }) => Some(&secret.name),
            UpstreamTls::Disable | UpstreamTls::IstioMutual { .. } | UpstreamTls::Simple(_) => None,
        }
    }
}

/// TLS to a server outside the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SimpleTls {
    /// Name in the ClientHello; otherwise the request's host.
    pub sni: Option<Arc<str>>,
    /// Names that the certificate may carry; otherwise the name in the ClientHello.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// Who vouches for the server, and what is shown to it.
    pub keys: UpstreamKeys,
}

/// Where roots and certificates for a server outside the mesh are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamKeys {
    /// On the proxy's machine.
    Files(KeyFiles),
    /// In a Secret of the proxy's namespace.
    Secret(SecretKeys),
}

/// PEM files on the proxy's machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct KeyFiles {
    /// Root certificates; otherwise the system's.
    pub roots: Option<Arc<str>>,
    /// What is shown when the server asks (`MUTUAL`).
    pub certificate: Option<CertificateFiles>,
}

/// A certificate with its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CertificateFiles {
    /// File of the certificate's chain, leaf first.
    pub chain: Arc<str>,
    /// File of its private key.
    pub key: Arc<str>,
}

/// What is used of a Secret. Its authorities vouch for the server, and nobody else does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SecretKeys {
    /// The Secret's name.
    pub name: Arc<str>,
    /// Its certificate is shown when the server asks (`MUTUAL`).
    pub shows_certificate: bool,
}

impl Default for UpstreamKeys {
    fn default() -> Self {
        UpstreamKeys::Files(KeyFiles::default())
    }
}

impl SimpleTls {
    /// A certificate of ours is shown when the server asks (`MUTUAL`).
    pub fn shows_certificate(&self) -> bool {
        match &self.keys {
            UpstreamKeys::Files(files) => files.certificate.is_some(),
            UpstreamKeys::Secret(secret) => secret.shows_certificate,
        }
    }
}

/// One block of settings; `None` leaves the block to the next wider one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TrafficPolicy {
    /// `loadBalancer`.
    pub load_balancer: Option<LoadBalancer>,
    /// `connectionPool`.
    pub connection_pool: Option<ConnectionPool>,
    /// `tls`.
    pub tls: Option<UpstreamTls>,
    /// `portLevelSettings`. An entry replaces the blocks above wholesale: what it leaves out is the proxy's
    /// default, not the wider block.
    pub ports: BTreeMap<Port, PortPolicy>,
}

impl TrafficPolicy {
    /// Its `tls` blocks, and the fields in which they stand.
    fn tls_blocks(&self, subset: Option<usize>) -> impl Iterator<Item = (TlsField, &UpstreamTls)> {
        let own = self.tls.as_ref().map(|tls| (TlsField { subset, of_port: false }, tls));
        let ports = self.ports.values().filter_map(|entry| entry.tls.as_ref());
        own.into_iter().chain(ports.map(move |tls| (TlsField { subset, of_port: true }, tls)))
    }
}

/// Where in a DestinationRule a `tls` block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsField {
    /// In the subset with this number; `None`: in the rule's own policy.
    subset: Option<usize>,
    /// In an entry of `portLevelSettings`.
    of_port: bool,
}

impl fmt::Display for TlsField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spec.")?;
        if let Some(number) = self.subset {
            write!(f, "subsets[{number}].")?;
        }
        f.write_str(if self.of_port { "trafficPolicy.portLevelSettings" } else { "trafficPolicy.tls" })
    }
}

/// One entry of `portLevelSettings`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PortPolicy {
    /// `loadBalancer`.
    pub load_balancer: Option<LoadBalancer>,
    /// `connectionPool`.
    pub connection_pool: Option<ConnectionPool>,
    /// `tls`.
    pub tls: Option<UpstreamTls>,
}

/// Endpoints of the service that carry these labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subset {
    /// The name that routes use.
    pub name: Arc<str>,
    /// Which endpoints.
    pub labels: Labels,
    /// Laid over the rule's own, block by block.
    pub policy: TrafficPolicy,
}

/// One DestinationRule; rules of the same namespace, host and selector are merged into one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Kind of the object that it comes from.
    pub object: ObjectKind,
    /// The (oldest) rule's name.
    pub name: NamespacedName,
    /// The host it is for, fully qualified; may be a wildcard.
    pub host: Host,
    /// Which rule wins among equals.
    pub precedence: Precedence,
    /// Which clients see it.
    pub visibility: Visibility,
    /// Only for client workloads of its namespace with these labels.
    pub workload_selector: Option<Labels>,
    /// For all subsets.
    pub policy: TrafficPolicy,
    /// In order.
    pub subsets: Vec<Subset>,
}

/// The settings in force for one port of one subset (or of the whole service).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EffectivePolicy {
    /// How an endpoint is picked.
    pub load_balancer: LoadBalancer,
    /// Limits.
    pub connection_pool: ConnectionPool,
    /// `None`: mutual TLS when the endpoint can.
    pub tls: Option<UpstreamTls>,
}

impl Destination {
    /// Whether it may be in force for a client, whatever the host.
    pub fn is_for(&self, client: Client<'_>) -> bool {
        match &self.workload_selector {
            Some(selector) => client.namespace == &self.name.namespace && selector.selects(client.labels),
            None => self.visibility.includes(client.namespace),
        }
    }

    /// Every `tls` block: the field that it stands in, and what it says.
    pub fn tls_blocks<'a>(&'a self) -> impl Iterator<Item = (TlsField, &'a UpstreamTls)> {
        let of = |(number, subset): (usize, &'a Subset)| subset.policy.tls_blocks(Some(number));
        self.policy.tls_blocks(None).chain(self.subsets.iter().enumerate().flat_map(of))
    }

    /// The Secrets that it names.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.tls_blocks().filter_map(|(_, tls)| tls.secret())
    }

    /// Whether a proxy may use the Secrets that it names: a gateway may, others only where the rule selects its clients.
    /// A rule for everybody would else hand a key to every caller.
    pub fn gives_secrets(&self, at_gateway: bool) -> bool {
        at_gateway || self.workload_selector.is_some()
    }

    /// The subset of this name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|s| &*s.name == name)
    }

    /// The settings in force for `port` of `subset`, or of the whole service. An unknown subset has the rule's own.
    ///
    /// An entry for the port stands in for its policy whole, with defaults for what it leaves out. A subset's blocks
    /// are laid over what the rule says about the port, whether that comes from an entry or not.
    pub fn effective(&self, subset: Option<&str>, port: Port) -> EffectivePolicy {
        let rule = Blocks::at(&self.policy, port);
        let blocks = match subset.and_then(|name| self.subset(name)) {
            None => rule,
            Some(Subset { policy, .. }) if policy.ports.contains_key(&port) => Blocks::at(policy, port),
            Some(Subset { policy, .. }) => Blocks {
                load_balancer: policy.load_balancer.as_ref().or(rule.load_balancer),
                connection_pool: policy.connection_pool.as_ref().or(rule.connection_pool),
                tls: policy.tls.as_ref().or(rule.tls),
            },
        };
        EffectivePolicy {
            load_balancer: blocks.load_balancer.copied().unwrap_or_default(),
            connection_pool: blocks.connection_pool.cloned().unwrap_or_default(),
            tls: blocks.tls.cloned(),
        }
    }
}

/// What a policy says about one port.
struct Blocks<'a> {
    load_balancer: Option<&'a LoadBalancer>,
    connection_pool: Option<&'a ConnectionPool>,
    tls: Option<&'a UpstreamTls>,
}

impl<'a> Blocks<'a> {
    fn at(policy: &'a TrafficPolicy, port: Port) -> Self {
        let (load_balancer, connection_pool, tls) = match policy.ports.get(&port) {
            Some(entry) => (&entry.load_balancer, &entry.connection_pool, &entry.tls),
            None => (&policy.load_balancer, &policy.connection_pool, &policy.tls),
        };
        Blocks { load_balancer: load_balancer.as_ref(), connection_pool: connection_pool.as_ref(), tls: tls.as_ref() }
    }
}

/// The client whose rule is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Its namespace.
    pub namespace: &'a crate::name::Namespace,
    /// Its labels.
    pub labels: &'a Labels,
}

/// The rule in force for `service` as seen by `client`: the client's namespace, then the service's, then the root
/// namespace; in each the most specific host, selector-bearing rules before others, then the oldest. The first
/// namespace with a hit ends the search: rules are not merged across namespaces.
pub fn choose<'a>(
    rules: impl Iterator<Item = &'a Arc<Destination>> + Clone,
    client: Client<'_>,
    service: &super::ServiceKey,
    root: &crate::name::Namespace,
) -> Option<&'a Arc<Destination>> {
    let in_namespace = |ns: &crate::name::Namespace, own: bool| {
        rules
            .clone()
            .filter(|r| r.name.namespace == *ns && r.host.covers(&service.host))
            .filter(|r| r.is_for(client) && (own || r.workload_selector.is_some() || !is_private(r)))
            .max_by(|a, b| {
                let rank = |r: &Destination| (r.host.specificity(), r.workload_selector.is_some());
                rank(a).cmp(&rank(b)).then_with(|| (&b.precedence, &b.name).cmp(&(&a.precedence, &a.name)))
            })
    };
    let own = (client.namespace != root).then(|| in_namespace(client.namespace, true)).flatten();
    own.or_else(|| in_namespace(&service.namespace, client.namespace == &service.namespace))
        .or_else(|| in_namespace(root, client.namespace == root))
}

/// Exported to its own namespace alone.
fn is_private(rule: &Destination) -> bool {
    match &rule.visibility {
        Visibility::Everywhere => false,
        Visibility::Namespaces(set) => set.len() == 1 && set.contains(&rule.name.namespace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(tls: Option<UpstreamTls>, connections: Option<u32>) -> TrafficPolicy {
        let connection_pool =
            connections.map(|most| ConnectionPool { max_connections: Some(most), ..Default::default() });
        TrafficPolicy { tls, connection_pool, ..TrafficPolicy::default() }
    }

    fn at_port(policy: TrafficPolicy) -> BTreeMap<Port, PortPolicy> {
        let TrafficPolicy { load_balancer, connection_pool, tls, .. } = policy;
        [(Port::new(80).unwrap(), PortPolicy { load_balancer, connection_pool, tls })].into()
    }

    #[test]
    fn a_subset_is_laid_over_what_the_rule_says_about_the_port() {
        let disable = || Some(UpstreamTls::Disable);
        let mutual = || Some(UpstreamTls::IstioMutual { sni: None, subject_alt_names: Vec::new() });
        let rule = |policy, subset| Destination {
            object: ObjectKind::DestinationRule,
            name: NamespacedName::new("shop", "a"),
            host: "a.shop".parse().unwrap(),
            precedence: Precedence::default(),
            visibility: Visibility::Everywhere,
            workload_selector: None,
            policy,
            subsets: vec![Subset { name: "v1".into(), labels: Labels::default(), policy: subset }],
        };
        let with_port = |whole: TrafficPolicy, port: TrafficPolicy| TrafficPolicy { ports: at_port(port), ..whole };
        let seen = |rule: &Destination, port| {
            let effective = rule.effective(Some("v1"), Port::new(port).unwrap());
            (effective.tls, effective.connection_pool.max_connections)
        };
        // The port's entry stands in for the rule's own policy, the subset's block is laid over the entry.
        let over = rule(with_port(policy(mutual(), Some(1)), policy(None, Some(2))), policy(disable(), None));
        assert_eq!(seen(&over, 80), (disable(), Some(2)));
        assert_eq!(seen(&over, 81), (disable(), Some(1)));
        // An entry of the subset for the port has the last word, and leaves nothing of the others.
        let last = rule(policy(mutual(), Some(1)), with_port(policy(disable(), Some(3)), policy(None, Some(4))));
        assert_eq!(seen(&last, 80), (None, Some(4)));
        assert_eq!(seen(&last, 81), (disable(), Some(3)));
    }
}
