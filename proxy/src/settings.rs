//! A proxy's boot parameters, from the environment, with Istio's names where it has one.
//!
//! Every address is settable, `off` switches a port off, and port 0 takes any free one: one machine can then run many
//! proxies, each on its own address, and tests need no fixed ports.

mod config;
mod pod;
mod probes;
mod scrape;

pub use pod::Pod;
pub use probes::{How, HttpGet, Probe, Probes};
pub use scrape::{Scrape, Target};

use crate::limit::clients::Bounds;
use config::ProxyConfig;
use mesh_config::{kind::Role, name::host_of_authority};
use mesh_runtime::{
    settings::{Listen, Problems, Reader, Source},
    telemetry::log,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// What this proxy listens on besides what its configuration says. `[::]` is every address of both versions of IP, and of
/// version 4 alone where the machine has no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// `FERROMESH_ADMIN_ADDRESS`, 127.0.0.1:15000.
    pub admin: Listen,
    /// `FERROMESH_STATUS_ADDRESS`, [::]:15021: `/healthz/ready`.
    pub status: Listen,
    /// `FERROMESH_METRICS_ADDRESS`, [::]:15020: metrics, readiness, and what the kubelet asks of the application.
    pub metrics: Listen,
    /// `FERROMESH_PROMETHEUS_ADDRESS`, [::]:15090: `/stats/prometheus`.
    pub prometheus: Listen,
    /// `FERROMESH_OUTBOUND_ADDRESS`, [::]:15001: captured connections of the application.
    pub outbound: Listen,
    /// `FERROMESH_INBOUND_ADDRESS`, [::]:15006: captured connections of peers.
    pub inbound: Listen,
}

impl Addresses {
    /// Those of the proxy that this environment is of.
    ///
    /// # Errors
    /// What cannot be used, by its name.
    pub fn read(source: &dyn Source) -> Result<Self, Problems> {
        let mut read = Reader::new(source);
        let config = ProxyConfig::read(&mut read);
        let addresses = Addresses::of(&mut read, &config);
        read.finish().map(|()| addresses)
    }

    fn of(read: &mut Reader<'_>, config: &ProxyConfig) -> Self {
        // Of a ProxyConfig, port 0 is none.
        let metrics = match config.status_port.unwrap_or(15020) {
            0 => Listen(None),
            port => any(false, port),
        };
        Addresses {
            admin: read.or("FERROMESH_ADMIN_ADDRESS", any(true, config.proxy_admin_port.unwrap_or(15000))),
            status: read.or("FERROMESH_STATUS_ADDRESS", any(false, 15021)),
            metrics: read.or("FERROMESH_METRICS_ADDRESS", metrics),
            prometheus: read.or("FERROMESH_PROMETHEUS_ADDRESS", any(false, 15090)),
            outbound: read.or("FERROMESH_OUTBOUND_ADDRESS", any(false, 15001)),
            inbound: read.or("FERROMESH_INBOUND_ADDRESS", any(false, 15006)),
        }
    }
}

/// Where pilot and the certificate authority are, and how we prove ourselves to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlane {
    /// `DISCOVERY_ADDRESS`, host:port; ProxyConfig's `discoveryAddress`, istiod.istio-system.svc:15012.
    pub discovery: String,
    /// `CA_ADDR`; the discovery address.
    pub ca: String,
    /// `FERROMESH_XDS_SERVER_NAME`: name in pilot's certificate; the host of the discovery address.
    pub server_name: String,
    /// `FERROMESH_ROOT_CERT`: PEM of the roots that pilot's certificate must be signed by.
    pub root_cert: PathBuf,
    /// `FERROMESH_TOKEN_FILE`: service-account token, read again at each use.
    pub token: PathBuf,
}

