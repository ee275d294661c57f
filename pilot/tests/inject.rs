//! What pods look like with their sidecar.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "inject/defaults.rs"]
mod defaults;

use defaults::{config_of_values, default_values};
use mesh_pilot::inject::{Environment, Injector, Outcome, Question};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const MESH: &str = "trustDomain: cluster.local\n";

/// An injector of the charts' defaults with changes.
fn injector(native: bool, change: impl FnOnce(&mut Value)) -> Injector {
    let mut values = default_values();
    change(&mut values);
    let (config, values) = config_of_values(&values);
    let environment = Environment { native_sidecars: native, ..Environment::default() };
    Injector::new(&config.to_string(), &values.to_string(), MESH, environment).unwrap()
}

fn question<'a>(pod: &'a Value, environment: &'a BTreeMap<String, String>) -> Question<'a> {
    Question { pod, namespace: "shop", workload: None, environment }
}

fn inject(injector: &Injector, pod: &Value) -> Value {
    injector.injected(&question(pod, &BTreeMap::new())).unwrap().unwrap()
}

fn cart() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "cart", "labels": {"app": "cart"}, "futureField": {"kept": true}},
        "spec": {
            "futureField": [1, 2],
            "containers": [{"name": "cart", "image": "cart:1", "futureField": "kept", "ports": [{"containerPort": 8080}]}],
        },
    })
}

#[test]
fn the_patch_makes_the_injected_pod_and_keeps_what_it_does_not_know() {
    for native in [true, false] {
        let (injector, pod) = (injector(native, |_| {}), cart());
        let expected = inject(&injector, &pod);
        let environment = BTreeMap::new();
        let Outcome::Patch(patch) = injector.inject(&question(&pod, &environment)).unwrap() else { panic!("skipped") };
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        assert_eq!(patched, expected);
        assert_eq!(patched["spec"]["futureField"], json!([1, 2]));
        assert_eq!(patched["metadata"]["futureField"], json!({"kept": true}));
        let cart = patched["spec"]["containers"].as_array().unwrap().iter().find(|c| c["name"] == "cart").unwrap();
        assert_eq!(cart, &pod["spec"]["containers"][0]);
    }
}

#[test]
fn injecting_twice_is_injecting_once() {
    let mut probed =
        annotated(&[("prometheus.io/port", "9090"), ("traffic.sidecar.istio.io/excludeOutboundPorts", "25")]);
    probed["spec"]["containers"][0]["livenessProbe"] = json!({"httpGet": {"path": "/", "port": 8080}});
    let mut own = cart();
    own["spec"]["containers"].as_array_mut().unwrap().push(json!({
        "name": "istio-proxy", "image": "auto", "args": ["run", "--mine"], "env": [{"name": "POD_NAME", "value": "mine"}],
    }));
    let mut gateway = annotated(&[("inject.istio.io/templates", "gateway")]);
    gateway["spec"]["containers"] =
        json!([{"name": "istio-proxy", "image": "auto", "ports": [{"containerPort": 8443}]}]);
    let injectors = [injector(true, |_| {}), injector(false, |_| {})];
    for pod in [cart(), probed, own, gateway] {
        for first in &injectors {
            let once = inject(first, &pod);
            assert_eq!(inject(first, &once), once);
        }
    }
}

#[test]
fn the_proxy_is_there_once_after_a_change_of_its_place() {
    let injectors = [injector(true, |_| {}), injector(false, |_| {})];
    for (first, second) in [(0, 1), (1, 0)] {
        let again = inject(&injectors[second], &inject(&injectors[first], &cart()));
        let direct = inject(&injectors[second], &cart());
        for field in ["initContainers", "containers"] {
            assert_eq!(names(&again, field), names(&direct, field));
        }
        assert_eq!(
            container(&again, "istio-proxy").get("restartPolicy"),
            container(&direct, "istio-proxy").get("restartPolicy")
        );
    }
}

/// The pod with annotations.
fn annotated(annotations: &[(&str, &str)]) -> Value {
    let mut pod = cart();
    pod["metadata"]["annotations"] = annotations
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    pod
}

fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainers", "containers"].into_iter().filter_map(|field| pod["spec"][field].as_array());
    lists.flatten().find(|container| container["name"] == name).unwrap_or(&Value::Null)
}

fn variable<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let environment = container(pod, "istio-proxy")["env"].as_array().unwrap();
    environment.iter().find(|variable| variable["name"] == name).map_or(&Value::Null, |variable| &variable["value"])
}

