//! The cluster that the user's kubeconfig leads to. Nothing of it is touched but namespaces that tests made, which bear a
//! label.

use crate::{
    cluster::handle::{OWN, program},
    command::{output, run},
};
use anyhow::{Context, Result};
use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// See the module.
pub struct Current {
    state: PathBuf,
    kubectl: PathBuf,
}

impl Current {
    pub(super) fn new(state: &Path, built: &Path) -> Self {
        Current { state: state.to_owned(), kubectl: program(built, "kubectl") }
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// Keeps what the kubeconfig says now: a context that is changed meanwhile changes nothing for tests.
    pub(super) fn up(&self) -> Result<()> {
        run(&self.kubectl, &["get", "--raw=/readyz"]).context("the cluster of the kubeconfig does not answer")?;
        let config = output(&self.kubectl, &["config", "view", "--flatten", "--minify"])?;
        let file = self.state.join("kubeconfig");
        // It holds what vouches for the user.
        let mut opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file)?;
        opened.write_all(config.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
    }

    pub(super) fn down(&self) -> Result<()> {
        if !self.state.exists() {
            return Ok(());
        }
        let kubeconfig = format!("--kubeconfig={}", self.state.join("kubeconfig").display());
        run(&self.kubectl, &[&kubeconfig, "delete", "namespaces", &format!("--selector={OWN}"), "--wait=true"])?;
        fs::remove_dir_all(&self.state).with_context(|| format!("cannot remove {}", self.state.display()))
    }
}
