//! The mesh in a cluster: installed as the page says, and then what holds of it.

use mesh_e2e::{
    cluster::{
        certificates::Authority,
        mesh::Mesh,
        place::{STRICT, soon},
    },
    command,
};
use std::sync::atomic::{AtomicBool, Ordering};

fn allow(name: &str, app: &str, source: &str) -> String {
    format!(
        "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  action: ALLOW
  rules: [{{from: [{{source: {source}}}]}}]
"
    )
}

#[test]
fn cluster_a_new_user_follows_the_page() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let said = mesh.follow_the_page().expect("every command of the page succeeds");
    assert!(said.contains("spiffe://cluster.local/ns/shop/sa/web"), "{said}");
}

#[test]
fn cluster_a_server_sees_the_account_of_its_caller_and_plain_text_is_refused() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let inside = mesh.namespace("mesh-strict").unwrap();
    let outside = mesh.outside("mesh-plain").unwrap();
    inside.apply(STRICT).unwrap();
    inside.echo("server").unwrap();
    inside.echo("client").unwrap();
    outside.echo("stranger").unwrap();
    let said = soon("the client is answered", || inside.called("client", "200", "http://server/"));
    assert!(said.contains("spiffe://cluster.local/ns/mesh-strict/sa/client"), "{said}");
    // The nodes may learn of a Service a moment after its pods are ready.
    soon("a stranger's own calls are answered", || outside.called("stranger", "200", "http://stranger/"));
    // STRICT is in force from the first answer on: the workload knew it before it served.
    outside.call("deploy/stranger", &["http://server.mesh-strict/"]).unwrap_err();
}

#[test]
fn cluster_policies_by_namespace_and_by_principal_decide() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let (here, there) = (mesh.namespace("mesh-policy").unwrap(), mesh.namespace("mesh-policy-other").unwrap());
    for name in ["by-principal", "by-namespace", "friend", "other"] {
        here.echo(name).unwrap();
    }
    there.echo("neighbour").unwrap();
    here.apply(&allow("a", "by-principal", "{principals: [cluster.local/ns/mesh-policy/sa/friend]}")).unwrap();
    here.apply(&allow("b", "by-namespace", "{namespaces: [mesh-policy]}")).unwrap();
    let principal = "http://by-principal.mesh-policy/";
    let namespace = "http://by-namespace.mesh-policy/";
    soon("others are denied", || here.called("other", "403", principal));
    soon("neighbours are denied", || there.called("neighbour", "403", namespace));
    soon("a friend is served", || here.called("friend", "200", principal));
    there.called("neighbour", "403", principal).unwrap();
    soon("the namespace is served", || here.called("other", "200", namespace));
}

#[test]
fn cluster_a_tenants_config_map_changes_nothing() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let tenant = mesh.namespace("mesh-tenant").unwrap();
    tenant
        .apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: 'trustDomain: elsewhere.example'}\n")
        .unwrap();
    tenant.echo("server").unwrap();
    tenant.echo("client").unwrap();
    let said = soon("the client is answered", || tenant.called("client", "200", "http://server/"));
    assert!(said.contains("spiffe://cluster.local/ns/mesh-tenant/sa/client"), "{said}");
}

const THREE: &str = "
apiVersion: v1
kind: Service
metadata: {name: store}
spec:
  clusterIP: None
  selector: {app: store}
  ports: [{name: http, port: 8080}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: echo
          image: ferromesh.local/echo:dev
          args: [serve, --port, '8080', --port, '8090']
          readinessProbe: {httpGet: {path: /status/200, port: 8080}, periodSeconds: 1}
";

#[test]
fn cluster_pods_of_a_stateful_set_call_each_other_by_name_and_by_address_under_strict() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-store").unwrap();
    place.apply(STRICT).unwrap();
    place.apply(THREE).unwrap();
    place.kubectl(&["rollout", "status", "statefulset/store", "--timeout=120s"]).unwrap();
    let answer = |url: &str| soon(url, || place.call("store-0", &["--expect", "200", url]));
    for to in ["store-1.store", "store-2.store.mesh-store.svc.cluster.local"] {
        let said = answer(&format!("http://{to}:8080/"));
        assert!(said.contains("spiffe://cluster.local/ns/mesh-store/sa/default"), "{to}: {said}");
    }
    // By address, as peers do that tell each other where they are: on the port of the service, and on one that none has,
    // which carries bytes. STRICT would refuse either in plain text.
    let address = place.kubectl(&["get", "pod", "store-1", "--output=jsonpath={.status.podIP}"]).unwrap();
    for (port, is_http) in [(8080, true), (8090, false)] {
        let said = answer(&format!("http://{address}:{port}/"));
        assert_eq!(said.contains("spiffe://cluster.local/ns/mesh-store/sa/default"), is_http, "{port}: {said}");
    }
}

