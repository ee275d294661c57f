//! What may be written: for each kind, specs that are taken and specs that are refused, with the field that is named.

#[path = "validate/edge.rs"]
mod edge;

use mesh_config::{
    crd::{ParseContext, parse, read_text, validate},
    diagnostic::Severity,
    kind::ObjectKind,
};

/// Fields of the errors about one object, in order.
fn refused_fields(kind: ObjectKind, spec: &str, annotations: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: {}\nkind: {kind}\nmetadata: {{name: a, namespace: shop, annotations: {{{annotations}}}}}\nspec: {spec}\n",
        kind.api_version()
    );
    let (objects, found) = read_text(&"f".into(), &text);
    assert_eq!(found, [], "{text}");
    let found = validate(&objects[0], &ParseContext::default());
    found.iter().filter(|d| d.severity == Severity::Error).map(|d| d.field.clone()).collect()
}

fn check(kind: ObjectKind, taken: &[&str], refused: &[(&str, &str)]) {
    for spec in taken {
        assert_eq!(refused_fields(kind, spec, ""), [""; 0], "{kind} {spec}");
    }
    for (spec, field) in refused {
        assert_eq!(refused_fields(kind, spec, ""), [*field], "{kind} {spec}");
    }
}

#[test]
fn rules_for_tokens() {
    let target = "group: gateway.networking.k8s.io, kind: Gateway, name: edge";
    check(
        ObjectKind::RequestAuthentication,
        &[
            "{}",
            "{jwtRules: [{issuer: me, audiences: [you], fromCookies: [c], timeout: 5s, forwardOriginalToken: true}]}",
            "{jwtRules: [{jwksUri: 'http://keys.example:8080/set'}]}",
            "{jwtRules: [{issuer: me, jwks: '{\"keys\": [{\"kty\": \"RSA\"}]}'}]}",
            &format!("{{targetRefs: [{{{target}}}, {{kind: Service, name: s}}]}}"),
        ],
        &[
            ("{jwtRules: [{}]}", "spec.jwtRules[0]"),
            ("{jwtRules: [{jwks: '{\"keys\": []}'}]}", "spec.jwtRules[0]"),
            ("{jwtRules: [{issuer: me, audiences: ['']}]}", "spec.jwtRules[0].audiences[0]"),
            ("{jwtRules: [{issuer: me, jwksUri: keys.example}]}", "spec.jwtRules[0].jwksUri"),
            ("{jwtRules: [{issuer: me, jwksUri: 'https:///set'}]}", "spec.jwtRules[0].jwksUri"),
            ("{jwtRules: [{issuer: me, jwks: '[]'}]}", "spec.jwtRules[0].jwks"),
            ("{jwtRules: [{issuer: me, jwks: '{\"keys\": []}', jwksUri: 'https://a/b'}]}", "spec.jwtRules[0]"),
            ("{jwtRules: [{issuer: me, fromHeaders: [{prefix: x}]}]}", "spec.jwtRules[0].fromHeaders[0].name"),
            (
                "{jwtRules: [{issuer: me, outputClaimToHeaders: [{header: 'a b', claim: c}]}]}",
                "spec.jwtRules[0].outputClaimToHeaders[0].header",
            ),
            ("{jwtRules: [{issuer: me, timeout: 1us}]}", "spec.jwtRules[0].timeout"),
            ("{jwtRules: [{issuer: me, audience: [you]}]}", "spec.jwtRules[0].audience"),
            (&format!("{{targetRef: {{{target}, namespace: other}}}}"), "spec.targetRef.namespace"),
            ("{targetRef: {group: apps, kind: Deployment, name: a}}", "spec.targetRef"),
            ("{targetRef: {kind: Service, name: ''}}", "spec.targetRef.name"),
            (&format!("{{selector: {{matchLabels: {{a: b}}}}, targetRef: {{{target}}}}}"), "spec"),
            ("{selector: {matchLabels: {a: '*'}}}", "spec.selector.matchLabels.a"),
        ],
    );
    let dry_run = "istio.io/dry-run: 'true'";
    assert_eq!(refused_fields(ObjectKind::RequestAuthentication, "{}", dry_run), ["spec"]);
    assert_eq!(refused_fields(ObjectKind::AuthorizationPolicy, "{action: AUDIT, rules: [{}]}", dry_run), ["spec"]);
}

