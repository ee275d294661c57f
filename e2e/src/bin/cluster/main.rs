//! A Kubernetes for tests from the command line: `cluster up`, `cluster down`, `cluster load IMAGE.tar…`, `cluster kubeconfig`.
//! It goes on after `up` has ended.

use anyhow::{Result, bail};
use mesh_e2e::cluster::{
    local::{Local, balancer},
    times::Times,
};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "usage: cluster [--state DIR] up | down | load IMAGE.tar... | kubeconfig";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &[&str]) -> Result<()> {
    let built = Path::new("target/cluster");
    let (state, words) = match words {
        ["--state", state, rest @ ..] => (PathBuf::from(state), rest),
        _ => (built.join("run"), words),
    };
    let state = std::path::absolute(state)?;
    let cluster = Local::new(&state, &std::path::absolute(built)?);
    let kubeconfig = || writeln!(std::io::stdout(), "export KUBECONFIG={}", cluster.kubeconfig().display());
    match words {
        ["up"] => {
            let mut times = Times::start();
            cluster.up(&mut times).await?;
            writeln!(std::io::stderr(), "cluster is up: {times}")?;
            kubeconfig()?;
        }
        ["down"] => cluster.down()?,
        ["load", images @ ..] if !images.is_empty() => {
            cluster.load(&images.iter().map(Path::new).collect::<Vec<_>>())?;
        }
        ["kubeconfig"] => kubeconfig()?,
        // What the cluster itself runs.
        ["balance", namespace] => balancer::balance(&state, namespace).await?,
        _ => bail!(USAGE),
    }
    Ok(())
}
