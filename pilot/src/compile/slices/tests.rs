use crate::offline::compile_text;
use mesh_config::model::{Endpoint, Instance, Kind, Part};

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {ports: [{port: 80, targetPort: 8080}]}}\n---\n";

/// A slice of the service with this endpoint.
fn slice(endpoint: &str) -> String {
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s, namespace: shop, \
         labels: {{kubernetes.io/service-name: s}}}}, addressType: IPv4, ports: [{{port: 8080}}], endpoints: [{{{endpoint}}}]}}\n---\n"
    )
}

/// A pod at 10.0.0.1 with a proxy, and an account of its name.
fn pod(namespace: &str, name: &str, created: &str, spec: &str, phase: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: \"2026-01-0{created}T00:00:00Z\", \
         labels: {{app: {name}, security.istio.io/tlsMode: istio}}}}, spec: {{serviceAccountName: {name}{spec}}}, \
         status: {{phase: {phase}, podIP: 10.0.0.1}}}}\n---\n"
    )
}

/// Who the endpoints of the service are: account, label and port, and whether by mutual TLS.
fn endpoints(objects: &[&str]) -> Vec<String> {
    let (mesh, found) = compile_text(&[&[SERVICE], objects].concat().concat(), None);
    assert_eq!(found, Vec::new());
    let told = |part: &Part| {
        let Part::Endpoint(endpoint) = part else { panic!("not an endpoint") };
        let Endpoint { identity, labels, mutual_tls, target_port, .. } = &**endpoint;
        let account =
            identity.as_ref().map_or("nobody".to_owned(), |id| format!("{}/{}", id.namespace, id.service_account));
        let label = labels.get("app").map_or("-", |label| label);
        format!("{account} {label} {target_port} {}", if *mutual_tls { "mutual" } else { "plain" })
    };
    mesh.parts(Kind::Endpoint).map(|shared| told(shared.part())).collect()
}

const UNNAMED: &str = "addresses: [10.0.0.1]";

#[test]
fn an_endpoint_that_names_no_pod_is_the_pod_that_has_its_address() {
    let slice = slice(UNNAMED);
    let one = pod("shop", "one", "1", "", "Running");
    assert_eq!(endpoints(&[&slice]), ["nobody - 8080 plain"]);
    assert_eq!(endpoints(&[&slice, &one]), ["shop/one one 8080 mutual"]);
    let ended = pod("shop", "one", "1", "", "Succeeded");
    assert_eq!(endpoints(&[&slice, &ended]), ["nobody - 8080 plain"]);
    // Another account's has taken the address over.
    let two = pod("shop", "two", "2", "", "Running");
    assert_eq!(endpoints(&[&slice, &ended, &two]), ["shop/two two 8080 mutual"]);
    assert_eq!(endpoints(&[&slice, &one, &two]), ["shop/two two 8080 mutual"]);
    // Pods that share their node's address have none of their own, and so it is nobody's.
    let on_host = |name| pod("shop", name, "1", ", hostNetwork: true", "Running");
    assert_eq!(endpoints(&[&slice, &on_host("one"), &on_host("two")]), ["nobody - 8080 plain"]);
}

#[test]
fn an_endpoint_that_names_a_pod_is_that_pod_or_nothing() {
    let slice = slice("addresses: [10.0.0.1], targetRef: {kind: Pod, name: one}");
    let two = pod("shop", "two", "2", "", "Running");
    assert_eq!(endpoints(&[&slice]), [""; 0], "it is not known yet");
    assert_eq!(endpoints(&[&slice, &pod("shop", "one", "1", "", "Running")]), ["shop/one one 8080 mutual"]);
    assert_eq!(endpoints(&[&slice, &pod("shop", "one", "1", "", "Failed"), &two]), [""; 0], "the address is another's");
    let on_host = pod("shop", "one", "1", ", hostNetwork: true", "Running");
    assert_eq!(endpoints(&[&slice, &on_host]), ["shop/one one 8080 mutual"]);
}

#[test]
fn a_slice_makes_no_port_of_another_namespaces_pod() {
    let (mine, theirs) = (pod("shop", "one", "1", "", "Running"), pod("bank", "one", "1", "", "Running"));
    let ports = |pod: &str| {
        let (mesh, _) = compile_text(&[SERVICE, &slice(UNNAMED), pod].concat(), None);
        let instance = mesh.parts(Kind::Instance).next().unwrap().part().clone();
        let Part::Instance(instance) = instance else { panic!("not an instance") };
        let Instance { ports, .. } = &*instance;
        ports.iter().map(|port| port.target_port.get()).collect::<Vec<_>>()
    };
    assert_eq!(endpoints(&[&slice(UNNAMED), &theirs]), ["bank/one one 8080 mutual"]);
    assert_eq!((ports(&mine), ports(&theirs)), (vec![8080], vec![]));
}
