//! What installing made, uninstalling removes. Runs after the other tests of the cluster: it takes the mesh from them.

use mesh_e2e::cluster::mesh::Mesh;

/// Kinds of which a mesh has objects.
const KINDS: &str = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations";
const NAMESPACED: &str =
    "all,configmaps,secrets,serviceaccounts,roles,rolebindings,leases,poddisruptionbudgets,horizontalpodautoscalers";

#[test]
fn cluster_uninstalling_leaves_definitions_the_authoritys_secret_and_what_pilot_wrote() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let cluster = &mesh.cluster;
    for (release, namespace) in
        [("istio-ingressgateway", "istio-ingress"), ("istiod", "istio-system"), ("istio-base", "istio-system")]
    {
        cluster.helm(&["uninstall", release, "--namespace", namespace, "--wait"]).unwrap();
    }
    let left = cluster.kubectl(&["get", KINDS, "--output=name"]).unwrap();
    let ours: Vec<&str> = left.lines().filter(|name| name.contains("istio")).collect();
    assert_eq!(ours, Vec::<&str>::new());
    for namespace in ["istio-system", "istio-ingress"] {
        let left = cluster.kubectl(&["get", NAMESPACED, "--namespace", namespace, "--output=name"]).unwrap();
        let ours: Vec<&str> =
            left.lines().filter(|name| !name.contains("kube-root-ca.crt") && !name.ends_with("/default")).collect();
        // Of what pilot writes helm knows nothing: `meshctl uninstall --purge` removes it.
        let stays = ["/istio-ca-secret", "/istio-ca-root-cert", "/ferromesh-trust-bundle"];
        let too_many: Vec<&&str> = ours.iter().filter(|name| !stays.iter().any(|end| name.ends_with(end))).collect();
        assert_eq!(too_many, Vec::<&&str>::new(), "in {namespace}");
    }
    let definitions = cluster.kubectl(&["get", "customresourcedefinitions", "--output=name"]).unwrap();
    assert!(definitions.contains("virtualservices.networking.istio.io"), "{definitions}");
}
