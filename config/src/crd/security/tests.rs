use crate::{
    crd::{self, ParseContext, Parsed},
    diagnostic::Severity,
    matcher::StringMatch,
    model::{
        Authorization, PeerAuthentication,
        authorization::{Action, Attribute, ConditionValue, PathRule, Values},
        peer_authentication::MtlsMode,
    },
    name::{NamespacedName, Port},
};

/// What one object means, and `severity code field` of each finding.
fn parse(kind: &str, annotations: &str, spec: &str) -> (Option<Parsed>, Vec<String>) {
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: p, namespace: shop, annotations: {{{annotations}}}}}\nspec:\n{spec}\n"
    );
    let (objects, mut found) = crd::read_text(&"f".into(), &text);
    let parsed = objects.first().and_then(|object| {
        let (parsed, more) = crd::parse(object, &ParseContext::default());
        found.extend(more);
        parsed
    });
    let line = |d: &crate::diagnostic::Diagnostic| format!("{:?} {} {}", d.severity, d.code, d.field);
    (parsed, found.iter().map(line).collect())
}

fn policy(spec: &str) -> Authorization {
    match parse("AuthorizationPolicy", "", spec) {
        (Some(Parsed::AuthorizationPolicy(policy)), found) if found.is_empty() => policy,
        other => panic!("{other:?}"),
    }
}

