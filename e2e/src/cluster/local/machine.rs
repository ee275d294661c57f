//! What a cluster asks of the machine, and how its programs are started on it: in a node's network namespace, with a mark in
//! their environment by which they, and what they start, are found again. A mark cannot be stale as a file with process ids
//! can.

use super::plan::{Node, Plan};
use crate::cluster::process::Component;
use anyhow::{Result, ensure};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The variable with the state folder of the cluster that a process belongs to.
pub(super) const MARK: &str = "FERROMESH_CLUSTER";
/// The variable that says which part of it a process is.
pub(super) const PART: &str = "FERROMESH_PART";
/// Where Debian has the plug-ins of networks.
pub(super) const CNI: &str = "/usr/lib/cni";
const BUILT: [&str; 10] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "coredns",
];
/// Commands, and the Debian packages that have them.
const COMMANDS: [(&str, &str); 9] = [
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ipset", "ipset"),
    ("ethtool", "ethtool"),
    ("socat", "socat"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
];
const FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin"];

/// That a cluster can be started here.
pub(super) fn check(built: &Path) -> Result<()> {
    ensure!(
        fs::metadata("/proc/self")?.uid() == 0,
        "nodes are network namespaces, which only root can make: run as root"
    );
    let bin = built.join("bin");
    let missing: Vec<_> = BUILT.iter().filter(|name| !bin.join(name).exists()).copied().collect();
    ensure!(missing.is_empty(), "not in {}: {} (`.ci/cluster nodes` builds them)", bin.display(), missing.join(" "));
    let is_here = |command: &str| FOLDERS.iter().any(|folder| Path::new(folder).join(command).exists());
    let mut packages: Vec<_> =
        COMMANDS.iter().filter(|(command, _)| !is_here(command)).map(|(_, name)| *name).collect();
    if !Path::new(CNI).join("ptp").exists() {
        packages.push("containernetworking-plugins");
    }
    ensure!(packages.is_empty(), "Debian packages are missing: apt-get install {}", packages.join(" "));
    Ok(())
}

/// See the module.
pub(super) struct Machine<'a> {
    pub plan: &'a Plan,
    pub bin: PathBuf,
    pub pause: PathBuf,
    logs: PathBuf,
}

impl<'a> Machine<'a> {
    pub(super) fn new(plan: &'a Plan, built: &Path) -> Result<Self> {
        let logs = plan.state.join("logs");
        fs::create_dir_all(&logs)?;
        Ok(Machine { plan, bin: built.join("bin"), pause: built.join("pause.tar"), logs })
    }

    /// Starts a program that stays, in the network namespace of a node; `part` is its name among the cluster's.
    pub(super) fn start(&self, part: &str, node: &Node, program: &Path, args: &[String]) -> Result<Component> {
        let mut command = Command::new("nsenter");
        // Not `ip netns exec`, which mounts /sys anew and hides the cgroups.
        command.arg(format!("--net=/run/netns/{}", node.namespace)).arg(program).args(args);
        command.env(MARK, &self.plan.state).env(PART, part).env("PATH", self.path());
        Component::leave(part, &command, &self.logs)
    }

    /// As [`Machine::start`], one of the control plane under its own name.
    pub(super) fn start_control(&self, program: &str, args: &[String]) -> Result<Component> {
        self.start(program, &self.plan.first(), &self.bin.join(program), args)
    }

    fn path(&self) -> String {
        format!("{}:{}", self.bin.display(), FOLDERS.join(":"))
    }
}
