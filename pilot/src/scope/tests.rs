use super::*;
use crate::offline;
use mesh_config::{
    kind::Role,
    model::{PartName, Sidecar},
};

fn objects() -> Mesh {
    let (mesh, diagnostics) = offline::compile_text(include_str!("../../tests/data/scope/in.yaml"), None);
    assert_eq!(diagnostics, Vec::new());
    mesh
}

fn proxy(role: Role, namespace: &str, labels: &[(&str, &str)]) -> ProxyFacts {
    ProxyFacts {
        namespace: namespace.into(),
        service_account: "default".into(),
        lists_secrets: false,
        role,
        workload: Some("its-uid".into()),
        labels: labels.iter().copied().collect(),
        addresses: Vec::new(),
    }
}

/// The `Sidecar` in force for a proxy.
fn sidecar(mesh: &Mesh, facts: &ProxyFacts) -> Option<Arc<Sidecar>> {
    View::new(mesh, facts).sidecar().cloned()
}

fn sidecar_in(namespace: &str) -> ProxyFacts {
    proxy(Role::Sidecar, namespace, &[])
}

fn names(parts: &[Arc<SharedPart>], kind: Kind) -> Vec<&str> {
    parts.iter().filter(|p| p.kind() == kind).map(|p| p.name().as_str()).collect()
}

fn seen(mesh: &Mesh, facts: &ProxyFacts, kind: Kind) -> Vec<String> {
    names(&visible(mesh, facts).parts, kind).into_iter().map(str::to_owned).collect()
}

fn of(mesh: &Mesh, facts: &ProxyFacts, key: &str) -> Option<Children> {
    children(mesh, facts, &key.parse().unwrap())
}

fn route_and_rule(mesh: &Mesh, facts: &ProxyFacts, key: &str) -> (Vec<String>, Vec<String>) {
    let children = of(mesh, facts, key).unwrap();
    let texts = |parts: &[Arc<SharedPart>]| parts.iter().map(|p| p.name().to_string()).collect();
    (texts(&children.routes), texts(&children.destinations))
}

#[test]
fn the_index_holds_what_is_exported_to_the_namespace() {
    let mesh = objects();
    let want = ["shop/cart.shop", "shop/only-a-route.example", "shop/private.shop", "shop/same.host", "web/front.web"];
    assert_eq!(seen(&mesh, &sidecar_in("shop"), Kind::Index), want);
    let want = ["other/same.host", "shop/cart.shop", "shop/only-a-route.example", "web/front.web"];
    assert_eq!(seen(&mesh, &sidecar_in("other"), Kind::Index), want);
    assert!(of(&mesh, &sidecar_in("other"), "shop/private.shop").is_none());
    assert!(of(&mesh, &sidecar_in("other"), "shop/unknown").is_none());
}

#[test]
fn of_services_with_one_host_the_own_namespaces_counts_then_the_oldest() {
    let mesh = objects();
    assert!(of(&mesh, &sidecar_in("shop"), "shop/same.host").is_some());
    assert!(of(&mesh, &sidecar_in("shop"), "other/same.host").is_none());
    // The older of the two stands first in the file, and is other's.
    assert!(of(&mesh, &sidecar_in("third"), "other/same.host").is_some());
    assert!(of(&mesh, &sidecar_in("third"), "shop/same.host").is_none());
}

#[test]
fn a_sidecar_object_narrows_what_is_seen() {
    let mesh = objects();
    let narrow = proxy(Role::Sidecar, "web", &[("app", "narrow")]);
    assert_eq!(sidecar(&mesh, &narrow).unwrap().name.to_string(), "web/narrow");
    assert_eq!(seen(&mesh, &narrow, Kind::Index), ["web/front.web"]);
    assert_eq!(seen(&mesh, &narrow, Kind::Sidecar), ["web/narrow"]);
    assert!(of(&mesh, &narrow, "shop/cart.shop").is_none());

    let wide = proxy(Role::Sidecar, "web", &[]);
    assert_eq!(sidecar(&mesh, &wide).unwrap().name.to_string(), "web/default");
    // The default names cart but not the namespace of the VirtualService that is cart's for others.
    assert_eq!(route_and_rule(&mesh, &wide, "shop/cart.shop").0, Vec::<String>::new());
}

