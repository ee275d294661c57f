//! The root of a mesh in a cluster is replaced while calls go on, and nobody notices.

use mesh_e2e::cluster::{
    mesh::Mesh,
    place::{STRICT, soon},
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Each container of the pods that were there, how often it was started, and since when the pod is.
const STARTS: &str = "--output=jsonpath={range .items[*]}{.metadata.name} {.metadata.creationTimestamp} \
                      {.status.initContainerStatuses[*].restartCount} {.status.containerStatuses[*].restartCount}{'\\n'}{end}";
/// Pods of the mesh's own.
const OWN: [&str; 5] = ["get", "pods", "--namespace", "istio-system", "--selector=app=istiod"];

/// The certificates of kind `root` that pilots sign with.
fn signs(status: &str) -> Vec<String> {
    let line = |line: &str| line.starts_with("root ").then(|| line.split_whitespace().nth(1).map(str::to_owned))?;
    status.lines().filter_map(line).collect()
}

#[test]
fn cluster_another_root_signs_under_load_and_nobody_fails_or_is_restarted() {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let place = mesh.namespace("mesh-rotate").unwrap();
    place.apply(STRICT).unwrap();
    place.echo("server").unwrap();
    place.echo("client").unwrap();
    soon("the client is answered", || place.called("client", "200", "http://server/"));
    let starts = || [place.kubectl(&["get", "pods", STARTS]), mesh.cluster.kubectl(&[&OWN[..], &[STARTS]].concat())];
    let before = starts().map(Result::unwrap);
    let old = signs(&soon("pilots are asked", || mesh.cluster.meshctl(&["ca", "status"])));

    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let words = ["--count", "1000", "--qps", "200", "--expect", "200", "http://server/"];
            while !finished.load(Ordering::Relaxed) {
                place.call("deploy/client", &words)?;
            }
            anyhow::Ok(())
        });
        let rotated = mesh.cluster.meshctl(&["ca", "rotate", "--skip-confirmation", "--wait"]);
        // Pods that start now have certificates of the new root, those before have them of the old one.
        let grown = rotated.and_then(|said| {
            place.echo("later")?;
            place.called("later", "200", "http://server/")?;
            place.called("client", "200", "http://later/")?;
            Ok(said)
        });
        finished.store(true, Ordering::Relaxed);
        calls.join().expect("the caller ends").expect("no call fails");
        assert!(grown.unwrap().contains("another root signs"), "what pilot said");
    });

    let status = mesh.cluster.meshctl(&["ca", "status"]).unwrap();
    let new = signs(&status);
    assert!(new.len() == 1 && new != old, "{old:?}, then {status}");
    assert!(status.contains("what signed before is still trusted"), "{status}");
    let [pods, pilots] = starts().map(Result::unwrap);
    assert!(before[0].lines().all(|line| pods.contains(line)), "{}then\n{pods}", before[0]);
    assert_eq!(before[1], pilots);
    // Nothing is under way that could be given up, and a root that is good is not recovered.
    mesh.cluster.meshctl(&["ca", "rotate", "--abort", "-y"]).unwrap_err();
    let refused = mesh.cluster.meshctl(&["ca", "recover", "-y", "--wait"]).unwrap_err().to_string();
    assert!(refused.contains("has not ended"), "{refused}");
}
