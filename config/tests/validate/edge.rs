//! What may be written of gateways, sidecars, and of servers outside of Kubernetes.

use super::check;
use mesh_config::kind::ObjectKind;

fn server(rest: &str) -> String {
    format!("{{servers: [{{{rest}}}]}}")
}

#[test]
fn ports_and_binds_of_a_gateways_servers() {
    let port = "spec.servers[0].port";
    check(
        ObjectKind::Gateway,
        &[
            &server("port: {number: 80, name: http, protocol: http2}, hosts: [a.example], bind: ''"),
            &server("port: {number: 80, name: http, protocol: GRPC-Web}, hosts: [10.0.0.1], bind: '::1'"),
            &server("port: {number: 0, name: http, protocol: HTTP}, hosts: [a.example], bind: 'unix:///run/a'"),
            &server("port: {number: 0, name: http, protocol: HTTP}, hosts: [a.example], bind: 'unix://@a'"),
            &server("port: {number: 27017, name: db, protocol: MONGO, targetPort: 0}, hosts: ['*']"),
        ],
        &[
            (&server("port: {number: 80, protocol: HTTP}, hosts: [a.example]"), port),
            (&server("port: {number: 80, name: '', protocol: HTTP}, hosts: [a.example]"), port),
            (
                &server("port: {number: 80, name: http, protocol: HTTP, targetPort: 8080}, hosts: [a.example]"),
                "spec.servers[0].port.targetPort",
            ),
            (
                &server("port: {number: 0, name: http, protocol: HTTP}, hosts: [a.example]"),
                "spec.servers[0].port.number",
            ),
            (
                &server("port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example], bind: 'unix:///run/a'"),
                port,
            ),
            (
                &server("port: {number: 0, name: http, protocol: HTTP}, hosts: [a.example], bind: 'unix://run/a'"),
                "spec.servers[0].bind",
            ),
            (
                &server("port: {number: 0, name: http, protocol: HTTP}, hosts: [a.example], bind: 'unix:///run/'"),
                "spec.servers[0].bind",
            ),
            (
                &server("port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example], bind: 10.0.0.256"),
                "spec.servers[0].bind",
            ),
            (
                &server("port: {number: 80, name: http, protocol: HTTP}, hosts: [a_b.example]"),
                "spec.servers[0].hosts[0]",
            ),
            (&server("port: {number: 80, name: http, protocol: HTTP}, hosts: [a.b.1]"), "spec.servers[0].hosts[0]"),
        ],
    );
}

#[test]
fn tls_of_a_gateways_plain_servers() {
    let plain = |tls: &str| {
        server(&format!("port: {{number: 80, name: http, protocol: HTTP}}, hosts: [a.example], tls: {{{tls}}}"))
    };
    let field = "spec.servers[0].tls";
    check(
        ObjectKind::Gateway,
        &[
            &plain("httpsRedirect: true"),
            &plain("httpsRedirect: true, mode: PASSTHROUGH"),
            &plain("mode: AUTO_PASSTHROUGH"),
            &plain(""),
            &plain("httpsRedirect: true, credentialName: c"),
            &plain("httpsRedirect: true, cipherSuites: [a], minProtocolVersion: TLSV1_2"),
        ],
        &[
            (&plain("mode: SIMPLE, credentialName: c"), field),
            (&plain("httpsRedirect: true, mode: SIMPLE, credentialName: c"), field),
            (&plain("httpsRedirect: true, serverCertificate: a"), field),
            (&plain("caCertificates: a"), field),
            (&plain("mode: ISTIO_MUTUAL"), field),
        ],
    );
}

