use super::*;

fn own() -> Own {
    Own { namespace: "istio-system".to_owned(), revision: "canary".to_owned() }
}

fn entry(name: &str, config: Value, policy: &str) -> Value {
    json!({"name": name, "clientConfig": config, "failurePolicy": policy})
}

fn service(namespace: &str, bundle: Option<&str>) -> Value {
    let mut config = json!({"service": {"name": "istiod-canary", "namespace": namespace, "path": "/inject"}});
    if let Some(bundle) = bundle {
        config["caBundle"] = STANDARD.encode(bundle).into();
    }
    config
}

fn configuration(kind: Kind, revision: &str, entries: Vec<Value>) -> DynamicObject {
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind.word(),
        "metadata": {"name": "a", "resourceVersion": "7", "labels": {"istio.io/rev": revision}},
        "webhooks": entries,
    });
    serde_json::from_value(object).unwrap()
}

fn patch(decision: Option<Decision>) -> Value {
    serde_json::to_value(decision.map(|decision| decision.patch)).unwrap()
}

fn same() -> Value {
    json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"})
}

#[test]
fn the_authority_is_written_where_it_differs_and_nowhere_else() {
    let entries = vec![
        entry("rev.namespace.sidecar-injector.istio.io", service("istio-system", None), "Fail"),
        entry("rev.object.sidecar-injector.istio.io", service("istio-system", Some("new")), "Fail"),
        entry("namespace.sidecar-injector.istio.io", service("istio-system", Some("old")), "Fail"),
        entry("pods.example.com", service("istio-system", None), "Fail"),
    ];
    let object = configuration(Kind::Mutating, "canary", entries);
    let add = |i| json!({"op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": "bmV3"});
    let expected = json!([same(), add(0), add(2)]);
    assert_eq!(patch(decide(Kind::Mutating, &object, &own(), "new", false)), expected);
}

#[test]
fn what_leads_to_another_control_plane_is_left_alone() {
    let name = "rev.namespace.sidecar-injector.istio.io";
    let elsewhere = configuration(Kind::Mutating, "canary", vec![entry(name, service("mesh-2", None), "Fail")]);
    assert_eq!(decide(Kind::Mutating, &elsewhere, &own(), "new", true), None);
    let other = configuration(Kind::Mutating, "stable", vec![entry(name, service("istio-system", None), "Fail")]);
    assert_eq!(decide(Kind::Mutating, &other, &own(), "new", true), None);
    let mut unlabelled = other;
    unlabelled.metadata.labels = None;
    assert_eq!(decide(Kind::Mutating, &unlabelled, &own(), "new", true), None);
}

#[test]
fn behind_a_url_an_authority_that_is_said_stays() {
    let name = "rev.validation.istio.io";
    let url = |config| configuration(Kind::Validating, "canary", vec![entry(name, config, "Fail")]);
    let said = url(json!({"url": "https://a/validate", "caBundle": "b3RoZXI="}));
    assert_eq!(decide(Kind::Validating, &said, &own(), "new", true), None);
    let unsaid = url(json!({"url": "https://a/validate"}));
    assert!(decide(Kind::Validating, &unsaid, &own(), "new", true).is_some());
}

#[test]
fn nothing_fails_closed_before_the_authority_is_known_and_the_webhooks_answer() {
    let validator = |bundle, policy| {
        let entries = vec![entry("rev.validation.istio.io", service("istio-system", bundle), policy)];
        configuration(Kind::Validating, "canary", entries)
    };
    let add = json!({"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "bmV3"});
    let close = json!({"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"});
    let decided =
        |bundle, policy, answers| patch(decide(Kind::Validating, &validator(bundle, policy), &own(), "new", answers));
    assert_eq!(decided(None, "Ignore", true), json!([same(), add]));
    assert_eq!(decided(Some("new"), "Ignore", false), Value::Null);
    assert_eq!(decided(Some("new"), "Ignore", true), json!([same(), close]));
    assert_eq!(decided(Some("new"), "Fail", true), Value::Null);
}
