//! From Ingresses to the rules and servers of gateways, and what is said of them.

use crate::{Mesh, offline};
use mesh_config::{
    matcher::StringMatch,
    model::{
        Gateway, Kind, Part, Route,
        route::{RouteAction, RouteRule},
    },
};
use std::sync::Arc;

/// A class of the mesh's, and two Services.
const WORLD: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: istio}
spec: {controller: istio.io/ingress-controller}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: admin, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 8080}]}
";

/// Of the class, made at a time, in namespace `shop`.
fn ingress(name: &str, created: u32, spec: &str) -> String {
    format!(
        "\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop, \
         creationTimestamp: '2024-01-01T00:00:{created:02}Z'}}\nspec: {{ingressClassName: istio, {spec}}}\n"
    )
}

/// A path of a type, to a port of a Service.
fn path(kind: &str, path: &str, service: &str, port: &str) -> String {
    format!("{{pathType: {kind}, path: '{path}', backend: {{service: {{name: {service}, port: {{{port}}}}}}}}}")
}

fn rule(host: &str, paths: &[String]) -> String {
    let host = if host.is_empty() { String::new() } else { format!("host: '{host}', ") };
    format!("{{{host}http: {{paths: [{}]}}}}", paths.join(", "))
}

fn compiled(objects: &[String]) -> (Mesh, Vec<String>) {
    let (mesh, found) = offline::compile_text(&[WORLD, &objects.concat()].concat(), None);
    let told = found.iter().map(|d| format!("{} {} {}: {}", d.object.name, d.code, d.field, d.message)).collect();
    (mesh, told)
}

fn routes(mesh: &Mesh) -> Vec<Arc<Route>> {
    let route = |part: &Part| match part {
        Part::Route(route) => route.clone(),
        other => panic!("{other:?}"),
    };
    mesh.parts(Kind::Route).map(|shared| route(shared.part())).collect()
}

fn gateways(mesh: &Mesh) -> Vec<Arc<Gateway>> {
    let gateway = |part: &Part| match part {
        Part::Gateway(gateway) => gateway.clone(),
        other => panic!("{other:?}"),
    };
    mesh.parts(Kind::Gateway).map(|shared| gateway(shared.part())).collect()
}

/// A rule in short: paths, and where to.
fn short(rule: &RouteRule) -> String {
    let paths = rule.matches.iter().map(|m| match &m.path.as_ref().unwrap().matcher {
        StringMatch::Exact(text) => format!("={text}"),
        StringMatch::Prefix(text) => format!("{text}*"),
        other => panic!("{other:?}"),
    });
    let to = match &rule.action {
        RouteAction::Forward(backends) => {
            let target = &backends[0].target;
            format!("{}:{}", target.host.as_str().split('.').next().unwrap(), target.port.unwrap())
        }
        RouteAction::Respond(answer) => answer.status.to_string(),
        RouteAction::Redirect(_) => "elsewhere".to_owned(),
    };
    format!("{} {to}", paths.collect::<Vec<_>>().join(" "))
}

fn rules(route: &Route) -> Vec<String> {
    route.rules.iter().map(short).collect()
}

#[test]
fn paths_of_each_type_are_asked_the_longest_first() {
    let paths = [
        path("Prefix", "/", "web", "number: 80"),
        path("Prefix", "/a/b/", "web", "name: admin"),
        path("Exact", "/a", "cart", "number: 8080"),
        path("Prefix", "/a", "web", "number: 80"),
        path("ImplementationSpecific", "/old/*", "web", "number: 80"),
        path("ImplementationSpecific", "/older.*", "web", "number: 80"),
        path("ImplementationSpecific", "/as-is", "web", "number: 80"),
        path("ImplementationSpecific", "", "web", "number: 80"),
    ];
    let (mesh, told) = compiled(&[ingress("web", 1, &format!("rules: [{}]", rule("shop.example", &paths)))]);
    assert_eq!(
        told,
        ["web shadowed-path spec.rules[0].http.paths[7].backend: Ingress shop/web has this host and path \
                       already, and takes precedence"]
    );
    let [route] = &routes(&mesh)[..] else { panic!() };
    assert_eq!(route.name.to_string(), "shop/web~shop.example");
    assert_eq!(
        rules(route),
        [
            "=/as-is web:80",
            "=/older /older/* web:80",
            "=/a/b /a/b/* web:9000",
            "=/old /old/* web:80",
            "=/a cart:8080",
            "=/a /a/* web:80",
            "/* web:80",
        ]
    );
}

