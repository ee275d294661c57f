//! What arrives from a peer and must not be believed. That good values survive is `tests/roundtrip.rs`.

use super::{proto::ferromesh::v1, *};
use crate::kind::ObjectKind;
use crate::model::{
    Kind, Labels, Part, Precedence, Route, Visibility,
    route::{Backend, HeaderOps, Parent, RouteAction, RouteMatch, RouteRule, Target},
    settings::Settings,
};
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;

fn route() -> Route {
    let rule = RouteRule {
        name: "all".into(),
        matches: vec![RouteMatch::default()],
        action: RouteAction::Forward(vec![Backend {
            target: Target { host: "cart.shop".parse().unwrap(), port: None, subset: None },
            weight: 1,
            headers: HeaderOps::default(),
        }]),
        rewrite: None,
        timeout: None,
        retries: None,
        headers: HeaderOps::default(),
    };
    Route {
        object: ObjectKind::VirtualService,
        name: "shop/cart".parse().unwrap(),
        hosts: vec!["cart.shop".parse().unwrap()],
        parents: vec![Parent::Mesh],
        precedence: Precedence::default(),
        visibility: Visibility::Everywhere,
        rules: vec![rule.clone(), rule],
        tls: vec![],
        tcp: vec![],
    }
}

/// The message of [`route`], to be spoilt.
fn message() -> v1::Route {
    v1::Route::decode(encode(&Part::Route(Arc::new(route()))).bytes).unwrap()
}

#[track_caller]
fn refused(message: &impl Message, kind: Kind, want: &str) {
    let error = decode(kind.type_url(), message.encode_to_vec().into()).unwrap_err();
    assert_eq!(error.to_string(), want);
}

#[track_caller]
fn refused_route(spoil: impl FnOnce(&mut v1::Route), want: &str) {
    let mut message = message();
    spoil(&mut message);
    refused(&message, Kind::Route, want);
}

/// Each kind's type URL as the table says it and as the generator does.
macro_rules! type_urls {
    ($(
        $(#[$doc:meta])*
        $kind:ident($module:ident::$model:ident as $message:ident $word:literal)
        $asked:ident $channel:ident $unread:ident $keep:ident $store:ident |$part:ident| $name:expr;
    )*) => {
        [$((Kind::$kind.type_url(), v1::$message::type_url())),*]
    };
}

#[test]
fn type_urls_are_those_of_the_messages() {
    use prost::Name;

    for (of_the_kind, of_the_message) in crate::parts!(type_urls) {
        assert_eq!(of_the_kind, of_the_message);
    }
}

#[test]
fn another_type_is_refused() {
    let url = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    assert_eq!(decode(url, Bytes::new()), Err(DecodeError::UnknownType { type_url: url.into() }));
}

#[test]
fn a_newer_resource_is_refused_as_a_whole() {
    let mut message = message();
    message.level = LEVEL + 1;
    message.name = None;
    let error = decode(Kind::Route.type_url(), message.encode_to_vec().into());
    assert_eq!(error, Err(DecodeError::TooNew { kind: Kind::Route, level: LEVEL + 1 }));
}

#[test]
fn errors_name_the_field() {
    refused_route(|r| r.level = 0, "route.level: is not set");
    refused_route(|r| r.name = None, "route.name: is not set");
    refused_route(|r| r.parents.clear(), "route.parents: must have at least one");
    refused_route(|r| r.parents[0].kind = None, "route.parents[0]: is not set");
    refused_route(
        |r| r.hosts[0] = "a b".into(),
        "route.hosts[0]: host \"a b\" contains a space, slash or non-ASCII byte",
    );
    refused_route(
        |r| r.rules[1].matches[0].port = Some(0),
        "route.rules[1].matches[0].port: port 0 is not within 1 to 65535",
    );
    refused_route(
        |r| {
            let kind = Some(v1::string_match::Kind::Regex("(".into()));
            r.rules[1].matches[0].path =
                Some(v1::PathMatch { matcher: Some(v1::StringMatch { kind }), ignore_case: false });
        },
        &format!("route.rules[1].matches[0].path.matcher.regex: {}", crate::matcher::Pattern::new("(").unwrap_err()),
    );
    refused_route(
        |r| {
            let Some(v1::route_action::Kind::Forward(f)) = &mut r.rules[0].action.as_mut().unwrap().kind else {
                unreachable!()
            };
            f.backends[0].weight = 0;
        },
        "route.rules[0].action.forward.backends[0].weight: must be at least 1",
    );
    refused_route(
        |r| r.rules[0].timeout = Some(prost_types::Duration { seconds: -1, nanos: 0 }),
        "route.rules[0].timeout: is negative or not a valid duration",
    );
}

#[test]
fn words_that_are_unknown_or_unsaid_are_refused() {
    let bytes = encode(&Part::Settings(Arc::new(Settings::default()))).bytes;
    let mut message = v1::Settings::decode(bytes).unwrap();
    message.path_normalization = 99;
    refused(&message, Kind::Settings, "settings.path_normalization: has the unknown value 99");
    message.path_normalization = 0;
    refused(&message, Kind::Settings, "settings.path_normalization: is not set");
}

#[test]
fn addresses_have_four_or_sixteen_bytes_and_prefixes_fit() {
    let service = |address: &'static [u8], length| v1::Service {
        level: 1,
        key: Some(v1::ServiceKey { namespace: "shop".into(), host: "cart".into() }),
        addresses: vec![v1::Block { address: address.into(), length }],
        resolution: v1::Resolution::Static as i32,
        ..Default::default()
    };
    let kind = Kind::Service;
    assert!(decode(kind.type_url(), service(&[10, 0, 0, 1], 32).encode_to_vec().into()).is_ok());
    refused(&service(&[1], 8), kind, "service.addresses[0].address: an address has 4 or 16 bytes, not 1");
    refused(&service(&[10, 0, 0, 1], 33), kind, "service.addresses[0].length: 33 is longer than the address 10.0.0.1");
}

