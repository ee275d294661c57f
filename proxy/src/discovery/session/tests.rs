//! One conversation at a time, with pilot's messages written by hand.

use super::*;
use crate::snapshot::fixture;
use mesh_config::{
    kind::Role,
    model::{Part, Protocol},
    wire::{Packed, encode},
};

fn node(role: Role) -> NodeFacts {
    NodeFacts {
        id: "sidecar~127.0.0.1~a.shop~shop.svc".into(),
        role,
        name: "a".into(),
        namespace: "shop".into(),
        service_account: "a".into(),
        cluster: String::new(),
        addresses: Vec::new(),
    }
}

struct Talk(State);

impl Talk {
    fn connected() -> Self {
        let mut talk = Talk(State::new(node(Role::Sidecar), false));
        talk.step(Event::Connected);
        talk
    }

    fn step(&mut self, event: Event) -> Actions {
        let blank = State::new(node(Role::Sidecar), false);
        let (state, actions) = step(std::mem::replace(&mut self.0, blank), event);
        self.0 = state;
        actions
    }

    fn hear(&mut self, response: DeltaDiscoveryResponse) -> Actions {
        self.step(Event::Response(response))
    }
}

fn settings() -> Part {
    Part::Settings(Arc::default())
}

fn service() -> Part {
    service_of("shop/cart.shop", &[80])
}

fn service_of(name: &str, ports: &[u16]) -> Part {
    let ports: Vec<_> = ports.iter().map(|port| (*port, Protocol::Http)).collect();
    Part::Service(Arc::new(fixture::service(name, "", &ports)))
}

fn resource(part: &Part) -> Resource {
    let encoded = encode(part);
    Resource {
        version: encoded.version.to_string(),
        resource: Some(Packed { type_url: encoded.type_url.into(), value: encoded.bytes }),
        name: encoded.name.to_string(),
        aliases: Vec::new(),
    }
}

fn response(kind: Kind, nonce: &str, resources: Vec<Resource>) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse { nonce: nonce.into(), type_url: kind.type_url().into(), resources, ..Default::default() }
}

fn names(requests: &[DeltaDiscoveryRequest]) -> Vec<(Kind, Vec<String>)> {
    let kind = |r: &DeltaDiscoveryRequest| Kind::from_type_url(&r.type_url).unwrap();
    requests.iter().map(|r| (kind(r), r.resource_names_subscribe.clone())).collect()
}

#[test]
fn a_greeting_names_the_node_first_and_services_last() {
    for role in [Role::Sidecar, Role::Gateway] {
        let (_, actions) = step(State::new(node(role), false), Event::Connected);
        let whole = Kind::ALL.into_iter().filter(|kind| kind.is_whole(role));
        let want: Vec<_> = whole.map(|kind| (kind, vec!["*".to_owned()])).chain([(Kind::Service, vec![])]).collect();
        assert!(actions.requests[0].node.is_some() && actions.requests[1..].iter().all(|r| r.node.is_none()));
        assert_eq!(names(&actions.requests), want, "{role}");
        assert_eq!(want.iter().any(|(kind, _)| *kind == Kind::Route), role == Role::Gateway);
    }
}

#[test]
fn a_push_is_handed_out_when_it_is_complete_and_answered_when_applied() {
    let mut talk = Talk::connected();
    let first = talk.hear(response(Kind::Settings, "3/1/1", vec![resource(&settings())]));
    assert!(first.push.is_none() && first.requests.is_empty());
    let push = talk.hear(response(Kind::Service, "3/2/0", vec![resource(&service())])).push.unwrap();
    assert_eq!((push.mesh, push.changes.upserts), (3, vec![settings(), service()]));
    assert_eq!(talk.0.held().count(), 0, "nothing counts before it is applied");
    let answers = talk.step(Event::Applied(Vec::new())).requests;
    let nonces: Vec<_> = answers.iter().map(|r| (r.response_nonce.as_str(), r.error_detail.is_none())).collect();
    assert_eq!(nonces, [("3/1/1", true), ("3/2/0", true)]);
    assert_eq!(talk.0.held().count(), 2);
}

