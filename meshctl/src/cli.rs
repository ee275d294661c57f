//! The command line exactly as it is typed; no logic. Names, aliases and short flags are istioctl's.

mod bug_report;
mod ca;
mod cluster;
mod install;
mod look;
mod proxy_config;
mod tag;

pub(crate) use bug_report::BugReportArgs;
pub(crate) use ca::{CaCommand, CaRotateArgs, CaStatusArgs, CaWriteArgs};
pub(crate) use cluster::{KubeArgs, XdsArgs};
pub(crate) use install::{InstallArgs, ManifestCommand, SpecArgs, UninstallArgs};
pub(crate) use look::{AdminCommand, AdminLogArgs, CompletionArgs, InternalDebugArgs, ProxyLogArgs};
pub(crate) use proxy_config::{ProxyConfigArgs, ProxyConfigCommand, Target};
pub(crate) use tag::{TagArgs, TagCommand};

use crate::context::duration;
use clap::{Args, Parser, Subcommand};
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Command line of the mesh.
#[derive(Debug, Parser)]
#[command(name = "meshctl", about = "Command line of the mesh", disable_version_flag = true)]
#[command(arg_required_else_help = true, infer_subcommands = false)]
pub(crate) struct Cli {
    /// Namespace of names that have none.
    #[arg(short, long, global = true)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The control plane's own settings.
    #[command(visible_alias = "istiod", subcommand, arg_required_else_help = true)]
    Admin(AdminCommand),
    /// The root that signs for the mesh: how old it is, another in its place.
    #[command(subcommand, arg_required_else_help = true)]
    Ca(CaCommand),
    /// An archive of what helps to find a fault, without secrets: versions, objects, pages and logs.
    #[command(name = "bug-report")]
    BugReport(BugReportArgs),
    /// What a shell reads to complete this command's words.
    Completion(CompletionArgs),
    /// Where a call goes and why: route, endpoints, mutual TLS, the policy that decides. From objects in files.
    Explain(ExplainArgs),
    /// Installs the mesh into the cluster, or brings what is installed to this version and these settings.
    #[command(visible_alias = "apply")]
    Install(InstallArgs),
    /// What installing writes, without a cluster.
    #[command(subcommand, arg_required_else_help = true)]
    Manifest(ManifestCommand),
    /// Workloads in files with the sidecar that the webhook would give their pods. Needs no cluster.
    #[command(name = "kube-inject")]
    KubeInject(KubeInjectArgs),
    /// What one proxy is configured with.
    #[command(name = "proxy-config", visible_alias = "pc", arg_required_else_help = true)]
    ProxyConfig(ProxyConfigArgs),
    /// Which proxies are connected to the control plane, and whether they have its latest configuration.
    #[command(name = "proxy-status", visible_alias = "ps")]
    ProxyStatus(ProxyStatusArgs),
    /// What is wrong with the mesh of the cluster, and what mends it. Ends with 1 where something is.
    Status(StatusArgs),
    /// Further names of revisions, which namespaces can bear.
    #[command(subcommand, arg_required_else_help = true)]
    Tag(TagCommand),
    /// Brings what is installed to this version and these settings; with --revision puts a new one beside it.
    Upgrade(InstallArgs),
    /// Removes what was installed: a revision, or everything with --purge.
    Uninstall(UninstallArgs),
    /// Whether objects in files may be written: fields, values and rules, without a cluster.
    #[command(visible_alias = "v")]
    Validate(ValidateArgs),
    /// Version of this command, of the control plane and of the proxies.
    Version(VersionArgs),
    /// Commands whose form may change.
    #[command(visible_aliases = ["experimental", "exp"], subcommand, arg_required_else_help = true)]
    X(ExperimentalCommand),
}

/// `x`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExperimentalCommand {
    /// Objects as they are written today: newest versions, fields that took the place of others. Shows a diff.
    Convert(ConvertArgs),
    /// A debug page of the control plane.
    #[command(name = "internal-debug")]
    InternalDebug(InternalDebugArgs),
    /// Whether the mesh can be installed in the cluster, and which namespaces could not be meshed. Ends with 1 where not.
    Precheck(PrecheckArgs),
}

