use super::*;
use crate::{
    decide::Direction,
    snapshot::{
        OwnFacts,
        build::{Changes, State},
        fixture::{complete, in_use, instance, mutual_tls, policy, port, service},
    },
};
use mesh_config::{
    identity::PeerIdentity,
    kind::Role,
    matcher::StringMatch,
    model::{
        Part, Protocol, Settings,
        authorization::{Action, Rule, Source, Values},
        peer_authentication::MtlsMode,
        settings::OutboundPolicy,
    },
};

fn state(parts: impl IntoIterator<Item = Part>) -> State {
    let mut state =
        State::new(OwnFacts { role: Role::Sidecar, namespace: "shop".into(), ips: vec![[10, 0, 0, 5].into()] });
    state.apply(Changes::upserts(parts));
    state
}

fn own() -> Part {
    instance(&[], &[(9000, "shop/cart", 9000, Protocol::Tcp)])
}

fn others_denied() -> Part {
    let principals = Values { any_of: vec![StringMatch::Exact("home/ns/shop/sa/other".into())], none_of: Vec::new() };
    let rule = Rule { sources: vec![Source { principals, ..Source::default() }], ..Rule::default() };
    Part::Authorization(Arc::new(policy("shop/others", Action::Deny, vec![rule])))
}

fn strict() -> Part {
    Part::PeerAuthentication(Arc::new(mutual_tls("shop/mode", MtlsMode::Strict)))
}

/// What becomes of a peer's connection; `principal`: it came by mutual TLS.
fn inbound(state: &State, principal: Option<&str>) -> String {
    let (key, peer) = (DestinationKey::Inbound(port(9000)), principal.map(PeerIdentity::new));
    let caller = Caller {
        direction: Direction::Inbound,
        key: &key,
        port: port(9000),
        secured: principal.is_some(),
        peer: peer.as_ref(),
        own: Some("spiffe://home/ns/shop/sa/cart"),
        source: None,
        destination: None,
        sni: None,
    };
    said(opaque(state.snapshot(), &caller, None).0)
}

fn said(permit: Result<Permit, Refused<'_>>) -> String {
    permit.map_or_else(|why| why.to_string(), |_| "carried".to_owned())
}

#[test]
fn a_peers_bytes_pass_each_stage_or_none() {
    let friend = Some("spiffe://home/ns/shop/sa/friend");
    let other = Some("spiffe://home/ns/shop/sa/other");
    let stranger = Some("spiffe://elsewhere/ns/shop/sa/friend");
    let open = state(complete([own(), others_denied()]));
    let refused = "rbac_access_denied_matched_policy[ns[shop]-policy[others]-rule[0]]";
    for (principal, want) in [
        (friend, "carried"),
        (None, "carried"),
        (other, refused),
        (stranger, "trust_domain_of_the_peer_is_not_accepted"),
    ] {
        assert_eq!(inbound(&open, principal), want, "{principal:?}");
    }
    let closed = state(complete([own(), strict()]));
    assert_eq!(inbound(&closed, None), "plain_text_where_mutual_TLS_is_required");
    assert_eq!(inbound(&closed, friend), "carried");
    let not_known = state([Part::Settings(Arc::default())]);
    assert_eq!(inbound(&not_known, friend), "no_configuration");
}

#[test]
fn what_a_gateway_took_in_the_meshs_own_tls_is_held_against_its_trust_domains() {
    let gateway = state(complete([own()]));
    let key = DestinationKey::Gateway(port(9000));
    let through = |principal: &str, own: Option<&str>| {
        let peer = PeerIdentity::new(principal);
        let caller = Caller {
            direction: Direction::Gateway,
            key: &key,
            port: port(9000),
            secured: true,
            peer: Some(&peer),
            own,
            source: None,
            destination: None,
            sni: None,
        };
        said(opaque(gateway.snapshot(), &caller, None).0)
    };
    let mesh = Some("spiffe://home/ns/shop/sa/gateway");
    assert_eq!(through("spiffe://home/ns/shop/sa/web", mesh), "carried");
    assert_eq!(through("spiffe://elsewhere/ns/a/sa/b", mesh), "trust_domain_of_the_peer_is_not_accepted");
    assert_eq!(through("spiffe://elsewhere/ns/a/sa/b", None), "carried", "its own authority vouches for it");
}

#[test]
fn what_left_for_an_address_of_nobody_ends_when_such_may_not_be_reached_any_more() {
    // On a port with services that are reached by name, what the client said decides.
    let named_service = |number| {
        let service = service("shop/named.test", "", &[(number, Protocol::Tls)]);
        in_use(&service).into_iter().collect::<Vec<_>>()
    };
    let outbound = |outbound_policy, named: &[Part]| {
        let settings = Settings { outbound_policy, ..Settings::default() };
        let parts = complete([own(), Part::Settings(Arc::new(settings))]).into_iter().chain(named.iter().cloned());
        let state = state(parts);
        let key = DestinationKey::Unknown(([203, 0, 113, 5], 5432).into());
        let caller = Caller {
            direction: Direction::Outbound,
            key: &key,
            port: port(5432),
            secured: false,
            peer: None,
            own: None,
            source: None,
            destination: None,
            sni: None,
        };
        said(opaque(state.snapshot(), &caller, None).0)
    };
    for named in [vec![], named_service(5432)] {
        assert_eq!(outbound(OutboundPolicy::AllowAny, &named), "carried", "{named:?}");
        assert_eq!(outbound(OutboundPolicy::RegistryOnly, &named), "outside_the_registry", "{named:?}");
    }
}