#[test]
fn one_spoilt_resource_is_refused_by_name_and_the_others_count() {
    let mut talk = Talk::connected();
    let mut spoilt = resource(&service_of("shop/bad.shop", &[80]));
    spoilt.resource.as_mut().unwrap().value = b"\xff".as_slice().into();
    let mut renamed = resource(&service());
    renamed.name = "shop/other.shop".into();
    let resources = vec![spoilt, resource(&service()), renamed];
    let push = talk.hear(response(Kind::Service, "1/1/0", resources)).push.unwrap();
    assert_eq!((push.changes.upserts.len(), push.refused.len()), (1, 2));
    let answer = talk.step(Event::Applied(Vec::new())).requests.remove(0);
    let message = answer.error_detail.unwrap().message;
    let lines: Vec<&str> = message.lines().collect();
    assert!(lines[0].starts_with("shop/bad.shop: ") && lines[1].starts_with("shop/other.shop: "), "{message}");
    assert_eq!(talk.0.held().map(|(_, name, _)| name.as_str()).collect::<Vec<_>>(), ["shop/cart.shop"]);
}

#[test]
fn of_a_policy_that_was_never_read_pilot_is_asked_until_it_is_read_or_gone() {
    let asked = |talk: &mut Talk| {
        talk.step(Event::Disconnected);
        let greeting = talk.step(Event::Connected).requests;
        let of = |r: &&DeltaDiscoveryRequest| r.type_url == Kind::Authorization.type_url();
        greeting.iter().find(of).unwrap().initial_resource_versions.keys().cloned().collect::<Vec<_>>()
    };
    let spoilt = || Resource {
        name: "shop/a".into(),
        version: Version([1; 16]).to_string(),
        resource: Some(Packed { type_url: Kind::Authorization.type_url().into(), value: b"\xff".as_slice().into() }),
        aliases: Vec::new(),
    };
    let mut talk = Talk::connected();
    let push = talk.hear(response(Kind::Authorization, "1/1/0", vec![spoilt()])).push.unwrap();
    assert_eq!(push.refused[0].name.as_str(), "shop/a");
    assert_eq!(push.changes.refused, [(push.refused[0].kind, push.refused[0].name.clone())]);
    talk.step(Event::Applied(Vec::new()));
    assert_eq!(asked(&mut talk), ["shop/a"]);

    let gone = DeltaDiscoveryResponse {
        removed_resources: vec!["shop/a".into()],
        ..response(Kind::Authorization, "2/1/0", vec![])
    };
    talk.hear(gone);
    talk.step(Event::Applied(Vec::new()));
    assert_eq!(asked(&mut talk), [""; 0]);
}

#[test]
fn what_the_sink_refuses_keeps_its_last_good_version() {
    let mut talk = Talk::connected();
    talk.hear(response(Kind::Service, "1/1/0", vec![resource(&service())]));
    talk.step(Event::Applied(Vec::new()));
    let good = talk.0.held().next().map(|(_, _, held)| held.version);
    let other = service_of("shop/cart.shop", &[80, 81]);
    talk.hear(response(Kind::Service, "2/2/0", vec![resource(&other)]));
    let refused = Refused { kind: Kind::Service, name: service().name(), reason: "service.ports: no".into() };
    let answer = talk.step(Event::Applied(vec![refused])).requests.remove(0);
    assert_eq!(answer.error_detail.unwrap().message, "shop/cart.shop: service.ports: no");
    assert_eq!(talk.0.held().next().map(|(_, _, held)| held.version), good);
}

#[test]
fn after_a_loss_it_says_what_it_holds_and_forgets_half_a_push() {
    let mut talk = Talk::connected();
    let key: ServiceKey = "shop/cart.shop".parse().unwrap();
    talk.step(Event::Command(Command::NeedService(key.clone())));
    talk.hear(response(Kind::Service, "1/1/0", vec![resource(&service())]));
    talk.step(Event::Applied(Vec::new()));
    talk.hear(response(Kind::Settings, "2/2/1", vec![resource(&settings())]));
    talk.step(Event::Disconnected);
    let need = Command::NeedWorkload("127.0.0.9".parse().unwrap());
    assert!(talk.step(Event::Command(need)).requests.is_empty(), "nothing is said without a stream");
    let greeting = talk.step(Event::Connected).requests;
    let last = greeting.last().unwrap();
    assert_eq!(last.resource_names_subscribe, [key.to_string()]);
    assert_eq!(last.initial_resource_versions[&key.to_string()], encode(&service()).version.to_string());
    assert!(names(&greeting).contains(&(Kind::Workload, vec!["127.0.0.9".into()])));
    // The new stream counts again.
    assert!(talk.hear(response(Kind::Settings, "1/1/0", vec![resource(&settings())])).push.is_some());
}

