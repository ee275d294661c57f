//! Beside another control plane: a revision of ours serves the namespaces that name it, and changes nothing that the other
//! made. Runs when the mesh of the other tests is uninstalled, and has Istio's objects in place of it.

use anyhow::{Context, Result, ensure};
use mesh_e2e::cluster::{
    Cluster,
    mesh::load_images,
    place::{Place, soon},
};
use serde_json::Value;
use std::collections::BTreeMap;

const SYSTEM: &str = "ferromesh-system";
const ROOTS: &str = "ferromesh-ca-root-cert";

/// What an Istio of the default revision has in a cluster, as far as a second control plane could get in its way. Nobody
/// serves its webhooks here, so that they ignore failures.
const THEIRS: &str = "
apiVersion: v1
kind: Service
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod, istio.io/rev: default}}
spec: {selector: {app: istiod, istio: pilot}, ports: [{name: https-dns, port: 15012}, {name: https-webhook, port: 443, targetPort: 15017}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system, labels: {istio.io/rev: default}}
data: {mesh: 'trustDomain: theirs.example', meshNetworks: 'networks: {}'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system, labels: {istio.io/rev: default}}
data: {config: 'policy: enabled', values: '{}'}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: istio-namespace-controller-election
  namespace: istio-system
  annotations: {control-plane.alpha.kubernetes.io/leader: '{\"holderIdentity\":\"istiod-0\",\"holderKey\":\"default\",\"leaseDurationSeconds\":30}'}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: istio-gateway-deployment-default, namespace: istio-system}
spec: {holderIdentity: istiod-0, leaseDurationSeconds: 30}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector, labels: {app: sidecar-injector, istio.io/rev: default}}
webhooks:
  - name: namespace.sidecar-injector.istio.io
    clientConfig: {service: {name: istiod, namespace: istio-system, path: /inject}, caBundle: dGhlaXJz}
    rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]
    namespaceSelector: {matchExpressions: [{key: istio-injection, operator: In, values: [enabled]}]}
    failurePolicy: Ignore
    timeoutSeconds: 1
    sideEffects: None
    admissionReviewVersions: [v1]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: istio-validator-istio-system, labels: {app: istiod, istio.io/rev: default}}
webhooks:
  - name: rev.validation.istio.io
    clientConfig: {service: {name: istiod, namespace: istio-system, path: /validate}, caBundle: dGhlaXJz}
    rules: [{operations: [CREATE, UPDATE], apiGroups: [networking.istio.io], apiVersions: ['*'], resources: ['*']}]
    objectSelector: {matchExpressions: [{key: istio.io/rev, operator: In, values: [default]}]}
    failurePolicy: Ignore
    timeoutSeconds: 1
    sideEffects: None
    admissionReviewVersions: [v1]
";

/// What it gives every namespace.
const THEIR_ROOTS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-ca-root-cert, labels: {istio.io/config: 'true'}}
data: {root-cert.pem: theirs}
";

/// Who owns what does not stand in a namespace, and in which other places of theirs we could write.
const LOOKED_AT: [&[&str]; 4] = [
    &["customresourcedefinitions,mutatingwebhookconfigurations,validatingwebhookconfigurations"],
    &["configmaps,secrets,leases,services", "--namespace=istio-system"],
    &["configmaps", "--namespace=beside-theirs"],
    &["configmaps", "--namespace=beside-ours"],
];

/// Every object that is theirs, without what the API server and its controllers write.
fn theirs(cluster: &Cluster) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for words in LOOKED_AT {
        let list = cluster.kubectl(&[&["get", "--output=json"], words].concat())?;
        let mut list: Value = serde_json::from_str(&list)?;
        for mut object in list["items"].as_array_mut().context("a list")?.drain(..) {
            let metadata = object["metadata"].as_object_mut().context("metadata")?;
            metadata.remove("resourceVersion");
            metadata.remove("managedFields");
            let name = metadata["name"].to_string();
            let name = format!("{} {name} {}", object["kind"], words.last().context("a place")?);
            object.as_object_mut().context("an object")?.remove("status");
            all.insert(name, object);
        }
    }
    all.retain(|name, _| !name.contains("ferromesh") && !name.contains("kube-root-ca"));
    Ok(all)
}

/// Their objects, and a release of ours beside them; gone with this value.
struct Beside<'a> {
    cluster: &'a Cluster,
    namespaces: [Place<'a>; 2],
}

