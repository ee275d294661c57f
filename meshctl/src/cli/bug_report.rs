//! What a report of a fault holds.

use crate::context::duration;
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// `bug-report`.
#[derive(Debug, Args)]
pub(crate) struct BugReportArgs {
    /// Proxies that are looked into: NAMESPACES/DEPLOYMENTS/PODS/LABELS/ANNOTATIONS/CONTAINERS, each with commas between and `*`
    /// for anything; what is left out is all. May be given more than once; without it all proxies are.
    #[arg(long, value_name = "SPEC")]
    pub(crate) include: Vec<String>,
    /// Proxies that are not, in the same form. May be given more than once.
    #[arg(long, value_name = "SPEC", default_value = "kube-node-lease,kube-public,kube-system,local-path-storage")]
    pub(crate) exclude: Vec<String>,
    /// Namespace of the control plane, as --istioNamespace.
    #[arg(long = "istio-namespace", value_name = "NAMESPACE")]
    pub(crate) control_plane: Option<String>,
    /// Logs of that long before now.
    #[arg(long, alias = "since", value_parser = duration, conflicts_with = "start_time")]
    pub(crate) duration: Option<Duration>,
    /// Logs since then, as 2026-01-31T12:00:00Z.
    #[arg(long = "start-time", value_name = "TIME")]
    pub(crate) start_time: Option<String>,
    /// Last lines of each log; 0: all. 8 MiB of each are taken at most.
    #[arg(long, default_value_t = 0, value_name = "LINES", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) tail: i64,
    /// How long gathering may take; what there is by then is the report.
    #[arg(long, default_value = "30m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Questions at once; 0: 8.
    #[arg(long = "rq-concurrency", default_value_t = 0, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(0..=32))]
    pub(crate) rq_concurrency: u8,
    /// Directory of the archive, bug-report.tar.gz.
    #[arg(long = "output-dir", default_value = ".", value_name = "DIR")]
    pub(crate) output_dir: PathBuf,
    /// Admin port of proxies in their pods.
    #[arg(long = "proxy-admin-port", default_value_t = 15000, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) proxy_admin_port: u16,
    /// Say what would be gathered, and gather nothing.
    #[arg(long = "dry-run")]
    pub(crate) dry_run: bool,
    /// Leave out what is wrong with the mesh: status and findings about objects.
    #[arg(long = "skip-analyze")]
    pub(crate) skip_analyze: bool,
    /// Leave out objects of the cluster.
    #[arg(long = "skip-cluster-dump")]
    pub(crate) skip_cluster_dump: bool,
    /// Leave out what proxies say of themselves; their logs are taken.
    #[arg(long = "skip-proxy-debug")]
    pub(crate) skip_proxy_debug: bool,
    /// Taken for istioctl's sake: none are taken in any case.
    #[arg(long = "skip-coredumps", hide = true)]
    pub(crate) skip_coredumps: bool,
    /// Taken for istioctl's sake: none is taken in any case.
    #[arg(long = "skip-netstat", hide = true)]
    pub(crate) skip_netstat: bool,
}
