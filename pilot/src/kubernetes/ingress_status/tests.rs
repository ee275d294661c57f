//! What is written, against an API server in memory.

use super::*;
use crate::kubernetes::fake::FakeServer;

const PATH: &str = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web";

async fn write(server: &FakeServer, points: &[(&str, &str)]) -> Result<(), CallError> {
    let (_, reached) = watch::channel(Arc::default());
    let (_, leads) = watch::channel(true);
    let statuses = IngressStatuses { client: server.client(), reached, leads };
    let point = |(hostname, ip): &(&str, &str)| Point { hostname: (*hostname).into(), ip: (*ip).into() };
    statuses.write(&NamespacedName::new("shop", "web"), &points.iter().map(point).collect()).await
}

#[tokio::test]
async fn nothing_is_written_where_the_status_says_it_whatever_its_order() {
    let server = FakeServer::default();
    let status = json!({"loadBalancer": {"ingress": [{"hostname": "b.example"}, {"ip": "192.0.2.1"}]}});
    server.put(PATH, Some(json!({"metadata": {"name": "web"}, "status": status})));
    assert_eq!(write(&server, &[("", "192.0.2.1"), ("b.example", "")]).await, Ok(()));
    assert_eq!(server.calls(), [format!("GET {PATH}")]);
}

#[tokio::test]
async fn addresses_and_names_are_written_in_order_into_the_status_alone() {
    let server = FakeServer::default();
    server.put(PATH, Some(json!({"metadata": {"name": "web"}, "spec": {"rules": []}})));
    let (send, sent) = std::sync::mpsc::channel();
    server.answer(move |method, path, body| {
        (method == "PUT").then(|| {
            send.send((path.to_owned(), body.clone())).unwrap();
            (200, "{}".to_owned())
        })
    });
    let points = [("b.example", ""), ("", "2001:db8::1"), ("", "192.0.2.1")];
    assert_eq!(write(&server, &points).await, Ok(()));
    let (path, body) = sent.recv().unwrap();
    assert_eq!(path, format!("{PATH}/status"));
    assert_eq!(
        body["status"],
        json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}, {"hostname": "b.example"}]}})
    );
    assert_eq!((&body["metadata"]["resourceVersion"], &body["spec"]), (&json!("1"), &json!({"rules": []})));
}

#[tokio::test]
async fn a_conflict_a_missing_permission_and_an_ingress_that_is_gone_are_told_apart() {
    let server = FakeServer::default();
    assert_eq!(write(&server, &[]).await, Err(CallError::Missing));
    server.put(PATH, Some(json!({"metadata": {"name": "web"}})));
    for (code, want) in [(409, "somebody else has changed it"), (403, "does not allow it"), (500, "cannot be asked")] {
        server.answer(move |method, _, _| (method == "PUT").then(|| (code, "{}".to_owned())));
        let error = write(&server, &[("", "192.0.2.1")]).await.unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