#[test]
fn destinations_of_virtual_services_that_a_sidecar_names_are_seen_though_it_does_not_name_them() {
    let entry = |namespace: &str, host: &str, more: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {host}, namespace: {namespace}}}, \
             spec: {{hosts: [{host}], resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}]{more}}}}}\n---\n"
        )
    };
    let route = |host: &str, to: &str, more: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {to}, namespace: web}}, \
             spec: {{hosts: [{host}], http: [{{route: [{{destination: {{host: {to}}}}}]}}]{more}}}}}\n---\n"
        )
    };
    let objects = [
        entry("web", "front.web", ""),
        entry("shop", "new.shop", ""),
        // Two with one host, of which the older counts; and some that must stay unseen.
        entry("a", "twice.shop", ""),
        entry("b", "twice.shop", ""),
        entry("shop", "not-exported.shop", ", exportTo: [shop]"),
        entry("shop", "of-others.shop", ""),
        entry("shop", "at-a-gateway.shop", ""),
        entry("shop", "not-called.shop", ""),
        route("front.web", "new.shop", ""),
        route("twice.web", "twice.shop", ""),
        route("hidden.web", "not-exported.shop", ""),
        route("others.web", "of-others.shop", ", exportTo: [shop]"),
        route("gate.web", "at-a-gateway.shop", ", gateways: [g]"),
        "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s, namespace: web}, \
         spec: {egress: [{hosts: [\"./*\"]}]}}\n"
            .to_owned(),
    ];
    let (mesh, _) = offline::compile_text(&objects.concat(), None);
    let web = sidecar_in("web");
    let index = seen(&mesh, &web, Kind::Index);
    let services: Vec<_> = index.iter().filter(|name| of(&mesh, &web, name).unwrap().service.is_some()).collect();
    assert_eq!(services, ["a/twice.shop", "shop/new.shop", "web/front.web"]);
    for hidden in ["b/twice.shop", "shop/not-exported.shop", "shop/of-others.shop", "shop/at-a-gateway.shop"] {
        assert!(of(&mesh, &web, hidden).is_none(), "{hidden}");
    }
}

