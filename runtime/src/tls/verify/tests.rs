use super::*;
use crate::{clock, testing::TestCa};

const HOUR: Duration = Duration::from_secs(3600);

fn parse_domains(domains: &[&str]) -> Vec<TrustDomain> {
    domains.iter().map(|td| td.parse().unwrap()).collect()
}

fn mesh(ca: &TestCa, accepted: &[&str], expected: ExpectedPeer) -> Check {
    let rule = Rule::Mesh { roots: ca.roots(), home: ca.domain().clone(), accepted: parse_domains(accepted), expected };
    Check::new(rule, Role::Client, Arc::default())
}

/// The leaf with these names, valid from an hour ago for two.
fn leaf(ca: &TestCa, uris: &[&str], dns: &[&str]) -> CertificateDer<'static> {
    let now = clock::system_now();
    ca.issue(uris, dns, now - HOUR, now + HOUR).chain()[0].clone()
}

#[test]
fn a_certificate_is_read_into_what_headers_and_policies_need() {
    let ca = TestCa::new("td");
    let der = leaf(&ca, &["spiffe://td/ns/a/sa/b"], &["b.a.svc", "*.example"]);
    let peer = PeerCertificate::parse(&der).unwrap();
    assert_eq!(peer.uri.as_ref().unwrap().uri(), "spiffe://td/ns/a/sa/b");
    assert_eq!(
        (peer.dns.as_slice(), peer.subject.as_str()),
        (["b.a.svc".to_owned(), "*.example".to_owned()].as_slice(), "")
    );
    assert_eq!((peer.hash.len(), peer.der.clone()), (64, der));
    assert!(peer.is_named("spiffe://td/ns/a/sa/b") && peer.is_named("B.a.svc") && !peer.is_named("spiffe://td/ns/a"));
    let root = PeerCertificate::parse(&ca.bundle().certificates()[0]).unwrap();
    assert_eq!((root.subject.as_str(), root.uri), ("O=td", None));
}

#[test]
fn what_an_unproven_certificate_says_is_not_repeated() {
    let (ours, theirs) = (TestCa::new("ours"), TestCa::new("theirs"));
    let forged = "spiffe://ours/ns/a/sa/b\n[2026-01-01T00:00:00Z] forged";
    let foreign = "spiffe://nobody/ns/a/sa/b\r\nforged";
    let check = mesh(&ours, &["ours"], ExpectedPeer::any_of(["spiffe://ours/ns/a/sa/wanted"]));
    let now = clock::system_now();
    let ask = |ca: &TestCa, uris: &[&str]| check.authenticate(&leaf(ca, uris, &[]), &[], now).map(|_| ()).unwrap_err();
    assert!(matches!(ask(&theirs, &[forged]), Refusal::Chain(_)));
    assert!(matches!(ask(&theirs, &["spiffe://ours/a", "spiffe://ours/b"]), Refusal::Chain(_)));
    for refusal in [ask(&theirs, &[forged]), ask(&theirs, &[foreign]), ask(&ours, &[forged])] {
        let text = refusal.to_string();
        assert!(!text.contains(['\n', '\r']), "{text:?}");
    }
}

#[test]
fn garbage_is_malformed() {
    for bytes in [&b""[..], b"\x30\x80", b"not a certificate at all"] {
        let der = CertificateDer::from(bytes.to_vec());
        assert!(matches!(PeerCertificate::parse(&der), Err(Refusal::Malformed(_))));
    }
}

#[test]
fn a_mesh_peer_must_chain_to_the_roots_of_its_trust_domain() {
    let (ours, theirs) = (TestCa::new("ours"), TestCa::new("theirs"));
    let now = clock::system_now();
    let check = mesh(&ours, &["ours", "alias"], ExpectedPeer::any());
    let ask = |ca: &TestCa, uris: &[&str]| check.authenticate(&leaf(ca, uris, &[]), &[], now).map(|_| ());

    assert_eq!(ask(&ours, &["spiffe://ours/ns/a/sa/b"]), Ok(()));
    assert_eq!(ask(&ours, &["spiffe://ours/other/form"]), Ok(()));
    assert_eq!(ask(&ours, &["spiffe://alias/ns/a/sa/b"]), Ok(()));
    assert!(matches!(ask(&theirs, &["spiffe://ours/ns/a/sa/b"]), Err(Refusal::Chain(_))));
    assert!(matches!(ask(&ours, &["spiffe://theirs/ns/a/sa/b"]), Err(Refusal::TrustDomain { .. })));
    assert!(
        matches!(ask(&ours, &["spiffe://OURS/ns/a/sa/b"]), Err(Refusal::TrustDomain { .. })),
        "no policy has it so"
    );
    assert_eq!(ask(&ours, &[]), Err(Refusal::NoUri));
    assert_eq!(ask(&ours, &["spiffe://ours/ns/a/sa/b", "spiffe://ours/ns/a/sa/admin"]), Err(Refusal::SeveralUris));
}

