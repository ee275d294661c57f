//! Whatever value a part has, it comes back from its bytes as it was; and whatever bytes come, decoding them ends in a
//! part or an error.
//!
//! Values are made from random bytes, each taken as a decision: which variant, how many items. Fewer and smaller bytes
//! make smaller values, so a failure shrinks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "roundtrip/values.rs"]
mod values;

use mesh_config::{
    kind::ObjectKind,
    model::{
        Kind, Part, Workload,
        destination::UpstreamTls,
        gateway::{ServerProtocol, ServerTls},
    },
    wire::{decode, encode},
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use values::{Entropy, part};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_part_comes_back_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        for kind in Kind::ALL {
            let part = part(kind, &mut Entropy::new(&bytes));
            let encoded = encode(&part);
            prop_assert_eq!((encoded.kind, encoded.type_url), (kind, kind.type_url()));
            prop_assert_eq!(&encoded.name, &part.name());
            // Field 1, the level.
            prop_assert_eq!(&encoded.bytes[..2], [0x08, level(&part)]);
            prop_assert_eq!(decode(encoded.type_url, encoded.bytes.clone()), Ok(part.clone()));
            prop_assert_eq!(encode(&part), encoded);
        }
    }

    #[test]
    fn spoilt_bytes_never_panic_and_what_they_mean_is_kept(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        for kind in Kind::ALL {
            let mut encoded = encode(&part(kind, &mut Entropy::new(&bytes))).bytes.to_vec();
            let place = at.index(encoded.len());
            encoded[place] = value;
            if let Ok(part) = decode(kind.type_url(), encoded.into()) {
                let again = encode(&part);
                prop_assert_eq!(decode(again.type_url, again.bytes), Ok(part));
            }
        }
    }
}

/// The first, except where a part says what only programs of a later level know.
fn level(part: &Part) -> u8 {
    let called = |workload: &Workload| {
        workload.mutual_tls || !workload.mutual_tls_except.is_empty() || !workload.headless.is_empty()
    };
    let keys = |tls: &UpstreamTls| match tls {
        UpstreamTls::Simple(simple) => simple.shows_certificate() || tls.secret().is_some(),
        UpstreamTls::Disable | UpstreamTls::IstioMutual { .. } => false,
    };
    let later = match part {
        Part::Destination(rule) if rule.tls_blocks().any(|(_, tls)| keys(tls)) => return 4,
        Part::Workload(workload) if called(workload) => return 3,
        Part::Instance(instance) if called(&instance.workload) => return 3,
        Part::Route(route) if route.object == ObjectKind::Ingress => return 4,
        Part::Gateway(gateway) if gateway.object == ObjectKind::Ingress => return 4,
        Part::Destination(destination) if destination.object == ObjectKind::Ingress => return 4,
        Part::Route(route) => !route.tls.is_empty() || !route.tcp.is_empty(),
        Part::Gateway(gateway) => gateway.servers.iter().any(|server| match &server.protocol {
            ServerProtocol::Http | ServerProtocol::Https(ServerTls::Secret { .. }) => false,
            ServerProtocol::Https(ServerTls::Mesh)
            | ServerProtocol::Tcp
            | ServerProtocol::Tls(_)
            | ServerProtocol::Passthrough => true,
        }),
        _ => false,
    };
    if later { 2 } else { 1 }
}

/// What is rarest among the values made: a generator that never reaches it proves nothing about it.
const RARE: [&str; 24] = [
    "FilterMetadata",
    "RequestClaim",
    "ListElement",
    "ConnectionSni",
    "PathTemplate",
    "Custom",
    "IstioMutual",
    "Simple(",
    "EgressProxy",
    "InstancePort",
    "Unix",
    "Loopback",
    "ProtocolDefault",
    "RequestPort",
    "Prefix",
    "Respond",
    "DnsRoundRobin",
    "VirtualHost",
    "DecodeAndMergeSlashes",
    "Draining",
    "Namespaces(",
    "uri_regex: Some",
    "CertificateFiles",
    "SecretKeys",
];

#[test]
fn the_generator_reaches_the_rarest_variants() {
    let mut missing = BTreeSet::from(RARE);
    let mut state = 1u64;
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..1500)
            .map(|_| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        for kind in Kind::ALL {
            let shown = format!("{:?}", part(kind, &mut Entropy::new(&bytes)));
            missing.retain(|word| !shown.contains(word));
        }
    }
    assert!(missing.is_empty(), "never made: {missing:?}");
}