/// All boot parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `PROXY_TYPE`: `sidecar` or `router`.
    pub role: Role,
    /// `POD_NAME`.
    pub name: String,
    /// `POD_NAMESPACE`.
    pub namespace: String,
    /// `SERVICE_ACCOUNT`.
    pub service_account: String,
    /// `INSTANCE_IP` or `INSTANCE_IPS`, comma-separated; the first of each family is dialled from.
    pub instance_ips: Vec<IpAddr>,
    /// `ISTIO_META_CLUSTER_ID`, Kubernetes.
    pub cluster: String,
    /// What it listens on.
    pub addresses: Addresses,
    /// Pilot and the certificate authority.
    pub control_plane: ControlPlane,
    /// `FERROMESH_WORKERS`, ProxyConfig's `concurrency`, 2 or fewer if `ISTIO_CPU_LIMIT` is 1: threads that carry traffic.
    pub workers: usize,
    /// `FERROMESH_MAX_CONNECTIONS`, 100000: accepted connections at once.
    pub max_connections: usize,
    /// `FERROMESH_FIRST_REQUEST_TIMEOUT`, `FERROMESH_REQUEST_HEAD_TIMEOUT`, `FERROMESH_REQUEST_BODY_TIMEOUT`,
    /// `FERROMESH_IDLE_TIMEOUT`, `FERROMESH_MAX_HELD`, `FERROMESH_MAX_HELD_PER_CONNECTION`: what clients may take; 0 of a time
    /// is none.
    pub bounds: Bounds,
    /// `FERROMESH_STATE_DIR`: configuration and certificate are kept here, so that a restart serves while pilot is away.
    pub state_dir: Option<PathBuf>,
    /// `FERROMESH_CERT_TTL`, 24h: asked of the certificate authority.
    pub certificate_ttl: Duration,
    /// `TERMINATION_DRAIN_DURATION_SECONDS`, ProxyConfig's `terminationDrainDuration`: instead of the mesh's; how long a
    /// SIGTERM lets requests finish.
    pub drain: Option<Duration>,
    /// The application beside the proxy.
    pub pod: Pod,
    /// `FERROMESH_LOG`, info; as `tracing` filters.
    pub log: String,
    /// `FERROMESH_LOG_JSON`.
    pub log_json: bool,
}

impl Settings {
    /// Reads all parameters.
    ///
    /// # Errors
    /// Everything that is wrong with them, together.
    pub fn read(source: &dyn Source) -> Result<Self, Problems> {
        let mut read = Reader::new(source);
        let role = role(&read.or("PROXY_TYPE", Role::Sidecar.word().to_owned())).unwrap_or_else(|problem| {
            read.problem("PROXY_TYPE", problem);
            Role::Sidecar
        });
        let mut instance_ips = read.list("INSTANCE_IPS");
        instance_ips.extend(
            read.list::<IpAddr>("INSTANCE_IP").into_iter().filter(|ip| !instance_ips.contains(ip)).collect::<Vec<_>>(),
        );
        let config = ProxyConfig::read(&mut read);
        let usual = config.discovery_address.clone().unwrap_or_else(|| "istiod.istio-system.svc:15012".to_owned());
        let discovery = read.or("DISCOVERY_ADDRESS", usual);
        let host = host_of_authority(&discovery);
        if !discovery.contains(':') {
            read.problem("DISCOVERY_ADDRESS", "must be HOST:PORT");
        }
        let workers = workers(&mut read, &config);
        if !(1..=256).contains(&workers) {
            read.problem("FERROMESH_WORKERS", "must be between 1 and 256");
        }
        let log = read.or("FERROMESH_LOG", "info".to_owned());
        if let Err(error) = log::filter(&log) {
            read.problem("FERROMESH_LOG", error.to_string());
        }
        let settings = Settings {
            role,
            name: read.required("POD_NAME").unwrap_or_default(),
            namespace: read.required("POD_NAMESPACE").unwrap_or_default(),
            service_account: read.or("SERVICE_ACCOUNT", "default".to_owned()),
            instance_ips,
            cluster: read.or("ISTIO_META_CLUSTER_ID", "Kubernetes".to_owned()),
            addresses: Addresses::of(&mut read, &config),
            control_plane: ControlPlane {
                ca: read.or("CA_ADDR", discovery.clone()),
                server_name: read.or("FERROMESH_XDS_SERVER_NAME", host.to_string()),
                root_cert: read.or("FERROMESH_ROOT_CERT", "/var/run/secrets/istio/root-cert.pem".into()),
                token: read.or("FERROMESH_TOKEN_FILE", "/var/run/secrets/tokens/istio-token".into()),
                discovery,
            },
            workers,
            max_connections: read.or("FERROMESH_MAX_CONNECTIONS", 100_000),
            bounds: bounds(&mut read, role),
            state_dir: read.optional("FERROMESH_STATE_DIR"),
            certificate_ttl: read.duration("FERROMESH_CERT_TTL", Duration::from_secs(24 * 3600)),
            drain: read.optional("TERMINATION_DRAIN_DURATION_SECONDS").map(Duration::from_secs).or(config.drain),
            pod: Pod::read(&mut read, role),
            log,
            log_json: read.flag("FERROMESH_LOG_JSON", false),
        };
        read.finish().map(|()| settings)
    }

