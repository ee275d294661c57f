//! Objects of every kind that pilot reads, few names and addresses among them, so that they meet: for properties over
//! changes of any of them.

use mesh_config::kind::ObjectKind;
use proptest::{collection::vec, prelude::*, sample::select};

/// An object as a line of YAML.
pub(super) fn object(kind: ObjectKind, name: &str, namespace: &str, labels: &str, rest: &str) -> String {
    let version = kind.api_version();
    format!(
        "{{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}, {rest}}}\n"
    )
}

/// Objects of any kind, and which of them are there after each step; together with the next one where that is said.
pub(super) fn changes() -> impl Strategy<Value = Vec<(Vec<String>, bool)>> {
    (ground(), workloads(), workloads()).prop_flat_map(|(ground, some, more)| {
        let pool = [ground, some, more].concat();
        let step = (vec(prop::bool::weighted(0.7), pool.len()), prop::bool::weighted(0.2));
        vec(step, 2..7).prop_map(move |steps| {
            let there =
                |mask: Vec<bool>| pool.iter().zip(mask).filter(|(_, there)| *there).map(|(text, _)| text.clone());
            steps.into_iter().map(|(mask, with_next)| (there(mask).collect(), with_next)).collect()
        })
    })
}

/// Services, entries and what is said about them, in two namespaces.
pub(super) fn ground() -> impl Strategy<Value = Vec<String>> {
    let service = (0..3usize, namespace(), select(SERVICES)).prop_map(|(n, namespace, spec)| {
        object(ObjectKind::Service, &format!("s{n}"), namespace, "", &format!("spec: {{{spec}}}"))
    });
    let entry = (0..3usize, namespace(), select(ENTRIES)).prop_map(|(n, namespace, spec)| {
        object(ObjectKind::ServiceEntry, &format!("e{n}"), namespace, "", &format!("spec: {{{spec}}}"))
    });
    let said = |rows: &'static [(ObjectKind, &'static str)]| {
        (0..2usize, namespace(), select(rows)).prop_map(|(n, namespace, (kind, spec))| {
            let name = if kind == ObjectKind::Gateway { "edge".to_owned() } else { format!("o{n}") };
            object(kind, &name, namespace, "", &format!("spec: {{{spec}}}"))
        })
    };
    let root = (namespace(), select(ROOTS)).prop_map(|(namespace, (kind, name, labels, rest))| {
        let namespace = if kind == ObjectKind::ConfigMap { "istio-system" } else { namespace };
        object(kind, name, namespace, labels, rest)
    });
    vec(prop_oneof![6 => service, 4 => entry, 8 => said(SAID), 2 => said(INERT), 1 => said(BROKEN), 2 => root], 0..18)
}

/// Pods, entries of workloads and slices: what moves. Some with findings.
pub(super) fn workloads() -> impl Strategy<Value = Vec<String>> {
    let pod = (0..4usize, namespace(), labels(), 0..6usize, select(STATUSES), prop::bool::weighted(0.1));
    let pod = pod.prop_map(|(n, namespace, labels, ip, status, host_network)| {
        let rest = format!(
            "spec: {{serviceAccountName: sa{n}, nodeName: n{n}, hostNetwork: {host_network}, \
             containers: [{{ports: [{{name: web, containerPort: 807{n}}}]}}]}}, status: {{{status}, podIP: 10.0.0.{ip}}}"
        );
        object(ObjectKind::Pod, &format!("p{n}"), namespace, labels, &rest)
    });
    let entry = (0..3usize, namespace(), labels(), select(WORKLOADS)).prop_map(|(n, namespace, labels, spec)| {
        object(ObjectKind::WorkloadEntry, &format!("w{n}"), namespace, labels, &format!("spec: {{{spec}}}"))
    });
    let slice = (0..3usize, namespace(), 0..3usize, 0..4usize, 0..6usize, select(CONDITIONS));
    let slice = slice.prop_map(|(n, namespace, service, pod, ip, conditions)| {
        let label = format!("kubernetes.io/service-name: s{service}");
        let rest = format!(
            "addressType: IPv4, ports: [{{port: 8080}}, {{port: 8081, name: http}}], endpoints: \
             [{{addresses: [10.0.0.{pod}], targetRef: {{kind: Pod, name: p{pod}}}, {conditions}}}, {{addresses: [10.0.0.{ip}]}}, \
             {{addresses: [10.0.5.5]}}]"
        );
        object(ObjectKind::EndpointSlice, &format!("l{n}"), namespace, &label, &rest)
    });
    vec(prop_oneof![3 => pod, 1 => entry, 1 => slice], 0..8)
}