#[test]
fn code_in_proxies() {
    let sum = "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b";
    check(
        ObjectKind::WasmPlugin,
        &[
            "{url: registry.example/filter:1}",
            &format!(
                "{{url: 'oci://r/f', sha256: {sum}, phase: AUTHN, priority: -3, pluginConfig: {{a: [1]}}, failStrategy: FAIL_OPEN}}"
            ),
            "{url: 'file:///f.wasm', vmConfig: {env: [{name: A, value: x}, {name: B, valueFrom: HOST}]}, match: [{mode: SERVER, ports: [{number: 80}]}]}",
        ],
        &[
            ("{}", "spec.url"),
            ("{url: 'ftp://r/f'}", "spec.url"),
            ("{url: r/f, sha256: abc}", "spec.sha256"),
            ("{url: r/f, phase: LAST}", "spec.phase"),
            ("{url: r/f, pluginConfig: 3}", "spec.pluginConfig"),
            ("{url: r/f, vmConfig: {env: [{name: A}, {name: A}]}}", "spec.vmConfig.env[1]"),
            ("{url: r/f, vmConfig: {env: [{name: A, valueFrom: HOST, value: x}]}}", "spec.vmConfig.env[0].value"),
            ("{url: r/f, match: [{ports: [{number: 0}]}]}", "spec.match[0].ports[0].number"),
        ],
    );
    check(
        ObjectKind::TrafficExtension,
        &["{lua: {inlineCode: 'x = 1'}}", "{wasm: {url: r/f, pluginName: n}, phase: STATS}"],
        &[
            ("{}", "spec"),
            ("{wasm: {url: r/f}, lua: {inlineCode: x}}", "spec"),
            ("{wasm: {}}", "spec.wasm.url"),
            ("{lua: {inlineCode: ''}}", "spec.lua.inlineCode"),
        ],
    );
}

#[test]
fn patches_groups_and_proxies() {
    check(
        ObjectKind::EnvoyFilter,
        &[
            "{configPatches: [{applyTo: CLUSTER, match: {cluster: {service: a}}, patch: {operation: ADD, value: {name: x, '@type': y}}}]}",
            "{workloadSelector: {labels: {a: b}}, configPatches: [{applyTo: BOOTSTRAP, match: {proxy: {proxyVersion: '^1\\.2.*?'}}, patch: {operation: MERGE, value: {}}}]}",
        ],
        &[
            ("{configPatches: [{applyTo: CLUSTER, patch: {operation: ADD}}]}", "spec.configPatches[0].patch"),
            ("{configPatches: [{applyTo: CLUSTER, patch: {value: {}}}]}", "spec.configPatches[0].patch"),
            (
                "{configPatches: [{applyTo: CLUSTER, match: {listener: {}}, patch: {operation: REMOVE}}]}",
                "spec.configPatches[0].match",
            ),
            (
                "{configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: x, subFilter: {name: y}}}}}, patch: {operation: REMOVE}}]}",
                "spec.configPatches[0].match.listener.filterChain.filter",
            ),
            ("{configPatches: [{applyTo: CLUSTER}]}", "spec.configPatches[0].patch"),
            ("{configPatches: [{applyTo: SOMEWHERE, patch: {operation: REMOVE}}]}", "spec.configPatches[0].applyTo"),
            (
                "{configPatches: [{applyTo: BOOTSTRAP, match: {cluster: {}, listener: {}}, patch: {operation: REMOVE}}]}",
                "spec.configPatches[0].match",
            ),
            (
                "{configPatches: [{applyTo: CLUSTER, match: {proxy: {proxyVersion: 'a**'}}, patch: {operation: REMOVE}}]}",
                "spec.configPatches[0].match.proxy.proxyVersion",
            ),
            (
                "{configPatches: [{applyTo: CLUSTER, patch: {operation: ADD, value: {name: 3}}}]}",
                "spec.configPatches[0].patch.value.name",
            ),
        ],
    );
    check(
        ObjectKind::WorkloadGroup,
        &["{template: {serviceAccount: a, ports: {http: 80}}, probe: {periodSeconds: 3, exec: {command: [true-ish]}}}"],
        &[
            ("{}", "spec.template"),
            ("{template: {}, metadata: {labels: {'.': x}}}", "spec.metadata.labels[\".\"]"),
            ("{template: {labels: {a: '~'}}}", "spec.template.labels.a"),
            ("{template: {}, probe: {periodSeconds: -1, grpc: {port: 1}}}", "spec.probe.periodSeconds"),
            ("{template: {}, probe: {httpGet: {path: /}}}", "spec.probe.httpGet.port"),
            ("{template: {}, probe: {}}", "spec.probe"),
        ],
    );
    check(
        ObjectKind::ProxyConfig,
        &["{concurrency: 2, environmentVariables: {A: b}, image: {imageType: debug}}"],
        &[("{concurrency: -1}", "spec.concurrency"), ("{environmentVariables: {A: 1}}", "spec.environmentVariables.A")],
    );
}