    /// Istio's node id: `sidecar~10.0.0.1~name.namespace~namespace.svc.cluster.local`.
    pub fn node_id(&self) -> String {
        let ip = self.instance_ips.first().map_or_else(|| "0.0.0.0".to_owned(), IpAddr::to_string);
        let (role, name, ns) = (self.role, &self.name, &self.namespace);
        format!("{role}~{ip}~{name}.{ns}~{ns}.svc.cluster.local")
    }
}

/// The role that a word stands for, if this program serves it.
fn role(word: &str) -> Result<Role, String> {
    // The second name that it has in our pages.
    let word = if word == "gateway" { Role::Gateway.word() } else { word };
    let role = Role::from_word(word).ok_or_else(|| format!("{word:?} is neither sidecar nor router"))?;
    role.served().map_err(|error| error.to_string())
}

/// A default address: loopback, or every address.
fn any(loopback: bool, port: u16) -> Listen {
    let ip: IpAddr = if loopback { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    Listen(Some(SocketAddr::from((ip, port))))
}

/// What clients may take: of a gateway anybody is one.
fn bounds(read: &mut Reader<'_>, role: Role) -> Bounds {
    let usual = if role == Role::Gateway { Bounds::of_gateway() } else { Bounds::default() };
    let mut clock = |name, usual: Option<Duration>| {
        let given = read.duration(name, usual.unwrap_or_default());
        Some(given).filter(|time| !time.is_zero())
    };
    Bounds {
        first_request: clock("FERROMESH_FIRST_REQUEST_TIMEOUT", usual.first_request),
        head: clock("FERROMESH_REQUEST_HEAD_TIMEOUT", usual.head),
        body: clock("FERROMESH_REQUEST_BODY_TIMEOUT", usual.body),
        idle: clock("FERROMESH_IDLE_TIMEOUT", usual.idle),
        held: read.or("FERROMESH_MAX_HELD", usual.held),
        held_by_connection: read.or("FERROMESH_MAX_HELD_PER_CONNECTION", usual.held_by_connection),
    }
}

/// Threads that carry traffic. A sidecar's share of a large machine is small: the limit of its container lowers the
/// usual number and never raises it.
fn workers(read: &mut Reader<'_>, config: &ProxyConfig) -> usize {
    let limit = read.optional::<usize>("ISTIO_CPU_LIMIT").filter(|limit| *limit > 0).unwrap_or(2);
    let usual = match config.concurrency {
        Some(0) => std::thread::available_parallelism().map_or(2, usize::from),
        Some(wanted) => wanted,
        None => limit.min(2),
    };
    read.or("FERROMESH_WORKERS", usual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_runtime::settings::Map;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Problems> {
        Settings::read(&pairs.iter().copied().collect::<Map>())
    }

    #[test]
    fn istio_names_and_defaults() {
        let s = read(&[("POD_NAME", "cart"), ("POD_NAMESPACE", "shop"), ("INSTANCE_IP", "127.0.1.1")]).unwrap();
        assert_eq!(s.node_id(), "sidecar~127.0.1.1~cart.shop~shop.svc.cluster.local");
        assert_eq!(s.control_plane.server_name, "istiod.istio-system.svc");
        assert_eq!(s.addresses.inbound, Listen(Some("[::]:15006".parse().unwrap())));
    }

    #[test]
    fn a_pod_is_read_from_its_proxy_config_unless_a_variable_says_otherwise() {
        let pod = [("POD_NAME", "cart"), ("POD_NAMESPACE", "shop"), ("ISTIO_CPU_LIMIT", "1")];
        let config = r#"{"discoveryAddress":"istiod-canary.mesh.svc:15012","concurrency":4,"statusPort":15029,
            "terminationDrainDuration":"7s","proxyMetadata":{"A":"b"},"unknown":[]}"#;
        let plain = read(&pod).unwrap();
        assert_eq!((plain.workers, plain.drain, plain.pod), (1, None, Pod::default()));
        let s = read(&[&pod[..], &[("PROXY_CONFIG", config)]].concat()).unwrap();
        assert_eq!(s.control_plane.discovery, "istiod-canary.mesh.svc:15012");
        assert_eq!(s.control_plane.ca, "istiod-canary.mesh.svc:15012");
        assert_eq!((s.workers, s.drain), (4, Some(Duration::from_secs(7))));
        assert_eq!(s.addresses.metrics, Listen(Some("[::]:15029".parse().unwrap())));
        let none = read(&[&pod[..], &[("PROXY_CONFIG", r#"{"statusPort":0}"#)]].concat()).unwrap();
        assert_eq!(none.addresses.metrics, Listen(None));
        let more = [("PROXY_CONFIG", config), ("FERROMESH_WORKERS", "3"), ("TERMINATION_DRAIN_DURATION_SECONDS", "1")];
        let s = read(&[&pod[..], &more].concat()).unwrap();
        assert_eq!((s.workers, s.drain), (3, Some(Duration::from_secs(1))));
        for wrong in ["{", r#"{"terminationDrainDuration":"soon"}"#] {
            let problems = read(&[&pod[..], &[("PROXY_CONFIG", wrong)]].concat()).unwrap_err();
            assert!(problems.to_string().contains("PROXY_CONFIG"), "{problems}");
        }
    }

    #[test]
    fn an_injected_container_says_what_stands_beside_it() {
        let vars = [
            ("POD_NAME", "cart"),
            ("POD_NAMESPACE", "shop"),
            ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT"),
            ("ISTIO_META_APP_CONTAINERS", "cart,logs"),
            ("FERROMESH_NATIVE_SIDECAR", "true"),
            ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "true"),
            ("MINIMUM_DRAIN_DURATION", "2s"),
        ];
        let idle = Some(Duration::from_secs(2));
        let wanted = Pod { captured: true, application: true, native: true, exit_when_idle: idle, ..Pod::default() };
        assert_eq!(read(&vars).unwrap().pod, wanted);
    }

    #[test]
    fn a_role_that_nothing_serves_is_refused_by_name() {
        let of = |word| read(&[("PROXY_TYPE", word), ("POD_NAME", "a"), ("POD_NAMESPACE", "b")]).map(|s| s.role);
        assert_eq!(of("router").unwrap(), Role::Gateway);
        for word in ["waypoint", "ztunnel"] {
            let problems = of(word).unwrap_err();
            assert!(problems.to_string().contains(word), "{problems}");
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let e =
            read(&[("PROXY_TYPE", "x"), ("FERROMESH_WORKERS", "0"), ("FERROMESH_ADMIN_ADDRESS", "15000")]).unwrap_err();
        let names: Vec<_> = e.0.iter().map(|p| p.name.as_str()).collect();
        for name in ["PROXY_TYPE", "FERROMESH_WORKERS", "POD_NAME", "POD_NAMESPACE", "FERROMESH_ADMIN_ADDRESS"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
    }
}
