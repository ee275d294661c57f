use crate::api::Api;
use serde_json::{Value, json};

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const CHECKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const SERVICES: &str = "/api/v1/namespaces/istio-system/services";

/// The control plane alone: definitions are many.
const MINIMAL: &str = "--set profile=minimal --set components.base.enabled=false";

/// A cluster with the revision without a name and one called canary.
fn two_revisions() -> Api {
    let api = Api::new();
    for more in ["", "--revision canary"] {
        let ran = api.meshctl(&format!("install -y {MINIMAL} {more}"));
        assert_eq!(ran.code, 0, "{more}: {}", ran.err);
    }
    api.change(&format!("{HOOKS}/istio-sidecar-injector-canary"), |hook| {
        for entry in hook["webhooks"].as_array_mut().unwrap() {
            entry["clientConfig"]["caBundle"] = "cm9vdA==".into();
        }
    });
    api.written();
    api
}

fn namespace(api: &Api, name: &str, labels: Value) {
    api.hold(&format!("/api/v1/namespaces/{name}"), json!({"metadata": {"name": name, "labels": labels}}));
}

fn entries(hook: &Value) -> Vec<(&str, &Value, &Value)> {
    let entries = hook["webhooks"].as_array().unwrap().iter();
    entries
        .map(|entry| (entry["name"].as_str().unwrap(), &entry["namespaceSelector"], &entry["objectSelector"]))
        .collect()
}

/// What the chart makes of `revisionTags`, without what only says who wrote it.
fn of_chart(api: &Api, tag: &str) -> Vec<Value> {
    let ran =
        api.meshctl(&format!("manifest generate {MINIMAL} --revision canary --set values.revisionTags={{{tag}}}"));
    let text = ran.out;
    let documents = text.split("---\n").filter(|text| text.contains(&format!("revision-tag-{tag}")));
    documents.map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}

#[test]
fn a_tag_is_what_the_chart_makes_of_it_with_the_revision_s_own_trust() {
    let api = two_revisions();
    let ran = api.meshctl("tag set prod --revision canary");
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert_eq!(
        ran.out,
        "Tag \"prod\" is a name of revision \"canary\" now. Namespaces use it by the label istio.io/rev=prod\n"
    );
    assert_eq!(
        api.written(),
        [format!("APPLY {SERVICES}/istiod-revision-tag-prod"), format!("APPLY {HOOKS}/istio-revision-tag-prod")]
    );
    let charts = of_chart(&api, "prod");
    assert_eq!(charts.len(), 2);
    for mut made in charts {
        let path = if made["kind"] == "Service" { SERVICES } else { HOOKS };
        let mut held = api.held(&format!("{path}/{}", made["metadata"]["name"].as_str().unwrap())).unwrap();
        let labels = held["metadata"]["labels"].as_object_mut().unwrap();
        assert_eq!(labels.shift_remove("app.kubernetes.io/managed-by"), Some(json!("meshctl")));
        assert_eq!(labels.shift_remove("ferromesh.io/component"), Some(json!("revision-tags")));
        assert_eq!(labels.shift_remove("ferromesh.io/revision"), Some(json!("canary")));
        held["metadata"].as_object_mut().unwrap().shift_remove("creationTimestamp");
        for entry in made.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
            entry["clientConfig"]["caBundle"] = "cm9vdA==".into();
        }
        assert_eq!(held, made);
    }
}

#[test]
fn a_tag_moves_when_that_is_said() {
    let api = two_revisions();
    assert_eq!(api.meshctl("tag set prod --revision default").code, 0);
    let ran = api.meshctl("tag set prod --revision canary");
    assert_eq!(ran.code, 1);
    assert_eq!(ran.err, "Error: there is a tag \"prod\", of revision default: --overwrite moves it\n");
    assert_eq!(api.meshctl("tag set prod --revision canary --overwrite").code, 0);
    let hook = api.held(&format!("{HOOKS}/istio-revision-tag-prod")).unwrap();
    assert_eq!(hook["webhooks"][0]["clientConfig"]["service"]["name"], "istiod-canary");
    assert_eq!(hook["metadata"]["labels"]["istio.io/rev"], "canary");
    let service = api.held(&format!("{SERVICES}/istiod-revision-tag-prod")).unwrap();
    assert_eq!(service["spec"]["selector"]["istio.io/rev"], "canary");
}

#[test]
fn what_cannot_be_a_tag_is_told() {
    let api = two_revisions();
    for (line, code, says) in [
        ("tag set prod", 64, "--revision"),
        ("tag set canary --revision default", 1, "there is a revision \"canary\""),
        ("tag set prod --revision none", 1, "there are canary, default"),
        ("tag set Prod --revision canary", 1, "no name of a tag"),
        ("tag remove none", 1, "there is no tag \"none\""),
        ("tag bogus", 64, "bogus"),
    ] {
        let ran = api.meshctl(line);
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(ran.err.contains(says), "{line}: {}", ran.err);
    }
    assert_eq!(api.written(), [""; 0]);
}

#[test]
fn generate_writes_nothing_and_makes_the_same() {
    let api = two_revisions();
    let ran = api.meshctl("tag generate prod --revision canary --webhook-name mine");
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert!(ran.out.contains("name: mine\n") && ran.out.contains("name: istiod-revision-tag-prod\n"), "{}", ran.out);
    assert_eq!(api.written(), [""; 0]);
}

