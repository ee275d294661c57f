//! What else stands behind names in a cluster: headless services, databases, names of elsewhere, kinds and namespaces that
//! come and go, and a Prometheus.

use mesh_e2e::cluster::{
    mesh::Mesh,
    place::{Place, STRICT, soon},
};
use serde_json::{Value, json};

#[test]
fn cluster_an_external_name_leads_to_the_service_that_it_names() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-external").unwrap();
    place.echo("server").unwrap();
    place.echo("client").unwrap();
    place
        .apply(
            "apiVersion: v1\nkind: Service\nmetadata: {name: alias}\nspec: {type: ExternalName, externalName: \
             server.mesh-external.svc.cluster.local, ports: [{name: http, port: 80}]}\n",
        )
        .unwrap();
    soon("the alias is followed", || place.called("client", "200", "http://alias/"));
}

const HEADLESS: &str = "
apiVersion: v1
kind: Service
metadata: {name: peers}
spec:
  clusterIP: None
  selector: {app: peers}
  ports: [{name: grpc, port: 9000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: peers}
spec:
  replicas: 3
  selector: {matchLabels: {app: peers}}
  template:
    metadata: {labels: {app: peers}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: echo
          image: ferromesh.local/echo:dev
          args: [serve, --port, '9000']
          readinessProbe: {grpc: {port: 9000}, periodSeconds: 1}
";

#[test]
fn cluster_a_client_of_grpc_spreads_its_calls_over_a_headless_service_itself() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-headless").unwrap();
    place.apply(STRICT).unwrap();
    place.echo("client").unwrap();
    place.apply(HEADLESS).unwrap();
    place.kubectl(&["rollout", "status", "deployment/peers", "--timeout=120s"]).unwrap();
    let output = "--output=jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{\"\\n\"}{end}";
    let pods = place.kubectl(&["get", "pods", "--selector=app=peers", output]).unwrap();
    let pods: Vec<(&str, &str)> = pods.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(pods.len(), 3, "{pods:?}");
    for (pod, address) in pods {
        let address = format!("{address}:9000");
        let words = ["--address", &address, "--expect", "0", "grpc://peers:9000/"];
        let said = soon(pod, || place.call("deploy/client", &words));
        assert!(said.contains(&format!("\"pod\":\"{pod}\"")), "{pod} did not answer: {said}");
        assert!(said.contains("spiffe://cluster.local/ns/mesh-headless/sa/client"), "{said}");
    }
}

/// A port without a name: what is said on it shows what it is.
const REDIS: &str = "
apiVersion: v1
kind: Service
metadata: {name: redis}
spec:
  selector: {app: redis}
  ports: [{port: 6379}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: redis
          image: ferromesh.local/redis:dev
          args: [--save, '', --protected-mode, 'no']
          readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shell}
spec:
  selector: {matchLabels: {app: shell}}
  template:
    metadata: {labels: {app: shell}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: redis
          image: ferromesh.local/redis:dev
          args: [--save, '', --port, '7000']
";

#[test]
fn cluster_a_database_on_an_unnamed_port_is_reached_under_strict() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-redis").unwrap();
    place.apply(STRICT).unwrap();
    place.apply(REDIS).unwrap();
    place.kubectl(&["rollout", "status", "deployment/redis", "deployment/shell", "--timeout=120s"]).unwrap();
    let redis = |words: &[&str]| {
        let exec = ["exec", "deploy/shell", "--container", "redis", "--", "/usr/bin/redis-cli", "-h", "redis"];
        let said = place.kubectl(&[&exec[..], words].concat())?;
        anyhow::ensure!(!said.to_lowercase().contains("error"), "{said}");
        Ok(said)
    };
    assert_eq!(soon("it takes a value", || redis(&["set", "colour", "green"])).trim(), "OK");
    assert_eq!(redis(&["get", "colour"]).unwrap().trim(), "green");
    let outside = mesh.outside("mesh-redis-plain").unwrap();
    outside.echo("stranger").unwrap();
    outside.call("deploy/stranger", &["--body", "PING\r\n", "tcp://redis.mesh-redis:6379"]).unwrap_err();
}

/// Leads to the server under a name that nobody else has.
const ENTRY: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: late}
spec:
  hosts: [late.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, targetPort: 8080, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: server}}
";

#[test]
fn cluster_a_kind_that_is_installed_late_counts_from_then_on() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-late").unwrap();
    place.echo("server").unwrap();
    place.echo("other").unwrap();
    place.echo("client").unwrap();
    let kubectl = |words: &[&str]| mesh.cluster.kubectl(words);
    let name = ["customresourcedefinition", "serviceentries.networking.istio.io"];
    let text = kubectl(&[&["get"], &name[..], &["--output=json"]].concat()).unwrap();
    let mut definition: Value = serde_json::from_str(&text).unwrap();
    for made in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
        definition["metadata"].as_object_mut().unwrap().remove(made);
    }
    definition.as_object_mut().unwrap().remove("status");
    kubectl(&[&["delete"], &name[..]].concat()).unwrap();
    place.apply(ENTRY).unwrap_err();
    mesh.cluster.apply("default", &definition.to_string()).unwrap();
    soon("the kind is served", || place.apply(ENTRY));
    let words = ["--address", "other:80", "--expect", "200", "http://late.example.com/"];
    soon("the entry leads to the server", || {
        let said = place.call("deploy/client", &words)?;
        anyhow::ensure!(said.contains("\"pod\":\"server-"), "{said}");
        Ok(())
    });
}