#[test]
fn of_sidecars_that_select_a_workload_the_oldest_counts() {
    let sidecar_of = |name: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {{name: {name}, namespace: web}}, \
             spec: {{workloadSelector: {{labels: {{app: web}}}}, egress: [{{hosts: [\"./*\"]}}]}}}}\n---\n"
        )
    };
    let (mesh, _) = offline::compile_text(&[sidecar_of("z-older"), sidecar_of("a-younger")].concat(), None);
    let web = proxy(Role::Sidecar, "web", &[("app", "web")]);
    assert_eq!(sidecar(&mesh, &web).unwrap().name.to_string(), "web/z-older");
}

#[test]
fn the_root_namespaces_sidecar_is_for_namespaces_without_one_and_not_for_gateways() {
    let (mesh, _) = offline::compile_text(
        "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: a, namespace: istio-system}, \
         spec: {egress: [{hosts: [\"istio-system/*\"]}]}}\n",
        None,
    );
    assert!(sidecar(&mesh, &sidecar_in("any")).is_some());
    assert!(sidecar(&mesh, &proxy(Role::Gateway, "any", &[])).is_none());
}

#[test]
fn the_most_specific_virtual_service_is_the_hosts_then_the_oldest() {
    let mesh = objects();
    let route = |facts: &ProxyFacts, key: &str| route_and_rule(&mesh, facts, key).0;
    assert_eq!(route(&sidecar_in("shop"), "shop/cart.shop"), ["VirtualService/routes/cart"]);
    assert_eq!(route(&sidecar_in("shop"), "shop/private.shop"), ["VirtualService/routes/wildcard"]);
    // Exported to shop alone, and so not seen here.
    assert_eq!(route(&sidecar_in("other"), "shop/cart.shop"), ["VirtualService/routes/wildcard"]);
}

#[test]
fn a_host_that_only_routes_know_has_routes_and_no_service() {
    let mesh = objects();
    let children = of(&mesh, &sidecar_in("other"), "shop/only-a-route.example").unwrap();
    assert!(children.service.is_none() && children.endpoints.is_empty());
    assert_eq!(names(&children.routes, Kind::Route), ["VirtualService/shop/alone"]);
}

#[test]
fn the_clients_namespace_then_the_services_then_the_roots_gives_the_rule() {
    let mesh = objects();
    let rule = |namespace: &str, key: &str| route_and_rule(&mesh, &sidecar_in(namespace), key).1;
    assert_eq!(rule("other", "shop/cart.shop"), ["DestinationRule/other/cart"]);
    assert_eq!(rule("third", "shop/cart.shop"), ["DestinationRule/shop/cart"]);
    assert_eq!(rule("third", "web/front.web"), ["DestinationRule/istio-system/all"]);
}

#[test]
fn children_come_with_the_service_last() {
    let mesh = objects();
    let children = of(&mesh, &sidecar_in("shop"), "shop/cart.shop").unwrap();
    let kinds: Vec<Kind> = children.in_order().map(|p| p.kind()).collect();
    assert_eq!(kinds, [Kind::Destination, Kind::Endpoint, Kind::Route, Kind::Service]);
}

#[test]
fn policies_of_the_namespace_and_the_root_that_select_the_workload() {
    let mesh = objects();
    let cart = proxy(Role::Sidecar, "shop", &[("app", "cart")]);
    assert_eq!(seen(&mesh, &cart, Kind::Authorization), ["istio-system/labelled", "shop/cart", "shop/wide"]);
    assert_eq!(seen(&mesh, &cart, Kind::PeerAuthentication), ["istio-system/wide", "shop/cart"]);
    let other = proxy(Role::Sidecar, "shop", &[]);
    assert_eq!(seen(&mesh, &other, Kind::Authorization), ["shop/wide"]);
    assert_eq!(seen(&mesh, &other, Kind::PeerAuthentication), ["istio-system/wide"]);
}

#[test]
fn telemetry_of_the_namespace_and_the_mesh_that_holds_for_the_workload() {
    let object = |namespace: &str, name: &str, spec: &str| {
        format!(
            "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{{spec}accessLogging: [{{providers: [{{name: envoy}}]}}]}}\n"
        )
    };
    let selecting = "selector: {matchLabels: {app: cart}}, ";
    let text = [
        object("istio-system", "mesh", ""),
        object("istio-system", "selecting", selecting),
        object("shop", "all", ""),
        object("shop", "cart", selecting),
        object("bank", "all", ""),
    ];
    let (mesh, _) = crate::offline::compile_text(&text.concat(), None);
    let cart = proxy(Role::Sidecar, "shop", &[("app", "cart")]);
    assert_eq!(seen(&mesh, &cart, Kind::Telemetry), ["istio-system/mesh", "shop/all", "shop/cart"]);
    assert_eq!(seen(&mesh, &sidecar_in("shop"), Kind::Telemetry), ["istio-system/mesh", "shop/all"]);
    let edge = proxy(Role::Gateway, "istio-system", &[("app", "cart")]);
    assert_eq!(seen(&mesh, &edge, Kind::Telemetry), ["istio-system/mesh", "istio-system/selecting"]);
}

#[test]
fn gateways_have_their_listeners_routes_and_key_pairs_of_their_own_namespace() {
    let mesh = objects();
    let edge = proxy(Role::Gateway, "edge", &[("istio", "edge")]);
    assert_eq!(seen(&mesh, &edge, Kind::Gateway), ["Gateway/shop/public"]);
    assert_eq!(seen(&mesh, &edge, Kind::Route), ["VirtualService/shop/public"]);
    assert_eq!(seen(&mesh, &edge, Kind::Secret), ["edge/pair"]);
    // Routes of the mesh are not a gateway's.
    assert!(of(&mesh, &edge, "shop/cart.shop").unwrap().routes.is_empty());

    let elsewhere = proxy(Role::Gateway, "elsewhere", &[("istio", "edge")]);
    assert_eq!(seen(&mesh, &elsewhere, Kind::Secret), Vec::<String>::new());
    for kind in [Kind::Gateway, Kind::Route, Kind::Secret] {
        let sidecar = proxy(Role::Sidecar, "edge", &[("istio", "edge")]);
        assert_eq!(seen(&mesh, &sidecar, kind), Vec::<String>::new());
    }
}

/// The Secrets that a gateway of namespace edge gets: the Gateway's selector, the Secret's annotation, the proxy.
fn keys(selector: &str, accounts: Option<&str>, facts: &ProxyFacts) -> Vec<String> {
    let annotations = accounts.map(|a| format!(", annotations: {{ferromesh.io/gateway-accounts: {a:?}}}"));
    let objects = format!(
        "{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: a, namespace: tenant}}, spec: {{{selector}\
         servers: [{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: ['*'], \
         tls: {{mode: SIMPLE, credentialName: pair}}}}]}}}}\n---\n\
         {{apiVersion: v1, kind: Secret, metadata: {{name: pair, namespace: edge{}}}, \
         stringData: {{tls.crt: a, tls.key: b}}}}\n",
        annotations.unwrap_or_default()
    );
    seen(&offline::compile_text(&objects, None).0, facts, Kind::Secret)
}

#[test]
fn keys_go_only_to_a_known_workload_of_an_entitled_account_that_a_gateway_selects_by_label() {
    let edge = proxy(Role::Gateway, "edge", &[("istio", "edge")]);
    let selector = "selector: {istio: edge}, ";
    let none: [&str; 0] = [];
    for accounts in ["edge/default", "default", "edge/other, edge/default"] {
        assert_eq!(keys(selector, Some(accounts), &edge), ["edge/pair"], "{accounts}");
    }
    for accounts in [None, Some(""), Some("other"), Some("tenant/default"), Some("*")] {
        assert_eq!(keys(selector, accounts, &edge), none, "{accounts:?}");
    }
    assert_eq!(keys("", Some("default"), &edge), none, "no selector");
    let allowed = ProxyFacts { lists_secrets: true, ..edge.clone() };
    assert_eq!(keys(selector, None, &allowed), ["edge/pair"], "as the cluster says");
    assert_eq!(keys("", None, &allowed), none, "no selector, whatever the cluster says");
    let elsewhere = ProxyFacts { namespace: "tenant".into(), ..allowed.clone() };
    assert_eq!(keys(selector, None, &elsewhere), none, "of its own namespace alone");
    for unknown in [&edge, &allowed].map(|facts| ProxyFacts { workload: None, ..facts.clone() }) {
        assert_eq!(keys(selector, Some("default"), &unknown), none, "not in the registry");
    }
    let unknown = ProxyFacts { workload: None, ..edge.clone() };
    assert_eq!(keys("", Some("default"), &ProxyFacts { labels: Labels::default(), ..unknown }), none);
    let sidecar = ProxyFacts { role: Role::Sidecar, ..allowed };
    assert_eq!(keys(selector, Some("default"), &sidecar), none);
}

/// A DestinationRule of a namespace, with these fields, whose only Secret is pair.
fn origination(namespace: &str, fields: &str) -> Mesh {
    let objects = format!(
        "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: out, namespace: {namespace}}}, spec: {{\
         host: ext.example, {fields} trafficPolicy: {{portLevelSettings: [{{port: {{number: 443}}, \
         tls: {{mode: MUTUAL, credentialName: pair}}}}]}}}}}}\n---\n\
         {{apiVersion: v1, kind: Secret, metadata: {{name: pair, namespace: edge, \
         annotations: {{ferromesh.io/gateway-accounts: default}}}}, stringData: {{tls.crt: a, tls.key: b}}}}\n---\n\
         {{apiVersion: v1, kind: Secret, metadata: {{name: other, namespace: edge, \
         annotations: {{ferromesh.io/gateway-accounts: default}}}}, stringData: {{tls.crt: a, tls.key: b}}}}\n"
    );
    offline::compile_text(&objects, None).0
}

#[test]
fn keys_that_a_rule_names_go_to_gateways_that_see_it_and_to_sidecars_that_it_selects() {
    let gateway = proxy(Role::Gateway, "edge", &[("app", "a")]);
    let sidecar = proxy(Role::Sidecar, "edge", &[("app", "a")]);
    let none: [&str; 0] = [];
    let got = |mesh: &Mesh, facts: &ProxyFacts| seen(mesh, facts, Kind::Secret);

    let for_all = origination("tenant", "");
    assert_eq!(got(&for_all, &gateway), ["edge/pair"], "of its own namespace, whichever the rule's is");
    assert_eq!(got(&for_all, &sidecar), none, "a rule for everybody gives no keys to every caller");
    assert!(names_secrets(&for_all, &gateway) && !names_secrets(&for_all, &sidecar));
    assert_eq!(got(&origination("tenant", "exportTo: [.],"), &gateway), none, "a rule that it does not see");

    let selects = "workloadSelector: {matchLabels: {app: a}},";
    let selected = origination("edge", selects);
    assert_eq!(got(&selected, &sidecar), ["edge/pair"]);
    assert_eq!(got(&selected, &gateway), ["edge/pair"]);
    assert!(names_secrets(&selected, &sidecar));
    assert_eq!(got(&origination("tenant", selects), &sidecar), none, "a selector is about its own namespace");
    let other = proxy(Role::Sidecar, "edge", &[("app", "b")]);
    assert_eq!(got(&selected, &other), none);

    // What an account may not have, no rule gives it.
    let account = |facts: &ProxyFacts| ProxyFacts { service_account: "other".into(), ..facts.clone() };
    for facts in [&gateway, &sidecar].map(account) {
        assert_eq!(got(&selected, &facts), none);
        assert_eq!(got(&selected, &ProxyFacts { lists_secrets: true, ..facts }), ["edge/pair"], "as the cluster says");
    }
    for facts in [&gateway, &sidecar].map(|facts| ProxyFacts { workload: None, ..facts.clone() }) {
        assert_eq!(got(&selected, &facts), none, "not in the registry");
    }
}

#[test]
fn an_ingress_brings_gateways_of_its_label_routes_and_keys_of_their_own_namespace_alone() {
    let secret = |namespace: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: pair, namespace: {namespace}, \
             annotations: {{ferromesh.io/gateway-accounts: 'shop/default, edge/default'}}}}, \
             stringData: {{tls.crt: a, tls.key: b}}}}\n---\n"
        )
    };
    let ingress = "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, namespace: shop, \
                   annotations: {kubernetes.io/ingress.class: istio}}, spec: {tls: [{secretName: pair}], \
                   rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, \
                   port: {number: 80}}}}]}}]}}\n";
    let mesh = offline::compile_text(&[&secret("shop"), &secret("edge"), ingress].concat(), None).0;
    let edge = proxy(Role::Gateway, "edge", &[("istio", "ingressgateway")]);
    assert_eq!(seen(&mesh, &edge, Kind::Gateway), ["Ingress/istio-system/web-istio-autogenerated-k8s-ingress-shop"]);
    assert_eq!(seen(&mesh, &edge, Kind::Route), ["Ingress/shop/web~a.example"]);
    assert_eq!(seen(&mesh, &edge, Kind::Secret), ["edge/pair"]);
    for kind in [Kind::Gateway, Kind::Route, Kind::Secret] {
        assert_eq!(seen(&mesh, &proxy(Role::Gateway, "shop", &[("istio", "another")]), kind), Vec::<String>::new());
        assert_eq!(
            seen(&mesh, &proxy(Role::Sidecar, "shop", &[("istio", "ingressgateway")]), kind),
            Vec::<String>::new()
        );
    }
}

