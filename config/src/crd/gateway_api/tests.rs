use crate::crd::{ParseContext, read_text, validate};
use crate::diagnostic::Severity;
use crate::kind::ObjectKind;

/// Field and message of each finding, of an object of the kind with this `spec`.
fn found(kind: ObjectKind, spec: &str) -> Vec<(Severity, String, String)> {
    let text = format!(
        "apiVersion: {}\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec: {spec}\n",
        kind.api_version()
    );
    let (objects, broken) = read_text(&"f".into(), &text);
    assert_eq!(broken, [], "{text}");
    let found = validate(&objects[0], &ParseContext::default());
    found.into_iter().map(|d| (d.severity, d.field.clone(), d.message.clone())).collect()
}

fn is_taken(kind: ObjectKind, spec: &str) {
    let message = format!("{kind} is well-formed and not acted on yet");
    assert_eq!(found(kind, spec), [(Severity::Warning, "spec".to_owned(), message)], "{kind} {spec}");
}

fn is_refused(kind: ObjectKind, cases: &[(&str, &str, &str)]) {
    for (spec, field, message) in cases {
        let should = [(Severity::Error, (*field).to_owned(), (*message).to_owned())];
        assert_eq!(found(kind, spec), should, "{kind} {spec}");
    }
}

const PARENT: &str = "parentRefs: [{name: g}]";

#[test]
fn two_kinds_are_called_gateway_and_their_groups_tell_them_apart() {
    let listener = "{name: web, port: 80, protocol: HTTP}";
    is_taken(ObjectKind::KubernetesGateway, &format!("{{gatewayClassName: istio, listeners: [{listener}]}}"));
    let read = found(ObjectKind::Gateway, &format!("{{gatewayClassName: istio, listeners: [{listener}]}}"));
    assert!(read.iter().any(|(severity, ..)| *severity == Severity::Error), "{read:?}");
}

#[test]
fn listeners_have_what_their_protocol_needs_and_differ() {
    let with = |listeners: &str| format!("{{gatewayClassName: istio, listeners: [{listeners}]}}");
    let refused = |listeners: &str, field: &str, message: &str| {
        is_refused(ObjectKind::KubernetesGateway, &[(&with(listeners), field, message)]);
    };
    is_taken(ObjectKind::KubernetesGateway, &with("{name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}}"));
    is_taken(
        ObjectKind::KubernetesGateway,
        &with("{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP, hostname: b.example.com}"),
    );
    refused(
        "{name: a, port: 80, protocol: HTTP, tls: {mode: Passthrough}}",
        "spec.listeners[0]",
        "tls is not for protocol HTTP",
    );
    refused(
        "{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}",
        "spec.listeners[0]",
        "protocol HTTPS needs tls.mode Terminate",
    );
    refused(
        "{name: a, port: 443, protocol: HTTPS, tls: {}}",
        "spec.listeners[0].tls",
        "mode Terminate needs certificateRefs or options",
    );
    refused(
        "{name: a, port: 80, protocol: TCP, hostname: a.example.com}",
        "spec.listeners[0]",
        "hostname is not for protocol TCP",
    );
    refused(
        "{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}",
        "spec",
        "two listeners have port 80, protocol HTTP",
    );
    refused(
        "{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}",
        "spec.listeners",
        "has two entries whose name is a",
    );
    refused(
        "{name: a, port: '80', protocol: HTTP}",
        "spec.listeners[0].port",
        "must not be a text: take the quotes away",
    );
    refused("", "spec.listeners", "has 0 entries, and needs 1");
    refused(
        "{name: a, port: 80, protocol: HTTP, hostname: A.example.com}",
        "spec.listeners[0].hostname",
        "is no DNS name in lower case, with or without *. before it",
    );
}