/// One of each kind that is checked by its form alone.
pub(super) fn well_formed_and_inert() -> impl Iterator<Item = String> {
    INERT.iter().map(|(kind, spec)| object(*kind, "o", "one", "", &format!("spec: {{{spec}}}")))
}

fn namespace() -> impl Strategy<Value = &'static str> {
    select(vec!["one", "one", "two"])
}

fn labels() -> impl Strategy<Value = &'static str> {
    select(vec!["app: a", "app: b", "app: a, v: x", "app: a, security.istio.io/tlsMode: istio", "other: c"])
}

const SERVICES: &[&str] = &[
    "selector: {app: a}, ports: [{port: 80, targetPort: 8080}]",
    "selector: {app: b}, ports: [{port: 80, name: http, targetPort: web}, {port: 90, targetPort: 9090}]",
    "selector: {app: a, v: x}, clusterIP: None, ports: [{port: 80}]",
    "selector: {app: a}, clusterIP: None, ports: [{port: 80, name: http, targetPort: 8080}, {port: 8080, name: tcp}]",
    "selector: {app: a}, internalTrafficPolicy: Local, ports: [{port: 80, name: http}]",
    "selector: {app: a}, publishNotReadyAddresses: true, ports: [{port: 81}, {port: 53, protocol: UDP}]",
    "ports: [{port: 80, name: http}]",
    "type: ExternalName, externalName: s0.one.svc.cluster.local, ports: [{port: 80}]",
    "type: ExternalName, externalName: s0.one.svc.cluster.local",
    "type: ExternalName, externalName: far.example, ports: [{port: 80}]",
    "type: ExternalName, externalName: s1.one.svc.cluster.local, ports: [{port: 80}]",
    "type: ExternalName, externalName: s1.one.svc.cluster.local",
];

const ENTRIES: &[&str] = &[
    "hosts: [e.example, s0.one.svc.cluster.local], resolution: STATIC, workloadSelector: {labels: {app: a}}, ports: [{number: 80, name: http, protocol: HTTP}]",
    "hosts: [e.example], resolution: STATIC, location: MESH_INTERNAL, endpoints: [{address: 10.9.0.1, serviceAccount: x}, {address: 10.9.0.1}], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 88}]",
    "hosts: [f.example], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]",
    "hosts: [g.example], resolution: STATIC, location: MESH_EXTERNAL, workloadSelector: {labels: {app: b}}, ports: [{number: 90, name: tcp, protocol: TCP}]",
];

const WORKLOADS: &[&str] = &[
    "address: 10.0.1.1, serviceAccount: sa0",
    "address: 10.0.1.2, ports: {http: 99}",
    "address: w.example, weight: 7",
    "address: 'no such'",
];

const STATUSES: &[&str] = &[
    "phase: Running",
    "phase: Running, conditions: [{type: Ready, status: 'True'}]",
    "phase: Running, conditions: [{type: Ready, status: 'False'}]",
    "phase: Succeeded",
];

const CONDITIONS: &[&str] =
    &["", "conditions: {ready: false}", "conditions: {ready: false, serving: true, terminating: true}"];

