//! The second day of a mesh that `meshctl` installed: an upgrade in place, one beside by revision, a tag that moves between them, what
//! Helm installed and `meshctl` takes over, a report. Runs last, when no mesh is installed, and leaves none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use anyhow::ensure;
use mesh_e2e::cluster::{
    Cluster,
    mesh::load_images,
    place::{Place, soon},
};

const SYSTEM: &str = "istio-system";
const MINIMAL: [&str; 4] = ["--skip-confirmation", "--set", "profile=minimal", "--readiness-timeout=3m"];

/// The revision by which the pod of a workload was injected.
fn revision_of(place: &Place<'_>, app: &str) -> anyhow::Result<String> {
    let selector = format!("--selector=app={app}");
    place.kubectl(&[
        "get",
        "pods",
        &selector,
        "--field-selector=status.phase=Running",
        "--output=jsonpath={.items[*].metadata.annotations.istio\\.io/rev}",
    ])
}

/// The version that the control plane's labels say.
fn labelled(cluster: &Cluster, version: &str) {
    let label = format!("app.kubernetes.io/version={version}");
    let words = ["label", "deployment", "istiod", "--namespace", SYSTEM, "--overwrite", &label];
    cluster.kubectl(&words).expect("a label is taken");
}

fn meshctl(cluster: &Cluster, words: &[&str]) -> String {
    cluster.meshctl(&[words, &MINIMAL[..]].concat()).expect("it is done")
}

#[test]
fn cluster_a_mesh_is_upgraded_in_place_and_beside_and_taken_over_from_helm() {
    let cluster = Cluster::connect().expect("a cluster");
    load_images(&cluster).unwrap();
    upgrades(&cluster);
    is_taken_over(&cluster);
}

fn upgrades(cluster: &Cluster) {
    assert!(cluster.meshctl(&[&["upgrade"], &MINIMAL[..]].concat()).is_err(), "nothing is installed");
    meshctl(cluster, &["install"]);
    cluster.meshctl(&["tag", "set", "prod", "--revision", "default"]).unwrap();
    let place = Place::new(cluster, "upgraded", &["istio.io/rev=prod"]).unwrap();
    // An API server knows a new webhook a moment after it was written.
    soon("the webhook of the tag is the default's", || {
        for name in ["server", "client"] {
            place.kubectl(&[
                "delete",
                "deployment",
                name,
                "--ignore-not-found",
                "--cascade=foreground",
                "--wait=true",
            ])?;
            place.echo(name)?;
            let revision = revision_of(&place, name)?;
            ensure!(revision == "default", "{name}: {revision:?}");
        }
        Ok(())
    });
    soon("the client is answered", || place.called("client", "200", "http://server/"));

    // In place: too far is refused, one minor version is not, and a second time there is nothing to change.
    labelled(cluster, "0.9.0");
    let refused = cluster.meshctl(&[&["upgrade"], &MINIMAL[..]].concat()).unwrap_err().to_string();
    assert!(refused.contains("--force"), "{refused}");
    labelled(cluster, "0.0.9");
    let told = meshctl(cluster, &["upgrade", "--dry-run"]);
    assert!(
        told.contains("goes from version 0.0.9") && told.contains("update Deployment istio-system/istiod: "),
        "{told}"
    );
    meshctl(cluster, &["upgrade"]);
    let told = meshctl(cluster, &["upgrade", "--dry-run"]);
    let changed: Vec<&str> = told.lines().filter(|line| !line.starts_with("same ")).collect();
    assert_eq!(changed, Vec::<&str>::new());
    soon("the client is answered", || place.called("client", "200", "http://server/"));

    // Beside: the tag moves, pods that are made anew are the other revision's, and both understand each other.
    let told = meshctl(cluster, &["upgrade", "--revision", "canary"]);
    assert!(told.contains("stands beside"), "{told}");
    cluster.meshctl(&["tag", "set", "prod", "--revision", "canary", "--overwrite"]).unwrap();
    soon("the webhook of the tag is the canary's", || {
        place.kubectl(&["delete", "pod", "--selector=app=server", "--wait=true"])?;
        place.kubectl(&["rollout", "status", "deployment/server", "--timeout=60s"])?;
        let revision = revision_of(&place, "server")?;
        ensure!(revision == "canary", "{revision:?}");
        Ok(())
    });
    soon("the client is answered", || place.called("client", "200", "http://server/"));
    let tags = cluster.meshctl(&["tag", "list"]).unwrap();
    assert!(tags.lines().any(|line| line.split_whitespace().eq(["prod", "canary", "upgraded"])), "{tags}");
    let version = cluster.meshctl(&["version"]).unwrap();
    assert!(version.contains("control plane version: "), "{version}");
    let levels = cluster.meshctl(&["admin", "log", "--revision", "canary", "--level", "debug"]).unwrap();
    assert!(levels.lines().skip(1).all(|line| line.contains("debug")), "{levels}");
    cluster.meshctl(&["admin", "log", "--reset"]).unwrap();

    // The default is the canary's, and comes back.
    let enabled = Place::new(cluster, "enabled", &["istio-injection=enabled"]).unwrap();
    cluster.meshctl(&["tag", "set", "default", "--revision", "canary", "--skip-confirmation"]).unwrap();
    let injected = |wanted: &str| {
        soon("the webhook has changed", || {
            enabled.kubectl(&[
                "delete",
                "deployment",
                "server",
                "--ignore-not-found",
                "--cascade=foreground",
                "--wait=true",
            ])?;
            enabled.echo("server")?;
            let revision = revision_of(&enabled, "server")?;
            ensure!(revision == wanted, "{revision:?}");
            Ok(())
        });
    };
    injected("canary");
    cluster.meshctl(&["tag", "remove", "default", "--skip-confirmation"]).unwrap();
    injected("default");

    let report = tempfile::tempdir().unwrap();
    let folder = report.path().to_str().unwrap();
    cluster.meshctl(&["bug-report", "--include", "upgraded", "--output-dir", folder, "--timeout=2m"]).unwrap();
    assert!(report.path().join("bug-report.tar.gz").metadata().unwrap().len() > 1000);

    drop((place, enabled));
    cluster.meshctl(&["uninstall", "--purge", "--skip-confirmation"]).unwrap();
}

fn is_taken_over(cluster: &Cluster) {
    cluster.helm(&["install", "istio-base", "charts/base", "--namespace", SYSTEM, "--create-namespace"]).unwrap();
    cluster.helm(&["install", "istiod", "charts/istiod", "--namespace", SYSTEM, "--wait"]).unwrap();
    for verb in ["install", "upgrade"] {
        let refused = cluster.meshctl(&[&[verb], &MINIMAL[..]].concat()).unwrap_err().to_string();
        assert!(refused.contains("the Helm release istio-system/") && refused.contains("--adopt"), "{refused}");
    }
    meshctl(cluster, &["upgrade", "--adopt"]);
    assert_eq!(cluster.helm(&["list", "--namespace", SYSTEM, "--short"]).unwrap(), "");
    let refused = cluster.helm(&["install", "istiod", "charts/istiod", "--namespace", SYSTEM]).unwrap_err().to_string();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    meshctl(cluster, &["upgrade"]);
    cluster.meshctl(&["uninstall", "--purge", "--skip-confirmation"]).unwrap();
}
