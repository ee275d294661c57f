use crate::{
    api::{Api, pod},
    port::NEVER,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Read as _, path::Path};

/// Each place where a secret may stand has its own.
const PLANTED: [&str; 16] = [
    "DataOfSecret",
    "AppliedSecret",
    "EnvOfApp",
    "ArgOfApp",
    "EnvOfProxy",
    "InLogOfPilot",
    "InLogOfProxy",
    "InPreviousLog",
    "InPageOfPilot",
    "InTextOfPilot",
    "InDumpOfProxy",
    "InStats",
    "InEvent",
    "InMeshConfig",
    "InRoute",
    "InWasmPlugin",
];

fn bearer(secret: &str) -> String {
    format!("authorization: Bearer {secret}")
}

/// A mesh with a secret in every source.
fn mesh() -> Api {
    let api = Api::new();
    let hold = |path: &str, object: Value| api.hold(path, object);
    let [
        data,
        applied,
        env,
        arg,
        proxy_env,
        pilot_log,
        proxy_log,
        previous,
        page,
        text,
        dump,
        stats,
        event,
        config,
        route,
        wasm,
    ] = PLANTED;
    hold(
        "/api/v1/namespaces/istio-system/secrets/cacerts",
        json!({
            "kind": "Secret", "data": {"ca-key.pem": STANDARD.encode(data)}, "stringData": {"k": data},
            "metadata": {"name": "cacerts", "namespace": "istio-system", "labels": {"app.kubernetes.io/part-of": "ferromesh"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"k\":\"{applied}\"}}")}},
        }),
    );
    hold(
        "/api/v1/namespaces/shop",
        json!({"metadata": {"name": "shop", "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"k\":\"{applied}\"}}")}}}),
    );
    let mut pilot = pod("istio-system", "istiod-1", json!({"app": "istiod", "istio.io/rev": "default"}));
    pilot["spec"]["containers"] = json!([{"name": "discovery"}]);
    api.hold_pod(pilot);
    for (namespace, name) in [("shop", "cart-1"), ("web", "web-1"), ("kube-system", "odd-1")] {
        let mut one = pod(namespace, name, json!({"app": name}));
        one["metadata"]["annotations"] = json!({"sidecar.istio.io/status": "{}"});
        one["spec"]["containers"] = json!([
            {"name": "main", "env": [{"name": "X", "value": env}], "args": [format!("--x={arg}")]},
            {"name": "istio-proxy", "env": [{"name": "API_KEY", "value": proxy_env}, {"name": "POD_NAME", "value": name}]},
        ]);
        api.hold_pod(one);
        api.log(&format!("{namespace}/{name}/istio-proxy"), &format!("of {name}\n{}\n", bearer(proxy_log)));
        let port = format!("{namespace}/{name}:15000");
        api.page(
            &port,
            "GET /debug/config_dump",
            &json!({"node": name, "clusters": [{"name": "a", "password": dump}]}).to_string(),
        );
        api.page(&port, "GET /stats/prometheus", &format!("requests{{url=\"http://me:{stats}@host/\"}} 1\n"));
        api.page(&port, "GET /server_info", "{\"version\":\"0.1.0\"}");
        api.page(&port, "GET /log-level", "info\n");
    }
    api.log("shop/cart-1/istio-proxy#previous", &format!("died\n-----BEGIN PRIVATE KEY-----\n{previous}\n"));
    api.log("istio-system/istiod-1/discovery", &format!("started\ntoken={pilot_log}\n"));
    let port = "istio-system/istiod-1:15014";
    api.page(
        port,
        "GET /debug/syncz",
        &json!([{"proxy": "cart-1.shop", "clientSecret": {"inner": [page]}, "token": page}]).to_string(),
    );
    api.page(port, "GET /debug/mesh", &format!("Settings {{ headers: \"{}\" }}\n", bearer(text)));
    api.page(port, "GET /version", "0.1.0");
    hold(
        "/api/v1/namespaces/shop/events/e",
        json!({
            "metadata": {"name": "e", "namespace": "shop"}, "involvedObject": {}, "message": format!("pull https://me:{event}@registry/ failed"),
        }),
    );
    hold(
        "/api/v1/namespaces/istio-system/configmaps/istio",
        json!({
            "metadata": {"name": "istio", "namespace": "istio-system", "labels": {"app.kubernetes.io/part-of": "ferromesh"}},
            "data": {"mesh": format!("extensionProviders:\n- name: x\n  headers:\n    x-api-key: {config}\naccessLogFile: /dev/stdout\n")},
        }),
    );
    for (kind, plural, group) in [
        ("VirtualService", "virtualservices", "networking.istio.io"),
        ("WasmPlugin", "wasmplugins", "extensions.istio.io"),
    ] {
        hold(
            &format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}"),
            json!({
                "metadata": {"name": format!("{plural}.{group}")},
                "spec": {"group": group, "names": {"kind": kind, "plural": plural}, "versions": [{"name": "v1", "served": true, "storage": true}]},
            }),
        );
    }
    hold(
        "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/cart",
        json!({
            "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"hosts": ["cart"], "http": [{"match": [{"headers": {"cookie": {"regex": format!(".*{route}.*")}}}]}]},
        }),
    );
    hold(
        "/apis/extensions.istio.io/v1/namespaces/shop/wasmplugins/p",
        json!({
            "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"imagePullSecret": "regcred", "pluginConfig": {"vault_token": wasm}, "vmConfig": {"env": [{"name": "PASSWORD", "value": wasm}]}},
        }),
    );
    api
}

