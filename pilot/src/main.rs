//! The process: reads the command line, then builds and runs what it says.

use anyhow::Context;
use mesh_pilot::{
    app::{self, App},
    settings::{Cli, Command, Settings},
};
use mesh_runtime::{
    drain,
    process::{self, Exit},
    telemetry,
    tls::provider,
};
use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    provider::install();
    let cli: Cli = match process::arguments() {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let done = match cli.command {
        Command::Discovery(settings) => discovery(*settings),
        Command::TokenKey(args) => app::make_token_key(&args.out).context("no key for tokens"),
        Command::Token(args) => app::make_token(&args)
            .context("no token")
            .and_then(|token| writeln!(std::io::stdout(), "{token}").context("the token cannot be printed")),
    };
    match done {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            // The log may not be set up, and an operator reads this first.
            let _ = writeln!(std::io::stderr(), "pilot: {error:#}");
            Exit::Failed.into()
        }
    }
}

fn discovery(settings: Settings) -> anyhow::Result<()> {
    let log = telemetry::log::init(settings.log_format, &settings.log)?;
    process::log_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pilot").build()?;
    runtime.block_on(async {
        let asked = process::signals()?;
        let (signal, watch) = drain::channel();
        let deadline = settings.drain;
        let mut asked = std::pin::pin!(asked);
        let app = tokio::select! {
            app = App::build(settings, watch) => app?,
            // What waits for its objects serves nobody.
            asked = &mut asked => {
                tracing::info!(%asked, "ended before it was ready");
                return Ok(());
            }
        };
        let mut run = std::pin::pin!(app.run(log));
        tokio::select! {
            ended = &mut run => return ended,
            asked = &mut asked => tracing::info!(%asked, "draining"),
        }
        let (drained, ended) = tokio::join!(signal.drain(deadline), run);
        tracing::info!(?drained, "ended");
        ended
    })
}
