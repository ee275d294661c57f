//! Pods of every kind reach the mesh from their first moment to their last, and end when their application does.

use anyhow::{Context, Result};
use mesh_e2e::cluster::{
    mesh::Mesh,
    place::{Place, STRICT, soon},
};

/// Their application calls in its first moment, and once more before that where it begins with another container.
fn jobs() -> String {
    let call = |name: &str| {
        let args = "[client, --count, '20', --expect, '200', 'http://server/']";
        format!("{{name: {name}, image: ferromesh.local/echo:dev, args: {args}}}")
    };
    let spec = |more: &str| {
        let pod = format!("{{restartPolicy: Never, containers: [{}]{more}}}", call("echo"));
        format!("{{backoffLimit: 0, template: {{spec: {pod}}}}}")
    };
    let before = format!(", initContainers: [{}]", call("before"));
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: once}}
spec: {}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: prepared}}
spec: {}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly}}
spec: {{schedule: 0 3 * * *, suspend: true, jobTemplate: {{spec: {}}}}}
",
        spec(""),
        spec(&before),
        spec("")
    )
}

/// How many seconds the sidecar of a job's pod ended after its application.
fn late(place: &Place<'_>, job: &str) -> Result<i64> {
    let ended = |path: &str| {
        let output = format!("--output=jsonpath={path}");
        let at = place.kubectl(&["get", "pods", &format!("--selector=job-name={job}"), &output])?;
        let clock = at.split_once('T').context("no time")?.1.trim_end_matches('Z').to_owned();
        clock.split(':').try_fold(0, |sum, part| Ok::<_, anyhow::Error>(sum * 60 + part.parse::<i64>()?))
    };
    let containers = "{.items[0].status.containerStatuses[?(@.name==\"echo\")].state.terminated.finishedAt}";
    let sidecar = "{.items[0].status.initContainerStatuses[?(@.name==\"istio-proxy\")].state.terminated.finishedAt}";
    // Midnight may be between them.
    Ok((ended(sidecar)? - ended(containers)?).rem_euclid(24 * 3600))
}

#[test]
fn cluster_jobs_call_at_once_and_end_with_their_application() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-job").unwrap();
    place.apply(STRICT).unwrap();
    place.echo("server").unwrap();
    place.apply(&jobs()).unwrap();
    place.kubectl(&["create", "job", "by-night", "--from=cronjob/nightly"]).unwrap();
    for job in ["once", "prepared", "by-night"] {
        place.kubectl(&["wait", "--for=condition=complete", &format!("job/{job}"), "--timeout=90s"]).unwrap();
        let late = soon(job, || late(&place, job));
        assert!(late <= 5, "the sidecar of {job} ended {late} s after its application");
    }
}

/// One calls all its life, the other once it is to end.
const LIVES: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      containers:
        - name: echo
          image: ferromesh.local/echo:dev
          args: [steady, --for, 1h, --expect, '200', 'http://server/']
---
apiVersion: v1
kind: Pod
metadata: {name: farewell}
spec:
  containers:
    - name: echo
      image: ferromesh.local/echo:dev
      args: [client, --when-ended, --count, '20', --qps, '5', --expect, '200', 'http://server/']
";

#[test]
fn cluster_an_application_calls_from_its_first_moment_and_after_it_was_asked_to_end() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-lives").unwrap();
    place.apply(STRICT).unwrap();
    place.echo("server").unwrap();
    place.apply(LIVES).unwrap();
    place.kubectl(&["rollout", "status", "deployment/busy", "--timeout=120s"]).unwrap();
    place.kubectl(&["wait", "--for=condition=Ready", "pod/farewell", "--timeout=60s"]).unwrap();
    let said = place.last_words("farewell", "echo").unwrap();
    assert!(said.contains("20 calls, 0 failed; 20 of status 200"), "{said}");
    let busy = place.kubectl(&["get", "pods", "--selector=app=busy", "--output=name"]).unwrap();
    let said = place.last_words(busy.trim().trim_start_matches("pod/"), "echo").unwrap();
    assert!(said.contains(" calls, 0 failed; "), "{said}");
}
