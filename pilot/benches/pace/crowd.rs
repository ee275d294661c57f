//! A crowd of Services, pods and their endpoints, and rules about them, as an API server would send them.

use mesh_config::{
    crd::{Object, PackedObject, node::FromServer},
    kind::ObjectKind,
};
use mesh_pilot::source::{Batch, Change, ObjectId, SourceId};
use serde_json::{Value, json};
use std::sync::Arc;

/// Services of one namespace.
const IN_NAMESPACE: usize = 50;
/// Pods of one Service.
pub(super) const PODS: usize = 10;

/// A batch of one change, as a watch would emit it.
pub(super) fn one(change: Change) -> Batch {
    Batch { source: SourceId::ApiServer, changes: vec![change] }
}

/// Everything, and that it is everything.
pub(super) fn all(services: usize, rules: usize) -> Batch {
    let namespaces = (0..services).step_by(IN_NAMESPACE).map(namespace);
    let of_service = |i| {
        let pods = (0..PODS).map(move |p| pod(i, p, "v1"));
        [service(i, 80), slice(i, PODS)].into_iter().chain(pods)
    };
    let some = (0..rules).flat_map(|i| [route(i, 1), rule(i)]);
    let changes = namespaces.chain((0..services).flat_map(of_service)).chain(some).chain([Change::Synced]);
    Batch { source: SourceId::ApiServer, changes: changes.collect() }
}

pub(super) fn namespace_of(service: usize) -> String {
    format!("team-{}", service / IN_NAMESPACE)
}

/// Its name in the index.
#[cfg(feature = "serve")]
pub(super) fn key(service: usize) -> String {
    let namespace = namespace_of(service);
    format!("{namespace}/service-{service}.{namespace}.svc.cluster.local")
}

fn namespace(first: usize) -> Change {
    let labels = json!({"istio-injection": "enabled"});
    change(ObjectKind::Namespace, json!({"metadata": {"name": namespace_of(first), "labels": labels}}))
}

fn metadata(service: usize, name: &str) -> Value {
    json!({"name": name, "namespace": namespace_of(service), "creationTimestamp": "2026-01-01T00:00:00Z"})
}

/// One Service with two ports.
pub(super) fn service(i: usize, port: u16) -> Change {
    let name = format!("service-{i}");
    let ports = json!([
        {"name": "http", "port": port, "targetPort": 8080},
        {"name": "grpc", "port": 9000, "targetPort": 9000},
    ]);
    let address = format!("10.64.{}.{}", i / 250, i % 250 + 1);
    let spec = json!({"selector": {"app": &name}, "ports": ports, "clusterIP": address});
    change(ObjectKind::Service, json!({"metadata": metadata(i, &name), "spec": spec}))
}

pub(super) fn pod_name(service: usize, pod: usize) -> String {
    format!("service-{service}-7c9d8b6f5d-{pod:05}")
}

pub(super) fn address(service: usize, pod: usize) -> String {
    let n = service * PODS + pod;
    format!("10.{}.{}.{}", 128 + (n >> 16), (n >> 8) & 255, n & 255)
}

/// One pod.
pub(super) fn pod(service: usize, pod: usize, version: &str) -> Change {
    let app = format!("service-{service}");
    let mut metadata = metadata(service, &pod_name(service, pod));
    metadata["labels"] = json!({
        "app": &app, "version": version, "pod-template-hash": "7c9d8b6f5d",
        "service.istio.io/canonical-name": &app, "security.istio.io/tlsMode": "istio",
    });
    metadata["annotations"] = json!({"sidecar.istio.io/status": "{\"revision\":\"default\"}"});
    let container = json!({
        "name": &app, "image": "registry.example.com/app:1.2.3", "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "SETTING", "value": "value"}],
    });
    let spec = json!({"serviceAccountName": &app, "nodeName": format!("node-{}", pod % 7), "containers": [container]});
    let ip = address(service, pod);
    let conditions = json!([{"type": "Ready", "status": "True"}]);
    let status = json!({"phase": "Running", "podIP": &ip, "podIPs": [{"ip": &ip}], "conditions": conditions});
    change(ObjectKind::Pod, json!({"metadata": metadata, "spec": spec, "status": status}))
}

/// The endpoints of a Service, of which the first `ready` are ready.
pub(super) fn slice(service: usize, ready: usize) -> Change {
    let endpoints = (0..PODS).map(|pod| {
        let target = json!({"kind": "Pod", "name": pod_name(service, pod), "namespace": namespace_of(service)});
        let is_ready = pod < ready;
        let conditions = json!({"ready": is_ready, "serving": is_ready, "terminating": false});
        json!({"addresses": [address(service, pod)], "conditions": conditions, "targetRef": target})
    });
    let mut metadata = metadata(service, &format!("service-{service}-abcde"));
    metadata["labels"] = json!({"kubernetes.io/service-name": format!("service-{service}")});
    let ports = json!([{"name": "http", "port": 8080}, {"name": "grpc", "port": 9000}]);
    let endpoints: Vec<Value> = endpoints.collect();
    let object = json!({"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": endpoints});
    change(ObjectKind::EndpointSlice, object)
}

/// A route to a subset.
pub(super) fn route(service: usize, tries: u32) -> Change {
    let name = format!("service-{service}");
    let to = json!([{"destination": {"host": &name, "subset": "v1"}}]);
    let retries = json!({"attempts": tries, "retryOn": "5xx"});
    let spec = json!({"hosts": [&name], "http": [{"route": to, "retries": retries}]});
    change(ObjectKind::VirtualService, json!({"metadata": metadata(service, &name), "spec": spec}))
}

fn rule(service: usize) -> Change {
    let name = format!("service-{service}");
    let spec = json!({"host": &name, "subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
    change(ObjectKind::DestinationRule, json!({"metadata": metadata(service, &name), "spec": spec}))
}

/// By the way that the source takes which follows an API server.
fn change(kind: ObjectKind, object: Value) -> Change {
    let FromServer(node) = serde_json::from_str(&object.to_string()).expect("it was written by serde_json");
    let object = Object::from_server(node, kind, kind.versions()[0]).expect("it has a name");
    Change::Upsert(ObjectId::local(&object), Arc::new(PackedObject::from(&object)))
}