#[test]
fn a_federated_domain_is_vouched_for_by_its_own_roots_alone() {
    let (ours, theirs) = (TestCa::new("ours"), TestCa::new("theirs"));
    let rule = Rule::Mesh {
        roots: Arc::new(ours.roots().with(theirs.domain().clone(), theirs.bundle())),
        home: ours.domain().clone(),
        accepted: parse_domains(&["ours", "theirs"]),
        expected: ExpectedPeer::any(),
    };
    let check = Check::new(rule, Role::Client, Arc::default());
    let now = clock::system_now();
    let ask = |ca: &TestCa, uri: &str| check.authenticate(&leaf(ca, &[uri], &[]), &[], now).map(|_| ());
    assert_eq!(ask(&theirs, "spiffe://theirs/ns/a/sa/b"), Ok(()));
    assert!(matches!(ask(&theirs, "spiffe://ours/ns/a/sa/b"), Err(Refusal::Chain(_))));
    assert!(matches!(ask(&ours, "spiffe://theirs/ns/a/sa/b"), Err(Refusal::Chain(_))));
}

#[test]
fn an_expected_name_must_match_exactly() {
    let ca = TestCa::new("td");
    let expected = ExpectedPeer::any_of(["spiffe://td/ns/a/sa/b", "c.a.svc"]);
    let check = mesh(&ca, &["td"], expected);
    let now = clock::system_now();
    let ask = |uri: &str, dns: &[&str]| check.authenticate(&leaf(&ca, &[uri], dns), &[], now).map(|_| ());
    assert_eq!(ask("spiffe://td/ns/a/sa/b", &[]), Ok(()));
    assert_eq!(ask("spiffe://td/ns/a/sa/x", &["c.a.svc"]), Ok(()));
    assert!(matches!(ask("spiffe://td/ns/a/sa/bb", &[]), Err(Refusal::Unexpected { .. })));
}

#[test]
fn names_are_compared_by_their_kind() {
    let ca = TestCa::new("td");
    let dns =
        ["Www.Example", "*.wild.example", "f*o.part.example", "xn--*.code.example", "*", "10.0.0.9", "2001:db8::1"];
    let peer = PeerCertificate::parse(&leaf(&ca, &["spiffe://td/ns/a/sa/b", "https://uri.example/x"], &dns)).unwrap();
    let yes = [
        "www.example",
        "WWW.EXAMPLE",
        "a.wild.example",
        "A.Wild.Example",
        "*.wild.example",
        "fo.part.example",
        "fooo.part.example",
        "xn--*.code.example",
        "10.0.0.9",
        "2001:0db8:0::1",
        "spiffe://td/ns/a/sa/b",
        "https://uri.example/x",
    ];
    let no = [
        "",
        "example",
        "ww.example",
        "wild.example",
        "a.b.wild.example",
        "f.part.example",
        "xn--abc.code.example",
        "10.0.0.8",
        "::ffff:10.0.0.9",
        "2001:db8::2",
        "SPIFFE://td/ns/a/sa/b",
        "spiffe://td/ns/a",
        "https://uri.example/X",
    ];
    assert_eq!(yes.into_iter().filter(|name| !peer.is_named(name)).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(no.into_iter().filter(|name| peer.is_named(name)).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn an_address_is_no_dns_name() {
    let ca = TestCa::new("td");
    let peer = PeerCertificate::parse(&leaf(&ca, &[], &["*.0.0.9", "10.0.0.10"])).unwrap();
    assert_eq!((peer.is_named("10.0.0.9"), peer.is_named("10.0.0.10")), (false, true));
}

#[test]
fn a_resumed_peer_is_judged_again() {
    let ca = TestCa::new("td");
    let check = mesh(&ca, &["td"], ExpectedPeer::any_of(["spiffe://td/ns/a/sa/b"]));
    let now = clock::system_now();
    let ask = |uri: &str, basis: &[u8], now: SystemTime| {
        check.check_resumed(&[leaf(&ca, &[uri], &[])], Some(basis), now).map(|_| ())
    };
    let (id, basis) = ("spiffe://td/ns/a/sa/b", *check.basis().as_bytes());
    assert_eq!(ask(id, &basis, now), Ok(()));
    assert!(matches!(ask(id, &basis, now + HOUR * 2), Err(Refusal::Expired { .. })));
    assert_eq!(ask(id, &[0; 32], now), Err(Refusal::RootsChanged));
    assert_eq!(ask(id, &[], now), Err(Refusal::RootsChanged));
    assert!(matches!(ask("spiffe://td/ns/a/sa/x", &basis, now), Err(Refusal::Unexpected { .. })));
    assert!(matches!(ask("spiffe://other/ns/a/sa/b", &basis, now), Err(Refusal::TrustDomain { .. })));
    assert_eq!(check.check_resumed(&[], Some(&basis), now).map(|_| ()), Err(Refusal::NoCertificate));
}

#[test]
fn the_basis_of_sessions_follows_roots_and_trust_domains() {
    let (one, two) = (TestCa::new("td"), TestCa::new("td"));
    let basis = |ca: &TestCa, accepted: &[&str]| mesh(ca, accepted, ExpectedPeer::any()).basis();
    assert_eq!(basis(&one, &["td"]), basis(&one, &["td"]));
    assert_ne!(basis(&one, &["td"]), basis(&two, &["td"]));
    assert_ne!(basis(&one, &["td"]), basis(&one, &["td", "more"]));
}
