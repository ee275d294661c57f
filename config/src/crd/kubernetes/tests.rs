use super::*;
use crate::{
    crd::{self, Parsed},
    model::{Credential, Protocol, Visibility},
    name::{NamespacedName, Port},
};

fn parse(text: &str) -> (Option<Parsed>, Vec<String>) {
    let (objects, mut found) = crd::read_text(&"f".into(), text);
    let (parsed, more) = crd::parse(&objects[0], &ParseContext::default());
    found.extend(more);
    (parsed, found.iter().map(ToString::to_string).collect())
}

fn service(metadata: &str, spec: &str) -> Service {
    let text =
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop, {metadata}}}\nspec: {spec}");
    match parse(&text) {
        (Some(Parsed::Service(service)), found) if found.is_empty() => service,
        other => panic!("{other:?}"),
    }
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

#[test]
fn a_service_is_read_and_the_rest_of_it_is_not_our_business() {
    let read = service(
        "annotations: {networking.istio.io/exportTo: '., front'}",
        "{clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1'], selector: {app: web}, sessionAffinity: None, publishNotReadyAddresses: true,
  ports: [{port: 80, name: http-web, targetPort: 8080, nodePort: 30000}, {port: 53, protocol: UDP}, {port: 53, name: dns, targetPort: dns}]}",
    );
    assert_eq!(read.host.as_str(), "web.shop.svc.cluster.local");
    assert_eq!(read.kind, ServiceKind::Cluster(vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]));
    let ports: Vec<_> = read.ports.iter().map(|p| (p.port.number.get(), p.port.protocol, p.target.clone())).collect();
    let want =
        [(80, Protocol::Http, TargetPort::Number(port(8080))), (53, Protocol::Tcp, TargetPort::Name("dns".into()))];
    assert_eq!(ports, want);
    let seen_by = ["shop", "front"].map(crate::name::Namespace::from);
    assert_eq!(read.visibility(&["*".into()]), Visibility::Namespaces(seen_by.into_iter().collect()));
    assert!(read.publish_not_ready && read.selector.get("app").is_some());
}

#[test]
fn a_service_is_headless_or_another_name() {
    assert_eq!(service("", "{clusterIP: None}").kind, ServiceKind::Headless);
    assert_eq!(service("", "{clusterIP: ''}").kind, ServiceKind::Cluster(Vec::new()));
    let other = service("", "{type: ExternalName, externalName: db.example}");
    assert_eq!(other.kind, ServiceKind::ExternalName("db.example".parse().unwrap()));
    assert_eq!(
        service("annotations: {networking.istio.io/exportTo: '~'}", "{}").visibility(&["*".into()]),
        Visibility::Namespaces([].into())
    );
}

#[test]
fn protocols_come_from_the_application_protocol_then_the_name() {
    for (application, name, number, want) in [
        (None, "http", 1, Protocol::Http),
        (None, "HTTP2-x", 1, Protocol::Http2),
        (None, "grpc-web-x", 1, Protocol::GrpcWeb),
        (None, "grpc-x", 1, Protocol::Grpc),
        (None, "https", 1, Protocol::Https),
        (None, "tls-x", 1, Protocol::Tls),
        (None, "redis", 1, Protocol::Tcp),
        (None, "web", 1, Protocol::Auto),
        (None, "", 3306, Protocol::Tcp),
        (None, "http", 3306, Protocol::Http),
        (Some("kubernetes.io/h2c"), "tcp", 1, Protocol::Http2),
        (Some("kubernetes.io/ws"), "", 1, Protocol::Http),
        (Some("kubernetes.io/wss"), "", 1, Protocol::Https),
        (Some("mongo"), "http", 1, Protocol::Tcp),
        (Some("example.com/own"), "http", 1, Protocol::Auto),
    ] {
        assert_eq!(service::protocol(application, name, port(number)), want, "{application:?} {name} {number}");
    }
}

#[test]
fn a_wrong_service_is_refused_by_field() {
    let (parsed, found) =
        parse("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: here, ports: [{port: 0}]}");
    assert_eq!(parsed, None);
    assert!(
        found.iter().any(|f| f.contains("spec.clusterIP")) && found.iter().any(|f| f.contains("spec.ports[0].port")),
        "{found:?}"
    );
}

#[test]
fn an_endpoint_slice_is_read() {
    let (parsed, found) = parse(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: u, port: 53, protocol: UDP}]
endpoints:
- {addresses: [10.1.0.1], targetRef: {kind: Pod, name: web-a}, nodeName: n1, zone: z1}
- {addresses: [10.1.0.2], conditions: {ready: false, serving: true, terminating: true}, hostname: h}",
    );
    let Some(Parsed::EndpointSlice(slice)) = parsed else { panic!("{found:?}") };
    assert_eq!(slice.service, NamespacedName::new("shop", "web"));
    assert_eq!(slice.ports, [SlicePort { name: "http".into(), number: port(8080) }]);
    let [first, second] = &slice.endpoints[..] else { panic!() };
    assert_eq!(first.pod, Some(NamespacedName::new("shop", "web-a")));
    assert!(first.ready && first.serving && !first.terminating);
    assert!(!second.ready && second.serving && second.terminating && second.hostname.is_some());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_slice_of_no_service_says_nothing() {
    let (parsed, found) = parse(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: IPv4\nendpoints: []",
    );
    assert_eq!((parsed, found.len()), (None, 0));
}

