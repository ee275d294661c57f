//! Policies are written as model values here: what YAML becomes them is the vocabulary crate's to test.

use super::*;
use crate::authz::HttpAttributes;
use mesh_config::{
    identity::PeerIdentity,
    matcher::{PathTemplate, StringMatch},
    model::{
        Authorization, Labels, Settings,
        authorization::{Action, Attribute, Condition, ConditionValue, Operation, PathRule, Rule, Source, Values},
        settings::ExternalAuthorizer,
    },
    name::NamespacedName,
};
use serde_json::{Value, json};
use std::sync::Arc;

fn text(written: &str) -> StringMatch {
    match (written, written.strip_prefix('*'), written.strip_suffix('*')) {
        ("*", ..) => StringMatch::Present,
        (_, Some(suffix), _) => StringMatch::Suffix(suffix.into()),
        (_, _, Some(prefix)) => StringMatch::Prefix(prefix.into()),
        _ => StringMatch::Exact(written.into()),
    }
}

fn any<T: Clone>(values: &[T]) -> Values<T> {
    Values { any_of: values.to_vec(), none_of: Vec::new() }
}

fn none<T: Clone>(values: &[T]) -> Values<T> {
    Values { any_of: Vec::new(), none_of: values.to_vec() }
}

fn texts(written: &[&str]) -> Values<StringMatch> {
    any(&written.iter().map(|w| text(w)).collect::<Vec<_>>())
}

fn from(source: Source) -> Rule {
    Rule { sources: vec![source], ..Rule::default() }
}

fn to(operation: Operation) -> Rule {
    Rule { operations: vec![operation], ..Rule::default() }
}

fn when(key: Attribute, values: Values<ConditionValue>) -> Rule {
    Rule { conditions: vec![Condition { key, values }], ..Rule::default() }
}

fn named(name: &str, action: Action, rules: Vec<Rule>) -> Arc<Authorization> {
    let name = NamespacedName::new("shop", name);
    Arc::new(Authorization { name, selector: Labels::default(), action, dry_run: false, rules })
}

fn tried(name: &str, action: Action, rules: Vec<Rule>) -> Arc<Authorization> {
    Arc::new(Authorization { dry_run: true, ..(*named(name, action, rules)).clone() })
}

/// A call and what is known about it; the defaults are a plain `GET /`.
struct Call {
    tcp: bool,
    method: &'static str,
    path: &'static str,
    authority: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    peer: Option<&'static str>,
    source_ip: &'static str,
    port: u16,
    sni: Option<&'static str>,
    metadata: Value,
}

impl Default for Call {
    fn default() -> Self {
        Call {
            tcp: false,
            method: "GET",
            path: "/",
            authority: Some("web.shop"),
            headers: Vec::new(),
            peer: None,
            source_ip: "10.0.0.1",
            port: 8080,
            sni: None,
            metadata: Value::Null,
        }
    }
}

impl Call {
    fn from(peer: &'static str) -> Call {
        Call { peer: Some(peer), ..Call::default() }
    }