#[test]
fn parents_that_repeat_are_told_apart() {
    let with = |parents: &str| format!("{{parentRefs: [{parents}]}}");
    is_taken(ObjectKind::HTTPRoute, &with("{name: g, sectionName: a}, {name: g, sectionName: b}"));
    is_taken(ObjectKind::HTTPRoute, &with("{name: g}, {name: g, kind: Service, group: ''}"));
    is_refused(
        ObjectKind::HTTPRoute,
        &[
            (
                &with("{name: g}, {name: g, group: gateway.networking.k8s.io}"),
                "spec",
                "parentRefs[1] repeats an object without another sectionName or port",
            ),
            (
                &with("{name: g}, {name: g, port: 80}"),
                "spec",
                "parentRefs name an object twice: each needs sectionName or port",
            ),
        ],
    );
}

#[test]
fn filters_hold_what_their_type_says_and_do_not_exclude_each_other() {
    let with = |filters: &str, more: &str| format!("{{{PARENT}, rules: [{{filters: [{filters}]{more}}}]}}");
    let refused = |filters: &str, more: &str, field: &str, message: &str| {
        is_refused(ObjectKind::HTTPRoute, &[(&with(filters, more), field, message)]);
    };
    let modifier = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}";
    let redirect = "{type: RequestRedirect, requestRedirect: {scheme: https}}";
    is_taken(ObjectKind::HTTPRoute, &with(&format!("{modifier}, {redirect}"), ""));
    refused("{type: CORS}", "", "spec.rules[0].filters[0]", "type: CORS needs cors");
    refused(
        "{type: CORS, cors: {}, urlRewrite: {}}",
        "",
        "spec.rules[0].filters[0]",
        "urlRewrite is only for type: URLRewrite",
    );
    refused(
        &format!("{modifier}, {modifier}"),
        "",
        "spec.rules[0]",
        "there may be one filter of type RequestHeaderModifier",
    );
    refused(
        redirect,
        ", backendRefs: [{name: b, port: 80}]",
        "spec.rules[0]",
        "a filter RequestRedirect leaves nothing for backendRefs",
    );
    refused(
        "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}",
        ", matches: [{path: {type: Exact, value: /a}}]",
        "spec.rules[0]",
        "replacePrefixMatch needs exactly one match, of type PathPrefix",
    );
}

#[test]
fn paths_backends_and_spans_are_judged() {
    let rule = |rule: &str| format!("{{{PARENT}, rules: [{{{rule}}}]}}");
    is_taken(ObjectKind::HTTPRoute, &rule("matches: [{path: {type: RegularExpression, value: 'a//b'}}]"));
    is_taken(ObjectKind::HTTPRoute, &rule("backendRefs: [{group: example.com, kind: Store, name: s}]"));
    is_taken(ObjectKind::HTTPRoute, &rule("timeouts: {request: 0s, backendRequest: 1h}"));
    is_refused(
        ObjectKind::HTTPRoute,
        &[
            (
                &rule("matches: [{path: {value: a}}]"),
                "spec.rules[0].matches[0].path",
                "value a must begin with / for type PathPrefix",
            ),
            (
                &rule("matches: [{path: {value: /a/..}}]"),
                "spec.rules[0].matches[0].path",
                "value /a/.. must not have /.. for type PathPrefix",
            ),
            (&rule("backendRefs: [{name: s}]"), "spec.rules[0].backendRefs[0]", "a Service needs port"),
            (
                &rule("timeouts: {request: 1s500ms, backendRequest: 2s}"),
                "spec.rules[0].timeouts",
                "backendRequest is longer than request",
            ),
            (
                &rule("timeouts: {request: 1.5s}"),
                "spec.rules[0].timeouts.request",
                "is no time span: one to four of a number and h, m, s or ms, such as 1m30s",
            ),
        ],
    );
}

#[test]
fn an_object_has_a_spec() {
    let (severity, _, message) = found(ObjectKind::HTTPRoute, "null").remove(0);
    assert_eq!((severity, &*message), (Severity::Error, "spec is required"));
}