/// Answers for a server that it does not know in place of it.
const INSTEAD: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: instead}
spec:
  hosts: [server.mesh-hidden.svc.cluster.local]
  http: [{directResponse: {status: 418}}]
";

/// MeshConfig as it was, once this goes.
struct Restored<'a>(&'a Mesh, String);

impl Restored<'_> {
    fn write(&self, text: &str) {
        let patch = json!({"data": {"mesh": text}}).to_string();
        let words = ["patch", "configmap", "istio", "--namespace=istio-system", "--type=merge", "--patch", &patch];
        self.0.cluster.kubectl(&words).expect("MeshConfig is written");
    }
}

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        self.write(&self.1);
    }
}

#[test]
fn cluster_objects_of_a_namespace_that_is_not_selected_do_not_count() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let (place, hidden) = (mesh.namespace("mesh-selected").unwrap(), mesh.outside("mesh-hidden").unwrap());
    hidden.echo("server").unwrap();
    hidden.apply(INSTEAD).unwrap();
    place.echo("client").unwrap();
    let url = "http://server.mesh-hidden/";
    soon("its route counts", || place.called("client", "418", url));
    let output = "--output=jsonpath={.data.mesh}";
    let before = mesh.cluster.kubectl(&["get", "configmap", "istio", "--namespace=istio-system", output]).unwrap();
    let config = Restored(&mesh, before);
    let but = "discoverySelectors: [{matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: \
               [mesh-hidden]}]}]";
    config.write(&format!("{}\n{but}\n", config.1.trim_end()));
    soon("it does not count", || place.called("client", "200", url));
    drop(config);
    soon("it counts again", || place.called("client", "418", url));
}

/// A Prometheus with this name, configuration and metadata.
const PROMETHEUS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME}
data: {config.yaml: 'CONFIG'}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{name: http, port: 9090}]}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, METADATA}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: prometheus
      image: ferromesh.local/prometheus:dev
      args: [--config.file=/config/config.yaml, --storage.tsdb.path=/data]
      readinessProbe: {httpGet: {path: /-/ready, port: 9090}, periodSeconds: 1}
      volumeMounts: [{name: config, mountPath: /config}, {name: data, mountPath: /data}]
  volumes: [{name: config, configMap: {name: NAME}}, {name: data, emptyDir: {}}]
";

/// One whose own metrics are on its port; how they are scraped is told as users tell it.
fn scraped() -> String {
    let metadata = "labels: {app: scraped}, annotations: {prometheus.io/scrape: 'true', prometheus.io/port: '9090'}";
    PROMETHEUS.replace("NAME", "scraped").replace("METADATA", metadata).replace("CONFIG", "scrape_configs: []")
}

/// One that scrapes this; outside of the mesh, as most are.
fn scraper(target: &str, path: &str) -> String {
    let job = format!("{{job_name: pods, metrics_path: {path}, static_configs: [{{targets: [\"{target}\"]}}]}}");
    let config = format!("{{global: {{scrape_interval: 1s}}, scrape_configs: [{job}]}}");
    let metadata = "labels: {app: scraper, sidecar.istio.io/inject: 'false'}";
    PROMETHEUS.replace("NAME", "scraper").replace("METADATA", metadata).replace("CONFIG", &config)
}

#[test]
fn cluster_a_prometheus_scrapes_the_application_and_its_proxy_in_one() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-prometheus").unwrap();
    place.apply(STRICT).unwrap();
    place.apply(&scraped()).unwrap();
    place.echo("client").unwrap();
    place.kubectl(&["wait", "--for=condition=Ready", "pod/scraped", "--timeout=120s"]).unwrap();
    let of_pod = |path: &str| place.kubectl(&["get", "pod", "scraped", &format!("--output=jsonpath={path}")]).unwrap();
    // What a Prometheus finds by annotations, which Debian's cannot.
    let annotation = |name: &str| of_pod(&format!("{{.metadata.annotations.prometheus\\.io/{name}}}"));
    assert_eq!(annotation("scrape"), "true");
    let target = format!("{}:{}", of_pod("{.status.podIP}"), annotation("port"));
    place.apply(&scraper(&target, &annotation("path"))).unwrap();
    place.kubectl(&["wait", "--for=condition=Ready", "pod/scraper", "--timeout=120s"]).unwrap();
    soon("its own metrics", || finds(&mesh, &place, "prometheus_build_info"));
    let by_mesh = "istio_requests_total{reporter=\"destination\",source_workload=\"client\",\
                   connection_security_policy=\"mutual_tls\"}";
    // A proxy that hears of a peer for the first time has still to ask who it is.
    soon("its proxy's", || {
        place.called("client", "200", "http://scraped:9090/-/healthy")?;
        finds(&mesh, &place, by_mesh)
    });
}

/// Whether the Prometheus has a series.
fn finds(mesh: &Mesh, place: &Place<'_>, what: &str) -> anyhow::Result<()> {
    let encoded: String = form_urlencoded::byte_serialize(what.as_bytes()).collect();
    let service = format!("/api/v1/namespaces/{}/services/scraper:9090/proxy", place.name());
    let said = mesh.cluster.kubectl(&["get", "--raw", &format!("{service}/api/v1/query?query={encoded}")])?;
    let said: Value = serde_json::from_str(&said)?;
    anyhow::ensure!(said["data"]["result"].as_array().is_some_and(|series| !series.is_empty()), "{said}");
    Ok(())
}