#[test]
fn certificates_of_a_gateways_servers() {
    let tls = |tls: &str| {
        server(&format!("port: {{number: 443, name: https, protocol: HTTPS}}, hosts: ['*'], tls: {{{tls}}}"))
    };
    let field = "spec.servers[0].tls";
    check(
        ObjectKind::Gateway,
        &[
            &tls("mode: SIMPLE, credentialName: c, httpsRedirect: true"),
            &tls("mode: SIMPLE, credentialName: c, serverCertificate: a"),
            &tls("mode: SIMPLE, credentialNames: [a, b], cipherSuites: [NONE-SUCH, NONE-SUCH]"),
            &tls("mode: SIMPLE, credentialName: '', serverCertificate: a, privateKey: b"),
            &tls("mode: MUTUAL, credentialName: c, caCrl: r"),
            &tls("mode: MUTUAL, serverCertificate: a, privateKey: b, caCertificates: c, caCrl: r"),
            &tls("mode: OPTIONAL_MUTUAL, tlsCertificates: [{serverCertificate: a, privateKey: b}], caCertificates: c"),
            &tls("mode: PASSTHROUGH, credentialName: c"),
            &tls("mode: PASSTHROUGH, tlsCertificates: [{serverCertificate: a}]"),
            &tls("mode: AUTO_PASSTHROUGH, serverCertificate: a"),
            &tls("mode: ISTIO_MUTUAL, credentialName: ''"),
            &tls(""),
        ],
        &[
            (&tls("mode: SIMPLE, credentialNames: []"), field),
            (&tls("mode: SIMPLE, serverCertificate: a, privateKey: b, caCrl: r"), field),
            (&tls("mode: SIMPLE, credentialName: a, tlsCertificates: [{serverCertificate: a, privateKey: b}]"), field),
            (&tls("mode: PASSTHROUGH, credentialName: a, credentialNames: [b]"), field),
            (&tls("mode: PASSTHROUGH, credentialName: a, caCrl: r"), field),
            (&tls("mode: MUTUAL, tlsCertificates: [{serverCertificate: a, privateKey: b}]"), field),
            (&tls("mode: OPTIONAL_MUTUAL, serverCertificate: a, privateKey: b"), field),
            (&tls("mode: ISTIO_MUTUAL, credentialNames: [a]"), field),
            (
                &tls("mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV9"),
                "spec.servers[0].tls.minProtocolVersion",
            ),
        ],
    );
}

#[test]
fn hosts_ports_and_endpoints_of_a_service_entry() {
    let entry = |rest: &str| format!("{{hosts: [a.example], {rest}}}");
    let web = "ports: [{number: 80, name: http, protocol: HTTP}]";
    check(
        ObjectKind::ServiceEntry,
        &[
            "{hosts: [a.example, a.example]}",
            "{hosts: ['*.a.example', b.example], ports: [{number: 443, name: tls, protocol: TLS}], resolution: STATIC}",
            "{hosts: [a.example, b.example], ports: [{number: 9000, name: tcp, protocol: TCP}], resolution: NONE}",
            &entry("workloadSelector: {labels: {a: b}}, resolution: NONE"),
            &entry("workloadSelector: {}, resolution: STATIC"),
            &entry("resolution: STATIC, endpoints: [{network: n}]"),
            &entry(&format!("resolution: STATIC, {web}, endpoints: [{{address: 'unix:///run/a'}}]")),
            &entry("exportTo: ['~']"),
            &entry("exportTo: [.]"),
            &entry("exportTo: [a, b]"),
            &entry("addresses: [10.0.0.0/8], resolution: STATIC"),
        ],
        &[
            ("{hosts: [10.0.0.1]}", "spec.hosts[0]"),
            ("{hosts: [a_b.example]}", "spec.hosts[0]"),
            (
                "{hosts: [a.example, b.example], ports: [{number: 9000, name: tcp, protocol: TCP}], resolution: DNS}",
                "spec",
            ),
            ("{hosts: [a.example, b.example], ports: [{number: 9000, name: tcp}], resolution: STATIC}", "spec"),
            ("{hosts: ['*.a.example'], resolution: DNS, workloadSelector: {labels: {a: b}}}", "spec"),
            (&entry("ports: [{number: 80, protocol: HTTP}]"), "spec.ports[0]"),
            (&entry("ports: [{number: 80, name: 'a.b', protocol: HTTP}]"), "spec.ports[0].name"),
            (&entry("ports: [{number: 80, name: -a, protocol: HTTP}]"), "spec.ports[0].name"),
            (&entry("ports: [{number: 80, name: a, protocol: SMTP}]"), "spec.ports[0].protocol"),
            (&entry("ports: [{number: 80, name: a, targetPort: 65536}]"), "spec.ports[0].targetPort"),
            (&entry("resolution: STATIC, endpoints: [{address: 'unix:///run/a'}]"), "spec.endpoints[0]"),
            (&entry("resolution: DNS, endpoints: [{network: n}]"), "spec.endpoints[0]"),
            (&entry("resolution: DNS, endpoints: [{address: a.1}]"), "spec.endpoints[0].address"),
            (
                &entry(&format!("resolution: STATIC, {web}, endpoints: [{{address: 10.0.0.1, ports: {{other: 1}}}}]")),
                "spec.endpoints[0]",
            ),
            (&entry("exportTo: [A_b]"), "spec.exportTo"),
            (&entry("exportTo: [., .]"), "spec.exportTo"),
            (&entry("exportTo: ['~', a]"), "spec.exportTo"),
            (&entry("addresses: [10.0.0.0/8], resolution: DNS"), "spec.addresses[0]"),
            (&entry("workloadSelector: {labels: {a: 'b*'}}"), "spec.workloadSelector.labels.a"),
        ],
    );
}