#[test]
fn cluster_a_pods_metrics_are_its_proxys_and_its_sidecar_is_small() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-metrics").unwrap();
    place.echo("server").unwrap();
    place.echo("client").unwrap();
    soon("the client is answered", || place.called("client", "200", "http://server/"));
    let pod = "jsonpath={.items[0].metadata.name} {.items[0].spec.nodeName} {.items[0].metadata.annotations.prometheus\\.io/port}";
    let told = place.kubectl(&["get", "pods", "--selector=app=server", &format!("--output={pod}")]).unwrap();
    let told: Vec<&str> = told.split(' ').collect();
    let [name, node, port] = told[..] else { panic!("{told:?}") };
    assert_eq!(port, "15020");
    let path = format!("/api/v1/namespaces/mesh-metrics/pods/{name}:15020/proxy/stats/prometheus");
    soon("the request is counted", || {
        let metrics = mesh.cluster.kubectl(&["get", "--raw", &path])?;
        let counted = metrics.lines().any(|line| {
            line.starts_with("istio_requests_total{")
                && line.contains("source_principal=\"spiffe://cluster.local/ns/mesh-metrics/sa/client\"")
                && line.contains("connection_security_policy=\"mutual_tls\"")
        });
        anyhow::ensure!(counted, "{metrics}");
        Ok(())
    });
    let stats = mesh.cluster.kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/stats/summary")]).unwrap();
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    let pods = stats["pods"].as_array().expect("pods");
    let of_pod = pods.iter().find(|pod| pod["podRef"]["name"] == name).expect("the pod");
    let containers = of_pod["containers"].as_array().expect("containers");
    let sidecar = containers.iter().find(|container| container["name"] == "istio-proxy").expect("the sidecar");
    let bytes = sidecar["memory"]["rssBytes"].as_u64().expect("its memory");
    assert!(bytes < 15 << 20, "the sidecar has {bytes} bytes");
}

const DENY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec:
  selector: {matchLabels: {app: closed}}
  action: DENY
  rules: [{}]
";

/// Pods that start together, and how often they do.
const TOGETHER: &str = "10";
const ROUNDS: usize = 5;

#[test]
fn cluster_a_pod_never_answers_before_the_policy_on_it_holds() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let (place, outside) = (mesh.namespace("mesh-start").unwrap(), mesh.outside("mesh-start-plain").unwrap());
    place.apply(DENY).unwrap();
    place.echo("closed").unwrap();
    place.echo("caller").unwrap();
    outside.echo("caller").unwrap();
    // Called before it is ready, and all of it started anew at once.
    place
        .kubectl(&["patch", "service", "closed", "--patch", "{\"spec\":{\"publishNotReadyAddresses\":true}}"])
        .unwrap();
    let at_once = "{\"spec\":{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":\"100%\",\"maxUnavailable\":\"100%\"}}}}";
    place.kubectl(&["patch", "deployment", "closed", "--patch", at_once]).unwrap();
    place.kubectl(&["scale", "deployment", "closed", "--replicas", TOGETHER]).unwrap();
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = [&place, &outside].map(|from| {
            let finished = &finished;
            scope.spawn(move || {
                let mut said = String::new();
                // Many have no answer, while nobody is there.
                let words = ["--count", "200", "--qps", "50", "--timeout", "1", "http://closed.mesh-start/"];
                while !finished.load(Ordering::Relaxed) {
                    said += &from.call_whatever("deploy/caller", &words).expect("kubectl runs");
                }
                said
            })
        });
        let rounds = (0..ROUNDS).try_for_each(|_| {
            place.kubectl(&["rollout", "restart", "deployment/closed"])?;
            place.kubectl(&["rollout", "status", "deployment/closed", "--timeout=60s"]).map(drop)
        });
        finished.store(true, Ordering::Relaxed);
        for said in calls.map(|calls| calls.join().expect("the caller ends")) {
            assert!(said.contains("403"), "nobody was there to deny: {said}");
            assert!(!said.contains("\"pod\":\"closed"), "the workload itself has answered: {said}");
        }
        rounds.unwrap();
    });
}

const SERVERS: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 443, name: own, protocol: HTTPS}
      hosts: [own.example.com]
      tls: {mode: SIMPLE, credentialName: keys-own}
    - port: {number: 443, name: tenants, protocol: HTTPS}
      hosts: [tenants.example.com]
      tls: {mode: SIMPLE, credentialName: keys-tenants}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server}
spec:
  hosts: [own.example.com, tenants.example.com]
  gateways: [edge]
  http: [{route: [{destination: {host: server, port: {number: 80}}}]}]
";

#[test]
fn cluster_a_gateway_gets_keys_of_its_own_namespace_alone() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-keys").unwrap();
    place.echo("server").unwrap();
    let kubectl = |words: &[&str]| mesh.cluster.kubectl(words);
    let pair = Authority::new().unwrap().server("edge", &[], &["own.example.com", "tenants.example.com"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("cert.pem", &pair.certificate), ("key.pem", &pair.key)] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let [cert, key] = [("cert", "cert.pem"), ("key", "key.pem")]
        .map(|(flag, name)| format!("--{flag}={}", folder.path().join(name).display()));
    let _ = kubectl(&["delete", "secret", "keys-own", "--namespace", "istio-ingress", "--ignore-not-found"]);
    for (name, namespace) in [("keys-own", "istio-ingress"), ("keys-tenants", "mesh-keys")] {
        kubectl(&["create", "secret", "tls", name, "--namespace", namespace, &cert, &key]).unwrap();
    }
    place.apply(SERVERS).unwrap();
    let output = "--output=jsonpath={.status.loadBalancer.ingress[0].ip}";
    let address = kubectl(&["get", "service", "istio-ingressgateway", "--namespace", "istio-ingress", output]).unwrap();
    let call = |host: &str| {
        let resolve = format!("{host}:443:{address}");
        let url = format!("https://{host}/");
        command::output("curl", &["--silent", "--insecure", "--fail", "--max-time", "5", "--resolve", &resolve, &url])
    };
    soon("the gateway has the key of its own namespace", || call("own.example.com").map(drop));
    call("tenants.example.com").expect_err("a tenant's key is nobody else's");
    kubectl(&["delete", "secret", "keys-own", "--namespace", "istio-ingress"]).unwrap();
}
