//! Where a cluster for tests comes from: made on this machine from its own programs, made by kind, or whatever the user's
//! kubeconfig leads to. One vocabulary for all: up, down, load, and a kubeconfig in the state folder.

mod current;
mod kind;

use self::{current::Current, kind::Kind};
use super::{handle, local::Local, times::Times};
use crate::command::output;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The variable that names one.
pub const VARIABLE: &str = "E2E_PROVIDER";
/// The variable that names a version of Kubernetes, as `1.34`; empty or absent: any will do.
pub const KUBERNETES: &str = "KUBERNETES";
const FILE: &str = "provider";

/// See the module.
pub enum Provider {
    /// Nodes as network namespaces of this machine: Linux, root.
    Local(Local),
    /// Nodes as containers of Docker.
    Kind(Kind),
    /// A cluster of the user's, of which only namespaces that tests make are touched.
    Current(Current),
}

impl Provider {
    /// The one with this name; without a name kind where it and Docker are there, else `local`.
    ///
    /// # Errors
    /// When the name is none of them.
    pub fn new(name: Option<&str>, state: &Path, built: &Path) -> Result<Self> {
        Ok(match name {
            Some("local") => Provider::Local(Local::new(state, built)),
            Some("kind") => Provider::Kind(Kind::new(state)),
            Some("current") => Provider::Current(Current::new(state, built)),
            Some(other) => bail!("{VARIABLE}={other}: neither local, kind nor current"),
            None if Kind::is_here() => Provider::Kind(Kind::new(state)),
            None => Provider::Local(Local::new(state, built)),
        })
    }

    /// The one that a state folder says a cluster was made by; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_state(state: &Path, built: &Path) -> Result<Option<Self>> {
        let file = state.join(FILE);
        if !file.exists() {
            return Ok(None);
        }
        let name = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::new(Some(name.trim()), state, built).map(Some)
    }

    fn name(&self) -> &'static str {
        match self {
            Provider::Local(_) => "local",
            Provider::Kind(_) => "kind",
            Provider::Current(_) => "current",
        }
    }

    fn state(&self) -> &Path {
        match self {
            Provider::Local(local) => local.state(),
            Provider::Kind(kind) => kind.state(),
            Provider::Current(current) => current.state(),
        }
    }

    /// Where a kubeconfig of an administrator is, once the cluster is up.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state().join("kubeconfig")
    }

    /// Makes the cluster, or finds it up.
    ///
    /// # Errors
    /// What is missing, or which part does not come up.
    pub async fn up(&self, times: &mut Times) -> Result<()> {
        if let Some(other) = Self::of_state(self.state(), Path::new(""))?.filter(|other| other.name() != self.name()) {
            bail!("{} holds a cluster of provider {}: `cluster down` first", self.state().display(), other.name());
        }
        // Before, so that one which is cut off can be removed; and after, as what was left is removed with its folder.
        self.sign()?;
        match self {
            Provider::Local(local) => local.up(times).await?,
            Provider::Kind(kind) => kind.up()?,
            Provider::Current(current) => current.up()?,
        }
        self.sign()
    }

    fn sign(&self) -> Result<()> {
        let state = self.state();
        fs::create_dir_all(state).with_context(|| format!("cannot make {}", state.display()))?;
        fs::write(state.join(FILE), self.name()).context("cannot write the provider's name")
    }

    /// That what is up is the Kubernetes that was asked for: one that was up before stays what it is.
    ///
    /// # Errors
    /// When it is another, or does not say.
    pub fn is_version(&self, asked: &str) -> Result<()> {
        let config = format!("--kubeconfig={}", self.kubeconfig().display());
        let said = output(handle::program(&handle::built(), "kubectl"), &[&config, "get", "--raw=/version"])?;
        let said: serde_json::Value = serde_json::from_str(&said).context("the API server tells no version")?;
        let version = said["gitVersion"].as_str().context("the API server tells no version")?;
        ensure!(
            are_same(asked, version),
            "{KUBERNETES}={asked}, but {} holds a cluster of {version}: `make cluster-down` first, or take another folder ({})",
            self.state().display(),
            handle::STATE
        );
        Ok(())
    }

    /// Removes the cluster; of the user's own only what tests made.
    ///
    /// # Errors
    /// What is left nevertheless.
    pub fn down(&self) -> Result<()> {
        match self {
            Provider::Local(local) => local.down(),
            Provider::Kind(kind) => kind.down(),
            Provider::Current(current) => current.down(),
        }
    }

    /// The one whose parts can be ended and begun again.
    ///
    /// # Errors
    /// When its nodes are not ours.
    pub fn local(&self) -> Result<&Local> {
        match self {
            Provider::Local(local) => Ok(local),
            other => bail!("only parts of provider local can be ended, and this is {}", other.name()),
        }
    }

    /// Gives image archives to all nodes.
    ///
    /// # Errors
    /// When a file holds no image, or the provider cannot.
    pub fn load(&self, images: &[&Path]) -> Result<()> {
        match self {
            Provider::Local(local) => local.load(images),
            Provider::Kind(kind) => kind.load(images),
            Provider::Current(_) => bail!(
                "the nodes of a cluster that is not ours are given no images: push them to a registry that it pulls from \
                 (`make push REGISTRY=…`)"
            ),
        }
    }
}

/// Whether a version is the one that was asked for, whose last parts need not be said.
fn are_same(asked: &str, version: &str) -> bool {
    let (asked, version) = (asked.trim_start_matches('v'), version.trim_start_matches('v'));
    version.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '+', '-']))
}

#[cfg(test)]
mod tests {
    use super::are_same;

    #[test]
    fn a_version_is_asked_for_by_its_first_parts() {
        let cases = ["1.34", "v1.34", "1.34.4", "1.3", "1.36", "1.34.40"];
        let same = cases.map(|asked| are_same(asked, "v1.34.4"));
        assert_eq!(same, [true, true, true, false, false, false]);
        assert!(are_same("1.34.4", "v1.34.4+rke2r1"));
    }
}
