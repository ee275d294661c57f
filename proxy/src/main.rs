//! `proxy run`: a sidecar or gateway, configured by its environment. `proxy redirect`: a pod's connections come to it.
//! `proxy wait` and `proxy drain`: hooks of its pod.

use clap::{Parser, Subcommand};
use mesh_proxy::{
    app::Proxy,
    beside::command::{Drain, Wait},
    redirect::{self, Redirect},
    settings::Settings,
};
use mesh_runtime::{
    process::{self, Exit},
    settings::Env,
    telemetry::log,
};
use std::{io::Write, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sidecar and gateway of the mesh.
#[derive(Parser)]
#[command(name = "proxy", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carry traffic until SIGTERM. Settings come from the environment; see docs/reference/proxy.md.
    Run,
    /// Write the kernel's rules by which a pod's connections come to the proxy, or remove them.
    Redirect(Box<Redirect>),
    Wait(Wait),
    Drain(Drain),
}

fn main() -> ExitCode {
    let args: Args = match process::arguments() {
        Ok(args) => args,
        Err(exit) => return exit.into(),
    };
    let said = |error: &dyn std::fmt::Display, exit: Exit| {
        // The log may not be set up, and an operator reads this first.
        let _ = writeln!(std::io::stderr(), "proxy: {error:#}");
        exit.into()
    };
    let done = |result: anyhow::Result<()>| match result {
        Ok(()) => Exit::Success.into(),
        Err(error) => said(&error, Exit::Failed),
    };
    match args.command {
        Command::Redirect(settings) => {
            let log = log::init(log::Format::Text, "info");
            done(log.map_err(anyhow::Error::from).and_then(|_log| redirect::run(&settings)))
        }
        Command::Wait(wait) => done(wait.run()),
        Command::Drain(drain) => done(drain.run()),
        Command::Run => match Settings::read(&Env).map(run) {
            Ok(Ok(())) => Exit::Success.into(),
            Ok(Err(error)) => said(&error, Exit::Failed),
            Err(problems) => said(&problems, Exit::Usage),
        },
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    let format = if settings.log_json { log::Format::Json } else { log::Format::Text };
    let log = log::init(format, &settings.log)?;
    process::log_panics();
    let proxy = Proxy::start_with(settings, Some(log))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = process::signals()?;
        let ended = proxy.serve_until(async {
            let asked = signals.await;
            tracing::info!(?asked, "draining");
        });
        ended.await;
        tracing::info!("ended");
        Ok(())
    })
}
