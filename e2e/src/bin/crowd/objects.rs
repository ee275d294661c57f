//! A crowd of Services, pods and their endpoints, about as large as real ones are.

use anyhow::{Context, Result, bail};
use hyper::Method;
use mesh_e2e::cluster::{api_server::ApiServer, client::Client};
use serde_json::{Value, json};

/// Connections that write side by side.
const WRITERS: usize = 8;
/// Services of one namespace.
const IN_NAMESPACE: usize = 50;

/// How many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    pub(super) services: usize,
    /// Spread over the Services.
    pub(super) pods: usize,
}

/// Writes all of them.
pub(super) async fn write(server: &ApiServer, crowd: Crowd) -> Result<()> {
    let mut client = server.client().await?;
    for first in (0..crowd.services).step_by(IN_NAMESPACE) {
        let metadata = json!({"name": namespace_of(first), "labels": {"istio-injection": "enabled"}});
        put(&mut client, "/api/v1/namespaces", json!({"metadata": metadata})).await?;
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let mut client = server.client().await?;
        writers.spawn(async move {
            for service in (writer..crowd.services).step_by(WRITERS) {
                one(&mut client, service, crowd).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(())
}

pub(super) fn namespace_of(service: usize) -> String {
    format!("team-{}", service / IN_NAMESPACE)
}

/// A Service and what is behind it.
async fn one(client: &mut Client, service: usize, crowd: Crowd) -> Result<()> {
    let namespace = namespace_of(service);
    let name = format!("service-{service}");
    let core = format!("/api/v1/namespaces/{namespace}");
    put(client, &format!("{core}/services"), a_service(&name)).await?;
    let pods: Vec<usize> = (service..crowd.pods).step_by(crowd.services).collect();
    for pod in &pods {
        let path = format!("{core}/pods");
        let mut made = put(client, &path, a_pod(&name, *pod)).await?;
        made["status"] = status(*pod);
        let path = format!("{path}/{}/status", text(&made));
        answered(client.call(Method::PUT, &path, Some(&made)).await?)?;
    }
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    put(client, &slices, a_slice(&namespace, &name, &pods)).await?;
    Ok(())
}

/// Makes the first endpoint of a Service ready, or not ready.
pub(super) async fn turn(client: &mut Client, crowd: Crowd, service: usize, away: bool) -> Result<()> {
    let (namespace, name) = (namespace_of(service), format!("service-{service}"));
    let pods: Vec<usize> = (service..crowd.pods).step_by(crowd.services).collect();
    let mut slice = a_slice(&namespace, &name, &pods);
    slice["endpoints"][0]["conditions"]["ready"] = json!(!away);
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{}", text(&slice));
    answered(client.call(Method::PUT, &path, Some(&slice)).await?).map(drop)
}

fn text(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

async fn put(client: &mut Client, path: &str, object: Value) -> Result<Value> {
    answered(client.call(Method::POST, path, Some(&object)).await?).with_context(|| format!("{path} {}", text(&object)))
}

fn answered((status, answer): (hyper::StatusCode, Value)) -> Result<Value> {
    match status.is_success() {
        true => Ok(answer),
        false => bail!("{status}: {answer}"),
    }
}

fn a_service(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "selector": {"app": name},
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080},
                {"name": "grpc", "port": 9000, "targetPort": 9000},
            ],
        },
    })
}

pub(super) fn pod_name(service: &str, pod: usize) -> String {
    format!("{service}-7c9d8b6f5d-{pod:05}")
}

pub(super) fn address(pod: usize) -> String {
    format!("10.{}.{}.{}", 128 + (pod >> 16), (pod >> 8) & 255, pod & 255)
}

fn a_pod(service: &str, pod: usize) -> Value {
    let variables: Vec<Value> =
        (0..12).map(|i| json!({"name": format!("SETTING_{i}"), "value": format!("value-{i}")})).collect();
    let container = |name: &str, port: u16| {
        json!({
            "name": name, "image": format!("registry.example.com/{name}:1.2.3"), "env": variables,
            "ports": [{"name": "http", "containerPort": port}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 10},
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
        })
    };
    json!({
        "metadata": {
            "name": pod_name(service, pod),
            "labels": {
                "app": service, "version": "v1", "pod-template-hash": "7c9d8b6f5d",
                "service.istio.io/canonical-name": service, "security.istio.io/tlsMode": "istio",
            },
            "annotations": {"sidecar.istio.io/status": "{\"initContainers\":[\"istio-init\"],\"revision\":\"default\"}"},
        },
        "spec": {
            "serviceAccountName": service,
            "nodeName": format!("node-{}", pod % 100),
            "containers": [container(service, 8080), container("istio-proxy", 15090)],
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        },
    })
}

fn status(pod: usize) -> Value {
    let conditions: Vec<Value> = ["Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}))
        .into();
    json!({
        "phase": "Running", "podIP": address(pod), "podIPs": [{"ip": address(pod)}], "hostIP": "10.0.0.1",
        "conditions": conditions, "startTime": "2026-01-01T00:00:00Z",
    })
}

fn a_slice(namespace: &str, service: &str, pods: &[usize]) -> Value {
    let endpoint = |pod: &usize| {
        json!({
            "addresses": [address(*pod)],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{}", pod % 100),
            "targetRef": {"kind": "Pod", "name": pod_name(service, *pod), "namespace": namespace},
        })
    };
    json!({
        "metadata": {"name": format!("{service}-abcde"), "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "grpc", "port": 9000}],
        "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
    })
}