#[test]
fn only_services_are_exported_to_nobody() {
    check(
        ObjectKind::DestinationRule,
        &["{host: a.example, exportTo: ['*']}"],
        &[
            ("{host: a.example, exportTo: ['~']}", "spec.exportTo"),
            ("{host: a.example, exportTo: [A]}", "spec.exportTo"),
        ],
    );
}

#[test]
fn addresses_and_ports_of_workloads() {
    check(
        ObjectKind::WorkloadEntry,
        &[
            "{address: 10.0.0.1, ports: {http: 80}}",
            "{address: '', network: n}",
            "{address: 'unix:///run/a', ports: {}}",
            "{address: 'unix://@a'}",
            "{address: a.example}",
        ],
        &[
            ("{}", "spec"),
            ("{address: ''}", "spec"),
            ("{address: a_b.example}", "spec.address"),
            ("{address: 1.2.3}", "spec.address"),
            ("{address: '*.example'}", "spec.address"),
            ("{address: 'unix:///run/'}", "spec.address"),
            ("{address: 'unix://run'}", "spec.address"),
            ("{address: 'unix:///run/a', ports: {http: 80}}", "spec"),
            ("{address: 10.0.0.1, ports: {a.b: 80}}", "spec.ports[\"a.b\"]"),
            ("{address: 10.0.0.1, ports: {http: 0}}", "spec.ports.http"),
        ],
    );
    check(
        ObjectKind::WorkloadGroup,
        &[
            "{template: {address: 10.0.0.1}}",
            "{template: {}, probe: {httpGet: {port: 80, scheme: ''}}}",
            "{template: {}, probe: {tcpSocket: {port: 80}}}",
        ],
        &[
            ("{template: {}, probe: {httpGet: {port: 80, scheme: http}}}", "spec.probe.httpGet.scheme"),
            ("{template: {}, probe: {httpGet: {port: 0}}}", "spec.probe.httpGet.port"),
            (
                "{template: {}, probe: {httpGet: {port: 80, httpHeaders: [{name: 'a b'}]}}}",
                "spec.probe.httpGet.httpHeaders[0].name",
            ),
            ("{template: {}, probe: {tcpSocket: {}}}", "spec.probe.tcpSocket.port"),
            ("{template: {}, probe: {exec: {}}}", "spec.probe.exec.command"),
            ("{template: {}, probe: {exec: {command: []}}}", "spec.probe.exec.command"),
            ("{template: {}, probe: {exec: {command: [a, '']}}}", "spec.probe.exec.command[1]"),
            ("{template: {}, probe: {failureThreshold: -1, tcpSocket: {port: 80}}}", "spec.probe.failureThreshold"),
        ],
    );
}

