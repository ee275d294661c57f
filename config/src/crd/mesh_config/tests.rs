use super::*;
use crate::{crd, diagnostic::Severity, model::destination::TcpKeepalive, name::NamespacedName};

fn read(text: &str) -> (MeshConfig, Vec<String>) {
    let (config, found) = parse_text(text, &"istio-system".into());
    (config, found.iter().map(|d| format!("{:?} {} {}", d.severity, d.code, d.field)).collect())
}

fn settings(text: &str) -> Settings {
    let (config, found) = read(text);
    assert_eq!(found, [""; 0], "{text}");
    config.settings
}

#[test]
fn nothing_said_is_the_default() {
    assert_eq!((settings(""), settings("{}")), (Settings::default(), Settings::default()));
}

#[test]
fn what_proxies_act_on_is_read() {
    let read = settings(
        "trustDomain: td1
trustDomainAliases: [cluster.local, td2]
rootNamespace: mesh-root
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
enableAutoMtls: false
pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}
connectTimeout: 3s
protocolDetectionTimeout: 100ms
tcpKeepalive: {probes: 3, time: 60s, interval: 5s}
h2UpgradePolicy: UPGRADE
defaultHttpRetryPolicy: {attempts: 4}
accessLogFile: /dev/stdout
accessLogFormat: '%PROTOCOL%'
accessLogEncoding: JSON
meshMTLS: {minProtocolVersion: TLSV1_3}
defaultConfig: {terminationDrainDuration: 1s, gatewayTopology: {numTrustedProxies: 2}}
",
    );
    let keepalive =
        TcpKeepalive { probes: Some(3), time: Some(Duration::from_secs(60)), interval: Some(Duration::from_secs(5)) };
    let want = Settings {
        trust_domain: "td1".parse().unwrap(),
        trust_domain_aliases: vec!["cluster.local".parse().unwrap(), "td2".parse().unwrap()],
        root_namespace: "mesh-root".into(),
        cluster_domain: "cluster.local".into(),
        outbound_policy: OutboundPolicy::RegistryOnly,
        auto_mtls: false,
        path_normalization: Normalization::DecodeAndMergeSlashes,
        connect_timeout: Duration::from_secs(3),
        protocol_detection_timeout: Duration::from_millis(100),
        tcp_keepalive: Some(keepalive),
        h2_upgrade: H2Upgrade::Upgrade,
        default_retries: read.default_retries.clone(),
        access_log: AccessLog {
            file: "/dev/stdout".into(),
            format: "%PROTOCOL%".into(),
            encoding: AccessLogEncoding::Json,
        },
        termination_drain_duration: Duration::from_secs(1),
        trusted_proxies: 2,
        require_tls13: true,
        external_authorizers: Vec::new(),
    };
    assert_eq!(read.default_retries.as_ref().map(|r| r.attempts), Some(4));
    assert_eq!(read, want);
}

#[test]
fn other_objects_are_read_with_it() {
    let (config, _) = read(
        "{rootNamespace: r, trustDomain: t, defaultServiceExportTo: ['.'], defaultDestinationRuleExportTo: [a, b]}",
    );
    let want = ParseContext {
        root_namespace: "r".into(),
        trust_domain: "t".parse().unwrap(),
        default_service_export_to: vec![".".into()],
        default_destination_rule_export_to: vec!["a".into(), "b".into()],
        ..ParseContext::default()
    };
    assert_eq!(config.context, want);
}

#[test]
fn what_is_not_acted_on_is_named() {
    let (_, found) = read(
        "{enableTracing: true, defaultConfig: {concurrency: 2, drainDuration: 10s}, dnsRefreshRate: 5s, \
         outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}",
    );
    let want = ["outboundTrafficPolicy.mode", "defaultConfig.drainDuration", "enableTracing", "dnsRefreshRate"];
    assert_eq!(found, want.map(|field| format!("Warning field-not-acted-on {field}")));
}

#[test]
fn keep_alive_numbers_of_zero_are_the_systems() {
    let read = settings("tcpKeepalive: {probes: 0, time: 60s}");
    assert_eq!(
        read.tcp_keepalive,
        Some(TcpKeepalive { time: Some(Duration::from_secs(60)), ..TcpKeepalive::default() })
    );
}

#[test]
fn fields_within_what_is_not_acted_on_are_checked() {
    let (_, found) = read("{extensionProviders: [{name: spans, zipkin: {service: a, port: 9411, path: 7}}]}");
    let want = [
        "Warning refused-by-validation extensionProviders[0].zipkin.path",
        "Warning field-not-acted-on extensionProviders[0].zipkin",
    ];
    assert_eq!(found, want);
}

#[test]
fn a_provider_is_read_once() {
    let (_, found) = read("{extensionProviders: [{envoyFileAccessLog: {path: /dev/stdout}}, 7]}");
    assert_eq!(found, ["Error missing-field extensionProviders[0].name", "Error invalid-field extensionProviders[1]"]);
}