#[test]
fn a_pod_is_read() {
    let (parsed, found) = parse(
        "apiVersion: v1
kind: Pod
metadata: {name: web-a, namespace: shop, labels: {app: web}, deletionTimestamp: '2024-01-01T00:00:00Z'}
spec:
  serviceAccountName: web
  nodeName: n1
  volumes: []
  containers: [{name: a, image: i, ports: [{containerPort: 8080, name: http}, {containerPort: 53, protocol: UDP}]}]
status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}], conditions: [{type: Ready, status: 'True'}]}",
    );
    let Some(Parsed::Pod(pod)) = parsed else { panic!("{found:?}") };
    assert_eq!((&*pod.service_account, pod.phase, pod.addresses.len()), ("web", PodPhase::Running, 2));
    assert_eq!((pod.port_named("http"), pod.ports.len()), (Some(port(8080)), 1));
    assert!(pod.ready && pod.terminating && !pod.has_ended() && found.is_empty(), "{found:?}");
    let (Some(Parsed::Pod(bare)), _) = parse("apiVersion: v1\nkind: Pod\nmetadata: {name: a}") else { panic!() };
    assert_eq!((&*bare.service_account, bare.phase, bare.ready), ("default", PodPhase::Unknown, false));
}

#[test]
fn a_namespace_has_labels() {
    let (parsed, _) =
        parse("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {a: b}}\nspec: {finalizers: []}");
    let labels = [("a", "b")].into_iter().collect();
    assert_eq!(parsed, Some(Parsed::Namespace(Namespace { name: "shop".into(), labels })));
}

fn secret(body: &str) -> (Option<Secret>, Vec<String>) {
    match parse(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: gw}}\n{body}")) {
        (Some(Parsed::Secret(secret)), found) => (Some(secret), found),
        (None, found) => (None, found),
        other => panic!("{other:?}"),
    }
}

#[test]
fn secrets_of_both_forms_are_read() {
    let (tls, _) = secret("type: kubernetes.io/tls\ndata: {tls.crt: Y2hhaW4=, tls.key: a2V5, ca.crt: Y2E=}");
    let credential = tls.unwrap().credential();
    assert_eq!(
        (&*credential.chain_pem, &*credential.key_pem, &*credential.ca_pem),
        (&b"chain"[..], &b"key"[..], &b"ca"[..])
    );
    let (generic, found) = secret("stringData: {cert: chain, key: other}\ndata: {key: a2V5, cacert: Y2E=}");
    assert_eq!((&*generic.unwrap().key_pem, found.len()), (&b"other"[..], 0));
    let (only_ca, found) = secret("data: {cacert: Y2E=}");
    let want = Credential { ca_pem: "ca".into(), ..Credential::nothing(NamespacedName::new("gw", "cert")) };
    assert_eq!((only_ca.unwrap().credential(), found.len()), (want.clone(), 0));
    // Half a key pair is none.
    let (half, _) = secret("data: {cacert: Y2E=, tls.crt: Y2hhaW4=}");
    assert_eq!(half.unwrap().credential(), want);
    assert_eq!(secret("data: {password: eA==}"), (None, Vec::new()));
}

#[test]
fn a_secret_never_shows_what_it_holds() {
    let (read, found) = secret("stringData: {cert: sesame}");
    assert!(found[0].contains("incomplete-secret"), "{found:?}");
    let shown = format!("{read:?} {found:?}");
    let (none, found) = secret("data: {key: sesame!, cert: 12345}");
    let shown = format!("{shown} {none:?} {found:?}");
    assert_eq!((none, found.len()), (None, 2));
    assert!(!shown.contains("sesame") && !shown.contains("12345"), "{shown}");
}

#[test]
fn a_wish_for_endpoints_that_are_near_is_said_to_have_no_effect() {
    let found = |metadata: &str, spec: &str| {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web, {metadata}}}\nspec: {{{spec}}}");
        let (parsed, found) = parse(&text);
        assert!(parsed.is_some());
        found.iter().map(|line| line.contains("field-not-acted-on")).collect::<Vec<_>>()
    };
    for wish in ["PreferClose", "PreferSameZone", "PreferSameNode"] {
        assert_eq!(found("", &format!("trafficDistribution: {wish}")), [true], "{wish}");
        let annotation = format!("annotations: {{networking.istio.io/traffic-distribution: {wish}}}");
        assert_eq!(found(&annotation, ""), [true], "{wish}");
    }
    assert_eq!(found("annotations: {networking.istio.io/traffic-distribution: Any}", ""), [false; 0]);
    assert_eq!(found("", "internalTrafficPolicy: Local"), [false; 0], "it is acted on");
}
