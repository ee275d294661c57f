use super::*;
use crate::snapshot::{Role, fixture};
use mesh_config::{model::Protocol, wire};
use std::fs;
use std::{os::unix::fs::PermissionsExt, sync::Arc};

fn node(id: &str) -> NodeFacts {
    NodeFacts {
        id: id.into(),
        role: Role::Sidecar,
        name: "a".into(),
        namespace: "shop".into(),
        service_account: "a".into(),
        cluster: String::new(),
        addresses: Vec::new(),
    }
}

fn service() -> Part {
    Part::Service(Arc::new(fixture::service("shop/cart.shop", "", &[(80, Protocol::Http)])))
}

fn state() -> State {
    let encoded = wire::encode(&service());
    let held = Held { version: encoded.version, bytes: Some(encoded.bytes) };
    let services = ["shop/cart.shop".parse().unwrap()];
    State::restored(node("a"), services, ["10.0.0.1".parse().unwrap()], [(encoded.kind, encoded.name, held)], [])
}

#[test]
fn what_was_saved_is_loaded_by_the_same_node_only() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("state");
    assert!(load(&dir, &node("a")).unwrap().is_none());
    save(&dir, &encode(&state(), &node("a"))).unwrap();
    save(&dir, &encode(&state(), &node("a"))).unwrap();
    let (loaded, push) = load(&dir, &node("a")).unwrap().unwrap();
    assert!(loaded.held().eq(state().held()));
    assert!(loaded.services().eq(state().services()) && loaded.addresses().eq(state().addresses()));
    assert_eq!(push.changes.upserts, [service()]);
    assert!(matches!(load(&dir, &node("b")), Err(StateError::Content { .. })));
}

#[test]
fn nobody_else_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("state");
    save(&dir, &encode(&state(), &node("a"))).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join(FILE))), (0o700, 0o600));
}

#[test]
fn a_cut_off_file_is_an_error() {
    let whole = encode(&state(), &node("a"));
    for length in [0, MAGIC.len() - 1, MAGIC.len() + 3, whole.len() - 1] {
        assert!(parse(Bytes::copy_from_slice(&whole[..length]), &node("a")).is_err(), "{length}");
    }
}

#[test]
fn a_part_that_is_not_understood_is_left_out() {
    let held = Held { version: wire::Version([1; 16]), bytes: Some(Bytes::from_static(b"\xff")) };
    let name = PartName("shop/new.shop".into());
    let odd = State::restored(node("a"), [], [], [(Kind::Service, name, held)], []);
    let (loaded, push) = parse(encode(&odd, &node("a")).into(), &node("a")).unwrap();
    assert_eq!((loaded.held().count(), push.changes.upserts.len()), (0, 0));
}

#[test]
fn a_policy_that_is_not_understood_is_refused_also_after_the_next_restart() {
    let held = Held { version: wire::Version([1; 16]), bytes: Some(Bytes::from_static(b"\xff")) };
    let name = PartName("shop/new".into());
    let odd = State::restored(node("a"), [], [], [(Kind::Authorization, name.clone(), held)], []);
    let (once, _) = parse(encode(&odd, &node("a")).into(), &node("a")).unwrap();
    let (twice, push) = parse(encode(&once, &node("a")).into(), &node("a")).unwrap();
    assert_eq!(twice.refused().collect::<Vec<_>>(), [&(Kind::Authorization, name.clone())]);
    let names: Vec<_> = push.refused.iter().map(|r| (r.kind, &r.name)).collect();
    assert_eq!((names, push.changes.upserts.len()), (vec![(Kind::Authorization, &name)], 0));
}
