use super::*;
use crate::inject::{Environment, Injector};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use mesh_runtime::telemetry::metrics::Registry;
use serde_json::json;

/// Pods get a label that says their cluster; those with label `off` stay as they are.
const CONFIG: &str = r#"
policy: enabled
neverInjectSelector: [{matchLabels: {off: "yes"}}]
templates:
  sidecar: |
    metadata:
      labels: {given: "yes"}
    spec:
      containers:
      - name: istio-proxy
        image: a
"#;

fn webhooks() -> (Webhooks, Registry) {
    let environment = Environment { native_sidecars: true, ..Environment::default() };
    webhooks_by(Injector::new(CONFIG, "{}", "", environment).map(Arc::new))
}

fn webhooks_by(standing: Standing) -> (Webhooks, Registry) {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).unwrap();
    // Later ones do not come.
    let (_, context) = watch::channel(Arc::new(ParseContext::default()));
    let (_, injector) = watch::channel(standing);
    (Webhooks { context, injector, metrics }, registry)
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let request = Request::builder().method(Method::POST).uri(path).header(header::CONTENT_TYPE, "application/json");
    request.body(body.into()).unwrap()
}

async fn body(reply: Reply) -> Value {
    let bytes = reply.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

fn review(question: Value) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": question}).to_string()
}

fn about(kind: &str, operation: &str, object: Value) -> Value {
    json!({
        "uid": "4711",
        "kind": {"group": "networking.istio.io", "version": "v1", "kind": kind},
        "resource": {"group": "networking.istio.io", "version": "v1", "resource": kind.to_lowercase() + "s"},
        "namespace": "shop",
        "operation": operation,
        "object": object,
    })
}

fn route(weight: Value) -> Value {
    let to = json!({"destination": {"host": "cart"}, "weight": weight});
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"hosts": ["cart"], "http": [{"route": [to]}]},
    })
}

