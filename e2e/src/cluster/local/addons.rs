//! What a cluster's users expect beside Kubernetes itself: names of Services (CoreDNS as a process of the first node, behind
//! the Service `kube-dns`) and addresses for Services of type LoadBalancer.

use super::{machine::Machine, plan::Plan};
use crate::cluster::client::{Client, Unknown};
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::{fs, net::Ipv4Addr, time::Duration};
use tokio::net::TcpStream;

/// Starts both.
pub(super) async fn start(machine: &Machine<'_>, client: &mut Client) -> Result<()> {
    let plan = machine.plan;
    let file = plan.state.join("Corefile");
    fs::write(&file, corefile(plan))?;
    machine.start_control("coredns", &[format!("-conf={}", file.display())])?;
    machine.start("balancer", &plan.first(), &std::env::current_exe()?, &balancer_args(plan))?;
    for object in dns_objects(plan.dns(), plan.first().address) {
        if let Err(refusal) = client.create(&object, Unknown::Refuse, false).await? {
            bail!("{} {} is refused: {}", object["kind"], object["metadata"]["name"], refusal.message);
        }
    }
    Ok(())
}

/// Waits until names are answered at the Service's address, as pods ask for them.
pub(super) async fn ready(plan: &Plan) -> Result<()> {
    let end = mesh_runtime::clock::now() + Duration::from_secs(60);
    // Each try is short: one that is on its way when rules come stays as it began, untranslated, with all its repetitions.
    let answers = || tokio::time::timeout(Duration::from_millis(300), TcpStream::connect((plan.dns(), 53)));
    while !matches!(answers().await, Ok(Ok(_))) {
        ensure!(mesh_runtime::clock::now() < end, "nobody answers at {}:53, the Service kube-dns", plan.dns());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn balancer_args(plan: &Plan) -> [String; 4] {
    let state = plan.state.display().to_string();
    ["--state".to_owned(), state, "balance".to_owned(), plan.first().namespace]
}

fn corefile(plan: &Plan) -> String {
    let (config, address) = (plan.state.join("kubeconfig"), plan.first().address);
    format!(
        "cluster.local:53 in-addr.arpa:53 {{
    bind {address}
    errors
    kubernetes {{
        kubeconfig {}
        ttl 5
        pods insecure
    }}
}}
.:53 {{
    bind {address}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
",
        config.display()
    )
}

/// The Service that pods ask, without a selector: its end point is no pod.
fn dns_objects(service: Ipv4Addr, process: Ipv4Addr) -> [Value; 2] {
    let ports =
        json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]);
    [
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
            "spec": {"clusterIP": service, "ports": ports},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [process], "conditions": {"ready": true}}],
            "ports": ports,
        }),
    ]
}