#[test]
fn networks_are_checked_and_said_to_have_no_effect() {
    let found = |networks: &str| {
        let text = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: istio, namespace: istio-system}}, data: {{meshNetworks: {networks:?}}}}}"
        );
        let (objects, _) = crd::read_text(&"f".into(), &text);
        let found = crd::validate(&objects[0], &crd::ParseContext::default());
        found.iter().map(|d| format!("{:?} {} {}", d.severity, d.code, d.field)).collect::<Vec<_>>()
    };
    let good = "networks: {one: {endpoints: [{fromRegistry: a}], gateways: [{address: 1.2.3.4, port: 15443}]}}";
    assert_eq!(found(good), ["Warning field-not-acted-on data.meshNetworks"]);
    assert_eq!(
        found("networks: {one: {endpoint: []}}"),
        [
            "Error refused-by-validation data.meshNetworks.networks.one.endpoint",
            "Warning field-not-acted-on data.meshNetworks"
        ]
    );
}

#[test]
fn unknown_fields_do_not_cost_the_rest() {
    let (config, found) = read("{trustDomain: td1, trustDomian: td2, defaultConfig: {drainTime: 1s}}");
    assert_eq!(config.settings.trust_domain.as_str(), "td1");
    assert_eq!(found, ["Warning unknown-field defaultConfig.drainTime", "Warning unknown-field trustDomian"]);
}

#[test]
fn providers_that_cannot_be_used_are_kept_as_such() {
    let (config, found) = read(
        "extensionProviders:
- {name: good, envoyExtAuthzGrpc: {service: ns/a.example, port: 9000, timeout: 1s, failOpen: true}}
- {name: bad, envoyExtAuthzHttp: {service: '', port: 99999, statusOnError: '999', pathPrefix: check}}
- {name: twice, envoyExtAuthzHttp: {service: b.example, port: 1}}
- {name: twice, envoyExtAuthzHttp: {service: b.example, port: 1}}
- {name: metrics, prometheus: {}}
",
    );
    let seen: Vec<_> = config
        .settings
        .external_authorizers
        .iter()
        .map(|a| (&*a.name, a.grpc, a.service.as_str(), a.invalid.is_some()))
        .collect();
    let want = [
        ("good", true, "a.example", false),
        ("bad", false, "unknown.invalid", true),
        ("twice", false, "b.example", true),
    ];
    assert_eq!(seen, want);
    let why = config.settings.external_authorizers[1].invalid.as_deref().unwrap();
    assert!(["99999", "service", "999", "pathPrefix"].iter().all(|part| why.contains(part)), "{why}");
    assert!(found.iter().all(|f| f.starts_with("Warning")), "{found:?}");
}

#[test]
fn wrong_values_are_errors() {
    for text in [
        "connectTimeout: soon",
        "pathNormalization: {normalization: ALL}",
        "a: [",
        "[]",
        "outboundTrafficPolicy: {mode: X}",
    ] {
        let (_, found) = parse_text(text, &"istio-system".into());
        assert!(found.iter().any(|d| d.severity == Severity::Error), "{text}: {found:?}");
    }
}

#[test]
fn only_the_config_map_of_the_own_namespace_and_revision_counts() {
    let parse = |namespace: &str, name: &str, key: &str, own: &str| {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata:\n  {key}: |-\n    trustDomain: td1\n    colour: red\n"
        );
        let (objects, _) = crd::read_text(&"f".into(), &text);
        let context = ParseContext { mesh_config: NamespacedName::new("istio-system", own), ..ParseContext::default() };
        crd::parse(&objects[0], &context)
    };
    for name in ["istio", "istio-canary"] {
        let (Some(crd::Parsed::ConfigMap(config)), found) = parse("istio-system", name, "mesh", name) else {
            panic!("{name}")
        };
        assert_eq!(config.settings.trust_domain.as_str(), "td1");
        assert_eq!(found.iter().map(|d| &*d.field).collect::<Vec<_>>(), ["data.mesh.colour"]);
    }
    for (name, key) in [("app", "mesh"), ("istio", "other")] {
        assert_eq!(parse("istio-system", name, key, "istio"), (None, Vec::new()), "{name} {key}");
    }
    for (namespace, name, own) in [
        ("tenant", "istio", "istio"),
        ("istio-system", "istio-canary", "istio"),
        ("istio-system", "istio", "istio-canary"),
    ] {
        let (parsed, found) = parse(namespace, name, "mesh", own);
        assert_eq!(parsed, None, "{namespace}/{name}");
        let found: Vec<_> = found.iter().map(|d| (d.severity, d.code)).collect();
        assert_eq!(found, [(Severity::Info, "mesh-config-elsewhere")], "{namespace}/{name}");
    }
}
