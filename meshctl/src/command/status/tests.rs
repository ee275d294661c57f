use super::*;
use crate::report::Format;
use mesh_pilot::inject::{Environment, Injector};

fn healthy() -> Facts {
    Facts {
        namespace: "istio-system".to_owned(),
        versions: ["0.1.0".to_owned()].into(),
        pilots: vec![PilotPod { name: "istiod-1".to_owned(), ready: true, reason: String::new() }],
        webhooks: vec![Webhook { name: "istio-sidecar-injector".to_owned(), trusted: true }],
        namespaces: vec![Injected { name: "shop".to_owned(), pods: 2, without: Vec::new() }],
        meshed: [("cart-1.shop".to_owned(), "deployment/cart".to_owned())].into(),
        proxies: vec![Proxy {
            name: "cart-1.shop".to_owned(),
            version: "0.1.0".to_owned(),
            pilot: Some("0.1.0".to_owned()),
            ..Proxy::default()
        }],
        certificates: vec![certificate(12, Value::Null)],
        ..Facts::default()
    }
}

fn certificate(life: u8, alarm: Value) -> Certificate {
    let said = json!({"role": "root", "sha256": "ab", "notAfter": 2_111_184_000, "life": life, "alarm": alarm});
    serde_json::from_value(said).unwrap()
}

fn text(facts: &Facts) -> String {
    report(facts).render(Format::Table).unwrap()
}

#[test]
fn a_healthy_mesh_is_said_to_be_healthy() {
    insta::assert_snapshot!(text(&healthy()), @r"
    PART            STATE
    control plane   1 of 1 pods ready, version 0.1.0
    injection       1 webhooks, 1 namespaces
    workloads       2 of 2 pods in those namespaces have a sidecar
    proxies         1 connected, 1 have what was last sent
    authority       root ends 2036-11-25T00:00:00Z, 12 % of its life is over
    objects         0 findings

    ✔ nothing is wrong
    ");
    assert!(verdict(&report(&healthy())).is_ok());
}

#[test]
fn each_thing_that_is_wrong_comes_with_what_mends_it() {
    let mut facts = healthy();
    facts.pilots[0] = PilotPod { name: "istiod-1".to_owned(), ready: false, reason: "not synced".to_owned() };
    facts.webhooks[0].trusted = false;
    facts.namespaces[0].without.push("old-1".to_owned());
    facts.meshed.insert("lost-1.shop".to_owned(), "deployment/lost".to_owned());
    facts.proxies[0].refused.push("Route shop/cart".to_owned());
    facts.proxies[0].version = "0.0.9".to_owned();
    facts.certificates = vec![certificate(92, 90.into())];
    facts.findings.push(("warning".to_owned(), "VirtualService shop/cart".to_owned(), "has no host".to_owned()));
    let said = problems(&facts);
    let told: Vec<&str> = said.iter().map(|problem| &*problem.what).collect();
    assert_eq!(
        told,
        [
            "pod istiod-1 of the control plane is not ready: not synced",
            "webhook istio-sidecar-injector does not know by whom pilot's certificate is signed, so no pod can start",
            "1 pods of namespace shop have no sidecar, such as old-1",
            "the proxy of pod lost-1.shop is not connected to the control plane",
            "proxy cart-1.shop refused 1 parts of its configuration, such as Route shop/cart",
            "1 proxy of namespace shop has version 0.0.9, and the control plane 0.1.0: deployment/cart",
            "92 % of the life of the authority's root certificate is over: it ends 2036-11-25T00:00:00Z",
            "warning: VirtualService shop/cart: has no host",
        ]
    );
    assert!(said.iter().all(|problem| !problem.mend.is_empty()));
    assert_eq!(verdict(&report(&facts)).unwrap_err().to_string(), "8 problems");
}

#[test]
fn an_empty_cluster_is_told_to_install() {
    let facts = Facts { namespace: "istio-system".to_owned(), ..Facts::default() };
    assert_eq!(problems(&facts).len(), 1);
    assert!(text(&facts).contains("meshctl install"));
}

#[test]
fn what_could_not_be_asked_is_no_silence() {
    let mut facts = healthy();
    facts.proxies.clear();
    facts.unasked.push("the control plane cannot be asked for its proxies: refused".to_owned());
    let said = problems(&facts);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].what.contains("cannot be asked"));
}

#[test]
fn what_is_not_known_of_a_namespace_says_nothing_of_proxies() {
    let mut facts = healthy();
    facts.undecided.push("namespace other asks for revision none, and no webhook is of it".to_owned());
    facts.proxies.clear();
    let said: Vec<String> = problems(&facts).into_iter().map(|problem| problem.what).collect();
    assert!(
        matches!(&said[..], [proxy, namespace] if proxy.contains("cart-1.shop") && namespace.contains("other")),
        "{said:?}"
    );
}

#[test]
fn whether_a_pod_is_missing_its_sidecar_is_what_the_webhook_would_decide() {
    let config = "{policy: enabled, neverInjectSelector: [{matchLabels: {kind: job}}]}";
    let injector = Injector::new(config, "{}", "", Environment::default()).unwrap();
    let pod = |name: &str, metadata: Value, spec: Value| {
        let mut pod = json!({"metadata": metadata, "spec": spec});
        pod["metadata"]["name"] = json!(name);
        serde_json::from_value(pod).unwrap()
    };
    let annotated = |word: &str| json!({"annotations": {"sidecar.istio.io/inject": word}});
    let pods = [
        pod("meshed", json!({"annotations": {"sidecar.istio.io/status": "{}"}}), json!({"containers": []})),
        pod("old", json!({}), json!({"containers": []})),
        // No word of the decision: the policy holds.
        pod("off", annotated("off"), json!({"containers": []})),
        pod("apart", annotated("false"), json!({"containers": []})),
        pod("selected", json!({"labels": {"kind": "job"}}), json!({"containers": []})),
        pod("host", json!({}), json!({"containers": [], "hostNetwork": true})),
    ];
    let injected = gather::injected("shop", &pods, &injector);
    assert_eq!((injected.pods, &*injected.without), (3, &["old".to_owned(), "off".to_owned()][..]));
}

#[test]
fn proxies_of_another_control_plane_are_not_ours_to_judge() {
    let hook = |name: &str, revision: &str, namespace: &str| {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"istio.io/rev": revision}},
            "webhooks": [{
                "name": "rev.namespace.sidecar-injector.istio.io",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"service": {"name": "istiod", "namespace": namespace}},
            }],
        }))
        .unwrap()
    };
    let hooks = [
        hook("theirs", "default", "istio-system"),
        hook("shared", "canary", "istio-system"),
        hook("ours", "canary", "mesh-system"),
    ];
    let others = gather::revisions_of_others(&hooks, "mesh-system");
    let pod = |metadata: Value| serde_json::from_value(json!({ "metadata": metadata })).unwrap();
    let injected = json!({"sidecar.istio.io/status": "{}"});
    let of = |revision: &str| pod(json!({"labels": {"istio.io/rev": revision}, "annotations": injected}));
    let judged = [of("canary"), of("gone"), of("default"), pod(json!({"annotations": injected})), pod(json!({}))];
    assert_eq!(judged.map(|pod| gather::is_ours(&pod, &others)), [true, true, false, false, false]);
}