/// What is said about services and workloads.
const SAID: &[(ObjectKind, &str)] = &[
    (ObjectKind::PeerAuthentication, "selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}"),
    (
        ObjectKind::PeerAuthentication,
        "selector: {matchLabels: {app: b}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}",
    ),
    (ObjectKind::PeerAuthentication, "mtls: {mode: DISABLE}"),
    (ObjectKind::PeerAuthentication, "mtls: {mod: DISABLE}"),
    (ObjectKind::AuthorizationPolicy, "selector: {matchLabels: {app: a}}, rules: [{}]"),
    (
        ObjectKind::AuthorizationPolicy,
        "action: DENY, rules: [{from: [{source: {principals: [cluster.local/ns/one/sa/sa1]}}]}]",
    ),
    (ObjectKind::AuthorizationPolicy, "rules: [{from: [{source: {principal: [x]}}]}]"),
    (ObjectKind::Telemetry, "accessLogging: [{providers: [{name: envoy}]}]"),
    (ObjectKind::Telemetry, "selector: {matchLabels: {app: a}}, accessLogging: [{providers: [{name: book}]}]"),
    (ObjectKind::Telemetry, "accessLogging: [{filter: {expression: response.code >= 400}}]"),
    (ObjectKind::Telemetry, "accessLogging: [{disabled: true}], metrics: []"),
    (
        ObjectKind::DestinationRule,
        "host: s0, trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 3, h2UpgradePolicy: UPGRADE}}}",
    ),
    (
        ObjectKind::DestinationRule,
        "host: '*.one.svc.cluster.local', trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 4}}}",
    ),
    (ObjectKind::DestinationRule, "host: e.example, subsets: [{name: v, labels: {v: x}}], exportTo: ['.']"),
    (ObjectKind::DestinationRule, "host: none.example, subsets: [{name: v, labels: {v: x}}]"),
    (ObjectKind::VirtualService, "hosts: [e.example], http: [{route: [{destination: {host: nothing.example}}]}]"),
    (
        ObjectKind::VirtualService,
        "hosts: [e.example], http: [{retries: {attempts: 1}, route: [{destination: {host: e.example, subset: v}}]}]",
    ),
    (
        ObjectKind::VirtualService,
        "hosts: [e.example], http: [{retries: {attempts: 3}, route: [{destination: {host: e.example, subset: v}}]}]",
    ),
    (ObjectKind::VirtualService, "hosts: [s0, new.example], http: [{route: [{destination: {host: s1}}]}]"),
    (ObjectKind::VirtualService, "hosts: ['*'], gateways: [edge], http: [{route: [{destination: {host: s1}}]}]"),
    (ObjectKind::VirtualService, "hosts: ['*'], gateways: [edge], http: [{route: [{destination: {host: s0}}]}]"),
    (ObjectKind::Sidecar, "egress: [{hosts: ['./*']}]"),
    (ObjectKind::Sidecar, "workloadSelector: {labels: {app: a}}, egress: [{hosts: ['two/*', '~/*']}]"),
    (
        ObjectKind::Gateway,
        "selector: {app: a}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: o0}}]",
    ),
    (
        ObjectKind::Ingress,
        "ingressClassName: c0, tls: [{secretName: o0}], rules: [{http: {paths: [{pathType: Prefix, path: /a, backend: {service: {name: s0, port: {number: 80}}}}]}}]",
    ),
    (
        ObjectKind::Ingress,
        "ingressClassName: c0, defaultBackend: {service: {name: s1, port: {name: http}}}, rules: [{http: {paths: [{pathType: Exact, path: /a, backend: {service: {name: s2, port: {name: http}}}}]}}]",
    ),
    (ObjectKind::Ingress, "ingressClassName: istio, defaultBackend: {service: {name: s0, port: {number: 90}}}"),
];