fn names(pod: &Value, field: &str) -> Vec<String> {
    let list = pod["spec"][field].as_array().cloned().unwrap_or_default();
    list.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_first_row_of_the_table_that_holds_decides() {
    let injector = |policy: &str| {
        injector(true, |values| {
            values["global"]["proxy"]["autoInject"] = json!(policy);
            values["sidecarInjectorWebhook"]["neverInjectSelector"] = json!([{"matchLabels": {"never": "1"}}, {}]);
            values["sidecarInjectorWebhook"]["alwaysInjectSelector"] =
                json!([{"matchExpressions": [{"key": "always", "operator": "Exists"}]}]);
        })
    };
    const INJECT: &str = "sidecar.istio.io/inject";
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, &str, Pairs<'_>, Pairs<'_>, Option<&str>)] = &[
        ("enabled", "shop", &[], &[], None),
        ("disabled", "shop", &[], &[], Some("the injector's policy is disabled")),
        ("", "shop", &[(INJECT, "true")], &[], Some("the injector's policy is \"\", and must be enabled or disabled")),
        ("enabled", "kube-system", &[(INJECT, "true")], &[], Some("namespace kube-system is the cluster's own")),
        ("disabled", "shop", &[(INJECT, "true")], &[], None),
        ("enabled", "shop", &[(INJECT, "false")], &[(INJECT, "true")], Some("label sidecar.istio.io/inject is false")),
        ("enabled", "shop", &[(INJECT, "")], &[(INJECT, "false")], None),
        ("enabled", "shop", &[(INJECT, "no")], &[], None),
        ("enabled", "shop", &[], &[(INJECT, "false")], Some("annotation sidecar.istio.io/inject is false")),
        ("enabled", "shop", &[("never", "1")], &[], Some("neverInjectSelector matches its labels")),
        ("enabled", "shop", &[("never", "1"), (INJECT, "true")], &[], None),
        ("disabled", "shop", &[("always", "x")], &[], None),
        ("enabled", "shop", &[("always", "x"), ("never", "1")], &[], Some("neverInjectSelector matches its labels")),
    ];
    for (policy, namespace, labels, annotations, expected) in cases {
        let mut pod = annotated(annotations);
        pod["metadata"]["labels"] =
            labels.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect::<serde_json::Map<_, _>>().into();
        let environment = BTreeMap::new();
        let question = Question { namespace, ..question(&pod, &environment) };
        let reason = injector(policy).injected(&question).unwrap().err().map(|reason| reason.to_string());
        assert_eq!(reason.as_deref(), *expected, "{policy} {namespace} {labels:?} {annotations:?}");
    }
    let mut pod = cart();
    pod["spec"]["hostNetwork"] = json!(true);
    let environment = BTreeMap::new();
    let reason = injector("enabled").injected(&question(&pod, &environment)).unwrap().unwrap_err();
    assert_eq!(reason.to_string(), "it has host networking enabled");
}

#[test]
fn where_the_proxy_stands() {
    let mut pod = cart();
    pod["spec"]["initContainers"] = json!([{"name": "migrate", "image": "m"}]);
    let native = inject(&injector(true, |_| {}), &pod);
    assert_eq!(names(&native, "initContainers"), ["istio-init", "istio-proxy", "migrate"]);
    assert_eq!(names(&native, "containers"), ["cart"]);
    assert_eq!(container(&native, "istio-proxy")["restartPolicy"], "Always");
    let older = inject(&injector(false, |_| {}), &pod);
    assert_eq!(names(&older, "initContainers"), ["migrate", "istio-init"]);
    assert_eq!(names(&older, "containers"), ["cart", "istio-proxy"]);
    pod["metadata"]["annotations"] = json!({"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"});
    let held = inject(&injector(false, |_| {}), &pod);
    assert_eq!(names(&held, "containers"), ["istio-proxy", "cart"]);
    let wait = json!({"postStart": {"exec": {"command": ["/usr/local/bin/proxy", "wait"]}}});
    assert_eq!(container(&held, "istio-proxy")["lifecycle"], wait);
    pod["metadata"]["annotations"] = json!({"sidecar.istio.io/nativeSidecar": "true"});
    assert_eq!(names(&inject(&injector(false, |_| {}), &pod), "containers"), ["cart"]);
}

