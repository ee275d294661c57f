//! What is installed, removed and rendered.

use crate::context::duration;
use clap::{Args, Subcommand};
use std::{path::PathBuf, time::Duration};

/// What is to be installed.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// Files with an IstioOperator, or with values as Helm reads them; later ones win. `-` is standard input.
    #[arg(short, long, value_delimiter = ',', value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// A setting, PATH=VALUE below an IstioOperator's spec, e.g. values.pilot.replicaCount=2. May be given more than once.
    #[arg(short, long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Name of this control plane beside others.
    #[arg(short, long)]
    pub(crate) revision: Option<String>,
    /// Warn of settings that do not exist, and of versions too far apart, where that is an error otherwise.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `manifest`.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// The objects, as YAML.
    Generate {
        #[command(flatten)]
        spec: SpecArgs,
        /// Directory for one file a component, instead of standard output.
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Helm's commands and values that install the same.
    Translate {
        #[command(flatten)]
        spec: SpecArgs,
        /// Directory for the values files.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
}

/// `install` and `upgrade`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Do not ask.
    #[arg(short = 'y', long = "skip-confirmation")]
    pub(crate) yes: bool,
    /// Say what would be written, and write nothing.
    #[arg(long = "dry-run")]
    pub(crate) dry_run: bool,
    /// Take over what Helm installed of these charts, or what was applied of what it renders. Helm forgets its releases.
    #[arg(long)]
    pub(crate) adopt: bool,
    /// How long a component may take to be ready.
    #[arg(long = "readiness-timeout", default_value = "5m", value_parser = duration)]
    pub(crate) readiness_timeout: Duration,
}

/// `uninstall`.
#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// The revision that is removed; `default` is the one without a name.
    #[arg(short, long, conflicts_with = "purge")]
    pub(crate) revision: Option<String>,
    /// Remove everything of the mesh: all revisions, the kinds with all objects of them, the root's key.
    #[arg(long)]
    pub(crate) purge: bool,
    /// Do not ask.
    #[arg(short = 'y', long = "skip-confirmation")]
    pub(crate) yes: bool,
    /// Say what would be removed, and remove nothing.
    #[arg(long = "dry-run")]
    pub(crate) dry_run: bool,
}