/// `x convert`.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Files and directories of YAML or JSON objects; `-` is standard input.
    #[arg(short, long, value_delimiter = ',')]
    pub(crate) filename: Vec<PathBuf>,
    /// Change the files, and print the names of those that changed.
    #[arg(short, long, conflicts_with = "whole")]
    pub(crate) write: bool,
    /// Print the whole text as it would be, and not a diff.
    #[arg(long)]
    pub(crate) whole: bool,
}

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// File or directory of YAML objects; `-` is standard input. May be given more than once.
    #[arg(short, long)]
    pub(crate) filename: Vec<PathBuf>,
    /// MeshConfig as a YAML file; counts where the objects hold none.
    #[arg(long = "meshConfigFile", value_name = "FILE")]
    pub(crate) mesh_config_file: Option<PathBuf>,
    /// Who calls: NAMESPACE/NAME of a pod, WorkloadEntry or deployment, or labels (app=cart,version=v1).
    #[arg(long, value_name = "WORKLOAD")]
    pub(crate) from: Option<String>,
    /// What is called: http://, grpc://, https:// or tcp:// URL with the port as the caller dials it.
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Method of the request.
    #[arg(short = 'X', long)]
    pub(crate) method: Option<String>,
    /// Header of the request, name=value. May be given more than once.
    #[arg(short = 'H', long)]
    pub(crate) header: Vec<String>,
    /// Which way it is told: outbound (from the caller's proxy on), inbound (only the proxies of what is called),
    /// gateway (--from is a gateway's workload).
    #[arg(long, default_value = "outbound")]
    pub(crate) direction: String,
    /// Address that is dialled, where it is not the host's.
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// How the call comes: plaintext, tls or mtls.
    #[arg(long)]
    pub(crate) tls: Option<String>,
    /// Server name in the TLS hello.
    #[arg(long)]
    pub(crate) sni: Option<String>,
    /// Identity of the caller (a SPIFFE id), where it is not the workload's; for inbound.
    #[arg(long, value_name = "ID")]
    pub(crate) principal: Option<String>,
    /// Address of the caller; for inbound.
    #[arg(long = "source-ip", value_name = "IP")]
    pub(crate) source_ip: Option<IpAddr>,
    /// Address of the original client.
    #[arg(long = "remote-ip", value_name = "IP")]
    pub(crate) remote_ip: Option<IpAddr>,
    /// A JSON list of cases to answer instead; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "filename", "mesh_config_file", "from", "to", "method", "header", "direction", "address", "tls", "sni", "principal",
        "source_ip", "remote_ip",
    ])]
    pub(crate) cases: Option<PathBuf>,
    /// Output format: table, json or yaml.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: String,
}

/// `kube-inject`.
#[derive(Debug, Default, Args)]
pub(crate) struct KubeInjectArgs {
    /// File of Kubernetes objects; `-` is standard input.
    #[arg(short, long)]
    pub(crate) filename: Option<PathBuf>,
    /// File to write instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// MeshConfig as a YAML file, instead of the charts' own.
    #[arg(long = "meshConfigFile", value_name = "FILE")]
    pub(crate) mesh_config_file: Option<PathBuf>,
    /// Injection templates: key `config` of ConfigMap istio-sidecar-injector, or a bare template. Only its templates count.
    #[arg(long = "injectConfigFile", value_name = "FILE")]
    pub(crate) inject_config_file: Option<PathBuf>,
    /// Values that templates read: key `values` of ConfigMap istio-sidecar-injector.
    #[arg(long = "valuesFile", value_name = "FILE")]
    pub(crate) values_file: Option<PathBuf>,
    /// An IstioOperator document, whose values and meshConfig are laid over the defaults.
    #[arg(long = "operatorFileName", value_name = "FILE")]
    pub(crate) operator_file_name: Option<PathBuf>,
    /// A setting of an IstioOperator, KEY=VALUE: values.global.hub=example.com. May be given more than once.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Revision of the control plane that the sidecars are of.
    #[arg(short, long)]
    pub(crate) revision: Option<String>,
}

/// `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Files and directories of YAML or JSON objects; `-` is standard input.
    #[arg(short, long, value_delimiter = ',')]
    pub(crate) filename: Vec<PathBuf>,
    /// Taken for istioctl's sake, and without effect, as there.
    #[arg(short = 'x', long, hide = true, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) referential: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Output format: table, json or yaml.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: String,
    /// How long to wait for answers.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `x precheck`.
#[derive(Debug, Args)]
pub(crate) struct PrecheckArgs {
    /// Output format: log, json or yaml.
    #[arg(short, long, default_value = "log")]
    pub(crate) output: String,
    /// Least level of what is shown: Info, Warning or Error.
    #[arg(long = "output-threshold", default_value = "Warning", ignore_case = true, value_parser = ["Info", "Warning", "Error"])]
    pub(crate) output_threshold: String,
    /// Look at workloads alone, not at what installing needs.
    #[arg(long = "skip-controlplane")]
    pub(crate) skip_controlplane: bool,
    /// The revision that is to be installed.
    #[arg(short, long)]
    pub(crate) revision: Option<String>,
    /// How long to wait for answers.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `proxy-status`.
#[derive(Debug, Args)]
pub(crate) struct ProxyStatusArgs {
    /// One proxy: NAME[.NAMESPACE].
    pub(crate) proxy: Option<String>,
    /// Output format: table, json or yaml.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: String,
    /// 1 shows the state of each type.
    #[arg(short, long, default_value_t = 0)]
    pub(crate) verbosity: u8,
    #[command(flatten)]
    pub(crate) xds: XdsArgs,
}

/// `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Output format: json or yaml; nothing: text.
    #[arg(short, long, default_value = "")]
    pub(crate) output: String,
    /// Only versions; false: where each comes from.
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) short: bool,
    /// Ask the control plane, where there is a cluster or --xds-address.
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) remote: Option<bool>,
    #[command(flatten)]
    pub(crate) xds: XdsArgs,
}
