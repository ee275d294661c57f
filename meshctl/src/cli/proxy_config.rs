//! What one proxy is configured with.

use super::{ProxyLogArgs, XdsArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `proxy-config`.
#[derive(Debug, Args)]
pub(crate) struct ProxyConfigArgs {
    #[command(subcommand)]
    pub(crate) what: ProxyConfigCommand,
}

/// Whose configuration, and from where.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The proxy, [TYPE/]NAME[.NAMESPACE].
    pub(crate) proxy: Option<String>,
    /// Admin port of the proxy in its pod.
    #[arg(long = "proxy-admin-port", global = true, default_value_t = 15000, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) proxy_admin_port: u16,
    /// Admin address of the proxy, HOST:PORT.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "xds_address")]
    pub(crate) admin: Option<String>,
    /// A configuration dump in a file instead of a proxy; `-` is standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["admin", "proxy"])]
    pub(crate) file: Option<PathBuf>,
    /// Output format: short, json or yaml.
    #[arg(short, long, default_value = "short")]
    pub(crate) output: String,
    #[command(flatten)]
    pub(crate) xds: XdsArgs,
}

/// What of it.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyConfigCommand {
    /// Where it sends to.
    #[command(visible_aliases = ["clusters", "c"])]
    Cluster {
        /// Part of the service's name.
        #[arg(long)]
        fqdn: Option<String>,
        /// Part of the direction: inbound, outbound.
        #[arg(long)]
        direction: Option<String>,
        /// Part of the subset's name.
        #[arg(long)]
        subset: Option<String>,
        /// Port; 0: all.
        #[arg(long, default_value_t = 0)]
        port: u16,
        #[command(flatten)]
        target: Target,
    },
    /// Which endpoints it knows.
    #[command(visible_aliases = ["endpoints", "ep"])]
    Endpoint {
        /// Address of the endpoint.
        #[arg(long)]
        address: Option<String>,
        /// Port of the endpoint; 0: all.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Cluster by its whole name.
        #[arg(long)]
        cluster: Option<String>,
        /// Status.
        #[arg(long, ignore_case = true, value_parser = ["healthy", "unhealthy", "draining"])]
        status: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Where it listens.
    #[command(visible_aliases = ["listeners", "l"])]
    Listener {
        /// Address that it listens on.
        #[arg(long)]
        address: Option<String>,
        /// Port; 0: all.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// What passes through it.
        #[arg(long = "type", ignore_case = true, value_parser = ["HTTP", "TCP", "HTTP+TCP", "UNKNOWN"])]
        kind: Option<String>,
        /// One row a way through the listener; false: one a listener.
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
        verbose: bool,
        #[command(flatten)]
        target: Target,
    },
    /// How it routes.
    #[command(visible_aliases = ["routes", "r"])]
    Route {
        /// Route configuration by its whole name.
        #[arg(long)]
        name: Option<String>,
        /// One row a route; false: one a route configuration.
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
        verbose: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Which certificates it has.
    #[command(visible_aliases = ["secrets", "s"])]
    Secret {
        #[command(flatten)]
        target: Target,
    },
    /// All of these, one after the other.
    #[command(visible_alias = "a")]
    All {
        #[command(flatten)]
        filters: Filters,
        /// A title before each.
        #[arg(long = "with-headers")]
        with_headers: bool,
        #[command(flatten)]
        target: Target,
    },
    /// What it logs, and from which level on.
    #[command(visible_alias = "o")]
    Log(ProxyLogArgs),
}

/// What is shown of each section.
#[derive(Debug, Args)]
pub(crate) struct Filters {
    /// Clusters: part of the service's name.
    #[arg(long)]
    pub(crate) fqdn: Option<String>,
    /// Clusters: part of the direction.
    #[arg(long)]
    pub(crate) direction: Option<String>,
    /// Clusters: part of the subset's name.
    #[arg(long)]
    pub(crate) subset: Option<String>,
    /// Clusters, listeners, endpoints: port; 0: all.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Listeners, endpoints: address.
    #[arg(long)]
    pub(crate) address: Option<String>,
    /// Listeners: what passes through.
    #[arg(long = "type", ignore_case = true, value_parser = ["HTTP", "TCP", "HTTP+TCP", "UNKNOWN"])]
    pub(crate) kind: Option<String>,
    /// Routes: configuration by its whole name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Listeners, routes: one row a way through; false: one row each.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) verbose: bool,
}
