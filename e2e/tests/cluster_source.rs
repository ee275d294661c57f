//! Pilot's source before a real API server: what comes, what does not, and definitions that come and go.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use hyper::Method;
use mesh_config::name::NamespacedName;
use mesh_e2e::cluster::{api_server::ApiServer, client::Client, document};
use mesh_pilot::source::{Batch, Change, ObjectId, kubernetes};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc;

/// For anything to arrive; generous, as machines are loaded.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the source says is there, with each object's label `v`.
struct Seen {
    batches: mpsc::Receiver<Batch>,
    objects: BTreeMap<String, String>,
    synced: bool,
}

impl Seen {
    async fn of(server: &ApiServer) -> Self {
        mesh_runtime::tls::provider::install();
        let read = kube::config::Kubeconfig::read_from(server.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(read, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let (send, batches) = mpsc::channel(16);
        tokio::spawn(kubernetes::follow(client, NamespacedName::new("istio-system", "istio"), send));
        Seen { batches, objects: BTreeMap::new(), synced: false }
    }

    async fn until(&mut self, holds: impl Fn(&Seen) -> bool) {
        while !holds(self) {
            let next = tokio::time::timeout(PATIENCE, self.batches.recv()).await;
            let Ok(Some(batch)) = next else { panic!("{:?}, synced: {}", self.objects, self.synced) };
            batch.changes.into_iter().for_each(|change| self.take(change));
        }
    }

    fn take(&mut self, change: Change) {
        let word = |id: &ObjectId| format!("{} {}", id.kind, id.name);
        match change {
            Change::Upsert(id, object) => {
                let label = object.meta.labels.get("v").map(|v| v.to_string()).unwrap_or_default();
                self.objects.insert(word(&id), label);
            }
            Change::Delete(id) => {
                self.objects.remove(&word(&id));
            }
            Change::Notes(_) => {}
            Change::Synced => self.synced = true,
        }
    }

    fn has(&self, object: &str) -> Option<&str> {
        self.objects.get(object).map(String::as_str)
    }
}

async fn call(client: &mut Client, method: Method, path: &str, object: Option<Value>) {
    let (status, answer) = client.call(method, path, object.as_ref()).await.unwrap();
    assert!(status.is_success(), "{path}: {status} {answer}");
}

async fn make(client: &mut Client, path: &str, name: &str, mut object: Value) {
    object["metadata"] = json!({"name": name, "labels": {"v": "1"}});
    call(client, Method::POST, path, Some(object)).await;
}

#[tokio::test]
async fn what_an_api_server_has_comes_and_goes() {
    let server = ApiServer::here().await.unwrap();
    let mut client = server.client().await.unwrap();
    let core = "/api/v1/namespaces/shop";
    make(&mut client, "/api/v1/namespaces", "shop", json!({})).await;
    let of_type = |kind: &str| json!({"type": kind, "stringData": {"tls.crt": "c", "tls.key": "k"}});
    make(&mut client, &format!("{core}/secrets"), "keys", of_type("kubernetes.io/tls")).await;
    make(&mut client, &format!("{core}/secrets"), "release", of_type("helm.sh/release.v1")).await;
    make(&mut client, &format!("{core}/configmaps"), "istio", json!({"data": {"mesh": ""}})).await;
    make(&mut client, "/api/v1/namespaces/istio-system/configmaps", "istio", json!({"data": {"mesh": ""}})).await;
    make(&mut client, "/api/v1/namespaces/istio-system/configmaps", "other", json!({"data": {}})).await;

    let mut seen = Seen::of(&server).await;
    seen.until(|seen| seen.synced).await;
    assert_eq!(seen.has("Secret shop/keys"), Some("1"));
    assert_eq!(seen.has("ConfigMap istio-system/istio"), Some("1"));
    for absent in ["Secret shop/release", "ConfigMap shop/istio", "ConfigMap istio-system/other"] {
        assert_eq!(seen.has(absent), None, "{absent}");
    }

    make(&mut client, &format!("{core}/services"), "cart", json!({"spec": {"ports": [{"port": 80}]}})).await;
    seen.until(|seen| seen.has("Service shop/cart") == Some("1")).await;
    call(&mut client, Method::DELETE, &format!("{core}/services/cart"), None).await;
    seen.until(|seen| seen.has("Service shop/cart").is_none()).await;

    // Definitions that come late, and one that goes.
    client.define(&document::our_kinds().unwrap()).await.unwrap();
    let policies = "/apis/security.istio.io/v1/namespaces/shop/peerauthentications";
    let strict = json!({
        "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "spec": {"mtls": {"mode": "STRICT"}},
    });
    make(&mut client, policies, "default", strict).await;
    seen.until(|seen| seen.has("PeerAuthentication shop/default") == Some("1")).await;
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/peerauthentications.security.istio.io";
    call(&mut client, Method::DELETE, definition, None).await;
    seen.until(|seen| seen.has("PeerAuthentication shop/default").is_none()).await;
    assert_eq!(seen.has("Secret shop/keys"), Some("1"));
}
