//! The network of a cluster: a bridge on the host, a namespace for each node, a cable from each to the bridge, and routes to
//! nodes, pods, Services and balancers. The host's own rules are not touched, and nothing of it is routed through the host.

use super::plan::{Plan, SLOTS};
use crate::command::{output, run};
use anyhow::{Result, bail};
use std::path::Path;

/// Takes the first free slot of the machine. The bridge is the claim: only one can make it.
pub(super) fn claim(state: &Path) -> Result<Plan> {
    for slot in 0..SLOTS {
        let plan = Plan::new(slot, state);
        // Written first: what is on the machine can then always be found from the folder.
        plan.write()?;
        let bridge = plan.prefix();
        if run("ip", &["link", "add", &bridge, "type", "bridge"]).is_ok() {
            run("ip", &["link", "set", &bridge, "alias", &state.display().to_string()])?;
            return Ok(plan);
        }
        std::fs::remove_file(state.join("slot"))?;
    }
    let links = output("ip", &["-brief", "link", "show", "type", "bridge"])?;
    bail!("all {SLOTS} slots for clusters are taken, or this machine makes no bridges; there are:\n{links}")
}

/// Lays all of it.
pub(super) fn lay(plan: &Plan) -> Result<()> {
    let bridge = plan.prefix();
    run("ip", &["addr", "add", &format!("{}/24", plan.host()), "dev", &bridge])?;
    run("ip", &["link", "set", &bridge, "up"])?;
    let gateway = plan.host().to_string();
    for node in plan.nodes() {
        let (namespace, cable) = (node.namespace.as_str(), node.cable.as_str());
        run("ip", &["netns", "add", namespace])?;
        run("ip", &["link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace])?;
        run("ip", &["link", "set", cable, "master", &bridge, "up"])?;
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
