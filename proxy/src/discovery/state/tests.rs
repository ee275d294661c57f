use super::*;
use crate::{
    discovery::session::{Command, Event, MAX_STRANGERS, step},
    snapshot::fixture,
};
use mesh_config::{
    kind::Role,
    model::{Protocol, Workload},
    wire,
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    sync::Arc,
};

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

fn held(part: &Part) -> (Kind, PartName, Held) {
    let encoded = wire::encode(part);
    (encoded.kind, encoded.name, Held { version: encoded.version, bytes: Some(encoded.bytes) })
}

/// What every whole configuration has.
fn least() -> Vec<Part> {
    fixture::complete([])
}

fn with(parts: &[Part]) -> State {
    let services = ["shop/cart.shop".parse().unwrap()];
    State::restored(node("a"), services, ["10.0.0.1".parse().unwrap()], &[], parts.iter().map(held), [])
}

fn state() -> State {
    with(&fixture::complete([service()]))
}

/// With a part that cannot be decoded.
fn odd(kind: Kind, name: &str) -> State {
    let unread = Held { version: wire::Version([1; 16]), bytes: Some(Bytes::from_static(b"\xff")) };
    let unread = (kind, PartName(name.into()), unread);
    State::restored(node("a"), [], [], &[], least().iter().map(held).chain([unread]), [])
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
    assert!(push.changes.upserts.contains(&service()) && push.changes.upserts.len() == 1 + least().len());
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
    let odd = odd(Kind::Service, "shop/new.shop");
    let (loaded, push) = parse(encode(&odd, &node("a")).into(), &node("a")).unwrap();
    assert_eq!((loaded.held().count(), push.changes.upserts.len()), (least().len(), least().len()));
}

#[test]
fn a_policy_that_is_not_understood_is_refused_also_after_the_next_restart() {
    let name = PartName("shop/new".into());
    let odd = odd(Kind::Authorization, "shop/new");
    let (once, _) = parse(encode(&odd, &node("a")).into(), &node("a")).unwrap();
    let (twice, push) = parse(encode(&once, &node("a")).into(), &node("a")).unwrap();
    assert_eq!(twice.refused().collect::<Vec<_>>(), [&(Kind::Authorization, name.clone())]);
    assert_eq!(push.changes.refused, [(Kind::Authorization, name)]);
    assert_eq!(push.changes.upserts.len(), least().len());
}

#[test]
fn a_configuration_without_settings_or_without_the_workload_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let saved = |parts: &[Part]| {
        save(dir.path(), &encode(&with(parts), &node("a"))).unwrap();
        load(dir.path(), &node("a"))
    };
    let parts = fixture::complete([service()]);
    for missing in [Kind::Settings, Kind::Instance] {
        let rest: Vec<Part> = parts.iter().filter(|part| part.kind() != missing).cloned().collect();
        assert!(matches!(saved(&rest), Err(StateError::Content { .. })), "{missing:?}");
    }
    assert!(saved(&parts).unwrap().is_some());
}

#[test]
fn a_workload_that_was_known_by_its_address_is_no_stranger_after_a_restart() {
    let Part::Instance(instance) = fixture::instance(&[], &[]) else { unreachable!("it is one") };
    let address: IpAddr = "10.0.0.1".parse().unwrap();
    let workload = Workload { addresses: vec![address], ..instance.workload.clone() };
    let parts = fixture::complete([Part::Workload(Arc::new(workload))]);
    let (mut loaded, _) = parse(encode(&with(&parts), &node("a")).into(), &node("a")).unwrap();
    for n in 0..=u32::try_from(MAX_STRANGERS).unwrap() {
        let stranger = Ipv4Addr::from(u32::from(Ipv4Addr::new(11, 0, 0, 0)) + n);
        loaded = step(loaded, Event::Command(Command::NeedWorkload(stranger.into()))).0;
    }
    assert_eq!(loaded.addresses().count(), MAX_STRANGERS + 1);
    assert!(loaded.addresses().any(|followed| *followed == address));
}
