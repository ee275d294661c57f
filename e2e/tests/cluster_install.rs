//! What `meshctl install` makes of an empty cluster is a mesh, `meshctl` reads it, and `meshctl uninstall --purge` leaves nothing of
//! it. Runs last, when no mesh is installed.

use anyhow::{Context, Result, ensure};
use mesh_e2e::cluster::{
    Cluster,
    mesh::load_images,
    place::{Place, soon},
};

/// Names in the cluster that hold one of these words.
fn named(cluster: &Cluster, kinds: &str, words: &[&str]) -> Result<Vec<String>> {
    let all = cluster.kubectl(&["get", kinds, "--all-namespaces", "--output=name"])?;
    Ok(all.lines().filter(|name| words.iter().any(|word| name.contains(word))).map(str::to_owned).collect())
}

#[test]
fn cluster_what_meshctl_installs_is_a_mesh_and_what_it_purges_is_gone() {
    let cluster = Cluster::connect().expect("a cluster");
    load_images(&cluster).unwrap();
    let releases = cluster.helm(&["list", "--all-namespaces", "--short"]).unwrap();
    assert_eq!(releases, "", "the mesh of the other tests is still there");

    cluster.meshctl(&["x", "precheck"]).unwrap();
    cluster.meshctl(&["install", "--skip-confirmation"]).unwrap();
    let place = Place::new(&cluster, "installed", &["istio-injection=enabled"]).unwrap();
    place.echo("server").unwrap();
    place.echo("client").unwrap();
    let said = soon("the client is answered", || place.called("client", "200", "http://server/"));
    assert!(said.contains("spiffe://cluster.local/ns/installed/sa/client"), "{said}");

    // Sidecars that an earlier mesh left come back to this one in their own time.
    let told = soon("all is well", || cluster.meshctl(&["status"]));
    assert!(told.contains("nothing is wrong"), "{told}");
    let proxies = cluster.meshctl(&["proxy-status"]).unwrap();
    for proxy in ["client-", "server-", "istio-ingressgateway-"] {
        assert!(proxies.lines().any(|line| line.starts_with(proxy)), "{proxy}: {proxies}");
    }
    let words = ["proxy-config", "clusters", "deploy/client", "--namespace", "installed"];
    let clusters = cluster.meshctl(&words).unwrap();
    assert!(clusters.contains("server.installed.svc.cluster.local"), "{clusters}");
    drop(place);

    let listed = cluster.meshctl(&["uninstall", "--purge", "--dry-run"]).unwrap();
    for name in ["istio-ca-secret", "virtualservices.networking.istio.io", "istio-ca-root-cert"] {
        assert!(listed.contains(name), "{name}: {listed}");
    }
    cluster.meshctl(&["uninstall", "--purge", "--skip-confirmation"]).unwrap();
    let kinds = "customresourcedefinitions,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,\
                 validatingwebhookconfigurations,configmaps,secrets,leases,deployments,services,serviceaccounts,\
                 horizontalpodautoscalers,poddisruptionbudgets,roles,rolebindings";
    soon("nothing is left", || {
        let left = named(&cluster, kinds, &["istio", "ferromesh"]).context("what is there")?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    });
}