#[test]
fn a_proxy_whose_workload_is_unknown_is_told_settings_and_trust_alone() {
    let mesh = objects();
    for role in [Role::Sidecar, Role::Gateway] {
        let unknown = ProxyFacts { workload: None, ..proxy(role, "shop", &[]) };
        let kinds: Vec<Kind> = visible(&mesh, &unknown).parts.iter().map(|part| part.kind()).collect();
        assert_eq!(kinds, [Kind::Settings]);
        assert!(of(&mesh, &unknown, "shop/cart.shop").is_none());
    }
}

#[test]
fn parts_come_in_push_order() {
    let mesh = objects();
    let parts = visible(&mesh, &proxy(Role::Gateway, "edge", &[("istio", "edge")])).parts;
    let keys: Vec<(Kind, &PartName)> = parts.iter().map(|p| (p.kind(), p.name())).collect();
    assert!(keys.is_sorted(), "{keys:?}");
}

#[test]
fn a_claim_only_picks_among_workloads_of_what_was_proved() {
    let mesh = objects();
    let shop = Namespace::from("shop");
    let uid = |account: &str, name: Option<&str>, address: &str| {
        let addresses: Vec<IpAddr> = address.parse().into_iter().collect();
        locate(&mesh, &shop, account, name, &addresses).map(|w| w.uid.rsplit('/').next().unwrap().to_owned())
    };
    assert_eq!(uid("cart", Some("cart-2"), ""), Some("cart-2".into()));
    assert_eq!(uid("cart", None, "127.0.1.1"), Some("cart-1".into()));
    // The address says more than the name.
    assert_eq!(uid("cart", Some("cart-2"), "127.0.1.1"), Some("cart-1".into()));
    assert_eq!(uid("cart", Some("admin"), "127.0.1.3"), None);
    assert_eq!(uid("nobody", Some("cart-1"), "127.0.1.1"), None);
    assert_eq!(uid("cart", None, ""), None);

    let facts = ProxyFacts::resolve(&mesh, Role::Sidecar, (&shop, "cart"), Some("cart-1"), &[]);
    assert_eq!(facts.labels.get("app").map(|v| &**v), Some("cart"));
    assert_eq!(seen(&mesh, &facts, Kind::Instance).len(), 1);
}

