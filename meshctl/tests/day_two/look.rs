use crate::api::{Api, pod};
use serde_json::{Value, json};

/// Two pods of the control plane, and two of a shop.
fn mesh() -> Api {
    let api = Api::new();
    for (name, revision) in [("istiod-1", "default"), ("istiod-canary-1", "canary")] {
        api.hold_pod(pod("istio-system", name, json!({"app": "istiod", "istio.io/rev": revision})));
        api.page(&format!("istio-system/{name}:15014"), "GET /log-level", "mesh_pilot::webhook=debug,info\n");
    }
    for name in ["cart-1", "cart-2"] {
        api.hold_pod(pod("shop", name, json!({"app": "cart"})));
        api.page(&format!("shop/{name}:15000"), "GET /log-level", "warn\n");
    }
    api
}

#[test]
fn levels_of_all_pilots_are_told_and_set_and_put_back() {
    let api = mesh();
    let ran = api.meshctl("admin log");
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert_eq!(
        ran.out,
        "POD               ACTIVE SCOPE          LOG LEVEL\n\
         istiod-1          default               info\n\
         istiod-1          mesh_pilot::webhook   debug\n\
         istiod-canary-1   default               info\n\
         istiod-canary-1   mesh_pilot::webhook   debug\n"
    );
    let port = "istio-system/istiod-canary-1:15014";
    api.called();
    api.page(port, "POST /log-level?level=warn,mesh_pilot::webhook=debug", "ok\n");
    let ran = api.meshctl("istiod l --revision canary --level default:warning -o json");
    assert_eq!((ran.code, &*ran.err), (0, ""));
    let want = json!([
        {"pod": "istiod-canary-1.istio-system", "scope_name": "default", "log_level": "warn"},
        {"pod": "istiod-canary-1.istio-system", "scope_name": "mesh_pilot::webhook", "log_level": "debug"},
    ]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), want);
    let calls =
        [format!("{port} GET /log-level"), format!("{port} POST /log-level?level=warn,mesh_pilot::webhook=debug")];
    assert_eq!(api.called(), calls);
    api.page("istio-system/istiod-1:15014", "POST /log-level?reset", "ok\n");
    assert_eq!(api.meshctl("admin log istiod-1 --reset").code, 0);
}

#[test]
fn levels_of_proxies_are_told_and_set() {
    let api = mesh();
    let ran = api.meshctl("pc log cart-1 -n shop");
    assert_eq!((ran.code, &*ran.out), (0, "cart-1.shop:\nactive loggers:\n  default: warn\n"), "{}", ran.err);
    for name in ["cart-1", "cart-2"] {
        api.page(&format!("shop/{name}:15000"), "POST /log-level?level=warn,mesh_proxy=trace", "ok\n");
    }
    let ran = api.meshctl("proxy-config o -n shop -l app=cart --level mesh_proxy:trace");
    assert_eq!((ran.code, ran.out.matches("mesh_proxy: trace").count()), (0, 2), "{}", ran.err);
    for (line, code, says) in [
        ("pc log", 64, "PROXY"),
        ("pc log cart-1.shop --level loud", 64, "\"loud\" is not [SCOPE:]LEVEL"),
        ("pc log cart-1.shop --reset", 1, "it answered 404"),
        ("pc log -l app=none -n shop", 1, "no running pod has the labels app=none"),
        ("admin log --ctrlz_port 9876", 64, "there is no ControlZ"),
    ] {
        let ran = api.meshctl(line);
        assert!(ran.code == code && ran.err.contains(says), "{line}: {ran:?}");
    }
}

#[test]
fn a_debug_page_is_of_the_first_pilot_that_has_it_or_of_all() {
    let api = mesh();
    api.page("istio-system/istiod-1:15014", "GET /debug/list", "[\"list\"]");
    api.page("istio-system/istiod-canary-1:15014", "GET /debug/edsz?proxyID=cart-1.shop", "{\"parts\":[1]}");
    for (pod, text) in [("istiod-1", "{\"a\":1}"), ("istiod-canary-1", "no JSON\n")] {
        api.page(&format!("istio-system/{pod}:15014"), "GET /debug/mesh", text);
    }
    let said = |line: &str| {
        let ran = api.meshctl(line);
        assert_eq!((ran.code, &*ran.err), (0, ""), "{line}");
        ran.out
    };
    assert_eq!(said("x internal-debug --list"), "[\n  \"list\"\n]\n");
    assert_eq!(said("x internal-debug edsz?proxyID=cart-1.shop"), "{\n  \"parts\": [\n    1\n  ]\n}\n");
    assert_eq!(said("x internal-debug mesh --revision canary"), "no JSON\n");
    assert_eq!(
        said("x internal-debug mesh --all"),
        "{\n  \"istiod-1\": {\n    \"a\": 1\n  },\n  \"istiod-canary-1\": \"no JSON\\n\"\n}\n"
    );
    let ran = api.meshctl("x internal-debug nowhere");
    assert!(ran.code == 1 && ran.err.contains("pod istiod-canary-1: it answered 404"), "{}", ran.err);
    assert_eq!(api.meshctl("x internal-debug").code, 64);
    let ran = api.meshctl("x internal-debug syncz --xds-address a:1");
    assert!(ran.code == 64 && ran.err.contains("pages come over HTTP"), "{}", ran.err);
}

#[test]
fn shells_are_told_every_word() {
    let api = Api::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = api.meshctl(&format!("completion {shell}"));
        assert_eq!((ran.code, &*ran.err), (0, ""), "{shell}");
        for word in ["proxy-config", "internal-debug", "skip-confirmation"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(api.meshctl("completion tcsh").code, 64);
}