#[test]
fn each_wish_is_said_once() {
    let mut talk = Talk::connected();
    let key: ServiceKey = "shop/cart.shop".parse().unwrap();
    let mut say = |command| talk.step(Event::Command(command)).requests.len();
    assert_eq!(say(Command::ForgetService(key.clone())), 0);
    assert_eq!((say(Command::NeedService(key.clone())), say(Command::NeedService(key.clone()))), (1, 0));
    assert_eq!((say(Command::ForgetService(key.clone())), say(Command::ForgetService(key))), (1, 0));
    let address = "127.0.0.9".parse().unwrap();
    assert_eq!((say(Command::NeedWorkload(address)), say(Command::NeedWorkload(address))), (1, 0));
}

#[test]
fn the_oldest_address_makes_room() {
    let mut talk = Talk::connected();
    let address = |n: usize| IpAddr::from([10, 0, u8::try_from(n >> 8).unwrap(), (n & 255) as u8]);
    for n in 0..MAX_STRANGERS {
        talk.step(Event::Command(Command::NeedWorkload(address(n))));
    }
    let mut actions = talk.step(Event::Command(Command::NeedWorkload(address(MAX_STRANGERS))));
    assert_eq!(actions.requests.remove(0).resource_names_unsubscribe, ["10.0.0.0"]);
    assert_eq!(actions.forgotten, [address(0)]);
    assert_eq!(talk.0.addresses().count(), MAX_STRANGERS);
}

#[test]
fn nobody_at_an_address_is_an_answer() {
    let mut talk = Talk::connected();
    let address: IpAddr = "127.0.0.9".parse().unwrap();
    talk.step(Event::Command(Command::NeedWorkload(address)));
    let mut nobody = response(Kind::Workload, "1/1/0", Vec::new());
    nobody.removed_resources = vec![address.to_string()];
    assert_eq!(talk.hear(nobody).push.unwrap().addresses, [(address, None)]);
}

#[test]
fn what_is_said_of_an_address_that_was_forgotten_meanwhile_counts_for_nothing() {
    let mut talk = Talk::connected();
    let address: IpAddr = "127.0.0.9".parse().unwrap();
    talk.step(Event::Command(Command::NeedWorkload(address)));
    let actions = talk.step(Event::Command(Command::ForgetWorkload(address)));
    assert_eq!(actions.forgotten, [address]);
    assert_eq!(actions.requests[0].resource_names_unsubscribe, ["127.0.0.9"]);
    assert!(talk.step(Event::Command(Command::ForgetWorkload(address))).forgotten.is_empty());
    let mut nobody = response(Kind::Workload, "1/1/0", Vec::new());
    nobody.removed_resources = vec![address.to_string(), "Kubernetes//Pod/shop/cart-1".into()];
    let push = talk.hear(nobody).push.unwrap();
    assert_eq!(push.addresses, []);
    assert_eq!(push.changes.removed, [(Kind::Workload, PartName("Kubernetes//Pod/shop/cart-1".into()))]);
}

#[test]
fn what_does_not_frame_a_push_ends_the_stream() {
    let hear = |nonces: &[&str]| {
        let mut talk = Talk::connected();
        nonces.iter().map(|nonce| talk.hear(response(Kind::Settings, nonce, Vec::new())).violation).last().flatten()
    };
    assert!(matches!(hear(&["x"]), Some(Violation::Nonce(_))));
    assert!(matches!(hear(&["1/1/2", "1/2/0"]), Some(Violation::Framing { .. })));
    assert!(matches!(hear(&["1/1/1", "2/2/0"]), Some(Violation::Framing { .. })));
    assert_eq!(hear(&["1/1/1", "1/2/0"]), None);
    let other = DeltaDiscoveryResponse { type_url: "other".into(), nonce: "1/1/0".into(), ..Default::default() };
    assert!(matches!(Talk::connected().hear(other).violation, Some(Violation::Type(_))));
}
