//! What is asked about the root that signs.

use crate::context::duration;
use clap::{Args, Subcommand};
use std::time::Duration;

/// `ca`.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// What signs and what is trusted, how old that is, and how far a rotation is.
    Status(CaStatusArgs),
    /// Puts another root in the place of the one that signs: everybody knows it before it signs, and the one before is
    /// trusted until its last certificate has ended. Nothing is restarted.
    Rotate(CaRotateArgs),
    /// Puts another root in the place of one that has ended.
    Recover(CaWriteArgs),
}

/// `ca status`.
#[derive(Debug, Args)]
pub(crate) struct CaStatusArgs {
    /// Output format: table, json or yaml.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: String,
    /// How long to wait for answers.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `ca rotate`.
#[derive(Debug, Args)]
pub(crate) struct CaRotateArgs {
    /// Give up a rotation whose root does not sign yet.
    #[arg(long)]
    pub(crate) abort: bool,
    #[command(flatten)]
    pub(crate) write: CaWriteArgs,
}

/// How something is asked for.
#[derive(Debug, Args)]
pub(crate) struct CaWriteArgs {
    /// Do not ask.
    #[arg(short = 'y', long = "skip-confirmation")]
    pub(crate) yes: bool,
    /// Say what would be done, and do nothing.
    #[arg(long = "dry-run", conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    /// Wait until it is done, and say what it waits for.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub(crate) timeout: Duration,
}