#[test]
fn a_wrong_annotation_refuses_the_pod_and_all_are_told() {
    let injector = injector(true, |_| {});
    let refused = |annotations: &[(&str, &str)]| {
        let (pod, environment) = (annotated(annotations), BTreeMap::new());
        injector.inject(&question(&pod, &environment)).unwrap_err()
    };
    let error = refused(&[
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8, 1.1.1.1/32"),
        ("status.sidecar.istio.io/port", "x"),
    ]);
    assert_eq!(
        error,
        "failed to run injection template: 2 error(s) occurred:\n\
         * invalid value '10.0.0.0/8, 1.1.1.1/32' for annotation 'traffic.sidecar.istio.io/includeOutboundIPRanges': failed parsing cidr ' 1.1.1.1/32'\n\
         * invalid value 'x' for annotation 'status.sidecar.istio.io/port': failed parsing port \"x\": must be between 0 and 65535"
    );
    for (name, value) in [
        ("sidecar.istio.io/interceptionMode", "redirect"),
        ("sidecar.istio.io/proxyCPU", "much"),
        ("sidecar.istio.io/proxyMemory", ""),
        ("readiness.status.sidecar.istio.io/periodSeconds", "-1"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "*"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "80,"),
        ("traffic.sidecar.istio.io/excludeInterfaces", "a-name-that-is-too-long"),
        ("prometheus.istio.io/merge-metrics", "yes"),
        ("proxy.istio.io/config", "terminationDrainDuration: soon"),
        ("proxy.istio.io/config", "["),
        ("inject.istio.io/templates", "sidecar,nothing"),
        ("prometheus.io/port", "15020x"),
        ("sidecar.istio.io/userVolume", "{"),
    ] {
        assert!(refused(&[(name, value)]).starts_with("failed to run injection template"), "{name}: {value}");
    }
}

#[test]
fn probes_are_asked_of_the_proxy() {
    let mut pod = cart();
    let cart = &mut pod["spec"]["containers"][0];
    cart["ports"] = json!([{"name": "web", "containerPort": 8080}]);
    cart["readinessProbe"] = json!({"httpGet": {"path": "/ok", "port": "web", "scheme": "HTTPS", "host": "h"}, "timeoutSeconds": 3, "periodSeconds": 9});
    cart["livenessProbe"] = json!({"tcpSocket": {"port": 8080}});
    cart["startupProbe"] = json!({"grpc": {"port": 9000}});
    cart["lifecycle"] =
        json!({"preStop": {"httpGet": {"path": "/bye", "port": "nowhere"}}, "postStart": {"exec": {"command": ["a"]}}});
    let injected = inject(&injector(true, |_| {}), &pod);
    let cart = container(&injected, "cart");
    assert_eq!(
        cart["readinessProbe"],
        json!({"timeoutSeconds": 3, "periodSeconds": 9, "httpGet": {"path": "/app-health/cart/readyz", "port": 15020, "scheme": "HTTP", "host": "h"}})
    );
    assert_eq!(cart["livenessProbe"], json!({"httpGet": {"path": "/app-health/cart/livez", "port": 15020}}));
    assert_eq!(
        cart["lifecycle"]["preStop"],
        json!({"httpGet": {"path": "/app-lifecycle/cart/prestopz", "port": 15020}})
    );
    assert_eq!(cart["lifecycle"]["postStart"], json!({"exec": {"command": ["a"]}}));
    let probers: Value = serde_json::from_str(variable(&injected, "ISTIO_KUBE_APP_PROBERS").as_str().unwrap()).unwrap();
    assert_eq!(
        probers,
        json!({
            "/app-health/cart/livez": {"tcpSocket": {"port": 8080}},
            "/app-health/cart/readyz": {"httpGet": {"path": "/ok", "port": 8080, "host": "h", "scheme": "HTTPS"}, "timeoutSeconds": 3},
            "/app-health/cart/startupz": {"grpc": {"port": 9000, "service": null}},
        })
    );
    assert_eq!(inject(&injector(true, |_| {}), &injected), injected);
    pod["metadata"]["annotations"] = json!({"sidecar.istio.io/rewriteAppHTTPProbers": "false"});
    let kept = inject(&injector(true, |_| {}), &pod);
    assert_eq!(container(&kept, "cart")["livenessProbe"], pod["spec"]["containers"][0]["livenessProbe"]);
}

