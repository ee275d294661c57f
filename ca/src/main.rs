//! The certificate authority as a process of its own.

use clap::Parser;
use mesh_ca::{Settings, run::Ca, settings::Args};
use mesh_runtime::{drain, process, telemetry::log, tls::provider};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::from(Args::parse());
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