#[test]
fn a_workload_is_found_by_its_address() {
    let mesh = objects();
    let at = |address: &str| workload_at(&mesh, address.parse().unwrap()).map(|p| p.name().to_string());
    assert!(at("127.0.1.3").is_some_and(|uid| uid.ends_with("/shop/admin")));
    assert_eq!(at("127.0.9.9"), None);
}

#[test]
fn offline_everything_visible_is_there_once() {
    let mesh = objects();
    let parts = offline::everything(&mesh, &sidecar_in("shop"));
    let mut keys: Vec<_> = parts.iter().map(|p| (p.kind(), p.name())).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
    let services = keys.iter().filter(|(kind, _)| *kind == Kind::Service).count();
    assert_eq!(services, 4);
}

/// A ServiceEntry of one host on port 80; `more` is added to its spec.
fn entry(namespace: &str, host: &str, more: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {}, namespace: {namespace}}}, spec: \
         {{hosts: [\"{host}\"], resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}]{more}}}}}\n---\n",
        host.replace('*', "any")
    )
}

fn mesh_of(texts: &[&str]) -> Mesh {
    offline::compile_text(&texts.concat(), None).0
}

#[test]
fn the_dot_in_the_meshs_own_sidecar_is_the_namespace_of_the_workload() {
    let default = "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default, namespace: istio-system}, \
                   spec: {egress: [{hosts: [\"./*\", \"istio-system/*\"]}]}}\n---\n";
    let hosts = [entry("shop", "a.shop", ""), entry("other", "b.other", ""), entry("istio-system", "c.root", "")];
    let mesh = mesh_of(&[default, &hosts.concat()]);
    assert_eq!(seen(&mesh, &sidecar_in("shop"), Kind::Index), ["istio-system/c.root", "shop/a.shop"]);
    assert_eq!(seen(&mesh, &sidecar_in("other"), Kind::Index), ["istio-system/c.root", "other/b.other"]);
}

#[test]
fn an_egress_host_lets_in_what_it_contains_and_not_what_contains_it() {
    let narrow = "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default, namespace: shop}, \
                  spec: {egress: [{hosts: [\"./foo.example.com\"]}]}}\n---\n";
    let mesh = mesh_of(&[narrow, &entry("shop", "*.example.com", "")]);
    assert_eq!(seen(&mesh, &sidecar_in("shop"), Kind::Index), Vec::<String>::new());
    let mesh = mesh_of(&[&narrow.replace("foo.", "*."), &entry("shop", "*.example.com", "")]);
    assert_eq!(seen(&mesh, &sidecar_in("shop"), Kind::Index), ["shop/*.example.com"]);
}

#[test]
fn of_virtual_services_the_private_one_counts_then_the_one_exported_by_name_then_the_public_one() {
    let route = |namespace: &str, name: &str, export_to: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}, namespace: {namespace}}}, \
             spec: {{hosts: [a.shop], gateways: [mesh, edge/gate], exportTo: [{export_to}], \
             http: [{{route: [{{destination: {{host: a.shop}}}}]}}]}}}}\n---\n"
        )
    };
    // The oldest first: what is nearer is younger.
    let routes = [
        route("shop", "public", "\"*\""),
        route("shop", "by-name", "client, near"),
        route("client", "private", "."),
        route("client", "private-younger", "."),
    ];
    let mesh = mesh_of(&[&entry("shop", "a.shop", ""), &routes.concat()]);
    let counts = |namespace: &str| route_and_rule(&mesh, &sidecar_in(namespace), "shop/a.shop").0;
    assert_eq!(counts("client"), ["VirtualService/client/private"]);
    assert_eq!(counts("near"), ["VirtualService/shop/by-name"]);
    assert_eq!(counts("far"), ["VirtualService/shop/public"]);
}

