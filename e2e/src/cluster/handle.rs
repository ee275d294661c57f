//! A cluster that is up, in the hand of a test: what `kubectl` and `helm` do in it, and a client.

use super::{local::Local, provider::Provider};
use crate::{command, program::ours};
use anyhow::{Context, Result, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The label of namespaces that tests made, with its value.
pub const OWN: &str = "ferromesh.test/made-by=e2e";
/// The variable that says where the state of the cluster is; without it `target/cluster/run` of this checkout.
pub const STATE: &str = "E2E_CLUSTER_STATE";

/// See the module.
pub struct Cluster {
    provider: Provider,
    kubeconfig: PathBuf,
    built: PathBuf,
}

impl Cluster {
    /// The one that was started with `make cluster`.
    ///
    /// # Errors
    /// When there is none.
    pub fn connect() -> Result<Self> {
        let built = built();
        let state = std::env::var_os(STATE).map_or_else(|| built.join("run"), PathBuf::from);
        let provider = Provider::of_state(&state, &built)?;
        let provider =
            provider.with_context(|| format!("{} holds no cluster: `make cluster` starts one", state.display()))?;
        Ok(Cluster { kubeconfig: provider.kubeconfig(), provider, built })
    }

    /// The file of its administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs `kubectl`; gives what it printed.
    ///
    /// # Errors
    /// When it says that it failed, with what it said.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        command::finish(self.command("kubectl").args(words))
    }

    /// Runs `kubectl`; gives what it printed, also where it says that it failed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn kubectl_whatever(&self, words: &[&str]) -> Result<String> {
        let done = self.command("kubectl").args(words).output().context("cannot run kubectl")?;
        Ok([done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
    }

    /// Applies objects in YAML or JSON; those that name no namespace, in this one.
    ///
    /// # Errors
    /// When one is refused.
    pub fn apply(&self, namespace: &str, objects: &str) -> Result<()> {
        let config = format!("--kubeconfig={}", self.kubeconfig.display());
        let words = [&config, "--namespace", namespace, "apply", "-f", "-"];
        command::output_of(program(&self.built, "kubectl"), &words, objects).map(drop)
    }

    /// Makes a namespace that bears the label of tests, with these labels besides.
    ///
    /// # Errors
    /// When there is one of this name already.
    pub fn create_namespace(&self, name: &str, labels: &[&str]) -> Result<()> {
        self.kubectl(&["create", "namespace", name])?;
        self.kubectl(&[&["label", "namespace", name, OWN], labels].concat()).map(drop)
    }

    /// Removes a namespace with all that is in it, and waits until it is gone. One that bears no label of tests stays.
    ///
    /// # Errors
    /// When it is not one of tests', or is not removed.
    pub fn remove_namespace(&self, name: &str) -> Result<()> {
        let field = format!("--field-selector=metadata.name={name}");
        let found = self.kubectl(&["get", "namespaces", &field, &format!("--selector={OWN}"), "--output=name"])?;
        ensure!(!found.is_empty(), "namespace {name} is not there, or not one that tests made");
        self.kubectl(&["delete", "namespace", name, "--wait=true"]).map(drop)
    }

    /// Runs `helm` in the folder of this checkout; gives what it printed.
    ///
    /// # Errors
    /// When it says that it failed, with what it said.
    pub fn helm(&self, words: &[&str]) -> Result<String> {
        command::finish(self.command("helm").args(words).current_dir(top()))
    }

    /// Runs `meshctl`, as the build of this program put it beside it; gives what it printed.
    ///
    /// # Errors
    /// When it says that it failed, with what it said.
    pub fn meshctl(&self, words: &[&str]) -> Result<String> {
        let mut meshctl = Command::new(ours("meshctl"));
        meshctl.args(words).arg("--kubeconfig").arg(&self.kubeconfig).stdin(std::process::Stdio::null());
        command::finish(&mut meshctl)
    }

    /// Gives image archives to all nodes.
    ///
    /// # Errors
    /// When a file holds no image, or the nodes are not ours.
    pub fn load(&self, images: &[&Path]) -> Result<()> {
        self.provider.load(images)
    }

    /// Its nodes and control plane, where they are processes of this machine.
    ///
    /// # Errors
    /// When they are not.
    pub fn local(&self) -> Result<&Local> {
        self.provider.local()
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(&self.built, name));
        command.arg("--kubeconfig").arg(&self.kubeconfig).stdin(std::process::Stdio::null());
        command
    }
}

/// The folder of this checkout.
pub fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a crate of a workspace is in a folder").to_owned()
}

/// Where `.ci/cluster` puts what it builds, in this checkout.
pub fn built() -> PathBuf {
    top().join("target/cluster")
}

/// An image of ours, from where `make images` puts them, or from `E2E_IMAGES`.
///
/// # Errors
/// When it is not there.
pub fn image(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("E2E_IMAGES").map_or_else(|| top().join("target/images"), PathBuf::from);
    let archive = folder.join(format!("{name}.tar"));
    ensure!(archive.exists(), "{} is not there: `make images` makes it", archive.display());
    Ok(archive)
}

/// A program as `.ci/cluster` built it, else whatever PATH has under its name.
pub(super) fn program(built: &Path, name: &str) -> PathBuf {
    let own = built.join("bin").join(name);
    if own.exists() { own } else { PathBuf::from(name) }
}

/// A client of whom a kubeconfig speaks of.
pub(super) async fn client(kubeconfig: &Path) -> Result<kube::Client> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}
