//! The mesh in a cluster, for tests: installed once by the commands that the page for users gives, then shared by all of them.

use super::{Cluster, handle, place::Place};
use crate::command;
use anyhow::{Context, Result};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

/// The page whose commands are run.
const PAGE: &str = "docs/install/local.md";
/// Images that are loaded into the nodes.
const IMAGES: [&str; 7] = ["pilot", "proxy", "proxy-init", "echo", "pause", "redis", "prometheus"];

/// An installed mesh.
pub struct Mesh {
    pub cluster: Cluster,
}

impl Mesh {
    /// The mesh of the cluster that is up; installed now, where no test has done it.
    ///
    /// # Errors
    /// When there is no cluster, or a command of the page fails.
    pub fn installed() -> Result<Self> {
        let cluster = Cluster::connect()?;
        // Tests are processes of their own, and run side by side.
        let lock = fs::File::create(cluster.kubeconfig().with_file_name("install.lock"))?;
        lock.lock()?;
        let releases = cluster.helm(&["list", "--namespace", "istio-system", "--short", "--deployed"])?;
        if !releases.lines().any(|release| release == "istiod") {
            load_images(&cluster)?;
            run(&cluster, &but_for_what_is_there(&cluster, &block(1)?)?)?;
        }
        Ok(Mesh { cluster })
    }

    /// Runs the blocks of the page that come after installing.
    ///
    /// # Errors
    /// When a command fails, with what it said.
    pub fn follow_the_page(&self) -> Result<String> {
        // What a run before left.
        self.cluster.kubectl(&["delete", "namespace", "shop", "--ignore-not-found"])?;
        Ok(run(&self.cluster, &block(2)?)? + &run(&self.cluster, &block(3)?)?)
    }

    /// A namespace of a test, with injection; gone with this value.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn namespace(&self, name: &str) -> Result<Place<'_>> {
        Place::new(&self.cluster, name, &["istio-injection=enabled"])
    }

    /// A namespace of a test outside of the mesh.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn outside(&self, name: &str) -> Result<Place<'_>> {
        Place::new(&self.cluster, name, &[])
    }
}

/// Gives the nodes all that tests have in pods.
///
/// # Errors
/// When an image was not made, or the nodes are not ours.
pub fn load_images(cluster: &Cluster) -> Result<()> {
    let archives = IMAGES.iter().map(|name| handle::image(name)).collect::<Result<Vec<_>>>()?;
    cluster.load(&archives.iter().map(PathBuf::as_path).collect::<Vec<_>>())
}

/// A block of commands of the page, counted from zero.
fn block(number: usize) -> Result<String> {
    let page = fs::read_to_string(handle::top().join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let mut blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    blocks.nth(number).map(str::to_owned).with_context(|| format!("{PAGE} has no block {number}"))
}

/// Commands without those that make namespaces which a mesh before has left.
fn but_for_what_is_there(cluster: &Cluster, commands: &str) -> Result<String> {
    let there = cluster.kubectl(&["get", "namespaces", "--output=jsonpath={.items[*].metadata.name}"])?;
    let makes = |line: &str| {
        let name = line.strip_prefix("kubectl create namespace ");
        name.is_some_and(|name| there.split(' ').any(|other| other == name.trim()))
    };
    Ok(commands.lines().filter(|line| !makes(line)).collect::<Vec<_>>().join("\n"))
}

/// Runs commands as a user pastes them, and stops at the first that fails.
fn run(cluster: &Cluster, commands: &str) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", commands])
        .current_dir(handle::top())
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PATH", format!("{}:{path}", handle::built().join("bin").display()))
        .stdin(Stdio::null());
    command::finish(&mut shell).with_context(|| format!("a command of {PAGE}"))
}
