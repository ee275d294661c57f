//! Pod: a workload.

use crate::{
    crd::{
        Object, ObjectMeta,
        node::{Node, Value},
        reader::{Fields, Item},
    },
    model::Labels,
    name::Port,
};
use std::{net::IpAddr, sync::Arc};

/// A Kubernetes Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The object's metadata.
    pub meta: ObjectMeta,
    /// Its addresses; none before it has got one.
    pub addresses: Vec<IpAddr>,
    /// `default` unless given.
    pub service_account: Arc<str>,
    /// The node it is on.
    pub node: Option<Arc<str>>,
    /// How far it has come.
    pub phase: PodPhase,
    /// It shares its node's addresses.
    pub host_network: bool,
    /// Ports of its containers, TCP.
    pub ports: Vec<ContainerPort>,
    /// Condition `Ready` is true.
    pub ready: bool,
    /// Hand-written pods often have no conditions.
    pub says_conditions: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// What made it: a ReplicaSet's Deployment, else the controller itself.
    pub owner: Option<Arc<str>>,
}

/// How far a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers have begun.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers have ended well.
    Succeeded,
    /// All containers have ended, one badly.
    Failed,
    /// Its node does not answer, or nothing was said.
    Unknown,
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// May be empty.
    pub name: Arc<str>,
    /// Its number.
    pub number: Port,
}

impl Pod {
    /// The container port of this name.
    pub fn port_named(&self, name: &str) -> Option<Port> {
        self.ports.iter().find(|port| &*port.name == name).map(|port| port.number)
    }

    /// Whether it has ended for good.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    /// Whether it may be an endpoint. One that says nothing of its condition counts as ready.
    pub fn is_ready(&self) -> bool {
        !self.has_ended() && !self.terminating && (self.ready || !self.says_conditions)
    }
}

pub(super) fn parse(object: &Object, f: &mut Fields<'_>) -> Option<Pod> {
    let metadata = object.root.get("metadata");
    let mut pod = Pod {
        meta: object.meta.clone(),
        addresses: Vec::new(),
        service_account: "default".into(),
        node: None,
        phase: PodPhase::Unknown,
        host_network: false,
        ports: Vec::new(),
        ready: false,
        says_conditions: false,
        terminating: metadata.is_some_and(|m| m.get("deletionTimestamp").is_some()),
        owner: metadata.and_then(|metadata| owner(metadata, &object.meta.labels)),
    };
    f.object("spec", |f| {
        spec(f, &mut pod);
        Some(())
    });
    f.object("status", |f| {
        status(f, &mut pod);
        Some(())
    });
    Some(pod)
}

fn owner(metadata: &Node, labels: &Labels) -> Option<Arc<str>> {
    let Value::Seq(owners) = &metadata.get("ownerReferences")?.value else { return None };
    let controls = |owner: &&Node| owner.get("controller").is_some_and(|c| c.value == Value::Bool(true));
    let name = owners.iter().find(controls)?.get("name").and_then(Node::as_str)?;
    let hash = labels.get("pod-template-hash");
    let deployment = hash.and_then(|hash| name.strip_suffix(&**hash)?.strip_suffix('-'));
    Some(deployment.unwrap_or(name).into())
}

fn spec(f: &mut Fields<'_>, pod: &mut Pod) {
    f.ignore_rest();
    if let Some(account) = f.opt_string("serviceAccountName").filter(|name| !name.is_empty()) {
        pod.service_account = account;
    }
    pod.node = f.opt_string("nodeName").filter(|name| !name.is_empty());
    pod.host_network = f.bool("hostNetwork").unwrap_or(false);
    let container = |f: &mut Fields<'_>| {
        f.ignore_rest();
        Some(f.objects("ports", container_port).into_iter().flatten().collect::<Vec<_>>())
    };
    pod.ports = f.objects("containers", container).into_iter().flatten().collect();
}

fn container_port(f: &mut Fields<'_>) -> Option<Option<ContainerPort>> {
    f.ignore_rest();
    let is_tcp = f.opt_string("protocol").is_none_or(|protocol| &*protocol == "TCP");
    let port =
        ContainerPort { name: f.opt_string("name").unwrap_or_default(), number: f.required("containerPort")?.port()? };
    Some(is_tcp.then_some(port))
}

fn status(f: &mut Fields<'_>, pod: &mut Pod) {
    f.ignore_rest();
    pod.phase = match f.opt_string("phase").as_deref() {
        Some("Pending") => PodPhase::Pending,
        Some("Running") => PodPhase::Running,
        Some("Succeeded") => PodPhase::Succeeded,
        Some("Failed") => PodPhase::Failed,
        _ => PodPhase::Unknown,
    };
    pod.addresses = f.objects("podIPs", |f| {
        f.ignore_rest();
        f.item("ip").and_then(|item| address(&item))
    });
    if pod.addresses.is_empty() {
        let ip = f.item("podIP").filter(|item| item.node().as_str() != Some(""));
        pod.addresses.extend(ip.and_then(|item| address(&item)));
    }
    pod.says_conditions = f.item("conditions").is_some();
    let is_ready = |f: &mut Fields<'_>| {
        f.ignore_rest();
        let kind = f.opt_string("type");
        let status = f.opt_string("status");
        Some(kind.as_deref() == Some("Ready") && status.as_deref() == Some("True"))
    };
    pod.ready = f.objects("conditions", is_ready).into_iter().any(|ready| ready);
}

fn address(item: &Item<'_>) -> Option<IpAddr> {
    let text = item.string()?;
    text.parse().ok().or_else(|| item.invalid(format!("{text:.60?} is not an address")))
}
