//! The certificate authority as a process of its own.

use mesh_ca::{Settings, run::Ca, settings::Args};
use mesh_runtime::{
    drain,
    process::{self, Exit},
    telemetry::log,
    tls::provider,
};
use std::{io::Write, process::ExitCode, time::Duration};

fn main() -> ExitCode {
    let args: Args = match process::arguments() {
        Ok(args) => args,
        Err(exit) => return exit.into(),
    };
    match serve(Settings::from(args)) {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            // The log may not be set up, and an operator reads this first.
            let _ = writeln!(std::io::stderr(), "ca: {error:#}");
            Exit::Failed.into()
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(settings: Settings) -> anyhow::Result<()> {
    provider::install();
    let log = log::init(settings.log_format, &settings.log_level)?;
    process::log_panics();
    let asked = process::signals()?;
    let (signal, watch) = drain::channel();
    let mut running = tokio::spawn(Ca::build(settings).await?.run(log, watch));
    let signal_seen = tokio::select! {
        seen = asked => seen,
        ended = &mut running => return Ok(ended??),
    };
    tracing::info!(signal = %signal_seen, "draining");
    signal.drain(Duration::from_secs(10)).await;
    Ok(running.await??)
}
