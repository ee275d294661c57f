//! A Kubernetes for tests from the command line: `cluster up`, `cluster down`, `cluster load IMAGE.tar…`, `cluster kubeconfig`.
//! It goes on after `up` has ended.

use anyhow::{Context, Result, bail};
use mesh_e2e::cluster::{
    handle,
    local::balancer,
    provider::{self, Provider},
    times::Times,
};
use std::{
    fs::{self, File},
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
    let built = handle::built();
    let (state, words) = match words {
        ["--state", state, rest @ ..] => (PathBuf::from(state), rest),
        _ => (std::env::var_os(handle::STATE).map_or_else(|| built.join("run"), PathBuf::from), words),
    };
    let state = std::path::absolute(state)?;
    let found = || Provider::of_state(&state, &built);
    match words {
        ["up"] => {
            let _turn = turn(&state)?;
            let kubernetes = said(provider::KUBERNETES);
            // Only the local one can be had in any version.
            let name = said(provider::VARIABLE).or_else(|| kubernetes.is_some().then(|| "local".to_owned()));
            // What is up stays with whom it was made by, unless another is asked for.
            let provider = match (name, found()?) {
                (None, Some(found)) => found,
                (name, _) => Provider::new(name.as_deref(), &state, &built)?,
            };
            let mut times = Times::start();
            provider.up(&mut times).await?;
            kubernetes.map_or(Ok(()), |asked| provider.is_version(&asked))?;
            writeln!(std::io::stderr(), "cluster is up: {times}")?;
            print_kubeconfig(&provider)?;
        }
        // Without a provider's name there is at most what was left of a local one.
        ["down"] => {
            let _turn = turn(&state)?;
            found()?.map_or_else(|| Provider::new(Some("local"), &state, &built), Ok)?.down()?;
        }
        ["load", images @ ..] if !images.is_empty() => {
            running(found()?)?.load(&images.iter().map(Path::new).collect::<Vec<_>>())?;
        }
        ["kubeconfig"] => print_kubeconfig(&running(found()?)?)?,
        // What the cluster itself runs.
        ["balance", namespace] => balancer::balance(&state, namespace).await?,
        _ => bail!(USAGE),
    }
    Ok(())
}

/// What a variable says; an empty one says nothing.
fn said(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Waits until nobody else starts or ends the cluster of this folder; held until the file is closed.
fn turn(state: &Path) -> Result<File> {
    let lock = state.with_extension("lock");
    state.parent().map_or(Ok(()), fs::create_dir_all)?;
    let file = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", lock.display()))?;
    Ok(file)
}

fn running(provider: Option<Provider>) -> Result<Provider> {
    provider.context("there is no cluster: `cluster up` starts one")
}

fn print_kubeconfig(provider: &Provider) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "export KUBECONFIG={}", provider.kubeconfig().display())?)
}
