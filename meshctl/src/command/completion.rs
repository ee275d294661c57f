//! What a shell reads to complete this command's words, made from the command line itself.

use crate::cli::{Cli, CompletionArgs};
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

/// The script.
pub(crate) fn script(args: &CompletionArgs) -> Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "meshctl", &mut script);
    String::from_utf8(script).context("a script is text")
}
