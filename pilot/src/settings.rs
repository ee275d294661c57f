//! Boot parameters of pilot: as given on the command line ([`Cli`]), and resolved ([`Settings`]).

mod clients;

pub use clients::ClientBounds;

use clap::{Args, Parser, Subcommand};
use mesh_config::identity::TrustDomain;
use mesh_runtime::{
    settings::{Listen, duration},
    telemetry::log::{Format, filter},
    tls::grpc,
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "pilot", version, about = "Control plane of the mesh")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// From words, the first of which is the program's name: for pilots inside of other processes.
    ///
    /// # Errors
    /// What would have been printed.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        Cli::try_parse_from(words).map_err(|error| error.to_string())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves discovery and certificates for the objects of an API server, or of a directory.
    Discovery(Box<Settings>),
    /// Makes the key that signs service-account tokens on a machine without a cluster, unless it is there.
    TokenKey(TokenKey),
    /// Prints a service-account token signed with that key.
    Token(Token),
}

/// Parameters of `pilot discovery`. Port 0 takes any free port.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Directory of YAML objects, watched. Without it the objects are those of an API server.
    #[arg(long, env = "PILOT_CONFIG_DIR", requires = "token_key")]
    pub config_dir: Option<PathBuf>,
    /// File that says how the API server is reached. Without it, and without `KUBECONFIG` and `~/.kube/config`: by the
    /// pod's service account.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Address of discovery and certificates, with TLS.
    #[arg(long, env = "PILOT_XDS_ADDRESS", default_value = "0.0.0.0:15012")]
    pub xds_address: SocketAddr,
    /// Address of discovery without encryption, or `off`. Never carries private keys.
    #[arg(long, env = "PILOT_PLAINTEXT_XDS_ADDRESS", default_value = "127.0.0.1:15010")]
    pub plaintext_xds_address: Listen,
    /// Address of readiness and debug pages alone, or `off`.
    #[arg(long, env = "PILOT_HTTP_ADDRESS", default_value = "off")]
    pub http_address: Listen,
    /// Address of the webhooks that an API server calls, with TLS, or `off`.
    #[arg(long, env = "PILOT_HTTPS_ADDRESS", default_value = "off")]
    pub https_address: Listen,
    /// Address of metrics, readiness and debug pages. These ask callers from elsewhere for a proof.
    #[arg(long, env = "PILOT_MONITORING_ADDRESS", default_value = "127.0.0.1:15014")]
    pub monitoring_address: SocketAddr,
    /// Directory of the self-signed root, made when it is not there. Afterwards it holds `root-cert.pem`, by which
    /// proxies know pilot.
    #[arg(long, env = "PILOT_CA_DIR", default_value = "./ca-root")]
    pub ca_dir: PathBuf,
    /// Directory with ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem made by somebody else, to be used
    /// instead.
    #[arg(long, env = "PILOT_CACERTS")]
    pub cacerts: Option<PathBuf>,
    /// File with the public keys (PEM) that verify service-account tokens; required with `--config-dir`.
    #[arg(long, env = "PILOT_TOKEN_KEY")]
    pub token_key: Option<PathBuf>,
    /// Audience that tokens must be meant for.
    #[arg(long, env = "PILOT_TOKEN_AUDIENCE", default_value = "istio-ca")]
    pub token_audience: String,
    /// Suffix of Kubernetes service names.
    #[arg(long, env = "PILOT_DOMAIN", default_value = "cluster.local")]
    pub domain: String,
    /// Pilot's own namespace, and the mesh's root namespace until MeshConfig says another.
    #[arg(long, env = "POD_NAMESPACE", default_value = "istio-system")]
    pub namespace: String,
    /// Namespace of the Service that MeshConfig's `ingressService` names: pilot's own by default.
    #[arg(long, env = "K8S_INGRESS_NS")]
    pub ingress_namespace: Option<String>,
    /// Revision of this control plane: its MeshConfig is ConfigMap `istio-REVISION`, without one `istio`, of its own
    /// namespace.
    #[arg(long, env = "REVISION")]
    pub revision: Option<String>,
    /// Directory that keeps the last good versions of policies and Sidecars, made when it is not there. Without it a
    /// restart forgets them, and what has errors then narrows all the way.
    #[arg(long, env = "PILOT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Trust domain; MeshConfig's by default.
    #[arg(long, env = "TRUST_DOMAIN")]
    pub trust_domain: Option<TrustDomain>,
    /// Lifetime of certificates when the caller wishes nothing.
    #[arg(long, env = "DEFAULT_WORKLOAD_CERT_TTL", default_value = "24h", value_parser = duration)]
    pub default_workload_cert_ttl: Duration,
    /// Longest lifetime of certificates.
    #[arg(long, env = "MAX_WORKLOAD_CERT_TTL", default_value = "2160h", value_parser = duration)]
    pub max_workload_cert_ttl: Duration,
    /// Names that pilot is reached by, in its own certificate. By default those of Service `istiod`, or
    /// `istiod-REVISION`, of its namespace.
    #[arg(long, env = "PILOT_SERVER_NAMES", value_delimiter = ',')]
    pub server_names: Vec<String>,
    /// Name of the ConfigMap that tells every namespace the roots, in key `root-cert.pem`. Two control planes in one
    /// cluster that share no root need different ones.
    #[arg(long, env = "PILOT_CA_CERT_CONFIGMAP", default_value = "istio-ca-root-cert")]
    pub trust_bundle_name: String,
    /// Name of the ClusterRole that owns what pilot writes into the cluster, so that this goes when the ClusterRole does.
    /// Without it what pilot wrote stays.
    #[arg(long, env = "PILOT_CLUSTER_ROLE")]
    pub cluster_role: Option<String>,
    /// Pilot's own name among several of one cluster; a random one by default.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// File to which the addresses really bound are written, as JSON.
    #[arg(long)]
    pub address_file: Option<PathBuf>,
    /// Bounds on connections.
    #[command(flatten)]
    pub connections: grpc::Bounds,
    /// Bounds on clients of discovery.
    #[command(flatten)]
    pub clients: ClientBounds,
    /// How long streams and calls may take to end after SIGTERM.
    #[arg(long, env = "PILOT_DRAIN", default_value = "5s", value_parser = duration)]
    pub drain: Duration,
    /// Form of the log: text or json.
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub log_format: Format,
    /// Filter of the log, e.g. `info` or `info,mesh_pilot=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_parser = filter)]
    pub log: String,
}

