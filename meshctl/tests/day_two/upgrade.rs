use crate::api::Api;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use std::io::Write as _;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";
const HOOK: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/istio-sidecar-injector";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The control plane alone: definitions are many.
const MINIMAL: &str = "--set profile=minimal --set components.base.enabled=false";
const WITH_BASE: &str = "--set profile=minimal";

fn installed() -> Api {
    of(MINIMAL)
}

fn of(settings: &str) -> Api {
    let api = Api::new();
    let ran = api.meshctl(&format!("install -y {settings}"));
    assert_eq!((ran.code, &*ran.out), (0, ""), "{}", ran.err);
    api.written();
    api
}

fn of_version(api: &Api, version: &str) {
    api.change(DEPLOYMENT, |deployment| {
        deployment["metadata"]["labels"]["app.kubernetes.io/version"] = version.into();
    });
}

/// Helm's: the annotations of everything that is of the mesh, and the records of both releases.
fn given_to_helm(api: &Api) {
    for path in api.paths("/") {
        api.change(&path, |object| {
            let labels = &mut object["metadata"]["labels"];
            if labels["app.kubernetes.io/part-of"] == "ferromesh" {
                labels["app.kubernetes.io/managed-by"] = "Helm".into();
                let release = labels["app.kubernetes.io/instance"].clone();
                let labels = labels.as_object_mut().unwrap();
                labels.retain(|key, _| !key.starts_with("ferromesh.io/"));
                object["metadata"]["annotations"] =
                    json!({"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "istio-system"});
            }
        });
    }
    recorded(api, "istio-base", "base");
    recorded(api, "istiod", "istiod");
}

fn recorded(api: &Api, release: &str, chart: &str) {
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(json!({"chart": {"metadata": {"name": chart}}}).to_string().as_bytes()).unwrap();
    let packed = STANDARD.encode(STANDARD.encode(zip.finish().unwrap()));
    let name = format!("sh.helm.release.v1.{release}.v1");
    api.hold(
        &format!("/api/v1/namespaces/istio-system/secrets/{name}"),
        json!({
            "metadata": {"name": name, "namespace": "istio-system", "labels": {"owner": "helm", "name": release, "status": "deployed"}},
            "type": "helm.sh/release.v1", "data": {"release": packed},
        }),
    );
}

#[test]
fn what_is_not_there_is_not_upgraded() {
    let api = Api::new();
    let ran = api.meshctl(&format!("upgrade -y {MINIMAL}"));
    assert_eq!((ran.code, &*ran.err), (1, "Error: no control plane is installed: meshctl install installs one\n"));
    let ran = api.meshctl(&format!("upgrade -y {MINIMAL} --revision canary"));
    assert_eq!((ran.code, api.written()), (1, Vec::new()));
}

#[test]
fn a_dry_run_says_from_what_to_what_and_which_fields_and_writes_nothing() {
    let api = installed();
    of_version(&api, "0.0.9");
    let ran = api
        .meshctl(&format!("upgrade --dry-run {MINIMAL} --set values.pilot.env.A=b --set values.revisionTags={{prod}}"));
    assert_eq!((ran.code, api.written()), (0, Vec::new()), "{}", ran.err);
    let (first, rest) = ran.out.split_once('\n').unwrap();
    assert_eq!(first, format!("revision default in namespace istio-system goes from version 0.0.9 to {VERSION}."));
    let others: Vec<&str> = rest.lines().filter(|line| !line.starts_with("same ")).collect();
    assert_eq!(
        others,
        [
            "update ConfigMap istio-system/istio-sidecar-injector: data.values",
            "create Service istio-system/istiod-revision-tag-prod",
            "update Deployment istio-system/istiod: metadata.labels.app.kubernetes.io/version, spec.template.spec.containers[0].env",
            "create MutatingWebhookConfiguration istio-revision-tag-prod",
        ]
    );
}

#[test]
fn nothing_is_lost_on_the_way_because_each_step_is_written_when_the_one_before_is_ready() {
    let api = of(WITH_BASE);
    of_version(&api, "0.0.9");
    let ran = api.answering("upgrade", "y\n");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("goes from version 0.0.9"), "{}", ran.err);
    assert!(ran.err.contains("istio-ingressgateway: of 6 objects 6 made"), "{}", ran.err);
    let written = api.written();
    let place = |part: &str| {
        written.iter().position(|path| path.contains(part)).unwrap_or_else(|| panic!("{part}: {written:?}"))
    };
    let order = [
        "customresourcedefinitions/virtualservices",
        "validatingwebhookconfigurations/istiod-default-validator",
        "deployments/istiod",
        "mutatingwebhookconfigurations/istio-sidecar-injector",
        "deployments/istio-ingressgateway",
    ];
    assert!(order.map(place).is_sorted(), "{written:?}");
    assert!(ran.err.contains("Which proxies are of another version is not known"), "{}", ran.err);
}

#[test]
fn no_is_an_answer() {
    let api = installed();
    let ran = api.answering(&format!("upgrade {MINIMAL}"), "n\n");
    assert_eq!((ran.code, api.written()), (1, Vec::new()));
    assert!(ran.err.contains("Proceed? (y/N)") && ran.err.contains("as they should be"), "{}", ran.err);
}

#[test]
fn versions_too_far_apart_are_refused_by_both_commands_unless_forced() {
    let api = installed();
    for (version, says) in [("0.7.0", "more than one minor version back"), ("", "does not say which version")] {
        of_version(&api, version);
        for line in ["upgrade -y", "install -y", "upgrade -y --revision canary", "upgrade --dry-run"] {
            let ran = api.meshctl(&format!("{line} {MINIMAL}"));
            assert_eq!((ran.code, api.written()), (1, Vec::new()), "{line}");
            assert!(ran.err.contains(says) && ran.err.contains("--force"), "{line}: {}", ran.err);
        }
        assert_eq!(api.meshctl(&format!("upgrade --dry-run --force {MINIMAL}")).code, 0);
    }
}

#[test]
fn a_canary_comes_beside_and_says_how_namespaces_come_to_it() {
    let api = installed();
    let ran = api.meshctl(&format!("upgrade -y {MINIMAL} --revision canary"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("kubectl label namespace NAME istio-injection- istio.io/rev=canary"), "{}", ran.out);
    assert!(ran.out.contains("meshctl tag set TAG --revision canary --overwrite"), "{}", ran.out);
    assert!(api.held(DEPLOYMENT).is_some() && api.held(&format!("{DEPLOYMENT}-canary")).is_some());
    // Definitions are of no revision, so that none takes them from the other.
    let ran = api.meshctl(&format!("install -y {WITH_BASE}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = api.meshctl(&format!("upgrade --dry-run {WITH_BASE} --revision canary"));
    let changed: Vec<&str> = ran.out.lines().filter(|line| !line.starts_with("same ")).collect();
    assert_eq!((ran.code, changed), (0, Vec::new()), "{}", ran.err);
    // Its own objects are pruned, and none of the other's.
    let ran = api.meshctl("uninstall -y --revision default");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(api.held(DEPLOYMENT).is_none() && api.held(&format!("{DEPLOYMENT}-canary")).is_some());
}

#[test]
fn what_helm_installed_is_helm_s_until_it_is_adopted() {
    let api = of(WITH_BASE);
    given_to_helm(&api);
    let map = "/api/v1/namespaces/istio-system/configmaps/left";
    api.hold(
        map,
        json!({"metadata": {
            "name": "left", "namespace": "istio-system", "labels": {"app.kubernetes.io/part-of": "ferromesh"},
            "annotations": {"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "istio-system"},
        }}),
    );
    for line in ["install -y", "upgrade -y", "upgrade -y --force", "install --dry-run"] {
        let ran = api.meshctl(&format!("{line} {WITH_BASE}"));
        assert_eq!((ran.code, api.written()), (1, Vec::new()), "{line}");
        let says = "of the Helm release istio-system/istio-base: go on with helm upgrade istio-base -n istio-system, or take over what is Helm's with --adopt";
        assert!(ran.err.contains(says), "{line}: {}", ran.err);
    }
    let ran = api.meshctl(&format!("upgrade -y --adopt {WITH_BASE}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(api.paths("sh.helm.release"), [""; 0]);
    assert_eq!(api.held(map), None);
    for path in [DEPLOYMENT, HOOK] {
        let metadata = &api.held(path).unwrap()["metadata"];
        assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "meshctl", "{path}");
        assert_eq!(metadata["annotations"], json!({}), "{path}");
    }
    assert_eq!(api.meshctl(&format!("upgrade -y {WITH_BASE}")).code, 0);
}

#[test]
fn a_release_whose_objects_are_gone_is_still_helm_s() {
    let api = Api::new();
    recorded(&api, "istiod", "istiod");
    let ran = api.meshctl(&format!("install -y {MINIMAL}"));
    assert_eq!((ran.code, api.written()), (1, Vec::new()));
    assert!(ran.err.contains("istiod is installed by the Helm release istio-system/istiod"), "{}", ran.err);
}

#[test]
fn a_release_of_a_chart_that_holds_more_is_not_adopted() {
    let api = installed();
    given_to_helm(&api);
    recorded(&api, "istiod", "platform");
    let ran = api.meshctl(&format!("upgrade -y --adopt {MINIMAL}"));
    assert_eq!((ran.code, api.written()), (1, Vec::new()));
    assert!(ran.err.contains("is of chart \"platform\", which holds more than the mesh"), "{}", ran.err);
}

#[test]
fn what_others_applied_of_the_charts_is_theirs_and_what_is_of_other_charts_nobody_adopts() {
    let api = installed();
    api.change(HOOK, |hook| {
        drop(hook["metadata"]["labels"].as_object_mut().unwrap().shift_remove("app.kubernetes.io/managed-by"))
    });
    let ran = api.meshctl(&format!("upgrade -y {MINIMAL}"));
    assert_eq!((ran.code, api.written()), (1, Vec::new()));
    assert!(ran.err.contains("whoever applied what Helm renders of these charts"), "{}", ran.err);
    let ran = api.meshctl(&format!("upgrade -y --adopt {MINIMAL}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    api.change(HOOK, |hook| hook["metadata"]["labels"]["app.kubernetes.io/part-of"] = "istio".into());
    api.written();
    let ran = api.meshctl(&format!("upgrade -y --adopt {MINIMAL}"));
    assert_eq!((ran.code, api.written()), (1, Vec::new()));
    assert!(ran.err.contains("of another program"), "{}", ran.err);
}
