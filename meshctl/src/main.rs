//! `meshctl`: parse, dispatch, exit code. 0 success, 1 failure, 64 a command line that makes no sense.

mod chart;
mod cli;
mod cluster;
mod command;
mod context;
mod dataplane;
mod files;
mod install;
mod istioctl;
mod remote;
mod report;
mod usage;

use anyhow::{Context as _, Result};
use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use cli::{AdminCommand, CaCommand, Cli, Command, ExperimentalCommand};
use command::install::Intent;
use context::{Context, format};
use std::{
    io::{self, Write as _},
    process::ExitCode,
};
use usage::Usage;

/// The command line makes no sense (`EX_USAGE`).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("Error: {error:#}\n"));
            match error.downcast_ref::<Usage>() {
                Some(_) => ExitCode::from(USAGE),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let context = Context::new(cli.namespace.clone(), cli.kube.clone());
    match &cli.command {
        Command::Admin(AdminCommand::Log(args)) => {
            let format = format(&args.output, "short")?;
            command::log_level::of_pilots(args, &context)?.print(format)
        }
        Command::Ca(CaCommand::Status(args)) => {
            let format = format(&args.output, "table")?;
            command::ca::status(args, &context)?.print(format)
        }
        Command::Ca(CaCommand::Rotate(args)) => command::ca::rotate(args, &context),
        Command::Ca(CaCommand::Recover(args)) => command::ca::recover(args, &context),
        Command::BugReport(args) => command::bug_report::run(args, &context),
        Command::Completion(args) => report::write(&command::completion::script(args)?),
        Command::Explain(args) => {
            let format = format(&args.output, "table")?;
            command::explain::run(args, &context)?.print(format)
        }
        Command::Install(args) => command::install::run(Intent::Install, args, &context),
        Command::Upgrade(args) => command::install::run(Intent::Upgrade, args, &context),
        Command::Tag(what) => command::tag::run(what, &context),
        Command::Manifest(what) => {
            let made = command::manifest::run(what, &context)?;
            say(&made.notes);
            report::write(&made.out)
        }
        Command::KubeInject(args) => {
            let injected = command::kube_inject::run(args, &cli.kube.istio_namespace)?;
            match &args.output {
                Some(path) => {
                    std::fs::write(path, &injected.out).with_context(|| format!("cannot write {}", path.display()))?
                }
                None => report::write(&injected.out)?,
            }
            say(&injected.notes);
            Ok(())
        }
        Command::ProxyConfig(args) => {
            let format = format(args.what.output(), "short")?;
            command::proxy_config::run(&args.what, &context)?.print(format)
        }
        Command::ProxyStatus(args) => {
            let format = format(&args.output, "table")?;
            command::proxy_status::run(args, &context)?.print(format)
        }
        Command::Status(args) => {
            let format = format(&args.output, "table")?;
            let report = command::status::run(args.timeout, &context)?;
            report.print(format)?;
            command::status::verdict(&report)
        }
        Command::X(ExperimentalCommand::Precheck(args)) => command::precheck::run(args, &context),
        Command::Uninstall(args) => command::uninstall::run(args, &context),
        Command::Validate(args) => {
            say(&command::validate::run(args)?);
            Ok(())
        }
        Command::X(ExperimentalCommand::InternalDebug(args)) => {
            report::write(&command::internal_debug::run(args, &context)?)
        }
        Command::X(ExperimentalCommand::Convert(args)) => {
            let converted = command::convert::run(args)?;
            say(&converted.notes);
            report::write(&converted.out)
        }
        Command::Version(args) => {
            let format = format(&args.output, "no -o for text")?;
            command::version::run(args, &context)?.print(format)
        }
    }
}

/// Help is no failure; everything else about the command line is one.
fn not_understood(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            match io::stdout().lock().write_all(text.as_bytes()) {
                // Nobody has to read the help to its end.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    say(&format!("Error: cannot write to standard output: {error}\n"));
                    ExitCode::FAILURE
                }
                _ => ExitCode::SUCCESS,
            }
        }
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument if of_istioctl().is_some() => {
            say(&format!("Error: {}\n", of_istioctl().unwrap_or_default()));
            ExitCode::from(USAGE)
        }
        ErrorKind::InvalidSubcommand => {
            let word = match error.get(ContextKind::InvalidSubcommand) {
                Some(ContextValue::String(word)) => word.as_str(),
                _ => "",
            };
            say(&format!("Error: unknown command {word:?} for \"meshctl\"\nRun 'meshctl --help' for usage.\n"));
            ExitCode::from(USAGE)
        }
        _ => {
            say(&format!("Error: {}", text.strip_prefix("error: ").unwrap_or(&text)));
            ExitCode::from(USAGE)
        }
    }
}

/// What to say of a command or a flag that istioctl has and this command does not.
fn of_istioctl() -> Option<String> {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    istioctl::about(&words)
}

/// There is nobody to tell that standard error is closed.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
