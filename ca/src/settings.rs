//! Boot parameters of the authority as a process of its own: as given on the command line or in the environment
//! ([`Args`]), and resolved ([`Settings`]).

use crate::authority::Lifetimes;
use clap::Parser;
use mesh_config::identity::TrustDomain;
use mesh_runtime::{
    settings::duration,
    telemetry::log::{Format, filter},
    tls::grpc,
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// As given.
#[derive(Debug, Parser)]
#[command(name = "ca", version, about = "Certificate authority of the mesh")]
pub struct Args {
    /// Address of the certificate service (TLS).
    #[arg(long, env = "CA_LISTEN", default_value = "127.0.0.1:15012")]
    listen: SocketAddr,
    /// Address of health, metrics and log level.
    #[arg(long, env = "CA_ADMIN", default_value = "127.0.0.1:15014")]
    admin: SocketAddr,
    /// Directory of the self-signed root, made when it is not there.
    #[arg(long, env = "CA_ROOT_DIR", default_value = "./ca-root", conflicts_with = "cacerts")]
    root_dir: PathBuf,
    /// Directory with ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem made by somebody else.
    #[arg(long, env = "CA_CACERTS")]
    cacerts: Option<PathBuf>,
    /// Trust domain of the identities.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    trust_domain: TrustDomain,
    /// File with the public keys (PEM) that verify service-account tokens.
    #[arg(long, env = "CA_TOKEN_KEYS")]
    token_keys: PathBuf,
    /// Audience that tokens must be meant for.
    #[arg(long, env = "CA_AUDIENCE", default_value = crate::authn::token::AUDIENCE)]
    audience: String,
    /// Lifetime of certificates when the caller wishes nothing.
    #[arg(long, env = "DEFAULT_WORKLOAD_CERT_TTL", default_value = "24h", value_parser = lifetime)]
    default_ttl: Duration,
    /// Longest lifetime of certificates.
    #[arg(long, env = "MAX_WORKLOAD_CERT_TTL", default_value = "2160h", value_parser = lifetime)]
    max_ttl: Duration,
    /// Names that the service is reached by; in its own certificate.
    #[arg(
        long,
        env = "CA_DNS_NAMES",
        value_delimiter = ',',
        default_values = ["istiod.istio-system.svc", "istiod.istio-system", "istiod", "localhost"],
    )]
    dns_names: Vec<String>,
    /// Bounds on connections.
    #[command(flatten)]
    connections: grpc::Bounds,
    /// How long a log line that callers can repeat is left out after it was written.
    #[arg(long, env = "FERROMESH_LOG_REPEAT_AFTER", default_value = "60s", value_parser = duration)]
    log_repeat_after: Duration,
    /// Form of the log: text or json.
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    log_format: Format,
    /// Filter of the log.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_parser = filter)]
    log_level: String,
}

/// Where the root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// Self-signed, kept in this directory.
    SelfSigned(PathBuf),
    /// Somebody else's, in this directory.
    Given(PathBuf),
}

/// Resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the service.
    pub listen: SocketAddr,
    /// Address of the admin server.
    pub admin: SocketAddr,
    /// Where the root comes from.
    pub root: RootSource,
    /// Trust domain of the identities.
    pub trust_domain: TrustDomain,
    /// Public keys that verify tokens.
    pub token_keys: PathBuf,
    /// Audience of tokens.
    pub audience: String,
    /// Lifetimes of certificates.
    pub lifetimes: Lifetimes,
    /// Names in our own certificate.
    pub dns_names: Vec<String>,
    /// Bounds on connections.
    pub connections: grpc::Bounds,
    /// How long a log line that callers can repeat is left out after it was written.
    pub log_repeat_after: Duration,
    /// Form of the log.
    pub log_format: Format,
    /// Filter of the log.
    pub log_level: String,
}

impl From<Args> for Settings {
    fn from(args: Args) -> Self {
        let root = match args.cacerts {
            Some(dir) => RootSource::Given(dir),
            None => RootSource::SelfSigned(args.root_dir),
        };
        Settings {
            listen: args.listen,
            admin: args.admin,
            root,
            trust_domain: args.trust_domain,
            token_keys: args.token_keys,
            audience: args.audience,
            // A default above the bound would be cut at each request: cut it once.
            lifetimes: Lifetimes { default: args.default_ttl.min(args.max_ttl), max: args.max_ttl },
            dns_names: args.dns_names,
            connections: args.connections,
            log_repeat_after: args.log_repeat_after,
            log_format: args.log_format,
            log_level: args.log_level,
        }
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let parsed = mesh_config::time::duration(text).filter(|d| *d >= Duration::from_secs(1));
    parsed.ok_or_else(|| format!("{text:?} is not a duration of at least a second, such as 24h or 90m"))
}
