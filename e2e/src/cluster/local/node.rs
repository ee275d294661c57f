//! A node: a containerd with files of its own, a kubelet and a kube-proxy, in the node's network namespace. What their
//! settings are for is said in their files; several are needed where a machine gives less than a kubelet expects (two
//! versions of cgroups at once, no systemd, no right to lower a score for the killer of memory).

use super::{
    machine::{CNI, Machine},
    plan::{Node, Plan},
};
use crate::{
    cluster::{client::Client, process::Component},
    command,
};
use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command, time::Duration};
use tokio::net::UnixStream;

/// The image that holds a pod's namespaces.
const PAUSE: &str = "ferromesh.local/pause:dev";

/// Without it no pod is taken that names none.
const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

/// Writes a node's files and starts its containerd.
pub(super) fn runtime(machine: &Machine<'_>, node: &Node) -> Result<Component> {
    for folder in ["cni", "ipam", "containerd", "run", "kubelet", "pod-logs"] {
        let folder = node.folder.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let write = |name: &str, content: &str| {
        let file = node.folder.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))
    };
    write("containerd.toml", &containerd(node))?;
    write("cni/10-pods.conflist", &network(machine.plan, node).to_string())?;
    write("kubelet.json", &kubelet(machine.plan, node).to_string())?;
    // Nothing of the host's: its resolver need not be reached from here.
    write("resolv.conf", "nameserver 127.0.0.1\n")?;
    let args = [format!("--config={}", node.folder.join("containerd.toml").display())];
    machine.start(&format!("containerd-{}", node.name), node, &machine.bin.join("containerd"), &args)
}

/// Waits until it takes images, and gives it the one that every pod begins with.
pub(super) async fn runtime_ready(machine: &Machine<'_>, node: &Node, runtime: &mut Component) -> Result<()> {
    runtime.ready(|| async { Ok(UnixStream::connect(node.socket()).await?) }).await?;
    import(machine, node, &[&machine.pause])
}

/// Gives images to a node.
pub(super) fn import(machine: &Machine<'_>, node: &Node, images: &[&Path]) -> Result<()> {
    for image in images {
        let mut ctr = Command::new(machine.bin.join("ctr"));
        ctr.arg("--address").arg(node.socket()).args(["--namespace", "k8s.io", "images", "import"]).arg(image);
        command::finish(&mut ctr).with_context(|| format!("{} takes no {}", node.name, image.display()))?;
    }
    Ok(())
}

/// Gives an image another name as well.
pub(super) fn name_image(machine: &Machine<'_>, node: &Node, image: &str, other: &str) -> Result<()> {
    let mut ctr = Command::new(machine.bin.join("ctr"));
    ctr.arg("--address").arg(node.socket()).args(["--namespace", "k8s.io", "images", "tag", "--force", image, other]);
    command::finish(&mut ctr).map(drop)
}

/// Starts its kubelet and kube-proxy.
pub(super) fn start(machine: &Machine<'_>, node: &Node) -> Result<()> {
    let (name, state) = (&node.name, &machine.plan.state);
    let kubelet = [
        format!("--config={}", node.folder.join("kubelet.json").display()),
        format!("--kubeconfig={}", state.join(format!("kubelet-{name}.kubeconfig")).display()),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", node.address),
        format!("--root-dir={}", node.folder.join("kubelet").display()),
        format!("--cert-dir={}", node.folder.join("kubelet/pki").display()),
    ];
    machine.start(&format!("kubelet-{name}"), node, &machine.bin.join("kubelet"), &kubelet)?;
    let proxy = [
        format!("--kubeconfig={}", state.join("kube-proxy.kubeconfig").display()),
        format!("--hostname-override={name}"),
        format!("--cluster-cidr={}", machine.plan.all_pods()),
        "--proxy-mode=iptables".to_owned(),
        // Settings of the whole machine are not ours.
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-tcp-timeout-established=0".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0".to_owned(),
    ];
    machine.start(&format!("kube-proxy-{name}"), node, &machine.bin.join("kube-proxy"), &proxy)?;
    Ok(())
}

/// Waits until every node says that it takes pods, and pods have an account to run as.
pub(super) async fn ready(plan: &Plan, client: &mut Client) -> Result<()> {
    let end = mesh_runtime::clock::now() + Duration::from_secs(120);
    loop {
        let (_, list) = client.call(Method::GET, "/api/v1/nodes", None).await?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_ready =
            |node: &Node| items.iter().any(|item| item["metadata"]["name"] == *node.name && takes_pods(item));
        let waiting = match plan.nodes().find(|node| !is_ready(node)) {
            Some(node) => format!("kubelet-{}", node.name),
            None if client.call(Method::GET, ACCOUNT, None).await?.0.is_success() => return Ok(()),
            None => "kube-controller-manager".to_owned(),
        };
        if mesh_runtime::clock::now() > end {
            let logs = plan.state.join("logs").display().to_string();
            bail!("no pod can run in two minutes; what {waiting} waits for is in {logs}/{waiting}.log");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn takes_pods(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn containerd(node: &Node) -> String {
    let at = |name: &str| node.folder.join(name).display().to_string();
    let (root, state, socket) = (at("containerd"), at("run"), node.socket());
    let (socket, conf, runc, opt) = (socket.display(), at("cni"), at("run/runc"), at("opt"));
    format!(
        r#"version = 3
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE no score may be lowered, and runc would fail to start any sandbox.
  restrict_oom_score_adj = true
  # They go with the folder.
  netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{CNI}"]
  conf_dir = "{conf}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  Root = "{runc}"
  SystemdCgroup = false
"#
    )
}

/// Each pod has a cable of its own to the node, no bridge: whatever a pod sends is routed, so that what kube-proxy translates
/// is seen on its way back too, also between pods of one node, whether or not the kernel shows bridged packets to its rules.
/// Sources are kept: who calls from another node is seen by the address of its pod.
fn network(plan: &Plan, node: &Node) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": plan.prefix(),
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": node.folder.join("ipam"),
                    "ranges": [[{"subnet": node.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

fn kubelet(plan: &Plan, node: &Node) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": plan.state.join("root.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{}", node.socket().display()),
        "clusterDNS": [plan.dns()],
        "clusterDomain": "cluster.local",
        "resolvConf": node.folder.join("resolv.conf"),
        "podLogsDir": node.folder.join("pod-logs"),
        "volumePluginDir": node.folder.join("volume-plugins"),
        // No systemd, and both versions of cgroups or either may be mounted.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        // A full disk of whoever runs the tests is no reason to evict pods or to remove images, which nobody could pull again.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": false,
    })
}
