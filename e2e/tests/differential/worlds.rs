//! Worlds with a mode of mutual TLS for each workload, policies drawn at random, and a gateway with and without TLS; and
//! calls at every door of their proxies.

use mesh_e2e::mesh::{AUTO, HTTP, Plan, Port, TCP, Workload, fqdn, secret};
use mesh_e2e::workload::Kind;
use mesh_runtime::testing::TestCa;

/// Nothing is declared, and the application speaks HTTP.
pub(crate) const AUTO_HTTP: Port = Port { number: 9002, name: "p9002", protocol: "" };
/// The gateway's port whose servers terminate TLS, and the one that sends plain text to HTTPS.
pub(crate) const EDGE_TLS: u16 = 8443;
pub(crate) const EDGE_REDIRECT: u16 = 8081;

/// The servers. Each has a port of its own for opaque bytes: a listener leads those to one service alone.
pub(crate) const SERVERS: [&str; 3] = ["alpha", "beta", "gamma"];
pub(crate) const BYTES: [Port; 3] = [
    TCP,
    Port { number: 9010, name: "tcp-beta", protocol: "TCP" },
    Port { number: 9020, name: "tcp-gamma", protocol: "TCP" },
];

/// One of these, at random.
pub(crate) fn pick<'a, T: ?Sized>(rng: &mut fastrand::Rng, from: &[&'a T]) -> &'a T {
    from[rng.usize(..from.len())]
}

/// A plan whose objects are drawn with `rng`. `gamma` has one policy that is always the same, the gateway has some if asked for.
pub(crate) fn plan(rng: &mut fastrand::Rng, edge_policies: bool, edge: &TestCa, format: &str) -> Plan {
    let server = |(name, bytes): (&&str, Port)| {
        let served = Workload::new(name).serves(HTTP, Kind::Http1).serves(bytes, Kind::Echo);
        match *name {
            "gamma" => served.serves(AUTO_HTTP, Kind::Http1).serves(AUTO, Kind::Echo),
            _ => served,
        }
    };
    let workloads = ["client", "guest"].into_iter().map(Workload::new).chain(SERVERS.iter().zip(BYTES).map(server));
    let mut objects = modes(rng);
    for target in ["alpha", "beta"] {
        (0..rng.usize(1..4)).for_each(|n| objects.push_str(&policy(rng, target, n)));
    }
    if edge_policies {
        (0..2).for_each(|n| objects.push_str(&policy(rng, "gateway", n)));
    }
    objects.push_str(&secrets(edge));
    objects.push_str(
        &EDGE.replace("ALPHA", &fqdn("alpha")).replace("BETA", &fqdn("beta")).replace("GAMMA", &fqdn("gamma")),
    );
    Plan::new(workloads).with_gateway().objects(&objects).access_log(format)
}

/// A mode for each server, all three of them, and one port whose mode is another one.
fn modes(rng: &mut fastrand::Rng) -> String {
    let mut modes = ["STRICT", "PERMISSIVE", "DISABLE"];
    rng.shuffle(&mut modes);
    let mut out = String::new();
    for (name, mode) in SERVERS.iter().zip(modes) {
        out.push_str(&format!(
            "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: test}}\n\
             spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  mtls: {{mode: {mode}}}\n"
        ));
    }
    let (other, port) = (pick(rng, &["STRICT", "PERMISSIVE", "DISABLE"]), AUTO.target());
    out.push_str(&format!("  portLevelMtls: {{{port}: {{mode: {other}}}}}\n"));
    out
}

fn policy(rng: &mut fastrand::Rng, target: &str, number: usize) -> String {
    let mut rules = String::new();
    for _ in 0..rng.usize(1..3) {
        let from = pick(
            rng,
            &[
                "",
                "principals: ['*/sa/client']",
                "notPrincipals: ['cluster.local/ns/test/sa/client']",
                "principals: ['*']",
                "notPrincipals: ['*']",
                "namespaces: [test]",
                "ipBlocks: [127.0.0.0/8]",
                "notIpBlocks: [127.0.0.0/8]",
            ],
        );
        let to = pick(
            rng,
            &[
                "methods: [GET]",
                "methods: [POST, PUT]",
                "paths: ['/a*']",
                "notPaths: ['*/private']",
                "hosts: ['alpha*', '*.example']",
                "ports: ['8180', '8080']",
                "ports: ['9110', '9000', '9100', '8443']",
                "methods: [GET], paths: ['/a/private', '/b*']",
            ],
        );
        let when = pick(
            rng,
            &[
                "",
                "",
                "{key: 'request.headers[x-user]', values: [ann, 'b*']}",
                "{key: connection.sni, values: ['server.test', '*.example', 'outbound_.*']}",
                "{key: destination.port, notValues: ['8180']}",
            ],
        );
        rules.push_str(&format!("  - to: [{{operation: {{{to}}}}}]\n"));
        if !from.is_empty() {
            rules.push_str(&format!("    from: [{{source: {{{from}}}}}]\n"));
        }
        if !when.is_empty() {
            rules.push_str(&format!("    when: [{when}]\n"));
        }
    }
    let action = pick(rng, &["ALLOW", "DENY"]);
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: {target}-{number}, namespace: test}}\n\
         spec:\n  selector: {{matchLabels: {{app: {target}}}}}\n  action: {action}\n  rules:\n{rules}"
    )
}

/// Credentials of the gateway: both servers show one certificate, and one asks for another of the same authority.
fn secrets(edge: &TestCa) -> String {
    let certificate = edge.server_certificate(&["a.example", "b.example"]);
    let (chain, key) = (certificate.chain_pem(), certificate.key_pem());
    secret("edge", "gateway", &[("tls.crt", &chain), ("tls.key", &key), ("ca.crt", &edge.root_pem())])
}

const EDGE: &str = "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: forbidden, namespace: test}
spec:
  selector: {matchLabels: {app: gamma}}
  action: DENY
  rules: [{to: [{operation: {paths: [/forbidden], ports: ['8180']}}]}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: test}
spec:
  selector: {app: gateway}
  servers:
  - port: {number: 8443, name: https-a, protocol: HTTPS}
    bind: GATEWAY_ADDRESS
    hosts: [a.example]
    tls: {mode: SIMPLE, credentialName: edge}
  - port: {number: 8443, name: https-b, protocol: HTTPS}
    bind: GATEWAY_ADDRESS
    hosts: [b.example]
    tls: {mode: MUTUAL, credentialName: edge}
  - port: {number: 8081, name: http-moved, protocol: HTTP}
    bind: GATEWAY_ADDRESS
    hosts: [a.example]
    tls: {httpsRedirect: true}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: test}
spec:
  hosts: [a.example, b.example]
  gateways: [edge, gateway]
  http:
  - name: teapot
    match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418}
  - name: moved
    match: [{uri: {prefix: /moved/}}]
    redirect: {uri: /elsewhere, redirectCode: 302}
  - name: nowhere
    match: [{uri: {prefix: /nowhere}}]
    route: [{destination: {host: gone.test}}]
  - name: alpha
    match: [{uri: {prefix: /a}}]
    route: [{destination: {host: ALPHA, port: {number: 8080}}}]
  - name: beta
    match: [{uri: {prefix: /b}}]
    rewrite: {uri: /}
    route: [{destination: {host: BETA, port: {number: 8080}}}]
  - name: gamma
    match: [{method: {exact: GET}}]
    route: [{destination: {host: GAMMA, port: {number: 8080}}}]
";