fn refused(spec: &str, field: &str) {
    let (parsed, found) = parse("AuthorizationPolicy", "", spec);
    assert_eq!(parsed, None, "{spec}");
    let at_field = |f: &String| f.starts_with("Error") && f.ends_with(&format!(" {field}"));
    assert!(found.iter().any(at_field), "{spec}: {found:?}");
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

#[test]
fn every_field_of_a_source_is_read() {
    let policy = policy(
        "  selector: {matchLabels: {app: cart}}
  rules:
  - from:
    - source:
        principals: [a, 'b*', '*c', '*']
        notPrincipals: [d]
        requestPrincipals: [iss/sub]
        notRequestPrincipals: ['*']
        namespaces: [x, 'x*', '*x', 'a*b']
        notNamespaces: [y]
        trustDomains: [td1]
        notTrustDomains: [td2]
        ipBlocks: [10.1.2.3, 10.0.0.1/8]
        notIpBlocks: ['fd00::/8']
        remoteIpBlocks: [1.2.3.4]
        notRemoteIpBlocks: [5.6.7.8/16]
    - source:
        serviceAccounts: [sa, other/sa]
        notServiceAccounts: [bad]",
    );
    let [first, second] = &policy.rules[0].sources[..] else { panic!() };
    let want = [exact("a"), StringMatch::Prefix("b".into()), StringMatch::Suffix("c".into()), StringMatch::Present];
    assert_eq!(first.principals, Values { any_of: want.to_vec(), none_of: vec![exact("d")] });
    let StringMatch::Regex(pattern) = &first.namespaces.any_of[3] else { panic!() };
    assert_eq!(pattern.as_str(), "a.*b");
    assert_eq!(first.ip_blocks.any_of, ["10.1.2.3/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    assert_eq!(first.remote_ip_blocks.none_of, ["5.6.0.0/16".parse().unwrap()]);
    assert_eq!((first.trust_domains.any_of.len(), first.request_principals.none_of.len()), (1, 1));
    let accounts = [NamespacedName::new("shop", "sa"), NamespacedName::new("other", "sa")];
    assert_eq!(second.service_accounts.any_of, accounts);
    assert_eq!((policy.action, policy.selector.get("app").map(|v| &**v)), (Action::Allow, Some("cart")));
}

#[test]
fn operations_and_templates_are_read() {
    let policy = policy(
        "  action: DENY
  rules:
  - to:
    - operation: {hosts: [a.b], notHosts: ['*.c'], ports: ['80'], notPorts: ['0'], methods: [GET], notMethods: ['P*'],
        paths: [/a, '/b/*', '/c/{*}/{**}'], notPaths: ['*']}",
    );
    let operation = &policy.rules[0].operations[0];
    assert_eq!((&operation.ports.any_of[..], &operation.ports.none_of[..]), (&[80][..], &[0][..]));
    let PathRule::Template(template) = &operation.paths.any_of[2] else { panic!() };
    assert!(template.matches(b"/c/x/y/z") && !template.matches(b"/c/x"));
    assert_eq!(operation.paths.none_of, [PathRule::Text(StringMatch::Present)]);
}

#[test]
fn conditions_have_values_of_their_kind() {
    let policy = policy(
        "  rules:
  - when:
    - {key: 'request.headers[X-Id]', values: ['*']}
    - {key: source.ip, notValues: [10.0.0.0/8]}
    - {key: destination.port, values: ['443']}
    - {key: source.serviceAccount, values: [sa]}
    - {key: 'request.auth.claims[a][b]', values: [c]}
    - {key: 'experimental.envoy.filters.a.b[c]', values: ['[v]', w]}",
    );
    let conditions = &policy.rules[0].conditions;
    let keys: Vec<_> = conditions.iter().map(|c| c.key.clone()).collect();
    assert_eq!(
        keys,
        [
            Attribute::RequestHeader("x-id".into()),
            Attribute::SourceIp,
            Attribute::DestinationPort,
            Attribute::SourceServiceAccount,
            Attribute::RequestClaim(vec!["a".into(), "b".into()]),
            Attribute::FilterMetadata { filter: "envoy.filters.a.b".into(), path: vec!["c".into()] },
        ]
    );
    assert_eq!(conditions[1].values.none_of, [ConditionValue::Block("10.0.0.0/8".parse().unwrap())]);
    assert_eq!(conditions[2].values.any_of, [ConditionValue::Port(443)]);
    assert_eq!(conditions[3].values.any_of, [ConditionValue::ServiceAccount(NamespacedName::new("shop", "sa"))]);
    let listed = [ConditionValue::ListElement(exact("v")), ConditionValue::Text(exact("w"))];
    assert_eq!(conditions[5].values.any_of, listed);
}

#[test]
fn an_empty_rule_and_no_rule_differ() {
    assert_eq!(policy("  rules: [{}]").rules.len(), 1);
    assert_eq!(policy("  {}").rules.len(), 0);
    let (parsed, found) = parse("AuthorizationPolicy", "", "  action: DENY");
    assert!(parsed.is_some());
    // In Istio such a policy never is: its webhook refuses it.
    assert_eq!(found, ["Warning never-matches spec", "Warning refused-by-validation spec"]);
}

#[test]
fn providers_belong_to_custom() {
    assert_eq!(policy("  action: CUSTOM\n  provider: {name: ask}\n  rules: [{}]").action, Action::Custom("ask".into()));
    refused("  action: CUSTOM\n  rules: [{}]", "spec");
    refused("  provider: {name: ask}", "spec.provider");
    refused("  action: PERMIT", "spec.action");
}

#[test]
fn dry_run_is_an_annotation() {
    for (annotation, want, findings) in [
        ("", false, 0),
        ("istio.io/dry-run: 'true'", true, 0),
        ("istio.io/dry-run: 'T'", true, 0),
        ("istio.io/dry-run: 'false'", false, 0),
        ("istio.io/dry-run: 'yes'", false, 1),
    ] {
        let (Some(Parsed::AuthorizationPolicy(policy)), found) =
            parse("AuthorizationPolicy", annotation, "  rules: [{}]")
        else {
            panic!("{annotation}")
        };
        assert_eq!((policy.dry_run, found.len()), (want, findings), "{annotation}: {found:?}");
    }
}

#[test]
fn policies_with_targets_are_not_taken_for_workloads() {
    let (parsed, found) = parse(
        "AuthorizationPolicy",
        "",
        "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]\n  rules: [{}]",
    );
    assert_eq!((parsed, found), (None, vec!["Warning field-not-acted-on spec.targetRefs".to_owned()]));
}

#[test]
fn mistakes_name_their_field() {
    refused("  rules: [{from: [{source: {ipBlocks: [nowhere]}}]}]", "spec.rules[0].from[0].source.ipBlocks[0]");
    refused("  rules: [{from: [{source: {}}]}]", "spec.rules[0].from[0].source");
    refused("  rules: [{from: [{source: {principals: ['']}}]}]", "spec.rules[0].from[0].source.principals[0]");
    refused("  rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]", "spec.rules[0].from[0].source");
    refused(
        "  rules: [{from: [{source: {serviceAccounts: ['a*']}}]}]",
        "spec.rules[0].from[0].source.serviceAccounts[0]",
    );
    refused("  rules: [{to: [{operation: {ports: ['70000']}}]}]", "spec.rules[0].to[0].operation.ports[0]");
    refused("  rules: [{to: [{operation: {path: [/a]}}]}]", "spec.rules[0].to[0].operation.path");
    for path in ["/{**}/{*}", "/{*}/*", "/a{*}", "/{x}"] {
        refused(
            &format!("  rules: [{{to: [{{operation: {{paths: ['{path}']}}}}]}}]"),
            "spec.rules[0].to[0].operation.paths[0]",
        );
    }
    refused("  rules: [{when: [{key: source.colour, values: [a]}]}]", "spec.rules[0].when[0].key");
    refused("  rules: [{when: [{key: source.ip}]}]", "spec.rules[0].when[0]");
    refused("  rules: [{when: [{key: request.headers, values: [a]}]}]", "spec.rules[0].when[0].key");
}

fn peer(spec: &str) -> PeerAuthentication {
    match parse("PeerAuthentication", "", spec) {
        (Some(Parsed::PeerAuthentication(policy)), found) if found.is_empty() => policy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn peer_authentication_is_read() {
    let policy = peer(
        "  selector: {matchLabels: {app: a}}\n  mtls: {mode: STRICT}\n  portLevelMtls: {8080: {mode: DISABLE}, 9090: {mode: UNSET}}",
    );
    assert_eq!(policy.mode, Some(MtlsMode::Strict));
    let port = |n| Port::new(n).unwrap();
    assert_eq!(
        policy.ports.into_iter().collect::<Vec<_>>(),
        [(port(8080), Some(MtlsMode::Disable)), (port(9090), None)]
    );
    assert_eq!((peer("  {}").mode, peer("  selector: {}").selector), (None, None));
}

#[test]
fn port_levels_need_a_workload() {
    for spec in ["  portLevelMtls: {80: {mode: STRICT}}", "  selector: {matchLabels: {a: b}}\n  portLevelMtls: {0: {}}"]
    {
        let (parsed, found) = parse("PeerAuthentication", "", spec);
        assert!(
            parsed.is_none() && found.iter().any(|f| f.starts_with(&format!("{:?}", Severity::Error))),
            "{found:?}"
        );
    }
}

#[test]
fn no_condition_is_no_condition() {
    let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec: {rules: [{to: [{operation: {methods: [GET]}}], when: []}]}\n";
    let (objects, _) = crate::crd::read_text(&"f".into(), text);
    assert_eq!(crate::crd::validate(&objects[0], &crate::crd::ParseContext::default()), []);
}
