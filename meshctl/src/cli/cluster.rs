//! How a cluster and its control plane are reached.

use crate::context::duration;
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// How to reach a cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct KubeArgs {
    /// Kubeconfig; without it $KUBECONFIG, then the home folder's.
    #[arg(short = 'c', long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    pub(crate) context: Option<String>,
    /// Namespace of the control plane.
    #[arg(
        short = 'i',
        long = "istioNamespace",
        global = true,
        default_value = "istio-system",
        value_name = "NAMESPACE"
    )]
    pub(crate) istio_namespace: String,
    /// User to act as.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub(crate) impersonate: Option<String>,
    /// UID to act as.
    #[arg(long = "as-uid", global = true, value_name = "UID")]
    pub(crate) impersonate_uid: Option<String>,
    /// Group to act as; may be given more than once.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub(crate) impersonate_group: Vec<String>,
    /// How long the API server may take to be reached.
    #[arg(long = "kubeclient-timeout", global = true, default_value = "15s", value_parser = duration)]
    pub(crate) kubeclient_timeout: Duration,
}

/// How to reach pilot: through the cluster, unless its address is given.
#[derive(Debug, Args)]
pub(crate) struct XdsArgs {
    /// Address of pilot, HOST:PORT, instead of its pods in the cluster.
    #[arg(long = "xds-address", env = "ISTIOCTL_XDS_ADDRESS", value_name = "HOST:PORT")]
    pub(crate) xds_address: Option<String>,
    /// Speak plain text (port 15010).
    #[arg(long, env = "ISTIOCTL_PLAINTEXT")]
    pub(crate) plaintext: bool,
    /// Directory with cert-chain.pem, key.pem and root-cert.pem to prove who asks.
    #[arg(long = "cert-dir", env = "ISTIOCTL_CERT_DIR", value_name = "DIR", conflicts_with = "plaintext")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// File of the token that proves who asks.
    #[arg(long = "token-file", value_name = "FILE", conflicts_with = "plaintext")]
    pub(crate) token_file: Option<PathBuf>,
    /// File of the root certificates that vouch for pilot.
    #[arg(long = "root-cert", value_name = "FILE", conflicts_with = "plaintext")]
    pub(crate) root_cert: Option<PathBuf>,
    /// Name that pilot's certificate must be valid for, where it is not the address's.
    #[arg(long, env = "ISTIOCTL_AUTHORITY", conflicts_with = "plaintext")]
    pub(crate) authority: Option<String>,
    /// Accept any certificate of pilot.
    #[arg(long, env = "ISTIOCTL_INSECURE", conflicts_with = "plaintext")]
    pub(crate) insecure: bool,
    /// Revision of the control plane that is asked; without it all are.
    #[arg(short, long, conflicts_with = "xds_address")]
    pub(crate) revision: Option<String>,
    /// Labels of pilot's pods.
    #[arg(long = "xds-label", env = "ISTIOCTL_XDS_LABEL", conflicts_with = "xds_address", value_name = "LABELS")]
    pub(crate) xds_label: Option<String>,
    /// Port of pilot's pods.
    #[arg(long = "xds-port", env = "ISTIOCTL_XDS_PORT", conflicts_with = "xds_address", value_name = "PORT")]
    pub(crate) xds_port: Option<u16>,
    /// How long to wait for an answer.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

impl Default for XdsArgs {
    fn default() -> Self {
        XdsArgs {
            xds_address: None,
            plaintext: false,
            cert_dir: None,
            token_file: None,
            root_cert: None,
            authority: None,
            insecure: false,
            revision: None,
            xds_label: None,
            xds_port: None,
            timeout: Duration::from_secs(30),
        }
    }
}