/// What is in the archive, by path.
fn unpacked(folder: &Path) -> BTreeMap<String, String> {
    let mut tar = Vec::new();
    let file = std::fs::File::open(folder.join("bug-report.tar.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut tar).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
    let (mut at, mut files) = (0, BTreeMap::new());
    while tar[at] != 0 {
        let header = &tar[at..at + 512];
        let [name, prefix] = [text(&header[..100]), text(&header[345..500])];
        let length = usize::from_str_radix(&text(&header[124..136]), 8).unwrap();
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let path = path.strip_prefix("bug-report/").unwrap().to_owned();
        let content = String::from_utf8(tar[at + 512..at + 512 + length].to_vec()).unwrap();
        assert!(files.insert(path, content).is_none());
        at += 512 + length.next_multiple_of(512);
    }
    assert_eq!(tar.len(), at + 1024);
    files
}

#[test]
fn a_report_has_what_helps_and_nothing_that_is_secret() {
    let api = mesh();
    let ran = api.meshctl("bug-report --output-dir out");
    assert_eq!((ran.code, &*ran.out), (0, "out/bug-report.tar.gz\n"), "{}", ran.err);
    let files = unpacked(&api.folder().join("out"));
    for (path, content) in &files {
        for secret in PLANTED {
            let hidden = [secret.to_owned(), STANDARD.encode(secret)];
            assert!(!hidden.iter().any(|text| content.contains(text)), "{secret} is in {path}:\n{content}");
        }
        assert!(!content.contains("token-of-the-user"), "{path}");
    }
    for (path, says) in [
        ("versions.txt", "client version: "),
        ("status.txt", "control plane   1 of 1 pods ready"),
        ("cluster/pods.yaml", "name: cart-1"),
        ("cluster/pods.yaml", "value: cart-1"),
        ("cluster/secret-names.yaml", "- cacerts"),
        ("cluster/installed.yaml", "accessLogFile: /dev/stdout"),
        ("cluster/namespaces.yaml", "name: shop"),
        ("cluster/virtualservices.networking.istio.io.yaml", "cookie"),
        ("cluster/wasmplugins.extensions.istio.io.yaml", "vault_token"),
        ("cluster/events/shop.yaml", "@registry/ failed"),
        ("pilot/istio-system/istiod-1/debug/syncz.json", "cart-1.shop"),
        ("pilot/istio-system/istiod-1/debug/mesh.txt", "Settings"),
        ("pilot/istio-system/istiod-1/discovery.log", "started"),
        ("proxies/shop/cart-1/config_dump.json", "\"node\": \"cart-1\""),
        ("proxies/shop/cart-1/stats.txt", "requests{url="),
        ("proxies/shop/cart-1/istio-proxy.log", "of cart-1"),
        ("proxies/shop/cart-1/istio-proxy.previous.log", "died"),
        ("proxies/web/web-1/log-level.txt", "info"),
        ("missing.txt", "pilot/istio-system/istiod-1/debug/registryz.json: it answered 404"),
    ] {
        let content = files.get(path).unwrap_or_else(|| panic!("{path} is missing of {:?}", files.keys()));
        assert!(content.contains(says), "{path}:\n{content}");
    }
    assert!(!files.keys().any(|path| path.contains("odd-1")), "kube-system is left out");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(api.folder().join("out/bug-report.tar.gz")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_report_is_of_what_was_chosen() {
    let api = mesh();
    let listed = |more: &str| {
        let ran = api.meshctl(&format!("bug-report --dry-run {more}"));
        assert_eq!((ran.code, &*ran.err), (0, ""), "{more}");
        ran.out
    };
    let all = listed("");
    assert!(all.contains("proxies/web/web-1/config_dump.json\n") && all.contains("cluster/services.yaml\n"), "{all}");
    let one = listed("--include shop --skip-cluster-dump --skip-proxy-debug");
    let proxies = "proxies/shop/cart-1/istio-proxy.log\nproxies/shop/cart-1/istio-proxy.previous.log\n";
    assert!(one.ends_with(proxies) && !one.contains("web-1") && !one.contains("cluster/"), "{one}");
    assert!(!listed("--exclude web").contains("web-1"));
    assert!(!listed("--skip-analyze").contains("diagnostics"));
    assert!(!api.folder().join("bug-report.tar.gz").exists());
    for (line, says) in [
        ("bug-report --include a/b/c/d", "\"d\" of \"a/b/c/d\" is not KEY=VALUE"),
        ("bug-report --start-time yesterday", "is no time such as"),
        ("bug-report --full-secrets", "data of Secrets is never asked for"),
    ] {
        let ran = api.meshctl(line);
        assert!(ran.code == 64 && ran.err.contains(says), "{line}: {ran:?}");
    }
}

#[test]
fn what_does_not_answer_in_time_is_told_and_the_rest_is_there() {
    let api = mesh();
    api.page("shop/cart-1:15000", "GET /debug/config_dump", NEVER);
    let ran = api.meshctl("bug-report --timeout 5s --skip-analyze --include shop");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let files = unpacked(api.folder());
    let missing = &files["missing.txt"];
    assert!(missing.contains("proxies/shop/cart-1/config_dump.json: the time was up (--timeout)"), "{missing}");
    assert!(files["proxies/shop/cart-1/istio-proxy.log"].contains("of cart-1"));
}
