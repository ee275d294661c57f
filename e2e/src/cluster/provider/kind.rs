//! A cluster of kind: nodes are containers of Docker. It gives no addresses to Services of type LoadBalancer.

use crate::command::{output, output_of, run};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One a machine; kind's own names of containers begin with it.
const NAME: &str = "ferromesh-tests";
/// Pods run on the workers.
const NODES: &str = "kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
- role: worker
- role: worker
";

/// See the module.
pub struct Kind {
    state: PathBuf,
}

impl Kind {
    pub(super) fn new(state: &Path) -> Self {
        Kind { state: state.to_owned() }
    }

    /// Whether kind is installed and Docker answers.
    pub(super) fn is_here() -> bool {
        run("kind", &["version"]).is_ok() && run("docker", &["version"]).is_ok()
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    pub(super) fn up(&self) -> Result<()> {
        ensure!(Self::is_here(), "kind and a Docker that answers are needed (https://kind.sigs.k8s.io)");
        let kubeconfig = self.state.join("kubeconfig").display().to_string();
        let clusters = output("kind", &["get", "clusters"])?;
        if clusters.lines().any(|line| line == NAME) {
            return run("kind", &["export", "kubeconfig", "--name", NAME, "--kubeconfig", &kubeconfig]);
        }
        let words = ["create", "cluster", "--name", NAME, "--kubeconfig", &kubeconfig, "--config", "-", "--wait", "3m"];
        output_of("kind", &words, NODES).map(drop)
    }

    pub(super) fn down(&self) -> Result<()> {
        if !self.state.exists() {
            return Ok(());
        }
        let kubeconfig = self.state.join("kubeconfig").display().to_string();
        run("kind", &["delete", "cluster", "--name", NAME, "--kubeconfig", &kubeconfig])?;
        fs::remove_dir_all(&self.state).with_context(|| format!("cannot remove {}", self.state.display()))
    }

    pub(super) fn load(&self, images: &[&Path]) -> Result<()> {
        images
            .iter()
            .try_for_each(|image| run("kind", &["load", "image-archive", "--name", NAME, &image.display().to_string()]))
    }
}