impl<'a> Beside<'a> {
    fn install(cluster: &'a Cluster) -> Result<Self> {
        let there = cluster.helm(&["list", "--namespace=istio-system", "--short"])?;
        ensure!(!there.lines().any(|release| release == "istiod"), "the mesh of the other tests is still there");
        load_images(cluster)?;
        let release = ["upgrade", "--install", "--create-namespace", "--namespace=istio-system", "istio-base"];
        cluster.helm(&[&release[..], &["charts/base"]].concat())?;
        let ours = Place::new(cluster, "beside-ours", &["istio.io/rev=ferromesh"])?;
        let theirs = Place::new(cluster, "beside-theirs", &["istio-injection=enabled"])?;
        let beside = Beside { cluster, namespaces: [ours, theirs] };
        for namespace in &beside.namespaces {
            namespace.apply(THEIR_ROOTS)?;
        }
        cluster.apply("istio-system", THEIRS)?;
        Ok(beside)
    }

    /// Installs as the page says for a cluster that has an Istio.
    fn add_ours(&self) -> Result<()> {
        let roots = format!("global.trustBundleName={ROOTS}");
        for (release, chart) in [("ferromesh-base", "base"), ("istiod-ferromesh", "istiod")] {
            let chart = format!("charts/{chart}");
            let words = ["install", release, &chart, "--create-namespace", "--namespace", SYSTEM, "--wait"];
            let values = ["--set=revision=ferromesh", "--set", &roots, "--set=global.istioNamespace=ferromesh-system"];
            self.cluster.helm(&[&words[..], &values].concat())?;
        }
        Ok(())
    }

    fn remove_ours(&self) -> Result<()> {
        for release in ["istiod-ferromesh", "ferromesh-base"] {
            self.cluster.helm(&["uninstall", release, "--namespace", SYSTEM, "--ignore-not-found", "--wait"])?;
        }
        self.cluster.kubectl(&["delete", "namespace", SYSTEM, "--ignore-not-found"]).map(drop)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        let _ = self.remove_ours();
        let _ = self.cluster.helm(&["uninstall", "istio-base", "--namespace=istio-system", "--ignore-not-found"]);
        let names = "mutatingwebhookconfiguration/istio-sidecar-injector \
                     validatingwebhookconfiguration/istio-validator-istio-system";
        for name in names.split_whitespace() {
            let _ = self.cluster.kubectl(&["delete", name, "--ignore-not-found"]);
        }
        let left = ["service/istiod", "configmap/istio", "configmap/istio-sidecar-injector"];
        let more = ["configmap/istio-namespace-controller-election", "lease/istio-gateway-deployment-default"];
        for name in left.into_iter().chain(more) {
            let _ = self.cluster.kubectl(&["delete", name, "--namespace=istio-system", "--ignore-not-found"]);
        }
    }
}

#[test]
fn cluster_a_revision_beside_another_control_plane_changes_nothing_of_it() {
    let cluster = Cluster::connect().expect("a cluster");
    let beside = Beside::install(&cluster).unwrap();
    let before = theirs(&cluster).unwrap();
    assert!(before.keys().any(|name| name.contains("istio-sidecar-injector")), "{:?}", before.keys());
    beside.add_ours().unwrap();

    let [ours, others] = &beside.namespaces;
    ours.echo("server").unwrap();
    ours.echo("client").unwrap();
    others.echo("server").unwrap();
    let said = soon("the client is answered", || ours.called("client", "200", "http://server/"));
    assert!(said.contains("spiffe://cluster.local/ns/beside-ours/sa/client"), "{said}");
    let output = "--output=jsonpath={.items[0].spec.initContainers[*].name}";
    assert_eq!(others.kubectl(&["get", "pods", "--selector=app=server", output]).unwrap(), "");
    let roots = ours.kubectl(&["get", "configmap", ROOTS, "--output=jsonpath={.data.root-cert\\.pem}"]).unwrap();
    assert!(roots.contains("BEGIN CERTIFICATE"), "{roots}");

    // The other's namespaces are not ours to judge.
    let told = cluster.meshctl(&["status", "--istioNamespace", SYSTEM]).unwrap();
    assert!(told.contains("nothing is wrong"), "{told}");

    let after = theirs(&cluster).unwrap();
    let changed: Vec<&String> =
        before.iter().filter(|(name, object)| after.get(*name) != Some(object)).map(|(name, _)| name).collect();
    let added: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert_eq!((changed, added), (Vec::new(), Vec::new()));
    beside.remove_ours().unwrap();
    assert_eq!(theirs(&cluster).unwrap().into_keys().collect::<Vec<_>>(), before.into_keys().collect::<Vec<_>>());
}
