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
pub(super) fn one(made: Made) -> Batch {
    Batch { source: SourceId::ApiServer, changes: vec![made.change()] }
}

/// Everything, and that it is everything.
pub(super) fn all(services: usize, rules: usize) -> Batch {
    let namespaces = (0..services).step_by(IN_NAMESPACE).map(namespace);
    let of_service = |i| {
        let pods = (0..PODS).map(move |p| pod(i, p, "v1"));
        [service(i, 80), slice(i, PODS)].into_iter().chain(pods)
    };
    let some = (0..rules).flat_map(|i| [route(i, 1), rule(i)]);
    let made = namespaces.chain((0..services).flat_map(of_service)).chain(some);
    Batch { source: SourceId::ApiServer, changes: made.map(Made::change).chain([Change::Synced]).collect() }
}

/// A file of one Service, of whose pods the first `ready` are ready, and of the rules about it.
#[cfg(feature = "serve")]
pub(super) fn file(i: usize, ready: usize, rules: usize) -> String {
    let rules = (i < rules).then(|| [route(i, 1), rule(i)]);
    let all = [namespace(i), service(i, 80), slice(i, ready)].into_iter().chain((0..PODS).map(|p| pod(i, p, "v1")));
    // A namespace stands in the file of its first Service.
    let skipped = usize::from(!i.is_multiple_of(IN_NAMESPACE));
    all.skip(skipped).chain(rules.into_iter().flatten()).map(Made::text).collect()
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

fn namespace(first: usize) -> Made {
    let labels = json!({"istio-injection": "enabled"});
    Made(ObjectKind::Namespace, json!({"metadata": {"name": namespace_of(first), "labels": labels}}))
}

fn metadata(service: usize, name: &str) -> Value {
    json!({"name": name, "namespace": namespace_of(service), "creationTimestamp": "2026-01-01T00:00:00Z"})
}

/// One Service with two ports.
pub(super) fn service(i: usize, port: u16) -> Made {
    let name = format!("service-{i}");
    let ports = json!([
        {"name": "http", "port": port, "targetPort": 8080},
        {"name": "grpc", "port": 9000, "targetPort": 9000},
    ]);
    let address = format!("10.64.{}.{}", i / 250, i % 250 + 1);
    let spec = json!({"selector": {"app": &name}, "ports": ports, "clusterIP": address});
    Made(ObjectKind::Service, json!({"metadata": metadata(i, &name), "spec": spec}))
}

pub(super) fn pod_name(service: usize, pod: usize) -> String {
    format!("service-{service}-7c9d8b6f5d-{pod:05}")
}

pub(super) fn address(service: usize, pod: usize) -> String {
    let n = service * PODS + pod;
    format!("10.{}.{}.{}", 128 + (n >> 16), (n >> 8) & 255, n & 255)
}

/// One pod.
pub(super) fn pod(service: usize, pod: usize, version: &str) -> Made {
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
    Made(ObjectKind::Pod, json!({"metadata": metadata, "spec": spec, "status": status}))
}

/// The endpoints of a Service, of which the first `ready` are ready.
pub(super) fn slice(service: usize, ready: usize) -> Made {
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
    Made(ObjectKind::EndpointSlice, object)
}

/// A route to a subset.
pub(super) fn route(service: usize, tries: u32) -> Made {
    let name = format!("service-{service}");
    let to = json!([{"destination": {"host": &name, "subset": "v1"}}]);
    let retries = json!({"attempts": tries, "retryOn": "5xx"});
    let spec = json!({"hosts": [&name], "http": [{"route": to, "retries": retries}]});
    Made(ObjectKind::VirtualService, json!({"metadata": metadata(service, &name), "spec": spec}))
}

fn rule(service: usize) -> Made {
    let name = format!("service-{service}");
    let spec = json!({"host": &name, "subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
    Made(ObjectKind::DestinationRule, json!({"metadata": metadata(service, &name), "spec": spec}))
}

/// An object of the crowd.
pub(super) struct Made(ObjectKind, Value);

impl Made {
    /// By the way that the source takes which follows an API server.
    pub(super) fn change(self) -> Change {
        let Made(kind, object) = self;
        let FromServer(node) = serde_json::from_str(&object.to_string()).expect("it was written by serde_json");
        let object = Object::from_server(node, kind, kind.versions()[0]).expect("it has a name");
        Change::Upsert(ObjectId::local(&object), Arc::new(PackedObject::from(&object)))
    }

    /// As it stands in a file.
    #[cfg(feature = "serve")]
    pub(super) fn text(self) -> String {
        let Made(kind, mut object) = self;
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.word().into();
        format!("---\n{object}\n")
    }
}