#[test]
fn what_is_inside_fields_that_nothing_acts_on_yet() {
    let rule =
        |fields: &str| format!("{{hosts: [a.example], http: [{{route: [{{destination: {{host: b}}}}], {fields}}}]}}");
    check(
        ObjectKind::VirtualService,
        &[
            &rule("fault: {delay: {fixedDelay: 1s, percentage: {value: 0.1}}, abort: {httpStatus: 503}}"),
            &rule(
                "corsPolicy: {allowOrigins: [{regex: '.*'}], allowMethods: [GET], maxAge: 1h}, mirrors: [{destination: {host: c}}]",
            ),
            "{http: [{match: [{sourceNamespace: n}], route: [{destination: {host: b}}]}]}",
        ],
        &[
            (
                &rule("fault: {abort: {httpStatus: 503, percentage: {value: 100.5}}}"),
                "spec.http[0].fault.abort.percentage.value",
            ),
            (&rule("fault: {delay: {fixedDelay: 100us}}"), "spec.http[0].fault.delay.fixedDelay"),
            (&rule("fault: {abort: {}}"), "spec.http[0].fault.abort"),
            (&rule("corsPolicy: {maxAge: 1500ms}"), "spec.http[0].corsPolicy.maxAge"),
            (&rule("corsPolicy: {allowMethods: [get]}"), "spec.http[0].corsPolicy.allowMethods[0]"),
            (&rule("mirror: {host: c}, mirrors: [{destination: {host: c}}]"), "spec.http[0]"),
            ("{http: [{delegate: {name: x}}]}", "spec.http[0].delegate"),
            (
                "{hosts: [a.example], gateways: ['*/g'], http: [{route: [{destination: {host: b}}]}]}",
                "spec.gateways[0]",
            ),
        ],
    );
    let policy = |fields: &str| format!("{{host: a.example, trafficPolicy: {{{fields}}}}}");
    check(
        ObjectKind::DestinationRule,
        &[&policy(
            "outlierDetection: {consecutive5xxErrors: 3, interval: 1s}, loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}, maglev: {tableSize: 65537}}}",
        )],
        &[
            (
                &policy("outlierDetection: {maxEjectionPercent: 101}"),
                "spec.trafficPolicy.outlierDetection.maxEjectionPercent",
            ),
            (&policy("tls: {mode: MUTUAL, clientCertificate: a}"), "spec.trafficPolicy.tls"),
            (&policy("tunnel: {targetHost: '*.b', targetPort: 80}"), "spec.trafficPolicy.tunnel.targetHost"),
            (
                &policy("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 60, c: 30}}]}}"),
                "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0]",
            ),
            (
                &policy("loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}"),
                "spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0]",
            ),
            (&policy("outlierDetection: {interval: 1000001us}"), "spec.trafficPolicy.outlierDetection.interval"),
            (
                &policy("connectionPool: {tcp: {maxConnectionDuration: 1000001us}}"),
                "spec.trafficPolicy.connectionPool.tcp.maxConnectionDuration",
            ),
            (
                &policy("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65536}}}"),
                "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
            ),
            (
                &policy("loadBalancer: {consistentHash: {minimumRingSize: 3}}"),
                "spec.trafficPolicy.loadBalancer.consistentHash",
            ),
        ],
    );
    check(
        ObjectKind::Telemetry,
        &[
            "{tracing: [{randomSamplingPercentage: 0.5, customTags: {a: {literal: {value: b}}}}], metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {t: {operation: REMOVE}}}]}]}",
        ],
        &[
            ("{tracing: [{randomSamplingPercentage: -1}]}", "spec.tracing[0].randomSamplingPercentage"),
            (
                "{accessLogging: [{filter: {expression: 'response.code >= 400 &&'}}]}",
                "spec.accessLogging[0].filter.expression",
            ),
            (
                "{metrics: [{overrides: [{tagOverrides: {t: {value: 'request.host[0'}}}]}]}",
                "spec.metrics[0].overrides[0].tagOverrides.t.value",
            ),
            ("{tracing: [{customTags: {a: {}}}]}", "spec.tracing[0].customTags.a"),
            (
                "{metrics: [{overrides: [{tagOverrides: {t: {operation: UPSERT}}}]}]}",
                "spec.metrics[0].overrides[0].tagOverrides.t",
            ),
        ],
    );
}