#[test]
fn ports_binds_and_hosts_of_a_sidecar() {
    let egress = |rest: &str| format!("{{egress: [{{{rest}}}]}}");
    let hosts = "hosts: ['./*']";
    check(
        ObjectKind::Sidecar,
        &[
            &egress("hosts: ['*/*', './a.example']"),
            &egress("hosts: ['~/*']"),
            &egress(&format!("port: {{number: 9000, protocol: HTTP_PROXY}}, bind: 127.0.0.1, {hosts}")),
            &egress(&format!("port: {{number: 0, protocol: TCP}}, bind: 'unix://@a', captureMode: NONE, {hosts}")),
            &egress(&format!("captureMode: NONE, {hosts}")),
            "{ingress: [{port: {number: 9080}, defaultEndpoint: ':8080'}]}",
            "{ingress: [{port: {number: 9080}, defaultEndpoint: '[::]:8080'}]}",
            "{workloadSelector: {labels: {}}, ingress: [{port: {number: 9080, targetPort: 0}}]}",
            "{inboundConnectionPool: {tcp: {maxConnections: 1}}}",
            "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.example, port: {number: 80}}}}",
        ],
        &[
            ("{ingress: [], egress: []}", "spec"),
            (&egress(&format!("port: {{number: 80, targetPort: 81}}, {hosts}")), "spec.egress[0].port.targetPort"),
            (&egress(&format!("port: {{number: 80, name: a.b}}, {hosts}")), "spec.egress[0].port.name"),
            (&egress(&format!("port: {{number: 0}}, {hosts}")), "spec.egress[0]"),
            (&egress(&format!("port: {{number: 80}}, bind: 'unix:///a', {hosts}")), "spec.egress[0]"),
            (&egress(&format!("port: {{number: 0}}, bind: 'unix://a', {hosts}")), "spec.egress[0].bind"),
            (&egress("hosts: ['./10.0.0.1']"), "spec.egress[0].hosts[0]"),
            (&egress("hosts: ['./a_b.example']"), "spec.egress[0].hosts[0]"),
            (
                "{egress: [{port: {number: 80}, bind: 127.0.0.1, hosts: ['./*']}, {port: {number: 80}, bind: 127.0.0.2, hosts: ['./*']}]}",
                "spec.egress[1]",
            ),
            ("{ingress: [{port: {number: 0}}]}", "spec.ingress[0]"),
            ("{ingress: [{port: {number: 80}, bind: 'unix:///a'}]}", "spec.ingress[0]"),
            ("{ingress: [{port: {number: 80}, defaultEndpoint: '127.0.0.2:80'}]}", "spec.ingress[0].defaultEndpoint"),
            (
                "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.example}}}",
                "spec.outboundTrafficPolicy.egressProxy",
            ),
        ],
    );
}

#[test]
fn tls_of_a_sidecars_listeners() {
    let tls = |protocol: &str, tls: &str| {
        format!("{{ingress: [{{port: {{number: 443, protocol: {protocol}}}, tls: {{{tls}}}}}]}}")
    };
    let field = "spec.ingress[0].tls";
    check(
        ObjectKind::Sidecar,
        &[
            &tls("HTTPS", "mode: SIMPLE, serverCertificate: a, privateKey: b"),
            &tls("TLS", "mode: MUTUAL, serverCertificate: a, privateKey: b, caCertificates: c, credentialName: ''"),
            &tls("TLS", "mode: PASSTHROUGH, httpsRedirect: false"),
        ],
        &[
            (&tls("HTTP", "mode: SIMPLE, serverCertificate: a, privateKey: b"), field),
            (&tls("TLS", "mode: AUTO_PASSTHROUGH"), field),
            (&tls("TLS", "mode: NEVER"), "spec.ingress[0].tls.mode"),
            (&tls("TLS", "mode: PASSTHROUGH, subjectAltNames: [a]"), "spec.ingress[0].tls.subjectAltNames"),
            (&tls("TLS", "mode: PASSTHROUGH, credentialNames: [a]"), "spec.ingress[0].tls.credentialNames"),
        ],
    );
}

#[test]
fn places_and_matches_of_patches() {
    let patch = |rest: &str| format!("{{configPatches: [{{{rest}}}]}}");
    let remove = "patch: {operation: REMOVE}";
    check(
        ObjectKind::EnvoyFilter,
        &[
            &patch("applyTo: CLUSTER, patch: {operation: REPLACE, value: {}}"),
            &patch("applyTo: NETWORK_FILTER, patch: {operation: ADD, filterClass: AUTHZ, value: {name: a}}"),
            &patch(&format!(
                "applyTo: HTTP_FILTER, match: {{context: WAYPOINT, waypoint: {{portNumber: 80}}}}, {remove}"
            )),
            &patch(&format!("applyTo: HTTP_FILTER, match: {{context: GATEWAY}}, {remove}")),
            "{workloadSelector: {}}",
        ],
        &[
            (&patch(&format!("applyTo: INVALID, {remove}")), "spec.configPatches[0].applyTo"),
            (&patch(remove), "spec.configPatches[0].applyTo"),
            (
                &patch(&format!("applyTo: HTTP_FILTER, match: {{context: WAYPOINT}}, {remove}")),
                "spec.configPatches[0].match",
            ),
            (
                &patch(&format!("applyTo: HTTP_FILTER, match: {{context: GATEWAY, waypoint: {{}}}}, {remove}")),
                "spec.configPatches[0].match",
            ),
            ("{workloadSelector: {labels: {a: '*'}}}", "spec.workloadSelector.labels.a"),
        ],
    );
}
