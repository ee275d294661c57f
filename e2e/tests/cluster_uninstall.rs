//! What installing made, uninstalling removes. Runs after the other tests of the cluster: it takes the mesh from them.

use anyhow::ensure;
use mesh_e2e::{cluster::mesh::Mesh, until};

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
            let stays = |name: &str| of_the_cluster(name) || name.ends_with("/istio-ca-secret");
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