#[test]
fn what_several_say_of_a_host_is_put_together_the_oldest_first() {
    let younger = [path("Prefix", "/a", "cart", "number: 8080"), path("Prefix", "/longer", "cart", "number: 8080")];
    let older = [path("Prefix", "/a", "web", "number: 80")];
    let (mesh, told) = compiled(&[
        ingress("a", 9, &format!("rules: [{}]", rule("shop.example", &younger))),
        ingress("b", 1, &format!("rules: [{}]", rule("shop.example", &older))),
    ]);
    let [route] = &routes(&mesh)[..] else { panic!() };
    assert_eq!((route.name.to_string(), route.precedence.created % 60), ("shop/b~shop.example".into(), 1));
    assert_eq!(rules(route), ["=/longer /longer/* cart:8080", "=/a /a/* web:80"]);
    let parents: Vec<_> = route.parents.iter().map(|parent| format!("{parent:?}")).collect();
    assert_eq!(parents.len(), 2, "{parents:?}");
    assert_eq!(
        told,
        ["a shadowed-path spec.rules[0].http.paths[0].backend: Ingress shop/b has this host and path already, \
                       and takes precedence"]
    );
}

#[test]
fn each_has_a_gateway_of_its_own_with_its_hosts_in_tls() {
    let spec = "tls: [{hosts: [shop.example], secretName: shop-tls}, {secretName: all}, {hosts: [plain.example]}], \
                defaultBackend: {service: {name: web, port: {number: 80}}}";
    let (mesh, told) = compiled(&[ingress("web", 1, spec)]);
    let [gateway] = &gateways(&mesh)[..] else { panic!() };
    assert_eq!(gateway.name.to_string(), "istio-system/web-istio-autogenerated-k8s-ingress-shop");
    assert_eq!(gateway.selector.get("istio").map(|label| &**label), Some("ingressgateway"));
    let servers: Vec<_> = gateway
        .servers
        .iter()
        .map(|server| {
            let hosts: Vec<_> = server.hosts.iter().map(|host| host.host.as_str()).collect();
            format!("{} {} {} {:?}", server.port, server.port_name, hosts.join(","), server.protocol.secret())
        })
        .collect();
    assert_eq!(
        servers,
        [
            "443 https-443-ingress-web-shop-0 shop.example Some(\"shop-tls\")",
            "443 https-443-ingress-web-shop-1 * Some(\"all\")",
            "80 http-80-ingress-web-shop * None",
        ]
    );
    assert_eq!(
        told,
        [
            "web secret-not-found spec.tls[0].secretName: there is no Secret shop-tls in any namespace",
            "web secret-not-found spec.tls[1].secretName: there is no Secret all in any namespace",
            "web tls-without-secret spec.tls[2]: names no Secret (secretName), so the hosts are not served with TLS",
        ]
    );
}

#[test]
fn a_default_backend_comes_after_all_else_and_the_oldest_counts() {
    let hosts = "rules: [{host: empty.example}], defaultBackend: {service: {name: web, port: {number: 80}}}";
    let (mesh, told) = compiled(&[
        ingress("old", 1, hosts),
        ingress("young", 2, "defaultBackend: {service: {name: cart, port: {name: http}}}"),
        ingress("none", 3, "rules: [{host: lost.example}]"),
    ]);
    let [old, young] = &routes(&mesh)[..] else { panic!() };
    let hosts: Vec<_> = old.hosts.iter().map(|host| host.as_str()).collect();
    assert_eq!(
        (hosts, rules(old), old.name.to_string()),
        (vec!["*", "empty.example"], vec![" web:80".into()], "shop/old".into())
    );
    assert_eq!(rules(young), [" cart:8080"]);
    assert!(old.precedence < young.precedence && old.precedence.created == i64::MAX);
    assert_eq!(
        told,
        [
            "young shadowed-default spec.defaultBackend: Ingress shop/old is older, and its default backend counts for \
             hosts that nobody has",
            "none host-without-paths spec.rules: nothing is said of paths of lost.example, and there is no default backend",
        ]
    );
}