#[test]
fn routes_count_for_requests_tls_and_bytes_each_by_itself() {
    let route = |name: &str, host: &str, rules: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}, namespace: shop}}, \
             spec: {{hosts: [\"{host}\"], {rules}}}}}\n---\n"
        )
    };
    let (to_b, to_c) = ("route: [{destination: {host: b.test}}]", "route: [{destination: {host: c.test}}]");
    let http = format!("http: [{{{to_b}}}]");
    let bytes = format!("tcp: [{{{to_c}}}]");
    let tls = |name: &str| format!("tls: [{{match: [{{sniHosts: [{name}]}}], {to_c}}}]");
    // The oldest first.
    let routes = [
        route("a-http", "a.shop", &http),
        route("z-both", "a.shop", &format!("{http}, {bytes}")),
        route("y-bytes", "a.shop", &bytes),
        route("wide", "*.shop", &tls("a.shop")),
        route("alone", "alone.test", &bytes),
    ];
    let services = ["a.shop", "b.test", "c.test"].map(|host| entry("shop", host, ""));
    let (mesh, found) = offline::compile_text(&[services.concat(), routes.concat()].concat(), None);
    let client = sidecar_in("shop");
    let want = ["VirtualService/shop/a-http", "VirtualService/shop/wide", "VirtualService/shop/z-both"];
    assert_eq!(route_and_rule(&mesh, &client, "shop/a.shop").0, want);
    // Only where another says something about the same.
    let shadowed: Vec<_> =
        found.iter().filter(|d| d.code == "shadowed-host").map(|d| d.object.name.to_string()).collect();
    assert_eq!(shadowed, ["z-both", "y-bytes"]);
    // Bytes are told apart on ports of services: a name that has none has nothing.
    assert!(of(&mesh, &client, "shop/alone.test").is_none());
    assert_eq!(seen(&mesh, &client, Kind::Index), ["shop/a.shop", "shop/b.test", "shop/c.test"]);
}