impl Settings {
    /// The revision, unless it is the unnamed one.
    pub(crate) fn named_revision(&self) -> Option<&str> {
        self.revision.as_deref().filter(|revision| !matches!(*revision, "" | "default"))
    }

    /// The names in pilot's own certificate: those given, or those of its Services in the forms in which they resolve.
    pub(crate) fn own_names(&self) -> Vec<String> {
        let given: Vec<String> = self.server_names.iter().filter(|name| !name.is_empty()).cloned().collect();
        if !given.is_empty() {
            return given;
        }
        let services = [Some("istiod".to_owned()), self.named_revision().map(|revision| format!("istiod-{revision}"))];
        let mut names = Vec::new();
        for service in services.into_iter().flatten() {
            let in_namespace = format!("{service}.{}", self.namespace);
            names.extend([format!("{in_namespace}.svc.{}", self.domain), format!("{in_namespace}.svc")]);
            names.extend([in_namespace, service]);
        }
        names.push("localhost".to_owned());
        names
    }
}

/// Parameters of `pilot token-key`.
#[derive(Debug, Clone, Args)]
pub struct TokenKey {
    /// Directory for `token-key.pem` (private, mode 0600) and `token-key.pub.pem`.
    #[arg(long)]
    pub out: PathBuf,
}

/// Parameters of `pilot token`.
#[derive(Debug, Clone, Args)]
pub struct Token {
    /// The private key, made by `pilot token-key`.
    #[arg(long)]
    pub key: PathBuf,
    /// Namespace of the service account.
    #[arg(long)]
    pub namespace: String,
    /// Name of the service account.
    #[arg(long)]
    pub service_account: String,
    /// For whom the token is.
    #[arg(long, default_value = "istio-ca")]
    pub audience: String,
    /// How long it is good for.
    #[arg(long, default_value = "24h", value_parser = duration)]
    pub ttl: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        let line =
            "pilot discovery --config-dir d --token-key k --plaintext-xds-address off --max-workload-cert-ttl 90s";
        let Command::Discovery(settings) = Cli::of(line.split(' ')).unwrap().command else { panic!() };
        assert_eq!(settings.plaintext_xds_address, Listen(None));
        assert_eq!(settings.max_workload_cert_ttl, Duration::from_secs(90));
        assert_eq!(settings.trust_bundle_name, "istio-ca-root-cert");
        assert!(Cli::of(["pilot", "token", "--key", "k", "--namespace", "a"]).is_err());
    }

    #[test]
    fn a_command_line_that_says_nothing_means_the_default_bounds() {
        let line = "pilot discovery --keepaliveMaxServerConnectionAge 10m";
        let Command::Discovery(settings) = Cli::of(line.split(' ')).unwrap().command else { panic!() };
        assert_eq!(settings.clients, ClientBounds::default());
        let age = Duration::from_secs(600);
        let connections = grpc::Bounds { keepalive_max_server_connection_age: age, ..grpc::Bounds::default() };
        assert_eq!(settings.connections, connections);
    }

    #[test]
    fn pilot_is_reached_by_the_names_of_its_services() {
        let names = |line: &str| {
            let Command::Discovery(settings) = Cli::of(line.split(' ')).unwrap().command else { panic!() };
            settings.own_names().join(" ")
        };
        let plain = "istiod.mesh.svc.cluster.local istiod.mesh.svc istiod.mesh istiod";
        assert_eq!(names("pilot discovery --namespace mesh --revision default"), format!("{plain} localhost"));
        let with = "istiod-1-2.mesh.svc.cluster.local istiod-1-2.mesh.svc istiod-1-2.mesh istiod-1-2";
        assert_eq!(names("pilot discovery --namespace mesh --revision 1-2"), format!("{plain} {with} localhost"));
        assert_eq!(names("pilot discovery --server-names pilot.example"), "pilot.example");
    }
}
