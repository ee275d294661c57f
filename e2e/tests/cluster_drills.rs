//! Drills in a cluster, in their short form: no call is lost through what happens in the life of a mesh. `make storm-cluster` has
//! the long form. One after the other, and apart from other tests, from which they would take the cluster.

use anyhow::Result;
use mesh_e2e::cluster::{
    drill::{Stage, changes, outages, rollouts, upgrade},
    mesh::Mesh,
};
use std::time::Duration;

/// Calls a second, in all; a pipeline has few processors.
const RATE: u32 = 60;

/// Does something under load, and loses nothing by it.
fn unharmed<T>(name: &str, done: impl FnOnce(&Stage<'_>) -> Result<T>) {
    let mesh = Mesh::installed().expect("the mesh is installed");
    let stage = Stage::new(&mesh, name).expect("a server");
    let load = stage.load(RATE).expect("callers");
    let result = done(&stage);
    let told = load.stop().expect("every caller tells");
    let shown: Vec<String> = told.iter().map(ToString::to_string).collect();
    if let Err(error) = result {
        panic!("{error:#}\n{}", shown.join("\n"));
    }
    assert!(told.iter().all(|told| told.calls > 0 && told.failed == 0), "\n{}", shown.join("\n"));
}

#[test]
fn cluster_a_rollout_and_fewer_pods_lose_no_call() {
    unharmed("drill-rollout", |stage| rollouts::rollouts(stage, 1));
}

#[test]
fn cluster_pilots_that_are_killed_lose_no_call() {
    unharmed("drill-pilot", outages::pilots_killed);
}

#[test]
fn cluster_an_api_server_that_is_away_loses_no_call() {
    unharmed("drill-api-server", |stage| outages::api_server_away(stage, Duration::from_secs(10)));
}

#[test]
fn cluster_a_kubelet_that_is_away_loses_no_call() {
    unharmed("drill-kubelet", |stage| {
        let node = outages::node_of_server(stage)?;
        outages::kubelet_away(stage, &node, Duration::from_secs(5))
    });
}

#[test]
fn cluster_policies_and_routes_that_change_lose_no_call() {
    unharmed("drill-changes", |stage| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(changes::changes(stage, changes::gateway(stage)?, 10))
    });
}

#[test]
fn cluster_an_upgrade_in_place_and_back_loses_no_call() {
    unharmed("drill-upgrade", |stage| {
        upgrade::prepare(stage)?;
        upgrade::in_place(stage)
    });
}

#[test]
fn cluster_a_revision_that_comes_and_goes_loses_no_call() {
    unharmed("drill-revision", |stage| {
        upgrade::prepare(stage)?;
        upgrade::by_revision(stage)
    });
}
