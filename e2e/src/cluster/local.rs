//! A Kubernetes with two nodes from its own programs, without a container engine: each node is a network namespace with a
//! containerd, a kubelet and a kube-proxy; the control plane lives in the first one's. It goes on when whoever started it is
//! gone. All its files are in one folder; what it has of the machine bears its prefix, so that several can stand side by side.
//! Needs root.

mod addons;
pub mod balancer;
mod control;
mod machine;
mod network;
mod node;
mod outage;
mod plan;
mod remains;

pub use self::outage::Ended;
use self::{machine::Machine, plan::Plan};
use super::{client::Client, times::Times};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The provider: where it keeps its state and has its programs from.
pub struct Local {
    state: PathBuf,
    programs: PathBuf,
}

impl Local {
    /// Of a state folder, and what `.ci/cluster` built.
    pub fn new(state: &Path, built: &Path) -> Self {
        Local { state: state.to_owned(), programs: built.to_owned() }
    }

    /// Where its files are.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Starts it; one that runs already stays as it is, one that was left half-way is removed first.
    ///
    /// # Errors
    /// What is missing on this machine, or which part does not come up and what it says.
    pub async fn up(&self, times: &mut Times) -> Result<()> {
        machine::check(&self.programs)?;
        if self.is_up().await {
            return Ok(());
        }
        self.down()?;
        times.took("what was left");

        fs::create_dir_all(&self.state).with_context(|| format!("cannot make {}", self.state.display()))?;
        let plan = network::claim(&self.state)?;
        let machine = Machine::new(&plan, &self.programs)?;
        network::lay(&plan)?;
        times.took("network");

        let credentials = control::credentials(&plan)?;
        let mut control = control::start(&machine)?;
        let mut runtimes = Vec::new();
        for node in plan.nodes() {
            runtimes.push(node::runtime(&machine, &node)?);
        }
        for (node, runtime) in plan.nodes().zip(&mut runtimes) {
            node::runtime_ready(&machine, &node, runtime).await?;
        }
        times.took("containerd");
        let mut client = control.ready(&plan, &credentials).await?;
        times.took("API server");

        control::start_controllers(&machine)?;
        for node in plan.nodes() {
            node::start(&machine, &node)?;
        }
        addons::start(&machine, &mut client).await?;
        node::ready(&plan, &mut client).await?;
        times.took("nodes");
        addons::ready(&plan).await?;
        times.took("DNS");
        Ok(())
    }

    /// Removes it with all that it has of the machine; also one whose start or end was cut off.
    ///
    /// # Errors
    /// What is left nevertheless.
    pub fn down(&self) -> Result<()> {
        remains::remove(&self.state)
    }

    /// Ends a part at once: `kube-apiserver`, or `kubelet-k2`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, part: &str) -> Result<Ended> {
        outage::kill(&self.state, part)
    }

    /// Begins again what was ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn begin(&self, ended: Ended) -> Result<()> {
        let plan = Plan::read(&self.state)?.context("there is no cluster")?;
        outage::begin(&plan, &self.programs, ended)
    }

    /// Gives an image of the nodes another name as well.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn name_image(&self, image: &str, other: &str) -> Result<()> {
        let plan = Plan::read(&self.state)?.context("there is no cluster")?;
        let machine = Machine::new(&plan, &self.programs)?;
        plan.nodes().try_for_each(|node| node::name_image(&machine, &node, image, other))
    }

    /// Gives images to all nodes.
    ///
    /// # Errors
    /// When a file holds none, or there is no cluster.
    pub fn load(&self, images: &[&Path]) -> Result<()> {
        let plan = Plan::read(&self.state)?.context("there is no cluster: run `cluster up` first")?;
        let machine = Machine::new(&plan, &self.programs)?;
        plan.nodes().try_for_each(|node| node::import(&machine, &node, images))
    }

    async fn is_up(&self) -> bool {
        self.answers().await.is_ok()
    }

    async fn answers(&self) -> Result<()> {
        let plan = Plan::read(&self.state)?.context("no state")?;
        let running = remains::running(&self.state)?;
        if let Some(part) = plan.parts().find(|part| !running.contains(part)) {
            bail!("{part} does not run");
        }
        Client::of_kubeconfig(&self.state.join("kubeconfig")).await?.ready().await
    }
}