#[test]
fn probes_metrics_and_capture_go_by_the_port_that_the_proxy_listens_on() {
    for own in [("status.sidecar.istio.io/port", "15029"), ("proxy.istio.io/config", "statusPort: 15029")] {
        let mut pod = annotated(&[own]);
        pod["spec"]["containers"][0]["livenessProbe"] = json!({"httpGet": {"path": "/ok", "port": 8080}});
        let injected = inject(&injector(true, |_| {}), &pod);
        let config: Value = serde_json::from_str(variable(&injected, "PROXY_CONFIG").as_str().unwrap()).unwrap();
        assert_eq!(config["statusPort"], 15029, "{own:?}");
        let application = &injected["spec"]["containers"].as_array().unwrap().last().unwrap();
        assert_eq!(application["livenessProbe"]["httpGet"]["port"], 15029, "{own:?}");
        assert_eq!(injected["metadata"]["annotations"]["prometheus.io/port"], "15029", "{own:?}");
        let capture = container(&injected, "istio-init")["args"].as_array().unwrap();
        let kept_out = capture.iter().position(|arg| arg == "-d").map(|at| capture[at + 1].as_str().unwrap());
        assert!(kept_out.unwrap().split(',').any(|port| port == "15029"), "{own:?}: {kept_out:?}");
        assert_eq!(inject(&injector(true, |_| {}), &injected), injected, "{own:?}");
    }
}

#[test]
fn metrics_are_merged_and_the_pod_says_the_proxys_port() {
    let given = [
        ("prometheus-io/port", "9090"),
        ("prometheus.io/path", "/m"),
        ("prometheus.istio.io/scrape-targets", "80:/a,81"),
    ];
    let injected = inject(&injector(true, |_| {}), &annotated(&given));
    let said = &injected["metadata"]["annotations"];
    assert_eq!(
        (&said["prometheus.io/port"], &said["prometheus.io/path"]),
        (&json!("15020"), &json!("/stats/prometheus"))
    );
    assert_eq!((said.get("prometheus-io/port"), said.get("prometheus.istio.io/scrape-targets")), (None, None));
    assert_eq!(
        variable(&injected, "ISTIO_PROMETHEUS_ANNOTATIONS"),
        r#"{"scrape":"","path":"/a","port":"80","targets":[{"port":"81","path":"/metrics"}]}"#
    );
    let off =
        inject(&injector(true, |_| {}), &annotated(&[("prometheus.io/scrape", "false"), ("prometheus.io/port", "1")]));
    assert_eq!(off["metadata"]["annotations"]["prometheus.io/port"], "1");
}

