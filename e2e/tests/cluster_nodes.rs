//! The cluster for tests is one: pods on both nodes, names, balancers; and it leaves nothing behind.

use anyhow::{Context, Result};
use mesh_e2e::{
    cluster::{Cluster, handle, place::Place},
    command::output,
    until,
};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

/// One pod a node, behind a Service.
const ECHO: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: echo
        image: ferromesh.local/echo:dev
        args: [serve, --port, '8080']
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {type: LoadBalancer, selector: {app: echo}, ports: [{name: http, port: 80, targetPort: 8080}]}
";

/// Echo on every node, in a namespace that is gone with this value.
fn on_every_node<'a>(cluster: &'a Cluster, namespace: &str) -> Result<Place<'a>> {
    cluster.load(&[&handle::image("echo")?])?;
    let place = Place::new(cluster, namespace, &[])?;
    place.apply(ECHO)?;
    place.kubectl(&["rollout", "status", "daemonset/echo", "--timeout=60s"])?;
    Ok(place)
}

/// Name and address of each pod.
fn pods(place: &Place<'_>) -> Result<Vec<(String, String)>> {
    let list: Value = serde_json::from_str(&place.kubectl(&["get", "pods", "--output=json"])?)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
    let items = list["items"].as_array().context("no list")?;
    items.iter().map(|pod| Ok((text(&pod["metadata"]["name"])?, text(&pod["status"]["podIP"])?))).collect()
}

#[test]
fn cluster_pods_call_each_other_across_nodes_by_address_and_by_name() {
    let cluster = Cluster::connect().expect("a cluster");
    let place = on_every_node(&cluster, "nodes-calls").expect("echo on every node");
    let call = |pod: &str, url: &str| place.call(pod, &["--expect", "200", url]);
    let pods = pods(&place).expect("pods");
    assert_eq!(pods.len(), 2, "{pods:?}");
    for (caller, address) in &pods {
        for (called, to) in &pods {
            let said = call(caller, &format!("http://{to}:8080/")).expect("an answer");
            assert!(said.contains(called.as_str()), "{called} did not answer: {said}");
            // Nobody translates the address of who calls; a socket of both families sees it as one of version 6.
            assert!(said.contains(&format!(":{address}]:")), "{caller} was not seen as {address}: {said}");
        }
        call(caller, "http://echo.nodes-calls.svc.cluster.local/").expect("an answer by its whole name");
        call(caller, "http://echo/").expect("an answer by its short name");
    }
}

#[tokio::test]
async fn cluster_gives_balancers_addresses_that_the_host_reaches() {
    let cluster = Cluster::connect().expect("a cluster");
    let place = on_every_node(&cluster, "nodes-balancer").expect("echo on every node");
    let query = ["get", "service", "echo", "--output=jsonpath={.status.loadBalancer.ingress[0].ip}"];
    let given = || async { place.kubectl(&query).and_then(|ip| Ok(ip.parse::<std::net::Ipv4Addr>()?)) };
    let address = until("the balancer has an address", given).await;
    let called = || async {
        let connected = tokio::net::TcpStream::connect((address, 80));
        Ok::<_, anyhow::Error>(tokio::time::timeout(std::time::Duration::from_millis(300), connected).await??)
    };
    until("the host reaches it", called).await;
}

#[test]
fn cluster_that_crashed_half_way_leaves_nothing_behind() {
    let second = Second(tempfile::tempdir().expect("a folder"));
    let state = second.0.path().join("state");
    let text = state.display().to_string();
    second.cluster("up").expect("a cluster");
    let prefix = format!("fm{}", fs::read_to_string(state.join("slot")).expect("its slot"));
    let config = format!("--kubeconfig={}", state.join("kubeconfig").display());
    let kubectl = |words: &[&str]| output(handle::built().join("bin/kubectl"), &[&[config.as_str()], words].concat());
    kubectl(&["run", "sleeper", "--image=ferromesh.local/pause:dev"]).expect("a pod");
    kubectl(&["wait", "--for=condition=Ready", "pod/sleeper", "--timeout=60s"]).expect("it runs");
    let before = remains(&state, &prefix).expect("what there is");
    for kind in ["process", "mount", "link", "route", "namespace"] {
        assert!(
            before.iter().any(|found| found.starts_with(kind)),
            "no {kind} of a running cluster is seen: {before:#?}"
        );
    }

    for (id, line) in processes().expect("processes") {
        if line.contains(&text)
            && ["kube-apiserver", "containerd.toml", "coredns"].iter().any(|name| line.contains(name))
        {
            output("kill", &["-KILL", &id]).expect("it could be killed");
        }
    }
    second.cluster("down").expect("it goes");
    assert_eq!(remains(&state, &prefix).expect("what there is"), BTreeSet::new());
    assert!(!state.exists());
}

/// A cluster beside the one that is up, in a folder of its own; gone with this value.
struct Second(tempfile::TempDir);

impl Second {
    fn cluster(&self, verb: &str) -> Result<String> {
        let state = self.0.path().join("state").display().to_string();
        output(env!("CARGO_BIN_EXE_cluster"), &["--state", &state, verb])
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.cluster("down");
    }
}

/// Whatever on this machine names the cluster: its folder, or its prefix.
fn remains(state: &Path, prefix: &str) -> Result<BTreeSet<String>> {
    let state = state.display().to_string();
    let mut all: Vec<(&str, String)> = Vec::new();
    let mut add = |kind, text: &str| all.extend(text.lines().map(|line| (kind, line.to_owned())));
    add("mount", &fs::read_to_string("/proc/self/mountinfo")?);
    add("link", &output("ip", &["-oneline", "link"])?);
    add("route", &output("ip", &["route"])?);
    add("namespace", &output("ip", &["netns"])?);
    all.extend(processes()?.into_iter().map(|(_, line)| ("process", line)));
    let (name, named) = (format!("{prefix}-"), [format!("{prefix} "), format!("{prefix}:")]);
    let is_its = |line: &str| line.contains(&state) || line.contains(&name) || named.iter().any(|n| line.contains(n));
    let all = all.into_iter().filter(|(_, line)| is_its(line) && !line.contains("cluster_nodes"));
    Ok(all.map(|(kind, line)| format!("{kind} {line}")).collect())
}

/// Id and command line of each.
fn processes() -> Result<Vec<(String, String)>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
    let line = |id: &String| {
        fs::read(format!("/proc/{id}/cmdline")).map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
    };
    Ok(ids.filter(|id| id.parse::<u32>().is_ok()).filter_map(|id| Some((id.clone(), line(&id).ok()?))).collect())
}