#[test]
fn requests_to_what_is_not_there_get_503_and_go_nowhere_else() {
    let paths = [
        path("Prefix", "/admin", "web", "name: gone"),
        path("Prefix", "/away", "away", "name: http"),
        path("Prefix", "/port", "web", "number: 81"),
        "{pathType: Prefix, path: /files, backend: {resource: {kind: Bucket, name: files}}}".to_owned(),
        path("Prefix", "/", "web", "number: 80"),
    ];
    let (mesh, told) = compiled(&[ingress("web", 1, &format!("rules: [{}]", rule("shop.example", &paths)))]);
    assert_eq!(
        rules(&routes(&mesh)[0]),
        ["=/admin /admin/* 503", "=/files /files/* 503", "=/away /away/* 503", "=/port /port/* web:81", "/* web:80"]
    );
    assert_eq!(
        told,
        [
            "web missing-destination : service web.shop.svc.cluster.local has no port called gone; requests routed there \
             get 503",
            "web field-not-acted-on spec.rules[0].http.paths[3].backend.resource: resource is not acted on yet: requests are \
             answered with 503",
        ]
    );
}

#[test]
fn an_ingress_whose_class_is_not_there_is_told_so() {
    let text = ingress("web", 1, "defaultBackend: {service: {name: web, port: {number: 80}}}");
    let world = WORLD.replace("metadata: {name: istio}", "metadata: {name: other}");
    let (mesh, found) = offline::compile_text(&[&*world, &text].concat(), None);
    let told: Vec<_> = found.iter().map(|d| (d.code, &*d.field)).collect();
    assert_eq!(
        (mesh.parts(Kind::Gateway).count(), told),
        (0, vec![("ingress-class-not-found", "spec.ingressClassName")])
    );
}

#[test]
fn nothing_is_said_of_what_others_serve() {
    let paths = [path("ImplementationSpecific", "/a(/|$)(.*)", "gone", "number: 80")];
    let text = ingress("web", 1, &format!("tls: [{{}}], rules: [{}]", rule("shop.example", &paths)));
    let codes = |text: &str| -> Vec<&str> {
        let (_, found) = offline::compile_text(&[WORLD, text].concat(), None);
        found.iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes(&text), ["missing-destination", "path-is-no-pattern", "tls-without-secret"]);
    assert_eq!(codes(&text.replace("ingressClassName: istio", "ingressClassName: other")), [""; 0]);
}

#[test]
fn a_host_has_bounded_room_and_the_oldest_have_it() {
    let many = |name: &str, created: u32| {
        let paths: Vec<_> = (0..2_500).map(|n| path("Prefix", &format!("/{name}/{n}"), "web", "number: 80")).collect();
        ingress(name, created, &format!("rules: [{}]", rule("shop.example", &paths)))
    };
    let (mesh, told) = compiled(&[many("greedy", 2), many("first", 1), many("late", 3)]);
    let [route] = &routes(&mesh)[..] else { panic!() };
    let of = |name: &str| route.rules.iter().filter(|rule| short(rule).starts_with(&format!("=/{name}/"))).count();
    assert_eq!((of("first"), of("late")), (2_500, 0));
    assert!(of("greedy") > 1_000, "{}", of("greedy"));
    assert!(mesh_config::wire::encode(&Part::Route(route.clone())).bytes.len() < mesh_config::wire::MAX_RESOURCE_BYTES);
    let codes: Vec<_> = told.iter().filter_map(|told| told.split(' ').nth(1)).collect();
    assert_eq!(codes, ["too-many-paths", "too-many-paths"], "{told:?}");
}
