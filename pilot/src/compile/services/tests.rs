use crate::offline::compile_text;
use mesh_config::model::{Kind, Part};

fn service(name: &str, spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{{spec}}}}}\n---\n")
}

#[test]
fn another_name_of_a_service_has_its_ports_where_it_says_none() {
    let alias = |more: &str| {
        let of = "type: ExternalName, externalName: cart.shop.svc.cluster.local";
        let objects = [
            service("alias", &format!("{of}{more}")),
            service("cart", "selector: {app: cart}, ports: [{port: 80, name: http, targetPort: 8080}, {port: 81}]"),
            "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, labels: {app: cart}}, status: {podIP: 10.0.0.1}}".to_owned(),
        ];
        let (mesh, found) = compile_text(&objects.concat(), None);
        assert_eq!(found, Vec::new());
        let ports = mesh.parts(Kind::Service).filter_map(|shared| match shared.part() {
            Part::Service(service) if &*service.name == "alias" => Some(
                service.ports.iter().map(|port| format!("{} {:?}", port.number, port.protocol)).collect::<Vec<_>>(),
            ),
            _ => None,
        });
        let endpoints = mesh.parts(Kind::Endpoint).filter_map(|shared| match shared.part() {
            Part::Endpoint(e) if e.key.service.host.as_str().starts_with("alias") => {
                Some(format!("{} {}", e.key.port, e.target_port))
            }
            _ => None,
        });
        (ports.flatten().collect::<Vec<_>>(), endpoints.collect::<Vec<_>>())
    };
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(alias(""), (texts(&["80 Http", "81 Auto"]), texts(&["80 8080", "81 81"])));
    assert_eq!(alias(", ports: [{port: 81, name: tcp}]"), (texts(&["81 Tcp"]), texts(&["81 81"])));
}
