//! What an Ingress says by itself, and what is wrong with it.

use super::*;
use crate::crd::{self, Parsed};

fn read(spec: &str) -> (Option<Ingress>, Vec<String>) {
    let text = format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web}}\nspec: {spec}\n");
    let (objects, found) = crd::read_text(&"f".into(), &text);
    assert_eq!(found, []);
    let (parsed, found) = crd::parse(&objects[0], &ParseContext::default());
    let ingress = parsed.map(|parsed| match parsed {
        Parsed::Ingress(ingress) => ingress,
        other => panic!("{other:?}"),
    });
    (ingress, found.iter().map(|d| format!("{:?} {} {}", d.severity, d.code, d.field)).collect())
}

/// A rule with one path of a type.
fn path(kind: &str, path: &str) -> (Option<PathRule>, Vec<String>) {
    let backend = "{service: {name: a, port: {number: 80}}}";
    let (ingress, found) =
        read(&format!("{{rules: [{{http: {{paths: [{{pathType: {kind}, path: '{path}', backend: {backend}}}]}}}}]}}"));
    (ingress.and_then(|ingress| Some(ingress.rules.first()?.paths[0].path.clone())), found)
}

#[test]
fn paths_are_read_by_their_types() {
    let exact = |text: &str| PathRule::Exact(text.into());
    let elements = |text: &str| PathRule::Elements(text.into());
    for (kind, text, want) in [
        ("Exact", "/a", exact("/a")),
        ("Prefix", "/a/", elements("/a/")),
        ("ImplementationSpecific", "/a", exact("/a")),
        ("ImplementationSpecific", "/a/*", elements("/a")),
        ("ImplementationSpecific", "/a.*", elements("/a")),
        ("ImplementationSpecific", "/*", PathRule::Any),
        ("ImplementationSpecific", "", PathRule::Any),
    ] {
        assert_eq!(path(kind, text), (Some(want), Vec::new()), "{kind} {text}");
    }
    let pattern = path("ImplementationSpecific", "/a(/|$)");
    assert_eq!(
        pattern,
        (Some(exact("/a(/|$)")), vec!["Warning path-is-no-pattern spec.rules[0].http.paths[0].path".into()])
    );
    for (kind, text) in [("Exact", "a"), ("Prefix", ""), ("Prefix", "/a//b"), ("Exact", "/a/.."), ("Prefix", "/a%2Fb")]
    {
        let (read, found) = path(kind, text);
        assert_eq!(
            (read, found[0].as_str()),
            (None, "Error invalid-field spec.rules[0].http.paths[0].path"),
            "{kind} {text}"
        );
    }
}

#[test]
fn a_rule_that_has_errors_is_left_out_alone() {
    let good = "{host: a.example, http: {paths: [{pathType: Exact, path: /, backend: {service: {name: a, port: {name: http}}}}]}}";
    for (bad, field) in [
        ("{host: 'a b'}", "spec.rules[1].host"),
        ("{host: '*'}", "spec.rules[1].host"),
        ("{hosts: b.example}", "spec.rules[1].hosts"),
        ("{http: {paths: []}}", "spec.rules[1].http.paths"),
        ("{http: {paths: [{pathType: Glob, path: /, backend: {}}]}}", "spec.rules[1].http.paths[0].pathType"),
        ("{http: {paths: [{pathType: Exact, path: /, backend: {}}]}}", "spec.rules[1].http.paths[0].backend"),
        (
            "{http: {paths: [{pathType: Exact, path: /, backend: {service: {name: a, port: {name: b, number: 1}}}}]}}",
            "spec.rules[1].http.paths[0].backend.service.port",
        ),
    ] {
        let (ingress, found) = read(&format!("{{rules: [{good}, {bad}]}}"));
        let hosts: Vec<_> = ingress.iter().flat_map(|ingress| &ingress.rules).map(|rule| rule.host.as_str()).collect();
        assert_eq!((hosts, found[0].rsplit(' ').next()), (vec!["a.example"], Some(field)), "{bad}: {found:?}");
    }
    assert_eq!(read("{}"), (None, vec!["Error invalid-field spec".into()]));
}

#[test]
fn tls_is_for_all_hosts_unless_it_names_some_and_for_none_without_a_secret() {
    let backend = "defaultBackend: {service: {name: a, port: {number: 80}}}";
    let (ingress, found) =
        read(&format!("{{{backend}, tls: [{{}}, {{secretName: s}}, {{hosts: [A.example], secretName: t}}]}}"));
    let tls: Vec<_> = ingress
        .iter()
        .flat_map(|ingress| &ingress.tls)
        .map(|tls| (tls.position, tls.hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>(), &*tls.secret))
        .collect();
    assert_eq!(tls, [(1, vec!["*"], "s"), (2, vec!["a.example"], "t")]);
    assert_eq!(found, ["Warning tls-without-secret spec.tls[0]"]);
}
