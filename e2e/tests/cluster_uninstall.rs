//! What installing made, uninstalling removes. Runs after the other tests of the cluster: it takes the mesh from them.

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_e2e::{
    cluster::{Cluster, mesh::Mesh},
    until,
};

/// Kinds of which a mesh has objects.
const KINDS: &str = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations";
const NAMESPACED: &str =
    "all,configmaps,secrets,serviceaccounts,roles,rolebindings,leases,poddisruptionbudgets,horizontalpodautoscalers";

#[tokio::test]
async fn cluster_uninstalling_leaves_definitions_and_the_authoritys_secret() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let cluster = &mesh.cluster;
    let roots = || cluster.kubectl(&["get", "configmaps", "--all-namespaces", "--output=name"]);
    assert!(roots().unwrap().contains("/istio-ca-root-cert"));
    no_log_holds_a_secret(cluster).unwrap();
    for (release, namespace) in
        [("istio-ingressgateway", "istio-ingress"), ("istiod", "istio-system"), ("istio-base", "istio-system")]
    {
        cluster.helm(&["uninstall", release, "--namespace", namespace, "--wait"]).unwrap();
    }
    let left = cluster.kubectl(&["get", KINDS, "--output=name"]).unwrap();
    let ours: Vec<&str> = left.lines().filter(|name| name.contains("istio")).collect();
    assert_eq!(ours, Vec::<&str>::new());
    // The garbage collector takes what the control plane wrote, a moment after the role that owned it.
    until("nothing is left in the namespaces of the mesh", || async {
        for namespace in ["istio-system", "istio-ingress"] {
            let left = cluster.kubectl(&["get", NAMESPACED, "--namespace", namespace, "--output=name"])?;
            let of_the_cluster = |name: &str| name.contains("kube-root-ca.crt") || name.ends_with("/default");
            // The root, and which others are trusted beside it for how long.
            let authority =
                |name: &str| name.ends_with("/istio-ca-secret") || name.ends_with("/ferromesh-root-rotation");
            let stays = |name: &str| of_the_cluster(name) || authority(name);
            let too_many: Vec<&str> = left.lines().filter(|name| !stays(name)).collect();
            ensure!(too_many.is_empty(), "{too_many:?} in {namespace}");
        }
        let roots = roots()?;
        ensure!(!roots.contains("/istio-ca-root-cert"), "{roots}");
        Ok(())
    })
    .await;
    let definitions = cluster.kubectl(&["get", "customresourcedefinitions", "--output=name"]).unwrap();
    assert!(definitions.contains("virtualservices.networking.istio.io"), "{definitions}");
}

/// Of what the tests before this one left in the logs of the control plane, of gateways and of sidecars.
fn no_log_holds_a_secret(cluster: &Cluster) -> Result<()> {
    let words = ["get", "secret", "istio-ca-secret", "--namespace=istio-system"];
    let key = cluster.kubectl(&[&words[..], &["--output=jsonpath={.data.ca-key\\.pem}"]].concat())?;
    let key = String::from_utf8(STANDARD.decode(key)?)?;
    let body = key.lines().nth(1).context("a key has a body")?;
    let output = "--output=jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{\"\\n\"}{end}";
    let mut lines = 0;
    for selector in ["app=istiod", "istio=ingressgateway", "security.istio.io/tlsMode=istio"] {
        let pods = cluster.kubectl(&["get", "pods", "--all-namespaces", "--selector", selector, output])?;
        for (namespace, pod) in pods.lines().filter_map(|line| line.split_once(' ')) {
            let log = cluster.kubectl(&["logs", "--namespace", namespace, pod, "--all-containers"])?;
            lines += log.lines().count();
            // The last one is how every token begins.
            for secret in ["PRIVATE KEY", body, "eyJhbGciOi"] {
                ensure!(!log.contains(secret), "{namespace}/{pod} logs a secret");
            }
        }
    }
    ensure!(lines > 100, "{lines} lines were looked at");
    Ok(())
}
