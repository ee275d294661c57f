//! Names and addresses of one cluster: all follow from the number of its slot, so that clusters beside it on the machine
//! have others. Pure.

use crate::cluster::control_plane::{Place, Services};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Clusters that can stand side by side.
pub(super) const SLOTS: u8 = 10;
/// Nodes of a cluster.
const NODES: u8 = 2;
const SLOT_FILE: &str = "slot";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    slot: u8,
    pub state: PathBuf,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name in Kubernetes.
    pub name: String,
    /// Its network namespace.
    pub namespace: String,
    pub address: Ipv4Addr,
    /// Addresses of its pods.
    pub pods: String,
    /// Its files.
    pub folder: PathBuf,
}

impl Node {
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }
}

impl Plan {
    pub(super) fn new(slot: u8, state: &Path) -> Self {
        Plan { slot, state: state.to_owned() }
    }

    /// The one that a state folder was given; `None` where none was.
    pub(super) fn read(state: &Path) -> Result<Option<Self>> {
        let file = state.join(SLOT_FILE);
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file)?;
        let slot = text.trim().parse().with_context(|| format!("{} holds no number", file.display()))?;
        Ok(Some(Plan::new(slot, state)))
    }

    pub(super) fn write(&self) -> Result<()> {
        let file = self.state.join(SLOT_FILE);
        fs::write(&file, self.slot.to_string()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// What every name on the machine begins with; the host's end of its cable has it as its name.
    pub(super) fn prefix(&self) -> String {
        format!("fm{}", self.slot)
    }

    /// The network namespace that joins all, and the other end of the host's cable.
    pub(super) fn lan(&self) -> String {
        format!("{}-lan", self.prefix())
    }

    /// The host's address.
    pub(super) fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 100 + self.slot, 0, 1)
    }

    pub(super) fn node(&self, number: u8) -> Node {
        let (prefix, name) = (self.prefix(), format!("k{number}"));
        Node {
            namespace: format!("{prefix}-{name}"),
            address: Ipv4Addr::new(10, 100 + self.slot, 0, 10 + number),
            pods: format!("10.{}.{number}.0/24", 120 + self.slot),
            folder: self.state.join(&name),
            name,
        }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> + use<'_> {
        (1..=NODES).map(|number| self.node(number))
    }

    /// The node with the control plane.
    pub(super) fn first(&self) -> Node {
        self.node(1)
    }

    pub(super) fn all_pods(&self) -> String {
        format!("10.{}.0.0/16", 120 + self.slot)
    }

    pub(super) fn services(&self) -> Services {
        let second = 140 + self.slot;
        Services { range: format!("10.{second}.0.0/16"), first: Ipv4Addr::new(10, second, 0, 1).into() }
    }

    /// The address of the Service `kube-dns`.
    pub(super) fn dns(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 140 + self.slot, 0, 10)
    }

    /// Addresses for Services of type LoadBalancer: the first three parts of each.
    pub(super) fn balancers(&self) -> [u8; 3] {
        [10, 160 + self.slot, 0]
    }

    pub(super) fn secure(&self) -> SocketAddr {
        (self.first().address, 6443).into()
    }

    /// What its control plane is given; the services are those of [`Plan::services`].
    pub(super) fn place<'a>(&'a self, services: &'a Services) -> Place<'a> {
        let loopback = Ipv4Addr::LOCALHOST;
        Place {
            folder: &self.state,
            etcd: (loopback, 2379).into(),
            peers: (loopback, 2380).into(),
            secure: self.secure(),
            services,
        }
    }

    /// Names of all the programs that run in it.
    pub(super) fn parts(&self) -> impl Iterator<Item = String> + use<'_> {
        let control = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns", "balancer"];
        let nodes = self
            .nodes()
            .flat_map(|node| ["containerd", "kubelet", "kube-proxy"].map(|program| format!("{program}-{}", node.name)));
        control.into_iter().map(str::to_owned).chain(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, SLOTS};
    use std::{collections::BTreeSet, path::Path};

    #[test]
    fn two_clusters_share_no_name_and_no_address() {
        let of = |slot| {
            let plan = Plan::new(slot, Path::new("/state"));
            let mut all: BTreeSet<String> = plan.nodes().map(|node| node.namespace).collect();
            all.extend(plan.nodes().flat_map(|node| [node.address.to_string(), node.pods]));
            all.extend([plan.prefix(), plan.host().to_string(), plan.all_pods(), plan.services().range]);
            all.insert(format!("{:?}", plan.balancers()));
            all
        };
        let all: Vec<_> = (0..SLOTS).map(of).collect();
        let total: BTreeSet<_> = all.iter().flatten().collect();
        assert_eq!(total.len(), all.iter().map(BTreeSet::len).sum::<usize>());
    }

    #[test]
    fn a_plan_is_found_again_by_its_folder() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(Plan::read(state.path()).expect("readable"), None);
        let plan = Plan::new(7, state.path());
        plan.write().expect("writable");
        assert_eq!(Plan::read(state.path()).expect("readable"), Some(plan));
    }
}