#[test]
fn what_the_user_wrote_into_the_proxys_container_wins() {
    let mut pod = cart();
    let own = json!({
        "name": "istio-proxy", "image": "auto", "terminationMessagePolicy": "File",
        "env": [{"name": "POD_NAME", "value": "mine"}], "resources": {"limits": {"cpu": "3"}},
        "securityContext": {"runAsUser": 2000},
    });
    pod["spec"]["containers"].as_array_mut().unwrap().push(own.clone());
    for native in [true, false] {
        let injector = injector(native, |_| {});
        let injected = inject(&injector, &pod);
        let proxy = container(&injected, "istio-proxy");
        assert_eq!(proxy["image"], "ferromesh.local/proxy:dev");
        assert_eq!(proxy["terminationMessagePolicy"], "File");
        assert_eq!(variable(&injected, "POD_NAME"), "mine");
        assert_eq!(
            proxy["resources"],
            json!({"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "3", "memory": "1024Mi"}})
        );
        assert_eq!(proxy["securityContext"]["runAsUser"], 2000);
        let init = container(&injected, "istio-init")["args"].as_array().unwrap();
        let user = init.iter().position(|arg| arg == "-u").unwrap() + 1;
        assert_eq!(init[user], "2000");
        let mut said = own.clone();
        said.as_object_mut().unwrap().remove("image");
        let field = if native { "initContainers" } else { "containers" };
        let kept = injected["metadata"]["annotations"]["proxy.istio.io/overrides"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(kept).unwrap(), json!({ field: [said] }));
        assert_eq!(names(&injected, "containers").len(), if native { 1 } else { 2 });
    }
}

#[test]
fn a_gateways_pod_is_the_proxy() {
    let mut pod = annotated(&[("inject.istio.io/templates", "gateway")]);
    pod["spec"]["containers"] = json!([{"name": "istio-proxy", "image": "auto", "ports": [{"containerPort": 8443}]}]);
    let injected = inject(&injector(true, |_| {}), &pod);
    assert_eq!(
        (names(&injected, "containers").as_slice(), names(&injected, "initContainers").len()),
        (&["istio-proxy".to_owned()][..], 0)
    );
    assert_eq!(variable(&injected, "PROXY_TYPE"), "router");
    assert_eq!(injected["metadata"]["labels"]["service.istio.io/canonical-name"], "cart");
    assert_eq!(injected["metadata"]["labels"].get("security.istio.io/tlsMode"), None);
}

#[test]
fn an_image_that_stands_for_the_templates_is_not_pulled_at_each_start() {
    // An API server takes an image without a tag for one that changes.
    let mut pod = annotated(&[("inject.istio.io/templates", "gateway")]);
    pod["spec"]["containers"] = json!([{"name": "istio-proxy", "image": "auto", "imagePullPolicy": "Always"}]);
    let injected = inject(&injector(true, |_| {}), &pod);
    assert_eq!(container(&injected, "istio-proxy")["imagePullPolicy"], Value::Null);
    let asked = injector(true, |values| values["global"]["imagePullPolicy"] = "Always".into());
    assert_eq!(container(&inject(&asked, &pod), "istio-proxy")["imagePullPolicy"], "Always");
}

#[test]
fn templates_of_users_are_laid_over() {
    let injector = injector(true, |values| {
        values["sidecarInjectorWebhook"]["templates"]["note"] = json!(
            "metadata:\n  labels:\n    owner: {{ index .ObjectMeta.Labels \"app\" }}-{{ .DeploymentMeta.Name }}\n\
             spec:\n  containers:\n  {{- range .Spec.Containers }}\n  - name: {{ .Name }}\n    env:\n    - name: IMAGE\n      value: {{ .Image | quote }}\n  {{- end }}\n"
        );
        values["sidecarInjectorWebhook"]["injectedAnnotations"] = json!({"team": "shop"});
    });
    let injected = inject(&injector, &annotated(&[("inject.istio.io/templates", "sidecar, note")]));
    assert_eq!(injected["metadata"]["labels"]["owner"], "cart-cart");
    assert_eq!(injected["metadata"]["annotations"]["team"], "shop");
    let cart = container(&injected, "cart");
    assert_eq!(cart["env"], json!([{"name": "IMAGE", "value": "cart:1"}]));
    assert_eq!(cart["ports"], json!([{"containerPort": 8080}]));
}

#[test]
fn what_owns_a_pod_is_told_from_names_and_labels() {
    let injector = injector(true, |_| {});
    let owner = |owner: Value, labels: Value| {
        let mut pod = cart();
        pod["metadata"] = json!({"generateName": "x-", "labels": labels, "ownerReferences": [owner]});
        let injected = inject(&injector, &pod);
        (variable(&injected, "ISTIO_META_WORKLOAD_NAME").clone(), variable(&injected, "ISTIO_META_OWNER").clone())
    };
    let controller = |kind: &str, version: &str, name: &str| json!({"controller": true, "kind": kind, "apiVersion": version, "name": name});
    let hash = json!({"pod-template-hash": "7f"});
    assert_eq!(
        owner(controller("ReplicaSet", "apps/v1", "cart-7f"), hash.clone()),
        (json!("cart"), json!("kubernetes://apis/apps/v1/namespaces/shop/deployments/cart"))
    );
    assert_eq!(owner(controller("ReplicaSet", "apps/v1", "own"), hash).0, "own");
    assert_eq!(
        owner(controller("Job", "batch/v1", "nightly-28123456"), json!({})),
        (json!("nightly"), json!("kubernetes://apis/batch/v1/namespaces/shop/cronjobs/nightly"))
    );
}

#[test]
fn a_pod_of_another_cluster_is_told_by_the_path() {
    let environment: BTreeMap<_, _> = [("ISTIO_META_CLUSTER_ID", "east"), ("ISTIO_META_NETWORK", "n1")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let pod = cart();
    let injected = injector(true, |_| {}).injected(&question(&pod, &environment)).unwrap().unwrap();
    assert_eq!(variable(&injected, "ISTIO_META_CLUSTER_ID"), "east");
    assert_eq!(injected["metadata"]["labels"]["topology.istio.io/network"], "n1");
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_used() {
    let new =
        |config: &str, values: &str, mesh: &str| Injector::new(config, values, mesh, Environment::default()).map(drop);
    assert!(new("policy: enabled", "{}", "").is_ok());
    for (config, values, mesh) in [
        ("[", "{}", ""),
        ("policy: enabled", "text", ""),
        ("templates: {sidecar: '{{ if }}'}", "{}", ""),
        ("templates: {sidecar: [1]}", "{}", ""),
        ("neverInjectSelector: [{matchExpressions: [{key: a, operator: Is}]}]", "{}", ""),
        ("policy: enabled", "{}", "trustDomain: 'not a domain'"),
    ] {
        assert!(new(config, values, mesh).is_err(), "{config} {values} {mesh}");
    }
}