/// Of kinds that are checked by their form alone: what changes is what is said of them.
const INERT: &[(ObjectKind, &str)] = &[
    (ObjectKind::RequestAuthentication, "jwtRules: [{issuer: one.example}]"),
    (ObjectKind::WorkloadGroup, "template: {serviceAccount: sa0}"),
    (ObjectKind::EnvoyFilter, "configPatches: []"),
    (ObjectKind::ProxyConfig, "concurrency: 2"),
    (ObjectKind::WasmPlugin, "url: 'oci://registry.example/quota:1'"),
    (ObjectKind::TrafficExtension, "phase: AUTHZ, wasm: {url: 'oci://registry.example/quota:1'}"),
    (ObjectKind::IstioOperator, "profile: default"),
    (ObjectKind::KubernetesGateway, "gatewayClassName: istio, listeners: [{name: web, port: 80, protocol: HTTP}]"),
    (ObjectKind::GatewayClass, "controllerName: istio.io/gateway-controller"),
    (ObjectKind::ListenerSet, "parentRef: {name: edge}, listeners: [{name: web, port: 80, protocol: HTTP}]"),
    (
        ObjectKind::HTTPRoute,
        "hostnames: [e.example], parentRefs: [{name: edge}], rules: [{backendRefs: [{name: s0, port: 80}]}]",
    ),
    (ObjectKind::GRPCRoute, "parentRefs: [{name: edge}], rules: [{backendRefs: [{name: s0, port: 80}]}]"),
    (
        ObjectKind::TLSRoute,
        "hostnames: [e.example], parentRefs: [{name: edge}], rules: [{backendRefs: [{name: s0, port: 80}]}]",
    ),
    (ObjectKind::TCPRoute, "parentRefs: [{name: edge}], rules: [{backendRefs: [{name: s0, port: 80}]}]"),
    (ObjectKind::UDPRoute, "parentRefs: [{name: edge}], rules: [{backendRefs: [{name: s0, port: 80}]}]"),
    (
        ObjectKind::ReferenceGrant,
        "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: one}], to: [{group: '', kind: Service}]",
    ),
    (
        ObjectKind::BackendTLSPolicy,
        "targetRefs: [{group: '', kind: Service, name: s0}], validation: {hostname: s0.example, wellKnownCACertificates: System}",
    ),
    (
        ObjectKind::XBackend,
        "type: ExternalHostname, externalHostname: {hostname: e.example}, port: {name: '', port: 443}",
    ),
    (ObjectKind::XBackendTrafficPolicy, "targetRefs: [{group: '', kind: Service, name: s0}]"),
    (ObjectKind::XMesh, "controllerName: istio.io/mesh-controller"),
];

/// Such that are not well-formed.
const BROKEN: &[(ObjectKind, &str)] = &[
    (ObjectKind::RequestAuthentication, "selector: {matchLabels: {app: a}}, jwtRules: [{isuer: one.example}]"),
    (ObjectKind::KubernetesGateway, "listeners: [{name: web, port: 0, protocol: HTTP}]"),
];

/// What the others stand in or refer to: kind, name, labels, what follows `metadata`.
const ROOTS: &[(ObjectKind, &str, &str, &str)] = &[
    (ObjectKind::Secret, "o0", "a: b", "stringData: {tls.crt: chain, tls.key: key}"),
    (ObjectKind::Secret, "o0", "a: b", "stringData: {tls.crt: chain, tls.key: another}"),
    (ObjectKind::Node, "n0", "topology.kubernetes.io/region: r", "spec: {}"),
    (ObjectKind::Node, "n0", "topology.kubernetes.io/region: q", "spec: {}"),
    (ObjectKind::Namespace, "one", "a: b", "spec: {}"),
    (ObjectKind::Namespace, "one", "a: c", "spec: {}"),
    (ObjectKind::IngressClass, "c0", "", "spec: {controller: istio.io/ingress-controller}"),
    (ObjectKind::IngressClass, "c0", "", "spec: {controller: example.com/other}"),
    (ObjectKind::ConfigMap, "istio", "", "data: {mesh: '{ingressControllerMode: DEFAULT, ingressSelector: edge}'}"),
    (ObjectKind::ConfigMap, "istio", "", "data: {mesh: 'trustDomain: other.domain'}"),
    (ObjectKind::ConfigMap, "istio", "", "data: {mesh: 'rootNamespace: one'}"),
    (ObjectKind::ConfigMap, "istio", "", "data: {mesh: 'discoverySelectors: [{matchLabels: {a: b}}]'}"),
    (
        ObjectKind::ConfigMap,
        "istio",
        "",
        "data: {mesh: 'extensionProviders: [{name: book, envoyFileAccessLog: {path: /dev/stdout}}]'}",
    ),
    (
        ObjectKind::ConfigMap,
        "istio",
        "",
        "data: {mesh: '{defaultServiceExportTo: [.], defaultVirtualServiceExportTo: [.], defaultDestinationRuleExportTo: [.]}'}",
    ),
];
