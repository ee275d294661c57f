//! What is asked of, and told to, the processes of a mesh for whoever looks into it.

use crate::context::duration;
use clap::{Args, Subcommand};
use std::time::Duration;

/// `admin`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// What the control plane logs, and from which level on.
    #[command(visible_alias = "l")]
    Log(AdminLogArgs),
}

/// `admin log`.
#[derive(Debug, Args)]
pub(crate) struct AdminLogArgs {
    /// A pod of the control plane; without it all.
    pub(crate) pod: Option<String>,
    /// Labels of the control plane's pods.
    #[arg(short = 'l', long, default_value = "app=istiod", value_name = "LABELS")]
    pub(crate) selector: String,
    #[command(flatten)]
    pub(crate) level: LevelArgs,
    /// Put back what the process was started with.
    #[arg(long, alias = "log-reset", conflicts_with = "level")]
    pub(crate) reset: bool,
    /// Output format: short, json or yaml.
    #[arg(short, long, default_value = "short")]
    pub(crate) output: String,
    /// Revision of the control plane; without it all are asked.
    #[arg(short, long)]
    pub(crate) revision: Option<String>,
    /// How long to wait for answers.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Levels of a log.
#[derive(Debug, Args)]
pub(crate) struct LevelArgs {
    /// LEVEL, or SCOPE:LEVEL with commas between; other scopes stay. trace, debug, info, warn, error or off.
    #[arg(long, value_name = "[SCOPE:]LEVEL")]
    pub(crate) level: Option<String>,
}

/// `proxy-config log`.
#[derive(Debug, Args)]
pub(crate) struct ProxyLogArgs {
    /// The proxy, [TYPE/]NAME[.NAMESPACE].
    #[arg(required_unless_present = "selector")]
    pub(crate) proxy: Option<String>,
    /// Labels of pods in the namespace, instead of one proxy.
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "proxy")]
    pub(crate) selector: Option<String>,
    #[command(flatten)]
    pub(crate) level: LevelArgs,
    /// Put back what the proxy was started with.
    #[arg(short, long, conflicts_with = "level")]
    pub(crate) reset: bool,
    /// Admin port of the proxy in its pod.
    #[arg(long = "proxy-admin-port", default_value_t = 15000, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) proxy_admin_port: u16,
    /// Output format: short, json or yaml.
    #[arg(short, long, default_value = "short")]
    pub(crate) output: String,
    /// How long to wait for answers.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `x internal-debug`.
#[derive(Debug, Args)]
pub(crate) struct InternalDebugArgs {
    /// Name of the page below /debug/, with its parameters: config_dump?proxyID=NAME.NAMESPACE.
    pub(crate) page: Option<String>,
    /// Names of the pages.
    #[arg(short = 'L', long, conflicts_with = "page")]
    pub(crate) list: bool,
    /// What every pod of the control plane answers, by its name; without it the first that has an answer.
    #[arg(long)]
    pub(crate) all: bool,
    /// Revision of the control plane; without it all are asked.
    #[arg(short, long)]
    pub(crate) revision: Option<String>,
    /// Labels of the control plane's pods.
    #[arg(long = "xds-label", env = "ISTIOCTL_XDS_LABEL", value_name = "LABELS")]
    pub(crate) xds_label: Option<String>,
    /// How long to wait for answers.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
