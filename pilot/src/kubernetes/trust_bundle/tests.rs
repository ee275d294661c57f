//! What is written, against an API server in memory.

use super::*;
use crate::kubernetes::fake::FakeServer;

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";
const ROLE: &str = "istiod-clusterrole-mesh";
const ROLE_PATH: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/istiod-clusterrole-mesh";

fn bundles(server: &FakeServer) -> TrustBundles {
    let (_, roots) = watch::channel("".into());
    let (_, leads) = watch::channel(true);
    let (_, chosen) = watch::channel(None);
    let owner = Owner::new(server.client(), Some(ROLE.to_owned()));
    let (standing, _) = watch::channel(Standing::default());
    let name = "istio-ca-root-cert".to_owned();
    TrustBundles { client: server.client(), owner, name, roots, chosen, leads, standing }
}

fn there(server: &FakeServer) -> Value {
    server.object(&format!("{MAPS}/istio-ca-root-cert")).unwrap()
}

#[tokio::test]
async fn a_config_map_is_made_and_put_right_and_what_else_it_holds_stays() {
    let server = FakeServer::default();
    let bundles = bundles(&server);
    assert_eq!(bundles.write("shop", "roots").await, Ok(Written::Right));
    let made = there(&server);
    assert_eq!(made["data"], json!({"root-cert.pem": "roots"}));
    assert_eq!(made["metadata"]["labels"], json!({"istio.io/config": "true"}));
    server.calls();
    assert_eq!(bundles.write("shop", "roots").await, Ok(Written::Right));
    assert_eq!(server.calls(), [format!("GET {MAPS}/istio-ca-root-cert")]);

    let mut edited = made;
    edited["data"] = json!({"root-cert.pem": "others", "more": "kept"});
    edited["metadata"]["labels"] = Value::Null;
    server.put(&format!("{MAPS}/istio-ca-root-cert"), Some(edited));
    assert_eq!(bundles.write("shop", "roots").await, Ok(Written::Right));
    assert_eq!(there(&server)["data"], json!({"root-cert.pem": "roots", "more": "kept"}));
    assert_eq!(there(&server)["metadata"]["labels"], json!({"istio.io/config": "true"}));
}

#[tokio::test]
async fn a_namespace_that_goes_is_no_failure() {
    let server = FakeServer::default();
    let bundles = bundles(&server);
    server.answer(|method, _, _| (method == "POST").then(|| (404, "{}".to_owned())));
    assert_eq!(bundles.write("shop", "roots").await, Ok(Written::NoNamespace));
    let going = "{\"message\": \"because it is being terminated\"}".to_owned();
    server.answer(move |method, _, _| (method == "POST").then(|| (403, going.clone())));
    assert_eq!(bundles.write("shop", "roots").await, Ok(Written::NoNamespace));
    server.answer(|method, _, _| (method == "POST").then(|| (403, "{}".to_owned())));
    assert!(matches!(bundles.write("shop", "roots").await, Err(CallError::Forbidden(_))));
}

#[test]
fn namespaces_of_the_cluster_itself_are_left_out() {
    let served = |name: &str| {
        let mut namespace: PartialObjectMeta<Namespace> = PartialObjectMeta::default();
        namespace.metadata.name = Some(name.to_owned());
        is_served(&namespace)
    };
    assert!(served("shop") && served("kube-system"));
    assert!(!served("kube-public") && !served("kube-node-lease") && !served("local-path-storage"));
}

#[tokio::test]
async fn what_pilot_alone_writes_goes_with_its_role() {
    let server = FakeServer::default();
    server.put(ROLE_PATH, Some(json!({"metadata": {"name": ROLE, "uid": "u"}})));
    let bundles = bundles(&server);
    let owned =
        json!([{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": ROLE, "uid": "u"}]);
    assert_eq!(bundles.write("shop", "roots").await, Ok(Written::Right));
    assert_eq!(there(&server)["metadata"]["ownerReferences"], owned);
    // Made by another program, or by a pilot of before.
    for (manager, owners) in [("pilot-discovery", Value::Null), ("unknown", owned)] {
        let fields = json!([{"manager": manager, "fieldsV1": {"f:data": {"f:root-cert.pem": {}}}}]);
        let map = json!({
            "metadata": {"name": "istio-ca-root-cert", "managedFields": fields},
            "data": {"root-cert.pem": "others"},
        });
        server.put(&format!("{MAPS}/istio-ca-root-cert"), Some(map));
        assert_eq!(bundles.write("shop", "roots").await, Ok(Written::Right));
        assert_eq!(there(&server)["data"], json!({"root-cert.pem": "roots"}));
        assert_eq!(there(&server)["metadata"]["ownerReferences"], owners, "{manager}");
    }
}
