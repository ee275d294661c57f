use crate::offline::compile_text;
use mesh_config::model::{Kind, Part};

/// Of each workload by name: `all but`, or `only`, the ports on which it takes mutual TLS; then its headless ports.
fn called(objects: &str) -> Vec<String> {
    let (mesh, found) = compile_text(objects, None);
    assert_eq!(found, Vec::new());
    let told = |part: &Part| {
        let Part::Workload(workload) = part else { panic!("not a workload") };
        let word = if workload.mutual_tls { "all but" } else { "only" };
        let except: Vec<u16> = workload.mutual_tls_except.iter().map(|port| port.get()).collect();
        let headless: Vec<String> = workload.headless.iter().map(|h| format!("{} {}", h.service, h.port)).collect();
        format!("{} {word} {except:?} {headless:?}", workload.uid.rsplit('/').next().unwrap_or_default())
    };
    mesh.parts(Kind::Workload).map(|shared| told(shared.part())).collect()
}

fn pod(name: &str, annotations: &str, more: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{app: {name}, \
         security.istio.io/tlsMode: istio}}, annotations: {{{annotations}}}}}, status: {{podIP: 10.0.0.{}, {more}}}}}\n---\n",
        name.len()
    )
}

fn disabled(namespace: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: p, namespace: {namespace}}}, \
         spec: {{{spec}}}}}\n---\n"
    )
}

const INCLUDE: &str = "traffic.sidecar.istio.io/includeInboundPorts";
const EXCLUDE: &str = "traffic.sidecar.istio.io/excludeInboundPorts";

#[test]
fn ports_whose_callers_are_not_captured_are_called_in_plain_text() {
    let of = |annotations: &str| called(&pod("a", annotations, "")).remove(0);
    assert_eq!(of(""), "a all but [15020, 15021, 15090] []");
    assert_eq!(of(&format!("{EXCLUDE}: \"9, 15999\"")), "a all but [9, 15021, 15090, 15999] []");
    assert_eq!(of(&format!("{INCLUDE}: \"*\", {EXCLUDE}: \"\"")), "a all but [15021, 15090] []");
    assert_eq!(of(&format!("{INCLUDE}: \"80,81\", {EXCLUDE}: \"81\"")), "a only [80] []");
    assert_eq!(of(&format!("{INCLUDE}: \"\"")), "a only [] []");
    assert_eq!(of("sidecar.istio.io/interceptionMode: NONE"), "a only [] []");
}

#[test]
fn where_policies_say_disable_the_call_is_in_plain_text() {
    let both = [pod("a", "", ""), pod("bb", "", "")].concat();
    let of = |policy: &str| called(&[&both, policy].concat());
    let usual = "[15020, 15021, 15090] []";
    assert_eq!(
        of(&disabled("shop", "mtls: {mode: STRICT}")),
        [format!("a all but {usual}"), format!("bb all but {usual}")]
    );
    for namespace in ["shop", "istio-system"] {
        assert_eq!(of(&disabled(namespace, "mtls: {mode: DISABLE}")), ["a only [] []", "bb only [] []"]);
    }
    let one = "selector: {matchLabels: {app: a}}";
    let port = disabled("shop", &format!("{one}, portLevelMtls: {{80: {{mode: DISABLE}}, 81: {{mode: STRICT}}}}"));
    assert_eq!(of(&port), ["a all but [80, 15020, 15021, 15090] []".to_owned(), format!("bb all but {usual}")]);
    let others = disabled(
        "shop",
        &format!("{one}, mtls: {{mode: DISABLE}}, portLevelMtls: {{80: {{mode: STRICT}}, 15020: {{mode: STRICT}}}}"),
    );
    assert_eq!(of(&others), ["a only [80] []".to_owned(), format!("bb all but {usual}")]);
}

#[test]
fn who_has_no_proxy_or_no_identity_is_called_in_plain_text() {
    let plain = pod("a", "", "").replace("istio, ", "istio").replace("tlsMode: istio", "tlsMode: disabled");
    assert_eq!(called(&plain), ["a only [] []"]);
    let entry = |account: &str| {
        called(&format!(
            "{{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {{name: w, namespace: shop}}, \
             spec: {{address: 10.0.0.9, labels: {{security.istio.io/tlsMode: istio}}{account}}}}}"
        ))
    };
    assert_eq!(entry(""), ["w only [] []"]);
    assert_eq!(entry(", serviceAccount: w"), ["w all but [] []"]);
}

#[test]
fn a_workload_knows_the_headless_services_that_its_address_is_dialled_for() {
    let service = |name: &str, more: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{selector: {{app: a}}, {more}}}}}\n---\n"
        )
    };
    let objects = [
        pod("a", "", ""),
        pod("bb", "", ""),
        service(
            "peers",
            "clusterIP: None, ports: [{name: tcp-x, port: 7000}, {name: http, port: 80}, {name: tcp-y, port: 1, targetPort: 2}, {name: other, port: 7001}]",
        ),
        service("front", "ports: [{name: tcp-x, port: 7000}]"),
    ];
    let peers = "shop/peers.shop.svc.cluster.local";
    assert_eq!(
        called(&objects.concat()),
        [
            format!("a all but [15020, 15021, 15090] {:?}", [1, 7000, 7001].map(|port| format!("{peers} {port}"))),
            "bb all but [15020, 15021, 15090] []".to_owned()
        ]
    );
}
