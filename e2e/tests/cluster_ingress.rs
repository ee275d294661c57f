//! Ingresses of Kubernetes, through the gateway of the chart.

use mesh_e2e::{
    cluster::{mesh::Mesh, place::soon},
    command,
};

/// One of the mesh's class, one of somebody else's.
const INGRESSES: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: mesh-ingress}
spec: {controller: istio.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: ours}
spec:
  ingressClassName: mesh-ingress
  rules:
    - host: ingress.example.com
      http:
        paths:
          - {path: /shop, pathType: Prefix, backend: {service: {name: server, port: {name: http}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: theirs}
spec:
  ingressClassName: of-others
  defaultBackend: {service: {name: server, port: {number: 80}}}
";

#[test]
fn cluster_an_ingress_answers_at_the_address_that_its_status_says() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-ingress").unwrap();
    place.echo("server").unwrap();
    place.apply(INGRESSES).unwrap();
    let output = "--output=jsonpath={.status.loadBalancer.ingress[*].ip}";
    let words = ["get", "service", "istio-ingressgateway", "--namespace", "istio-ingress", output];
    let address = mesh.cluster.kubectl(&words).unwrap();
    soon("the status says where", || {
        let said = place.kubectl(&["get", "ingress", "ours", output])?;
        anyhow::ensure!(!said.is_empty() && said == address, "{said:?}, and the gateway has {address:?}");
        Ok(())
    });
    assert_eq!(place.kubectl(&["get", "ingress", "theirs", output]).unwrap(), "");
    let status = |path: &str| {
        let url = format!("http://{address}{path}");
        let words = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "5"];
        command::output("curl", &[&words[..], &["--header", "Host: ingress.example.com", &url]].concat())
    };
    soon("the gateway leads to the server", || {
        let said = status("/shop/status/200")?;
        anyhow::ensure!(said == "200", "{said}");
        Ok(())
    });
    assert_eq!(status("/shopping").unwrap(), "404", "a path is compared by its elements");
    mesh.cluster.kubectl(&["delete", "ingressclass", "mesh-ingress"]).unwrap();
    soon("without its class nobody serves it", || {
        // Where nobody else has the port, nothing listens.
        let said = status("/shop/status/200").unwrap_or_else(|_| "404".to_owned());
        anyhow::ensure!(said == "404", "{said}");
        Ok(())
    });
}