/// What is answered about a question.
async fn validated(question: Value) -> Value {
    let reply = webhooks().0.validate(request("/validate?timeout=10s", review(question))).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let said = body(reply).await;
    assert_eq!((&said["apiVersion"], &said["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    said["response"].clone()
}

#[tokio::test]
async fn a_good_object_may_be_stored() {
    assert_eq!(
        validated(about("VirtualService", "CREATE", route(json!(1)))).await,
        json!({"uid": "4711", "allowed": true})
    );
}

#[tokio::test]
async fn a_bad_object_is_refused_with_field_and_mend() {
    let said = validated(about("VirtualService", "CREATE", route(json!(-1)))).await;
    assert_eq!(said["allowed"], false);
    let message = said["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("configuration is invalid: spec.http[0].route[0].weight: "), "{message}");
}

#[tokio::test]
async fn what_has_no_effect_is_a_warning() {
    let mut object = route(json!(1));
    object["spec"]["http"][0]["unheardOf"] = json!({});
    let said = validated(about("VirtualService", "UPDATE", object)).await;
    let text = said.to_string();
    assert!(text.contains("unheardOf"), "{text}");
}

#[tokio::test]
async fn the_answer_is_that_of_validating_files() {
    for weight in [json!(1), json!(-1), json!("x")] {
        let text = route(weight.clone()).to_string();
        let (objects, _) = mesh_config::crd::read_text(&"f".into(), &text);
        let found = mesh_config::crd::validate(&objects[0], &ParseContext::default());
        let errors = found.iter().filter(|finding| finding.severity == mesh_config::diagnostic::Severity::Error);
        let said = validated(about("VirtualService", "CREATE", route(weight))).await;
        assert_eq!(said["allowed"], errors.count() == 0, "{text}");
    }
}

#[tokio::test]
async fn deleting_and_what_is_of_other_groups_may_be_done() {
    let bad = route(json!(-1));
    let deleted = about("VirtualService", "DELETE", Value::Null);
    let mut pod = about("Pod", "CREATE", json!({"spec": 7}));
    pod["kind"]["group"] = "".into();
    let mut last = about("VirtualService", "UPDATE", bad.clone());
    last["oldObject"] = bad.clone();
    last["object"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    for question in [deleted, pod, last.clone()] {
        assert_eq!(validated(question.clone()).await["allowed"], true, "{question}");
    }
    last["object"]["spec"]["http"][0]["route"][0]["weight"] = json!(-2);
    assert_eq!(validated(last).await["allowed"], false);
}

#[tokio::test]
async fn a_kind_that_is_not_known_is_refused() {
    let said = validated(about("VirtualThing", "CREATE", json!({}))).await;
    let message = "VirtualThing is no kind of networking.istio.io; the control plane does not know it";
    assert_eq!(said["status"]["message"], message);
}

#[tokio::test]
async fn a_name_may_be_left_to_the_api_server() {
    let mut object = route(json!(1));
    object["metadata"] = json!({"generateName": "cart-"});
    assert_eq!(validated(about("VirtualService", "CREATE", object)).await["allowed"], true);
}

#[tokio::test]
async fn what_asks_to_be_refused_is() {
    let mut object = route(json!(1));
    object["metadata"]["annotations"] = json!({"internal.istio.io/webhook-always-reject": "true"});
    assert_eq!(validated(about("VirtualService", "CREATE", object)).await["allowed"], false);
}

#[tokio::test]
async fn what_is_no_review_is_answered_by_http_and_counted() {
    let (webhooks, registry) = webhooks();
    let status = async |request| webhooks.clone().validate(request).await.status();
    assert_eq!(status(request("/validate", "")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(request("/validate", "{")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(request("/validate", r#"{"apiVersion":"v1","kind":"Pod"}"#)).await, StatusCode::BAD_REQUEST);
    let mut typed = request("/validate", review(about("VirtualService", "CREATE", route(json!(1)))));
    typed.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(status(typed).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let text = registry.render();
    assert!(text.contains("galley_validation_http_error{status=\"400\"} 3"), "{text}");
}

#[tokio::test]
async fn verdicts_are_counted_by_kind_and_made_up_words_are_not() {
    let (webhooks, registry) = webhooks();
    for (kind, weight) in [("VirtualService", 1), ("VirtualService", -1), ("Made-up", 1)] {
        let question = about(kind, "CREATE", route(json!(weight)));
        webhooks.clone().validate(request("/validate", review(question))).await;
    }
    let text = registry.render();
    let kind = "group=\"networking.istio.io\"";
    let last = "resource=\"virtualservices\",version=\"v1\"";
    for line in [
        format!("galley_validation_passed{{{kind},{last}}} 1"),
        format!("galley_validation_failed{{{kind},reason=\"invalid_resource\",{last}}} 1"),
        "galley_validation_failed{group=\"\",reason=\"invalid_resource\",resource=\"\",version=\"\"} 1".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

fn pod(labels: Value) -> Value {
    json!({
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "a",
        "operation": "CREATE",
        "object": {"metadata": {"name": "p", "labels": labels}, "spec": {"containers": [{"name": "app"}]}},
    })
}

#[tokio::test]
async fn a_pod_gets_the_patch_of_injection_and_the_path_says_its_cluster() {
    let question = pod(json!({}));
    let reply = webhooks().0.inject(request("/inject/cluster/east", review(question.clone()))).await;
    let said = body(reply).await["response"].clone();
    assert_eq!((&said["allowed"], &said["patchType"]), (&json!(true), &json!("JSONPatch")), "{said}");
    let patch = STANDARD.decode(said["patch"].as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut pod = question["object"].clone();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(pod["metadata"]["labels"]["given"], "yes", "{pod}");
    assert!(pod["spec"].to_string().contains(r#"{"name":"ISTIO_META_CLUSTER_ID","value":"east"}"#), "{pod}");
}

#[tokio::test]
async fn a_pod_stays_as_it_is_when_it_asks_for_that_and_is_refused_when_it_asks_for_what_is_not_there() {
    let (webhooks, registry) = webhooks();
    let said = async |question: Value| {
        body(webhooks.clone().inject(request("/inject", review(question))).await).await["response"].clone()
    };
    assert_eq!(said(pod(json!({"off": "yes"}))).await, json!({"uid": "u", "allowed": true}));
    let mut unknown = pod(json!({}));
    unknown["object"]["metadata"]["annotations"] = json!({"inject.istio.io/templates": "none-such"});
    let refused = said(unknown).await;
    assert_eq!(refused["allowed"], false);
    assert!(refused["status"]["message"].as_str().unwrap().contains("none-such"), "{refused}");
    let text = registry.render();
    for line in [
        "sidecar_injection_requests_total 2",
        "sidecar_injection_success_total 2",
        "sidecar_injection_skip_total 1",
        "sidecar_injection_failure_total 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn pods_are_refused_while_nothing_decides_about_them() {
    let (webhooks, _) = webhooks_by(Err("there is no ConfigMap".to_owned()));
    let said = body(webhooks.inject(request("/inject", review(pod(json!({}))))).await).await["response"].clone();
    assert_eq!(said["allowed"], false);
    assert_eq!(said["status"]["message"], "pods cannot be injected: there is no ConfigMap");
}

#[tokio::test]
async fn an_old_question_is_answered_in_its_version() {
    let asked = review(pod(json!({"off": "yes"}))).replace("admission.k8s.io/v1\"", "admission.k8s.io/v1beta1\"");
    let said = body(webhooks().0.inject(request("/inject", asked)).await).await;
    assert_eq!(said["apiVersion"], "admission.k8s.io/v1beta1");
}