/// What Istio's webhook refuses and its proxies never see. Here it may stand in a file, and keeps its meaning.
#[test]
fn what_must_not_be_written_and_has_a_meaning_all_the_same() {
    let cases = [
        (ObjectKind::AuthorizationPolicy, "{action: DENY}", "spec"),
        (ObjectKind::AuthorizationPolicy, "{rules: [{from: []}]}", "spec.rules[0].from"),
        (ObjectKind::PeerAuthentication, "{selector: {matchLabels: {a: b}}, portLevelMtls: {}}", "spec.portLevelMtls"),
        (ObjectKind::Sidecar, "{}", "spec"),
        (ObjectKind::Sidecar, "{egress: [{hosts: ['~Shop/*']}]}", "spec.egress[0].hosts[0]"),
        (
            ObjectKind::Sidecar,
            "{ingress: [{port: {number: 1}, defaultEndpoint: '10.0.0.1:80'}]}",
            "spec.ingress[0].defaultEndpoint",
        ),
        (
            ObjectKind::Gateway,
            "{servers: [{port: {number: 1, name: http, protocol: HTTP}, hosts: ['~/a.b']}]}",
            "spec.servers[0].hosts[0]",
        ),
    ];
    for (kind, spec, field) in cases {
        assert_eq!(refused_fields(kind, spec, ""), [field], "{kind} {spec}");
        let text = format!("apiVersion: {}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n", kind.api_version());
        let (objects, _) = read_text(&"f".into(), &text);
        let (parsed, found) = parse(&objects[0], &ParseContext::default());
        assert!(parsed.is_some() && found.iter().all(|d| d.severity != Severity::Error), "{kind} {spec}: {found:?}");
    }
}

#[test]
fn certificates_of_servers() {
    let tls = |tls: &str| {
        format!("{{servers: [{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: ['*'], tls: {{{tls}}}}}]}}")
    };
    let field = "spec.servers[0].tls";
    check(
        ObjectKind::Gateway,
        &[
            &tls("mode: SIMPLE, credentialName: c"),
            &tls("mode: MUTUAL, serverCertificate: a, privateKey: b, caCertificates: c"),
            &tls("mode: SIMPLE, tlsCertificates: [{serverCertificate: a, privateKey: b}]"),
            &tls("mode: ISTIO_MUTUAL"),
        ],
        &[
            (&tls("mode: MUTUAL, serverCertificate: a, privateKey: b"), field),
            (&tls("mode: OPTIONAL_MUTUAL"), field),
            (&tls("mode: SIMPLE, serverCertificate: a, privateKey: b, credentialName: c"), field),
            (&tls("mode: ISTIO_MUTUAL, caCertificates: c"), field),
            (&tls("mode: SIMPLE, tlsCertificates: [{serverCertificate: a}]"), "spec.servers[0].tls.tlsCertificates[0]"),
        ],
    );
}

#[test]
fn what_is_well_formed_and_not_served_may_be_written() {
    let taken = [
        (
            ObjectKind::DestinationRule,
            "{host: a.example, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: a, caCrl: b}}}",
        ),
        (ObjectKind::Sidecar, "{egress: [{port: {number: 0, protocol: HTTP}, bind: 'unix:///a', hosts: ['./*']}]}"),
        (ObjectKind::VirtualService, "{hosts: [a.example], http: [{redirect: {prefixRewrite: /a}}]}"),
    ];
    for (kind, spec) in taken {
        assert_eq!(refused_fields(kind, spec, ""), [""; 0], "{kind} {spec}");
    }
}
