//! The network of a cluster: a namespace for each node, one more with a bridge, a cable from each node and from the host to that,
//! and routes on the host to nodes, pods, Services and balancers. The host's own rules are not touched; and as nothing passes
//! through the host, they do not touch the cluster's traffic (those of Docker drop what is only forwarded, bridges included).

use super::plan::{Plan, SLOTS};
use crate::command::{output, run};
use anyhow::{Result, bail};
use std::{fs, path::Path};

/// Takes the first free slot of the machine. The host's end of its cable is the claim: only one can make it.
pub(super) fn claim(state: &Path) -> Result<Plan> {
    for slot in 0..SLOTS {
        let plan = Plan::new(slot, state);
        // Written first: what is on the machine can then always be found from the folder.
        plan.write()?;
        let (host, lan) = (plan.prefix(), plan.lan());
        if run("ip", &["link", "add", &host, "type", "veth", "peer", "name", &lan]).is_ok() {
            run("ip", &["link", "set", &host, "alias", &state.display().to_string()])?;
            return Ok(plan);
        }
        std::fs::remove_file(state.join("slot"))?;
    }
    let links = output("ip", &["-brief", "link", "show", "type", "veth"])?;
    bail!("all {SLOTS} slots for clusters are taken, or this machine makes no cables; there are:\n{links}")
}

/// Lays all of it.
pub(super) fn lay(plan: &Plan) -> Result<()> {
    let (host, lan) = (plan.prefix(), plan.lan());
    let on_lan = |words: &[&str]| run("ip", &[&["-n", lan.as_str()], words].concat());
    run("ip", &["netns", "add", &lan])?;
    run("ip", &["link", "set", &lan, "netns", &lan])?;
    on_lan(&["link", "add", "bridge", "type", "bridge"])?;
    on_lan(&["link", "set", "bridge", "up"])?;
    on_lan(&["link", "set", &lan, "master", "bridge", "up"])?;
    run("ip", &["addr", "add", &format!("{}/24", plan.host()), "dev", &host])?;
    run("ip", &["link", "set", &host, "up"])?;
    let gateway = plan.host().to_string();
    for node in plan.nodes() {
        let namespace = node.namespace.as_str();
        run("ip", &["netns", "add", namespace])?;
        on_lan(&["link", "add", &node.name, "type", "veth", "peer", "name", "eth0", "netns", namespace])?;
        on_lan(&["link", "set", &node.name, "master", "bridge", "up"])?;
        let inside = |words: &[&str]| run("ip", &[&["-n", namespace], words].concat());
        inside(&["link", "set", "lo", "up"])?;
        inside(&["addr", "add", &format!("{}/24", node.address), "dev", "eth0"])?;
        inside(&["link", "set", "eth0", "up"])?;
        // A Service's address is translated after a route was found, so there must be one.
        inside(&["route", "add", "default", "via", &gateway])?;
        for other in plan.nodes().filter(|other| other.name != node.name) {
            inside(&["route", "add", &other.pods, "via", &other.address.to_string()])?;
        }
        let settings = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run("nsenter", &[&format!("--net=/run/netns/{namespace}"), "sh", "-c", settings])?;
        run("ip", &["route", "add", &node.pods, "via", &node.address.to_string()])?;
    }
    let first = plan.first().address.to_string();
    let [a, b, c] = plan.balancers();
    run("ip", &["route", "add", &plan.services().range, "via", &first])?;
    run("ip", &["route", "add", &format!("{a}.{b}.{c}.0/24"), "via", &first])
}

/// Removes what there is of it. What others laid under the same names since is left to them.
pub(super) fn remove(plan: &Plan) -> Result<()> {
    let host = plan.prefix();
    let link = Path::new("/sys/class/net").join(&host);
    let alias = fs::read_to_string(link.join("ifalias")).unwrap_or_default();
    if Path::new(alias.trim()) != plan.state {
        return Ok(());
    }
    // The claim goes last: until then, whoever was cut off here can be followed.
    for namespace in plan.nodes().map(|node| node.namespace).chain([plan.lan()]) {
        if Path::new("/run/netns").join(&namespace).exists() {
            // Processes that somebody started in it by hand stay, but have no network then.
            run("ip", &["netns", "del", &namespace])?;
        }
    }
    // Routes and the other end go with it; it may itself be gone with the other end.
    let removed = run("ip", &["link", "del", &host]);
    if link.exists() { removed } else { Ok(()) }
}
