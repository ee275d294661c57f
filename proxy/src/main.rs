//! `proxy run`: a sidecar or gateway, configured by its environment.

use clap::{Parser, Subcommand};
use mesh_proxy::{app::Proxy, settings::Settings};
use mesh_runtime::{
    process::{self, Exit},
    settings::Env,
    telemetry::log,
};
use std::process::ExitCode;

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
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    match args.command {
        Command::Run => match run() {
            Ok(()) => Exit::Success.into(),
            Err(error) => {
                eprintln!("proxy: {error:#}");
                Exit::Failed.into()
            }
        },
    }
}

fn run() -> anyhow::Result<()> {
    let settings = Settings::read(&Env)?;
    let format = if settings.log_json { log::Format::Json } else { log::Format::Text };
    let log = log::init(format, &settings.log)?;
    process::log_panics();
    let proxy = Proxy::start_with(settings, Some(log))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let asked = process::signals()?.await;
        tracing::info!(?asked, "draining");
        proxy.drain().await;
        tracing::info!("ended");
        Ok(())
    })
}
