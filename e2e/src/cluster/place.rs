//! A namespace of one test, with what runs in it; gone when the test is over.

use super::Cluster;
use anyhow::Result;
use mesh_runtime::clock;
use std::{thread::ScopedJoinHandle, time::Duration};

/// Mutual TLS alone is taken.
pub const STRICT: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
";

/// See the module.
pub struct Place<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> Place<'a> {
    /// A new one with these labels; what a killed run left under the name is removed first.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(cluster: &'a Cluster, name: &str, labels: &[&str]) -> Result<Self> {
        let _ = cluster.remove_namespace(name);
        cluster.create_namespace(name, labels)?;
        Ok(Place { cluster, name: name.to_owned() })
    }

    /// The namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs kubectl in the namespace.
    ///
    /// # Errors
    /// When it says that it failed.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[&["--namespace", &self.name], words].concat())
    }

    /// Applies objects that name no namespace.
    ///
    /// # Errors
    /// When one is refused.
    pub fn apply(&self, objects: &str) -> Result<()> {
        self.cluster.apply(&self.name, objects)
    }

    /// A Deployment of echo with a Service of its name, port 80, and an account of its name; ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn echo(&self, name: &str) -> Result<()> {
        self.apply(&ECHO.replace("NAME", name))?;
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]).map(drop)
    }

    /// Calls by the client of echo in a pod (`NAME` or `TYPE/NAME`); gives what was printed.
    ///
    /// # Errors
    /// When the client says that it failed.
    pub fn call(&self, from: &str, words: &[&str]) -> Result<String> {
        self.cluster.kubectl(&self.client(from, words))
    }

    /// As [`Self::call`], with what was printed also where calls had no answer.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub fn call_whatever(&self, from: &str, words: &[&str]) -> Result<String> {
        self.cluster.kubectl_whatever(&self.client(from, words))
    }

    /// What a call of a workload's is answered with, if it is with this status.
    ///
    /// # Errors
    /// When it is not.
    pub fn called(&self, from: &str, status: &str, url: &str) -> Result<String> {
        self.call(&format!("deploy/{from}"), &["--expect", status, url])
    }

    /// Removes a pod while its log is read on; gives the log of this container to its end.
    ///
    /// # Errors
    /// When the pod is not removed, or has no log.
    pub fn last_words(&self, pod: &str, container: &str) -> Result<String> {
        std::thread::scope(|scope| {
            let words = ["logs", pod, "--container", container, "--follow"];
            let log: ScopedJoinHandle<'_, Result<String>> = scope.spawn(move || self.kubectl(&words));
            self.kubectl(&["delete", "pod", pod, "--wait=true"])?;
            log.join().expect("it ends without a panic")
        })
    }

    fn client<'w>(&'w self, from: &'w str, words: &[&'w str]) -> Vec<&'w str> {
        let exec = ["--namespace", &self.name, "exec", from, "--container", "echo", "--"];
        [&exec[..], &["echo", "client", "--print"], words].concat()
    }
}

/// Asks again, for a minute, for what takes a moment to be in force.
///
/// # Panics
/// When it is not in force then, with what stood in the way last.
pub fn soon<T>(what: &str, mut probe: impl FnMut() -> Result<T>) -> T {
    let begin = clock::now();
    loop {
        match probe() {
            Ok(answer) => return answer,
            Err(error) => assert!(clock::since(begin) < Duration::from_secs(60), "{what}: {error:#}"),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let _ = self.cluster.remove_namespace(&self.name);
    }
}

const ECHO: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      serviceAccountName: NAME
      terminationGracePeriodSeconds: 10
      containers:
        - name: echo
          image: ferromesh.local/echo:dev
          args: [serve, --port, '8080']
          readinessProbe: {httpGet: {path: /status/200, port: 8080}, periodSeconds: 1}
";
