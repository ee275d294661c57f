//! Each drill of the storm in a short form, without limits of time.

use mesh_e2e::{
    faults::{self, Loads, changes::Changes, endpoints::Drill, policy::Change},
    mesh::Mesh,
    traffic::Outcome,
};
use std::time::Duration;

const RATE: u64 = 40;

fn nothing_failed(outcomes: Vec<(&'static str, Outcome)>) {
    for (kind, outcome) in outcomes {
        assert!(outcome.ok > 0 && outcome.failures() == 0, "{kind}: {outcome:?}");
    }
}

#[tokio::test]
async fn changes_in_any_order_cost_no_request() {
    let mesh = Mesh::start(faults::plan()).await;
    let mut changes = Changes::new(&mesh).await;
    let loads = Loads::start(&mesh, RATE);
    for change in faults::changes::ALL {
        changes.apply(&mesh, change).await;
        loads.more(5).await;
        if matches!(change, faults::changes::Change::ServerTls) {
            // What follows needs servers that take plain text.
            changes.apply(&mesh, change).await;
        }
        if matches!(change, faults::changes::Change::ClientTls) {
            changes.apply(&mesh, change).await;
        }
    }
    for _ in 0..4 {
        changes.random(&mesh, &loads).await;
    }
    nothing_failed(loads.stop().await);
}

#[tokio::test]
async fn endpoints_that_change_all_the_time_cost_no_request_and_come_to_every_client() {
    let mesh = Mesh::start(faults::plan()).await;
    let drill = Drill { clients: 20, rate: 20, changes: 60, requests: RATE };
    let found = faults::endpoints::endpoints(&mesh, drill).await;
    assert_eq!((found.behind, found.streams), (vec![], 20));
    assert!(!found.lags.is_empty());
    nothing_failed(found.outcomes);
}

#[tokio::test]
async fn pilot_may_come_and_go() {
    let mut mesh = Mesh::start(faults::plan()).await;
    let loads = Loads::start(&mesh, RATE);
    faults::pilot_restarts(&mut mesh, &loads, 2, 20).await;
    nothing_failed(loads.stop().await);
}

#[tokio::test]
async fn certificates_rotate_under_load() {
    let mesh = Mesh::start(faults::plan().certificate_ttl(Duration::from_secs(4))).await;
    let loads = Loads::start(&mesh, RATE);
    let (servers, clients) = faults::rotations(&mesh, &loads, 2).await;
    assert!(servers >= 2 && clients >= 2);
    nothing_failed(loads.stop().await);
}

#[tokio::test]
async fn stale_connections_cost_no_get_and_repeat_nothing() {
    let mesh = Mesh::start(faults::stale::plan()).await;
    let found = faults::stale_connections(&mesh, RATE, Duration::from_secs(3)).await;
    assert!(found.is_clean(), "{found:?}");
    assert!(found.outcomes.iter().all(|(_, outcome)| outcome.ok > 0), "{found:?}");
}

#[tokio::test]
async fn plain_text_ends_where_mutual_tls_is_now_required() {
    closes(Change::Strict).await;
}

#[tokio::test]
async fn a_denied_caller_is_denied_on_connections_that_are_open() {
    closes(Change::Deny).await;
}

#[tokio::test]
async fn callers_of_a_trust_domain_that_is_no_longer_one_are_cut_off() {
    closes(Change::NoAlias).await;
}

/// What is open may do what a new connection may, and no more.
async fn closes(change: Change) {
    let mesh = Mesh::start(faults::policy::plan()).await;
    let found = faults::policy::policy_change(&mesh, change, 2).await;
    assert_eq!((found.open, found.lost), (vec![], vec![]));
    assert!(found.exchanges > 0);
}
