//! What is captured: the flags of `istio-iptables`, with its variables. A flag that is not here is refused by name.

use anyhow::{Result, bail};
use clap::{Args, Parser};

/// Capture a pod's connections, as istio-iptables does.
#[derive(Debug, Clone, Args)]
pub struct Redirect {
    /// Port of the proxy for the application's own connections.
    #[arg(short = 'p', long = "envoy-port", default_value_t = 15001, value_name = "PORT")]
    pub outbound_port: u16,
    /// Port of the proxy for connections of peers.
    #[arg(
        short = 'z',
        long = "inbound-capture-port",
        env = "INBOUND_CAPTURE_PORT",
        default_value_t = 15006,
        value_name = "PORT"
    )]
    pub inbound_port: u16,
    /// Port of tunnels, which is not captured.
    #[arg(
        short = 'e',
        long = "inbound-tunnel-port",
        env = "INBOUND_TUNNEL_PORT",
        default_value_t = 15008,
        value_name = "PORT"
    )]
    pub tunnel_port: u16,
    /// Users whose connections are the proxy's own.
    #[arg(
        short = 'u',
        long = "proxy-uid",
        env = "PROXY_UID",
        value_delimiter = ',',
        default_value = "1337",
        value_name = "UID"
    )]
    pub users: Vec<u32>,
    /// Groups whose connections are the proxy's own; the same numbers as the users' by default.
    #[arg(short = 'g', long = "proxy-gid", env = "PROXY_GID", value_delimiter = ',', value_name = "GID")]
    pub groups: Vec<u32>,
    /// How connections of peers are captured: REDIRECT, or NONE for not at all.
    #[arg(
        short = 'm',
        long = "istio-inbound-interception-mode",
        env = "ISTIO_INBOUND_INTERCEPTION_MODE",
        default_value = "REDIRECT",
        value_name = "MODE"
    )]
    pub mode: String,
    /// Ports of the application that are captured: a list, `*`, or nothing.
    #[arg(
        short = 'b',
        long = "istio-inbound-ports",
        env = "ISTIO_INBOUND_PORTS",
        default_value = "",
        value_name = "PORTS"
    )]
    pub inbound_ports: String,
    /// Ports of the application that are not captured, where `-b` is `*`.
    #[arg(
        short = 'd',
        long = "istio-local-exclude-ports",
        env = "ISTIO_LOCAL_EXCLUDE_PORTS",
        default_value = "",
        value_name = "PORTS"
    )]
    pub exclude_inbound_ports: String,
    /// Interfaces whose connections are left alone.
    #[arg(
        short = 'c',
        long = "istio-exclude-interfaces",
        env = "ISTIO_EXCLUDE_INTERFACES",
        default_value = "",
        value_name = "NAMES"
    )]
    pub exclude_interfaces: String,
    /// Ranges of addresses that are captured when the application dials them: a list, `*`, or nothing.
    #[arg(
        short = 'i',
        long = "istio-service-cidr",
        env = "ISTIO_SERVICE_CIDR",
        default_value = "",
        value_name = "RANGES"
    )]
    pub outbound_ranges: String,
    /// Ranges of addresses that are not captured.
    #[arg(
        short = 'x',
        long = "istio-service-exclude-cidr",
        env = "ISTIO_SERVICE_EXCLUDE_CIDR",
        default_value = "",
        value_name = "RANGES"
    )]
    pub exclude_outbound_ranges: String,
    /// Ports that are captured when the application dials them, whatever the address.
    #[arg(
        short = 'q',
        long = "istio-outbound-ports",
        env = "ISTIO_OUTBOUND_PORTS",
        default_value = "",
        value_name = "PORTS"
    )]
    pub outbound_ports: String,
    /// Ports that are not captured when the application dials them.
    #[arg(
        short = 'o',
        long = "istio-local-outbound-ports-exclude",
        env = "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE",
        default_value = "",
        value_name = "PORTS"
    )]
    pub exclude_outbound_ports: String,
    /// Interfaces of virtual machines: what comes from them is captured as the application's own.
    #[arg(
        short = 'k',
        long = "kube-virt-interfaces",
        env = "KUBE_VIRT_INTERFACES",
        default_value = "",
        value_name = "NAMES"
    )]
    pub virtual_interfaces: String,
    /// Groups whose connections are captured: a list, or `*`.
    #[arg(long, env = "ISTIO_OUTBOUND_OWNER_GROUPS", default_value = "*", hide = true)]
    pub owner_groups: String,
    /// Groups whose connections are not captured, where the list before is `*`.
    #[arg(long, env = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", default_value = "", hide = true)]
    pub exclude_owner_groups: String,
    /// Range of the pod's own loopback.
    #[arg(long, env = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", default_value = "127.0.0.1/32", hide = true)]
    pub loopback: String,
    /// Drop packets of no known connection.
    #[arg(long, env = "INVALID_DROP", action = clap::ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true)]
    pub drop_invalid: bool,
    /// Without effect: the proxy serves no DNS yet.
    #[arg(long, env = "ISTIO_META_DNS_CAPTURE", action = clap::ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true)]
    pub redirect_dns: bool,
    /// Write nft's rules alone, and fail where they cannot be.
    #[arg(long, env = "NATIVE_NFTABLES", action = clap::ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true)]
    pub native_nftables: bool,
    /// Write iptables' rules alone, by its command `legacy` or `nft`.
    #[arg(long, env = "FORCE_IPTABLES_BINARY", default_value = "", value_name = "KIND")]
    pub force_iptables_binary: String,
    /// Print the rules, in nft's form, and do nothing.
    #[arg(short = 'n', long, env = "DRY_RUN", action = clap::ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true)]
    pub dry_run: bool,
    /// Remove the rules instead.
    #[arg(long, env = "CLEANUP_ONLY", action = clap::ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true)]
    pub cleanup_only: bool,
    /// Taken for istio-iptables' sake: the level of what is said.
    #[arg(long = "log_output_level", hide = true)]
    pub log_output_level: Option<String>,
}

/// What writes rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackEnd {
    /// nft where it can be used, else iptables.
    Any,
    Nft,
    /// The command with this suffix: `legacy`, `nft`, or none.
    Iptables(&'static str),
}

/// As a whole line.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    redirect: Redirect,
}

impl Redirect {
    /// From words, without a program's name in front.
    ///
    /// # Errors
    /// What would have been printed.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let line = Line::try_parse_from(std::iter::once("redirect").chain(words));
        line.map(|line| line.redirect).map_err(|error| error.to_string())
    }

    /// What is to write the rules.
    ///
    /// # Errors
    /// When two are asked for, or one that is not known.
    pub fn back_end(&self) -> Result<BackEnd> {
        match (self.native_nftables, self.force_iptables_binary.as_str()) {
            (true, "") => Ok(BackEnd::Nft),
            (false, "") => Ok(BackEnd::Any),
            (false, "legacy") => Ok(BackEnd::Iptables("-legacy")),
            (false, "nft") => Ok(BackEnd::Iptables("-nft")),
            (true, _) => bail!("--native-nftables and --force-iptables-binary exclude each other"),
            (false, other) => bail!("--force-iptables-binary {other:?} is neither legacy nor nft"),
        }
    }
}