#[test]
fn truncated_bytes_are_malformed_or_lack_a_field_but_never_panic() {
    let bytes = encode(&Part::Route(Arc::new(route()))).bytes;
    for end in 0..bytes.len() {
        // A cut between two fields leaves a shorter list, which is a route of its own; it must not be this one.
        if let Ok(part) = decode(Kind::Route.type_url(), bytes.slice(..end)) {
            assert_ne!(part, Part::Route(Arc::new(route())));
        }
    }
    let cut = decode(Kind::Route.type_url(), bytes.slice(..bytes.len() - 1));
    assert!(matches!(cut, Err(DecodeError::Malformed { kind: Kind::Route, .. })), "{cut:?}");
}

#[test]
fn sizes_are_bounded() {
    let big = Bytes::from(vec![0; MAX_RESOURCE_BYTES + 1]);
    let error = decode(Kind::Route.type_url(), big);
    assert_eq!(error, Err(DecodeError::TooLarge { kind: Kind::Route, bytes: MAX_RESOURCE_BYTES + 1 }));
    refused_route(
        |r| r.rules[0].name = "x".repeat((64 << 10) + 1),
        "route.rules[0].name: has 65537 bytes, more than 65536",
    );
    refused_route(|r| r.hosts = vec!["a".into(); (1 << 16) + 1], "route.hosts: has 65537 items, more than 65536");
}

#[test]
fn equal_values_have_equal_bytes_and_versions_whatever_order_they_were_made_in() {
    let labelled = |pairs: [(&str, &str); 2]| {
        let mut route = route();
        route.rules[0].matches[0].source_labels = pairs.into_iter().collect::<Labels>();
        encode(&Part::Route(Arc::new(route)))
    };
    let one = labelled([("app", "a"), ("version", "1")]);
    assert_eq!(one, labelled([("version", "1"), ("app", "a")]));
    assert_ne!(one.version, labelled([("version", "2"), ("app", "a")]).version);
}

#[test]
fn versions_tell_kinds_apart_and_are_read_back() {
    let version = Version::of(Kind::Route, b"x");
    assert_ne!(version, Version::of(Kind::Gateway, b"x"));
    let text = version.to_string();
    assert_eq!((text.len(), text.parse()), (32, Ok(version)));
    for bad in ["", "xyz", &text[1..], &format!("+{}", &text[1..])] {
        assert!(bad.parse::<Version>().is_err(), "{bad:?}");
    }
}

#[test]
fn keys_are_not_shown() {
    let credential = v1::Credential { key_pem: Bytes::from_static(b"PRIVATE"), ..Default::default() };
    assert_eq!(format!("{credential:?}"), "Credential { name: None, .. }");
}
