//! What is owned, against an API server in memory.

use super::*;
use crate::kubernetes::fake::FakeServer;

const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/istiod-clusterrole-mesh";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/mesh/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/mesh/leases/l";

fn role(server: &FakeServer, uid: &str) {
    server.put(ROLE, Some(json!({"metadata": {"name": "istiod-clusterrole-mesh", "uid": uid}})));
}

fn owner(server: &FakeServer) -> Arc<Owner> {
    Owner::new(server.client(), Some("istiod-clusterrole-mesh".to_owned()))
}

fn reference(uid: &str) -> Value {
    json!({"apiVersion": VERSION, "kind": KIND, "name": "istiod-clusterrole-mesh", "uid": uid})
}

fn lease() -> Value {
    json!({"metadata": {"name": "l"}})
}

fn owners(server: &FakeServer) -> Value {
    server.object(LEASE).unwrap()["metadata"]["ownerReferences"].clone()
}

#[tokio::test(start_paused = true)]
async fn what_is_made_is_owned_by_the_role_that_is_there_now() {
    let server = FakeServer::default();
    let owner = owner(&server);
    for uid in ["first", "another"] {
        role(&server, uid);
        server.put(LEASE, None);
        owner.create(LEASES, lease()).await.unwrap();
        assert_eq!(owners(&server), json!([reference(uid)]));
        tokio::time::advance(KNOWN).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_without_it_gets_it_beside_its_other_owners_and_only_once() {
    let server = FakeServer::default();
    role(&server, "ours");
    let (owner, other) = (owner(&server), json!({"kind": "ClusterRole", "name": "of another revision", "uid": "x"}));
    let mut there = lease();
    there["metadata"]["ownerReferences"] = json!([other]);
    server.put(LEASE, Some(there));
    owner.replace(LEASE, server.object(LEASE).unwrap()).await.unwrap();
    assert_eq!(owners(&server), json!([other, reference("ours")]));
    tokio::time::advance(KNOWN).await;
    server.calls();
    owner.replace(LEASE, server.object(LEASE).unwrap()).await.unwrap();
    assert_eq!((server.calls(), owners(&server)), (vec![format!("PUT {LEASE}")], json!([other, reference("ours")])));
}

#[tokio::test(start_paused = true)]
async fn without_a_role_objects_are_written_all_the_same_and_it_is_asked_for_seldom() {
    let server = FakeServer::default();
    let owner = owner(&server);
    owner.create(LEASES, lease()).await.unwrap();
    owner.replace(LEASE, server.object(LEASE).unwrap()).await.unwrap();
    assert_eq!(server.calls(), [format!("GET {ROLE}"), format!("POST {LEASES}"), format!("PUT {LEASE}")]);
    assert_eq!(owners(&server), Value::Null);
    assert!(Owner::new(server.client(), Some(String::new())).name.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_makes_no_object_without_an_owner() {
    let server = FakeServer::default();
    server.answer(|method, _, _| (method == "GET").then(|| (503, String::new())));
    assert!(matches!(owner(&server).create(LEASES, lease()).await, Err(CallError::Failed(_))));
    assert_eq!(server.object(LEASE), None);
}

#[tokio::test(start_paused = true)]
async fn where_an_owner_may_not_be_named_the_object_is_written_without() {
    let server = FakeServer::default();
    role(&server, "ours");
    server.put(LEASE, Some(lease()));
    server.answer(|method, _, object| {
        let refused = method == "PUT" && !object["metadata"]["ownerReferences"].is_null();
        refused.then(|| (403, "{}".to_owned()))
    });
    let owner = owner(&server);
    for calls in [3, 1] {
        server.calls();
        owner.replace(LEASE, server.object(LEASE).unwrap()).await.unwrap();
        assert_eq!((server.calls().len(), owners(&server)), (calls, Value::Null));
    }
}

#[test]
fn an_object_is_pilots_when_no_other_program_wrote_the_key() {
    let written = |by: &[(&str, &str)]| {
        let entry = |(manager, key): &(&str, &str)| json!({"manager": manager, "fieldsV1": {"f:data": {format!("f:{key}"): {}}}});
        let fields: Vec<Value> = by.iter().map(entry).collect();
        is_written_by_pilot(&json!({"metadata": {"managedFields": fields}}), "roots")
    };
    assert!(written(&[("ferromesh-pilot", "roots")]));
    assert!(written(&[("unknown", "roots"), ("kubectl", "more")]));
    assert!(!written(&[("pilot-discovery", "roots")]));
    assert!(!written(&[("ferromesh-pilot", "roots"), ("pilot-discovery", "roots")]));
    assert!(!written(&[("ferromesh-pilot", "more")]));
    assert!(!is_written_by_pilot(&json!({}), "roots"));
}
