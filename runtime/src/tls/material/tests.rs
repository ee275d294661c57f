use super::*;
use crate::{clock, testing::TestCa};
use std::time::Duration;

fn times() -> (SystemTime, SystemTime, SystemTime) {
    let now = clock::system_now();
    (now - Duration::from_secs(3600), now, now + Duration::from_secs(3600))
}

#[test]
fn a_chain_and_key_survive_a_round_trip_through_pem() {
    let ca = TestCa::new("cluster.local");
    let material = ca.material("shop", "cart");
    let certificate = material.certificate();
    let (chain, key) = (certificate.chain_pem(), certificate.key_pem());
    let again = Material::from_pem(chain.as_bytes(), key.as_bytes(), clock::system_now()).unwrap();
    assert_eq!(again, *material);
    assert_eq!(&**again.uri(), "spiffe://cluster.local/ns/shop/sa/cart");
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    let ca = TestCa::new("cluster.local");
    let (before, now, after) = times();
    let good = ca.issue(&["spiffe://cluster.local/ns/a/sa/b"], &[], before, after);
    let other = ca.issue(&["spiffe://cluster.local/ns/a/sa/b"], &[], before, after);
    let no_uri = ca.issue(&[], &["a.example"], before, after);
    let check = |chain: &str, key: &str, now: SystemTime, want: &str| {
        let error = Material::from_pem(chain.as_bytes(), key.as_bytes(), now).unwrap_err();
        assert!(error.to_string().contains(want), "{error} should say {want}");
    };
    check(&good.chain_pem(), &other.key_pem(), now, "does not belong to the certificate");
    check(&good.chain_pem(), &good.chain_pem(), now, "no private key");
    check("", &good.key_pem(), now, "contains no certificate");
    check("-----BEGIN CERTIFICATE-----\nMII", &good.key_pem(), now, "not valid PEM");
    check(&no_uri.chain_pem(), &no_uri.key_pem(), now, "no URI spiffe://");
    check(&good.chain_pem(), &good.key_pem(), after + Duration::from_secs(5), "has expired");
    check(&good.chain_pem(), &good.key_pem(), before - Duration::from_secs(5), "is valid only from");
}

#[test]
fn no_key_reaches_a_log() {
    let identity = TestCa::new("cluster.local").identity("shop", "cart");
    let certificate = identity.material.certificate();
    let shown = format!("{identity:?} {certificate:?}");
    let key = certificate.key_pem();
    let secret = key.lines().nth(1).unwrap();
    assert!(!shown.contains(secret) && !shown.to_lowercase().contains("key:"), "{shown}");
}

#[test]
fn roots_are_sets() {
    let (one, two) = (TestCa::new("a"), TestCa::new("b"));
    let forwards = CaBundle::from_pem((one.root_pem() + &two.root_pem()).as_bytes()).unwrap();
    let backwards = CaBundle::from_pem((two.root_pem() + &one.root_pem() + &two.root_pem()).as_bytes()).unwrap();
    assert_eq!(forwards, backwards);
    assert_ne!(forwards, *one.bundle());

    let both = one.roots().with(two.domain().clone(), two.bundle());
    let other_way = two.roots().with(one.domain().clone(), one.bundle());
    assert_eq!((both.fingerprint(), both.domains().count()), (other_way.fingerprint(), 2));
    let swapped = Roots::new([(one.domain().clone(), two.bundle()), (two.domain().clone(), one.bundle())]);
    assert_ne!(swapped, both);
}
