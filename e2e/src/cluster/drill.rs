//! Drills in a cluster: what is done to a mesh while pods call each other through it, and what must be seen of it.
//!
//! [`Stage`]: the server, its callers and what leads to it. [`load`]: callers in pods. [`rollouts`]: new pods and fewer.
//! [`outages`]: parts of the cluster or of the mesh that go away. [`changes`]: policies and routes. [`upgrade`]: versions.

pub mod changes;
pub mod load;
pub mod outages;
pub mod rollouts;
pub mod upgrade;

use super::{
    mesh::Mesh,
    place::{Place, STRICT},
};
use anyhow::Result;
use load::Loads;

/// The server: HTTP/1.1, HTTP/2 and gRPC, on nobody's terms but those of a Deployment as people write it.
const SERVER: &str = "
apiVersion: v1
kind: Service
metadata: {name: server}
spec:
  selector: {app: server}
  ports:
    - {name: http, port: 80, targetPort: 8080}
    - {name: http2, port: 81, targetPort: 8081}
    - {name: grpc, port: 9000, targetPort: 9000}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server}
spec:
  replicas: 3
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec:
      containers:
        - name: echo
          image: ferromesh.local/echo:dev
          args: [serve, --port, '8080', --port, '8081', --grpc, '9000']
          readinessProbe: {httpGet: {path: /status/200, port: 8080}, periodSeconds: 1}
";

/// Where it is called from outside.
const DOOR: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [drill.example.com]}]
";

/// What leads from there to it; answers say this number.
fn route(number: u32) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: door}}
spec:
  hosts: [drill.example.com]
  gateways: [door]
  http:
    - match: [{{uri: {{prefix: /proto.}}}}]
      route: [{{destination: {{host: server, port: {{number: 9000}}}}}}]
    - route: [{{destination: {{host: server, port: {{number: 80}}}}}}]
      headers: {{response: {{set: {{x-number: '{number}'}}}}}}
"
    )
}

/// The server refuses one path, for which nobody asks but who wants to see that.
fn deny(name: &str, path: &str) -> String {
    format!(
        "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  action: DENY
  rules: [{{to: [{{operation: {{paths: [{path}]}}}}]}}]
"
    )
}

/// Where a drill is played.
pub struct Stage<'a> {
    pub mesh: &'a Mesh,
    /// The server, and callers in the mesh.
    pub inside: Place<'a>,
    /// Callers that come by the gateway.
    pub outside: Place<'a>,
}

impl<'a> Stage<'a> {
    /// Two namespaces with this name, and the server in the first, under mutual TLS alone.
    ///
    /// # Errors
    /// When the server does not become ready.
    pub fn new(mesh: &'a Mesh, name: &str) -> Result<Self> {
        let stage = Stage { mesh, inside: mesh.namespace(name)?, outside: mesh.outside(&format!("{name}-outside"))? };
        stage.inside.apply(STRICT)?;
        stage.inside.apply(SERVER)?;
        stage.inside.apply(DOOR)?;
        stage.inside.apply(&route(0))?;
        stage.inside.kubectl(&["rollout", "status", "deployment/server", "--timeout=180s"])?;
        Ok(stage)
    }

    /// Calls begin, so many a second in all.
    ///
    /// # Errors
    /// When a caller does not start.
    pub fn load(&self, rate: u32) -> Result<Loads<'_>> {
        Loads::start(self, rate)
    }
}