    fn decided<T>(&self, policies: &Policies, of: impl FnOnce(&Verdict<'_>) -> T) -> T {
        let peer = self.peer.map(PeerIdentity::new);
        let http = HttpAttributes {
            method: self.method.as_bytes(),
            path: self.path.as_bytes(),
            authority: self.authority.map(str::as_bytes),
            headers: &self.headers,
        };
        let ip = self.source_ip.parse().ok();
        of(&decide(
            policies,
            &Attributes {
                http: (!self.tcp).then_some(http),
                peer: peer.as_ref(),
                source_ip: ip,
                remote_ip: ip,
                destination_ip: "10.0.0.9".parse().ok(),
                destination_port: self.port,
                sni: self.sni,
                metadata: Some(&self.metadata),
            },
        ))
    }
}

fn build(policies: &[Arc<Authorization>]) -> Policies {
    Policies::build(policies, &Settings::default())
}

/// Whether a DENY policy of this one rule refuses the call, which is whether the rule matches it.
fn matches(rule: &Rule, call: &Call) -> bool {
    let policies = build(&[named("p", Action::Deny, vec![rule.clone()])]);
    call.decided(&policies, |v| v.allowed().is_err())
}

fn why(policies: &Policies, call: &Call) -> Result<(), String> {
    call.decided(policies, |v| v.allowed().map(|_| ()).map_err(|denial| denial.to_string()))
}

#[test]
fn deny_comes_before_allow_and_names_its_rule() {
    let get = to(Operation { methods: texts(&["GET"]), ..Operation::default() });
    let admin = to(Operation { paths: any(&[PathRule::Text(text("/admin*"))]), ..Operation::default() });
    let policies = build(&[named("allow-get", Action::Allow, vec![get]), named("no-admin", Action::Deny, vec![admin])]);
    assert_eq!(why(&policies, &Call::default()), Ok(()));
    let refused = why(&policies, &Call { path: "/admin?x", ..Call::default() });
    assert_eq!(refused, Err("rbac_access_denied_matched_policy[ns[shop]-policy[no-admin]-rule[0]]".into()));
    let refused = why(&policies, &Call { method: "POST", ..Call::default() });
    assert_eq!(refused, Err("rbac_access_denied_matched_policy[none]".into()));
    let by = Call::default().decided(&policies, |v| v.decided_by().map(ToString::to_string));
    assert_eq!(by.as_deref(), Some("ns[shop]-policy[allow-get]-rule[0]"));
}

#[test]
fn no_policy_allows_and_a_policy_without_rules_allows_nothing() {
    assert_eq!(why(&build(&[]), &Call::default()), Ok(()));
    assert!(why(&build(&[named("p", Action::Allow, vec![])]), &Call::default()).is_err());
    assert_eq!(why(&build(&[named("p", Action::Allow, vec![Rule::default()])]), &Call::default()), Ok(()));
    assert_eq!(why(&build(&[named("p", Action::Deny, vec![])]), &Call::default()), Ok(()));
    assert!(why(&build(&[named("p", Action::Deny, vec![Rule::default()])]), &Call::default()).is_err());
    assert!(build(&[]).is_empty() && !build(&[named("p", Action::Allow, vec![])]).is_empty());
}

#[test]
fn principals_match_identities_of_any_form() {
    let principals = |written: &str| from(Source { principals: texts(&[written]), ..Source::default() });
    for (written, peer, want) in [
        ("cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/b", true),
        ("cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/bb", false),
        ("cluster.local/ns/a/sa/b", "cluster.local/ns/a/sa/b", false),
        ("cluster.local/ns/a*", "spiffe://cluster.local/ns/ab/sa/b", true),
        ("*/sa/b", "spiffe://other/ns/a/sa/b", true),
        ("*/sa/b", "https://other/ns/a/sa/b", false),
        ("*", "anything", true),
        ("*", "", false),
        ("deny", "spiffe://deny", true),
    ] {
        assert_eq!(matches(&principals(written), &Call::from(peer)), want, "{written} on {peer}");
    }
    assert!(!matches(&principals("*"), &Call::default()), "plain text has no principal");
}

#[test]
fn namespaces_are_what_stands_between_ns_and_a_slash() {
    let namespaces = |written: &str| from(Source { namespaces: texts(&[written]), ..Source::default() });
    for (written, peer, want) in [
        ("a", "spiffe://td/ns/a/sa/b", true),
        ("a", "spiffe://td/ns/ab/sa/b", false),
        ("a", "spiffe://td/ns/a", false),
        ("a", "https://x/y/ns/a/z", true),
        ("a*", "spiffe://td/ns/ab/sa/b", true),
        ("a*", "spiffe://td/ns/ab", false),
        ("*b", "spiffe://td/ns/ab/sa/b", true),
        ("*b", "spiffe://td/ns/a/sa/b", false),
        ("*sa", "spiffe://td/ns/a/sa/b", true),
        ("*", "spiffe://td/ns/a/sa/b", true),
        ("*", "spiffe://td/x", false),
    ] {
        assert_eq!(matches(&namespaces(written), &Call::from(peer)), want, "{written} on {peer}");
    }
}

#[test]
fn service_accounts_allow_more_segments() {
    let account = [NamespacedName::new("a", "b")];
    let rule = from(Source { service_accounts: any(&account), ..Source::default() });
    for (peer, want) in [
        ("spiffe://td/ns/a/sa/b", true),
        ("spiffe://td/x/y/ns/a/sa/b", true),
        ("spiffe://td/ns/a/pod/p/sa/b", true),
        ("spiffe://td/ns/a/sa/b/pod/p", true),
        ("spiffe://td/ns/a/sa/b/", false),
        ("spiffe://td/ns/a/sa/bb", false),
        ("spiffe://td/ns/a/xsa/b", false),
        ("spiffe://td/ns/a//sa/b", false),
        ("spiffe://td/ns/aa/sa/b", false),
        ("spiffe:///ns/a/sa/b", false),
        ("spiffe://é/ns/a/sa/b", true),
        ("https://td/ns/a/sa/b", false),
        ("spiffe://td/ns/x/ns/a/sa/b", true),
        ("spiffe://td/ns/a/ns/a/sa/b", true),
    ] {
        assert_eq!(matches(&rule, &Call::from(peer)), want, "{peer}");
    }
}

#[test]
fn aliases_and_the_placeholder_stand_for_the_trust_domain() {
    let settings = Settings {
        trust_domain: "td1".parse().unwrap(),
        trust_domain_aliases: vec!["td2".parse().unwrap()],
        ..Settings::default()
    };
    let source = |source: Source| Policies::build(&[named("p", Action::Allow, vec![from(source)])], &settings);
    let by_principal = source(Source { principals: texts(&["cluster.local/ns/a/sa/b"]), ..Source::default() });
    let by_domain = source(Source { trust_domains: texts(&["td1"]), ..Source::default() });
    for (peer, want) in [
        ("spiffe://td1/ns/a/sa/b", true),
        ("spiffe://td2/ns/a/sa/b", true),
        ("spiffe://td3/ns/a/sa/b", false),
        ("spiffe://cluster.local/ns/a/sa/b", false),
        ("spiffe://td11/ns/a/sa/b", false),
    ] {
        assert_eq!(why(&by_principal, &Call::from(peer)).is_ok(), want, "{peer}");
        assert_eq!(why(&by_domain, &Call::from(peer)).is_ok(), want, "{peer}");
    }
}

#[test]
fn hosts_ignore_case_and_each_value_of_a_header_counts_alone() {
    let host = to(Operation { hosts: texts(&["*.Shop"]), ..Operation::default() });
    assert!(matches(&host, &Call { authority: Some("WEB.sHOP"), ..Call::default() }));
    assert!(!matches(&host, &Call { authority: Some("web.shop:80"), ..Call::default() }));
    assert!(!matches(&host, &Call { authority: None, ..Call::default() }));

    let header =
        |written: &str| when(Attribute::RequestHeader("x-id".into()), any(&[ConditionValue::Text(text(written))]));
    let with = |headers: &[(&'static str, &'static str)]| Call { headers: headers.to_vec(), ..Call::default() };
    for (written, headers, want) in [
        ("a", &[("X-Id", "a")][..], true),
        ("a", &[("x-id", "A")], false),
        ("a", &[("x-id", "a"), ("x-id", "b")], true),
        ("b", &[("x-id", "a"), ("x-id", "b")], true),
        ("a,b", &[("x-id", "a"), ("x-id", "b")], false),
        ("*", &[("x-id", "")], true),
        ("*", &[], false),
    ] {
        assert_eq!(matches(&header(written), &with(headers)), want, "{written} on {headers:?}");
    }
    let method = when(Attribute::RequestHeader(":method".into()), any(&[ConditionValue::Text(text("GET"))]));
    assert!(matches(&method, &Call::default()) && !matches(&method, &Call { method: "get", ..Call::default() }));
}

#[test]
fn paths_are_looked_at_without_their_query() {
    let template = PathRule::Template(PathTemplate::new("/a/{*}").unwrap());
    for (value, path, want) in [
        (PathRule::Text(text("/a")), "/a?b", true),
        (PathRule::Text(text("/a")), "/ab", false),
        (PathRule::Text(text("*")), "/", true),
        (PathRule::Text(text("*")), "?q", false),
        (template.clone(), "/a/x?y/z", true),
        (template, "/a/x/z", false),
    ] {
        let rule = to(Operation { paths: any(std::slice::from_ref(&value)), ..Operation::default() });
        assert_eq!(matches(&rule, &Call { path, ..Call::default() }), want, "{value:?} on {path}");
    }
}

#[test]
fn what_is_not_there_matches_no_value_and_every_absence() {
    let absent = Call { authority: None, ..Call::default() };
    let not_host = to(Operation { hosts: none(&[text("*")]), ..Operation::default() });
    assert!(matches(&not_host, &absent) && !matches(&not_host, &Call::default()));
    let not_principal = from(Source { principals: none(&[text("*")]), ..Source::default() });
    assert!(matches(&not_principal, &absent) && !matches(&not_principal, &Call::from("spiffe://x")));
    let not_sni = when(Attribute::ConnectionSni, none(&[ConditionValue::Text(text("*"))]));
    assert!(matches(&not_sni, &absent) && !matches(&not_sni, &Call { sni: Some("a"), ..Call::default() }));
    let not_claim = when(Attribute::RequestClaim(vec!["a".into()]), none(&[ConditionValue::Text(text("b"))]));
    assert!(matches(&not_claim, &absent));
}

#[test]
fn addresses_and_ports_are_compared_as_such() {
    let ports = to(Operation { ports: any(&[80, 8080]), ..Operation::default() });
    assert!(matches(&ports, &Call::default()) && !matches(&ports, &Call { port: 81, ..Call::default() }));
    let blocks = from(Source { ip_blocks: any(&["10.0.0.0/8".parse().unwrap()]), ..Source::default() });
    for (source_ip, want) in
        [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("fd00::1", false), ("", false)]
    {
        assert_eq!(matches(&blocks, &Call { source_ip, ..Call::default() }), want, "{source_ip}");
    }
}

#[test]
fn tokens_are_matched_by_their_claims() {
    let payload =
        json!({"iss": "https://a/b", "sub": "me", "aud": ["x", "y"], "azp": "app", "deep": {"group": ["g1"]}});
    let metadata = json!({"envoy.filters.http.jwt_authn": {"payload": payload}});
    let call = Call { metadata, ..Call::default() };
    let principal = |w: &str| from(Source { request_principals: texts(&[w]), ..Source::default() });
    for (written, want) in [
        ("https://a/b/me", true),
        ("https://a/b/you", false),
        ("https://a/b", false),
        ("*", true),
        ("*/me", true),
        ("*a/b/me", true),
        ("*me", true),
        ("*e/you", false),
        ("https://a/b/*", true),
        ("https://a/b/m*", true),
        ("https://a/*", false),
    ] {
        assert_eq!(matches(&principal(written), &call), want, "{written}");
        assert!(!matches(&principal(written), &Call::default()), "{written} without a token");
    }
    let claim = |key: Attribute, w: &str| when(key, any(&[ConditionValue::Text(text(w))]));
    for (key, written, want) in [
        (Attribute::RequestAudiences, "y", true),
        (Attribute::RequestAudiences, "z", false),
        (Attribute::RequestPresenter, "app", true),
        (Attribute::RequestClaim(vec!["deep".into(), "group".into()]), "g*", true),
        (Attribute::RequestClaim(vec!["deep".into()]), "*", false),
        (Attribute::RequestPrincipal, "*/me", true),
    ] {
        assert_eq!(matches(&claim(key.clone(), written), &call), want, "{key:?} {written}");
    }
}

#[test]
fn filter_metadata_is_a_text_or_a_list() {
    let key = Attribute::FilterMetadata { filter: "f".into(), path: vec!["k".into()] };
    let (one, listed) = (ConditionValue::Text(text("v")), ConditionValue::ListElement(text("v")));
    let with = |value: Value| Call { metadata: json!({"f": {"k": value}}), ..Call::default() };
    for (value, found, want) in [
        (&one, json!("v"), true),
        (&one, json!(["v"]), false),
        (&listed, json!(["u", "v"]), true),
        (&listed, json!("v"), false),
        (&one, json!(1), false),
    ] {
        assert_eq!(
            matches(&when(key.clone(), any(std::slice::from_ref(value))), &with(found.clone())),
            want,
            "{value:?} on {found}"
        );
    }
}

#[test]
fn on_tcp_an_allow_rule_needs_what_it_asks_and_a_deny_rule_goes_without() {
    let tcp = |peer| Call { tcp: true, peer, ..Call::default() };
    let mixed = Rule {
        sources: vec![Source { namespaces: texts(&["a"]), request_principals: texts(&["*"]), ..Source::default() }],
        operations: vec![
            Operation { ports: any(&[8080]), methods: texts(&["GET"]), ..Operation::default() },
            Operation { ports: any(&[8080]), ..Operation::default() },
        ],
        ..Rule::default()
    };
    let inside = tcp(Some("spiffe://td/ns/a/sa/b"));
    assert!(why(&build(&[named("p", Action::Allow, vec![mixed.clone()])]), &inside).is_err());
    let deny = build(&[named("p", Action::Deny, vec![mixed])]);
    assert!(why(&deny, &inside).is_err());
    assert_eq!(why(&deny, &tcp(Some("spiffe://td/ns/x/sa/b"))), Ok(()));
    let only_http =
        build(&[named("p", Action::Deny, vec![to(Operation { methods: texts(&["GET"]), ..Operation::default() })])]);
    assert!(why(&only_http, &tcp(None)).is_err(), "nothing is left of the rule, so it matches all");
}

fn asking(provider: &str) -> Arc<Authorization> {
    let rule = to(Operation { paths: any(&[PathRule::Text(text("/ask"))]), ..Operation::default() });
    named(provider, Action::Custom(provider.into()), vec![rule])
}

fn with_provider(grpc: bool, invalid: Option<&str>) -> Settings {
    let authorizer = ExternalAuthorizer {
        name: "p".into(),
        grpc,
        service: "authz.example".parse().unwrap(),
        port: mesh_config::name::Port::new(9000).unwrap(),
        invalid: invalid.map(Into::into),
    };
    Settings { external_authorizers: vec![authorizer], ..Settings::default() }
}

#[test]
fn a_call_to_ask_about_gets_no_permit_until_somebody_did() {
    let policies = Policies::build(&[asking("p")], &with_provider(false, None));
    let call = Call { path: "/ask", ..Call::default() };
    call.decided(&policies, |v| {
        assert_eq!((v.decision, v.asks_external), (Decision::Allow(None), Some("p")));
        assert_eq!(v.allowed().unwrap_err(), Denial::NotAsked("p"));
    });
    assert_eq!(why(&policies, &Call::default()), Ok(()));
    // The rule loses its path on TCP, so all is asked; an HTTP provider cannot be.
    let tcp = Call { tcp: true, ..Call::default() };
    assert_eq!(why(&policies, &tcp), Ok(()));
    let grpc = Policies::build(&[asking("p")], &with_provider(true, None));
    assert!(tcp.decided(&grpc, |v| v.asks_external.is_some()));
}

#[test]
fn a_provider_that_cannot_be_used_refuses() {
    let call = Call { path: "/ask", ..Call::default() };
    for (policies, settings) in [
        (vec![asking("p")], with_provider(false, Some("broken"))),
        (vec![asking("p")], Settings::default()),
        (vec![asking("p"), asking("q")], with_provider(false, None)),
    ] {
        let policies = Policies::build(&policies, &settings);
        let denied = "rbac_access_denied_matched_policy[istio-ext-authz-p-ns[shop]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action]";
        assert_eq!(why(&policies, &call), Err(denied.into()));
        assert_eq!(why(&policies, &Call::default()), Ok(()));
    }
}

#[test]
fn audit_and_dry_run_only_tell() {
    let post = to(Operation { methods: texts(&["POST"]), ..Operation::default() });
    let policies = build(&[
        named("noted", Action::Audit, vec![Rule::default()]),
        tried("allow", Action::Allow, vec![post]),
        tried("deny", Action::Deny, vec![Rule::default()]),
        tried("noted-not", Action::Audit, vec![Rule::default()]),
    ]);
    Call::default().decided(&policies, |v| {
        assert_eq!(v.decision, Decision::Allow(None));
        assert_eq!(v.shadow, Some(Shadow { allow: Some(false), deny: Some(true) }));
        assert_eq!(v.audited.iter().map(|r| &*r.policy.name).collect::<Vec<_>>(), ["noted"]);
    });
    assert_eq!(Call::default().decided(&build(&[]), |v| v.shadow), None);
}

#[test]
fn the_mesh_s_own_denials_are_named_first() {
    let deny = |namespace: &str, name: &str| {
        let policy = (*named(name, Action::Deny, vec![Rule::default()])).clone();
        Arc::new(Authorization { name: NamespacedName::new(namespace, name), ..policy })
    };
    let policies = build(&[deny("a", "b"), deny("istio-system", "z"), deny("a", "a")]);
    let names: Vec<_> = policies.http.deny.iter().map(|r| r.id.policy.to_string()).collect();
    assert_eq!(names, ["istio-system/z", "a/a", "a/b"]);
}

/// What the matching by hand stands for, as patterns.
mod as_patterns {
    use super::*;
    use proptest::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn identities(peer in "(spiffe://|https://)?(td|a|)(/(ns|sa|a|b|ab|)){0,7}/?", value in "[ab]{1,2}", form in 0..4) {
            let (written, pattern) = match form {
                0 => (value.clone(), format!(".*/ns/{value}/.*")),
                1 => (format!("{value}*"), format!(".*/ns/{value}.*/.*")),
                2 => (format!("*{value}"), format!(".*/ns/.*{value}/.*")),
                _ => ("*".to_owned(), ".*/ns/.*/.*".to_owned()),
            };
            let agrees = |rule: &Rule, pattern: &str| {
                let want = mesh_config::matcher::expression(&format!("^(?:{pattern})$")).unwrap().is_match(peer.as_bytes());
                let policies = build(&[named("p", Action::Deny, vec![rule.clone()])]);
                let identity = PeerIdentity::new(&peer);
                let call = Attributes {
                    http: None, peer: Some(&identity), source_ip: None, remote_ip: None, destination_ip: None,
                    destination_port: 1, sni: None, metadata: None,
                };
                (decide(&policies, &call).allowed().is_err(), want)
            };
            let (got, want) = agrees(&from(Source { namespaces: texts(&[&written]), ..Source::default() }), &pattern);
            prop_assert_eq!(got, want, "namespace {} on {}", written, peer);
            let account = [NamespacedName::new(&value, "b")];
            let pattern = format!("spiffe://.+/ns/{value}/(.+/|)sa/b(/.+)?");
            let (got, want) = agrees(&from(Source { service_accounts: any(&account), ..Source::default() }), &pattern);
            prop_assert_eq!(got, want, "account {}/b on {}", value, peer);
        }
    }
}