#[test]
fn where_bytes_are_sent_is_in_scope_where_their_rule_is() {
    let sidecar = "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s, namespace: web}, \
                   spec: {egress: [{hosts: [\"*/a.shop\"]}]}}\n---\n";
    let rule = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a, namespace: shop}, \
                spec: {hosts: [a.shop], tcp: [{route: [{destination: {host: b.test}}]}]}}\n---\n";
    let mesh = mesh_of(&[&entry("shop", "a.shop", ""), &entry("shop", "b.test", ""), sidecar, rule]);
    assert_eq!(seen(&mesh, &sidecar_in("web"), Kind::Index), ["shop/a.shop", "shop/b.test"]);
}

#[test]
fn what_lies_outside_of_the_mesh_is_never_called_with_its_mutual_tls() {
    let pod = "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: w, namespace: shop, labels: {app: w}}, \
               spec: {address: 127.0.1.1, serviceAccount: w, labels: {app: w, security.istio.io/tlsMode: istio}}}\n---\n";
    let outside = ", location: MESH_EXTERNAL";
    let listed = ", endpoints: [{address: 127.0.1.2, serviceAccount: w, labels: {security.istio.io/tlsMode: istio}}]";
    let selected = ", workloadSelector: {labels: {app: w}}";
    for (more, location, want) in
        [(listed, "", true), (listed, outside, false), (selected, "", true), (selected, outside, false)]
    {
        let location = if location.is_empty() { ", location: MESH_INTERNAL" } else { location };
        let mesh = mesh_of(&[pod, &entry("shop", "a.shop", &format!("{more}{location}"))]);
        let endpoints = of(&mesh, &sidecar_in("shop"), "shop/a.shop").unwrap().endpoints;
        let [Part::Endpoint(endpoint)] = &endpoints.iter().map(|p| p.part().clone()).collect::<Vec<_>>()[..] else {
            panic!("{more}{location}")
        };
        assert_eq!(endpoint.mutual_tls, want, "{more}{location}");
    }
}

#[test]
fn a_service_for_clients_of_the_same_node_has_endpoints_of_their_own_node_alone() {
    let text = "
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {internalTrafficPolicy: Local, selector: {app: a}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b, namespace: shop}, spec: {selector: {app: a}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p1, namespace: shop, labels: {app: a}}, spec: {nodeName: n1}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p2, namespace: shop, labels: {app: a}}, spec: {nodeName: n2}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p3, namespace: shop, labels: {app: a}}, status: {podIP: 10.0.0.3}}
";
    let (mesh, _) = offline::compile_text(text, None);
    let seen = |pod: &str, service: &str| {
        let workload = Some(format!("Kubernetes//Pod/shop/{pod}").into());
        let facts = ProxyFacts { workload, ..sidecar_in("shop") };
        let children = of(&mesh, &facts, &format!("shop/{service}.shop.svc.cluster.local")).unwrap();
        let names = names(&children.endpoints, Kind::Endpoint).into_iter();
        names.map(|name| name.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen("p1", "a"), ["p1"]);
    assert_eq!(seen("p2", "a"), ["p2"]);
    assert_eq!(seen("p3", "a"), [""; 0], "nobody knows where it is");
    assert_eq!(seen("p1", "b"), ["p1", "p2", "p3"]);
}