#[test]
fn tags_are_listed_with_the_namespaces_that_use_them() {
    let api = two_revisions();
    let ran = api.meshctl("tag list");
    assert_eq!((ran.code, &*ran.out), (0, "No Istio revision tags found.\n"));
    for line in ["tag set prod --revision default", "tag set next --revision canary"] {
        assert_eq!(api.meshctl(line).code, 0);
    }
    namespace(&api, "shop", json!({"istio.io/rev": "prod"}));
    namespace(&api, "web", json!({"istio.io/rev": "prod"}));
    namespace(&api, "off", json!({"istio.io/rev": "prod", "istio-injection": "disabled"}));
    let ran = api.meshctl("tag show");
    assert_eq!(ran.out, "TAG  REVISION NAMESPACES\nnext canary\nprod default  shop,web\n");
    let ran = api.meshctl("tag list -o json");
    let want = json!([
        {"tag": "next", "revision": "canary", "namespaces": []},
        {"tag": "prod", "revision": "default", "namespaces": ["shop", "web"]},
    ]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), want);
}

#[test]
fn a_tag_that_is_used_goes_only_when_that_is_said() {
    let api = two_revisions();
    assert_eq!(api.meshctl("tag set prod --revision canary").code, 0);
    namespace(&api, "shop", json!({"istio.io/rev": "prod"}));
    api.written();
    let ran = api.answering("tag remove prod", "n\n");
    assert_eq!((ran.code, api.written()), (0, Vec::new()), "{}", ran.err);
    assert!(ran.err.contains("1 namespace use the tag \"prod\": shop"), "{}", ran.err);
    let ran = api.meshctl("tag delete prod -y");
    assert_eq!((ran.code, &*ran.out), (0, "Tag \"prod\" is removed\n"));
    assert_eq!(api.paths("revision-tag"), [""; 0]);
}

#[test]
fn the_tag_default_takes_over_from_the_revision_without_a_name_and_gives_back() {
    let api = two_revisions();
    assert_eq!(api.meshctl("install -y --set profile=minimal").code, 0);
    let before = api.held(&format!("{HOOKS}/istio-sidecar-injector")).unwrap();
    let check = |api: &Api| {
        let check = api.held(&format!("{CHECKS}/istiod-default-validator")).unwrap();
        let service = check["webhooks"][0]["clientConfig"]["service"]["name"].as_str().unwrap().to_owned();
        (check["metadata"]["labels"]["istio.io/rev"].as_str().unwrap().to_owned(), service)
    };
    assert_eq!(check(&api), ("default".to_owned(), "istiod".to_owned()));
    let ran = api.meshctl("tag set default --revision canary");
    assert_eq!((ran.code, &*ran.err), (0, ""));
    let never = json!({"matchLabels": {"istio.io/deactivated": "never-match"}});
    let silent = api.held(&format!("{HOOKS}/istio-sidecar-injector")).unwrap();
    for (name, namespaces, objects) in entries(&silent) {
        assert_eq!((namespaces, objects), (&never, &never), "{name}");
    }
    let tag = api.held(&format!("{HOOKS}/istio-revision-tag-default")).unwrap();
    let names: Vec<&str> = entries(&tag).iter().map(|(name, ..)| name.split('.').next().unwrap()).collect();
    assert_eq!(names, ["rev", "rev", "namespace", "object"]);
    assert_eq!(check(&api), ("canary".to_owned(), "istiod-canary".to_owned()));

    // Installing the revision without a name again does not make it answer.
    let ran = api.meshctl("install -y --set profile=minimal");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(entries(&api.held(&format!("{HOOKS}/istio-sidecar-injector")).unwrap()), entries(&silent));
    assert_eq!(check(&api), ("canary".to_owned(), "istiod-canary".to_owned()));

    assert_eq!(api.meshctl("tag remove default -y").code, 0);
    let after = api.held(&format!("{HOOKS}/istio-sidecar-injector")).unwrap();
    assert_eq!(entries(&after), entries(&before));
    assert_eq!(check(&api), ("default".to_owned(), "istiod".to_owned()));
}

#[test]
fn a_tag_of_helm_s_is_left_to_helm() {
    let api = two_revisions();
    assert_eq!(api.meshctl("tag set prod --revision canary").code, 0);
    api.change(&format!("{HOOKS}/istio-revision-tag-prod"), |hook| {
        hook["metadata"]["annotations"] =
            json!({"meta.helm.sh/release-name": "istiod-canary", "meta.helm.sh/release-namespace": "istio-system"});
    });
    api.written();
    for line in ["tag set prod --revision default --overwrite", "tag remove prod -y"] {
        let ran = api.meshctl(line);
        assert_eq!((ran.code, api.written()), (1, Vec::new()), "{line}");
        assert!(
            ran.err.contains("the Helm release istio-system/istiod-canary: set its value revisionTags"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_tag_that_moved_on_is_not_fetched_back_by_installing() {
    let api = two_revisions();
    let line = format!("install -y {MINIMAL} --set values.revisionTags={{prod}}");
    assert_eq!(api.meshctl(&line).code, 0);
    assert_eq!(api.meshctl("tag set prod --revision canary --overwrite").code, 0);
    let ran = api.meshctl(&line);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("the tag \"prod\" is of revision canary: meshctl tag set prod --revision default"),
        "{}",
        ran.err
    );
    assert_eq!(api.meshctl(&format!("install -y {MINIMAL}")).code, 0);
    assert_eq!(api.paths("revision-tag-prod").len(), 2);
}
