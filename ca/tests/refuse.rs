//! Who gets nothing, and what they are told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "authority/world.rs"]
mod world;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mesh_ca::{
    authn::token::{AUDIENCE, KeyVerifier, MAX_TOKEN, ServiceAccount},
    error::TokenProblem,
    issue::MAX_REQUEST,
    token::{SigningKey, mint},
};
use mesh_config::wire::proto::istio::v1::auth::IstioCertificateRequest;
use mesh_runtime::testing::{TestCa, capture_logs};
use serde_json::{Value, json};
use std::time::Duration;
use tonic::Code;
use world::{HOUR, Shown, World, call, leaf, midday, plain_csr};

const EXP: u64 = 1_900_003_600;

/// A token with these claims, signed as it should be.
fn signed(world: &World, claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(world.tokens.private_pem().text().as_bytes()).unwrap();
    encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
}

fn claims() -> Value {
    json!({
        "sub": "system:serviceaccount:shop:cart",
        "aud": [AUDIENCE],
        "exp": EXP,
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "cart", "uid": "1"}, "pod": {"name": "cart-1"}},
    })
}

fn verifier(world: &World) -> KeyVerifier {
    KeyVerifier::from_pem(world.tokens.public_pem(), AUDIENCE).unwrap()
}

async fn refused(world: &World, shown: Shown<'_>, call: IstioCertificateRequest, code: Code, words: &str) {
    let status = world.ask(shown, call).await.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(words), "{:?} does not say {words:?}", status.message());
}

#[tokio::test]
async fn nobody_without_proof() {
    let world = World::new();
    refused(&world, Shown::default(), call(&plain_csr()), Code::Unauthenticated, "no proof of identity").await;
}

#[tokio::test]
async fn tokens_that_are_expired_foreign_or_meant_for_others() {
    let world = World::new();
    let other = SigningKey::generate().unwrap();
    let ago = midday() - 2 * HOUR;
    let tokens = [
        (mint(&world.tokens, "shop", "cart", AUDIENCE, HOUR, ago), "expired 3600s ago"),
        (mint(&world.tokens, "shop", "cart", "vault", HOUR, midday()), "not meant for audience \"istio-ca\""),
        (mint(&other, "shop", "cart", AUDIENCE, HOUR, midday()), "not signed by a key that is configured"),
    ];
    for (token, words) in tokens {
        let token = token.unwrap();
        let shown = Shown { token: Some(&token), ..Shown::default() };
        refused(&world, shown, call(&plain_csr()), Code::Unauthenticated, words).await;
    }
}

#[tokio::test]
async fn a_token_without_signature_or_with_a_forged_algorithm() {
    let world = World::new();
    let good = world.token();
    let [_, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    // {"alg":"none"} with and without the signature; the body of another token under a good signature.
    let none = "eyJhbGciOiJub25lIn0";
    let hmac = encode(
        &Header::new(Algorithm::HS256),
        &claims(),
        &EncodingKey::from_secret(world.tokens.public_pem().as_bytes()),
    );
    let swapped = signed(&world, &json!({"sub": "system:serviceaccount:shop:admin"}));
    let admin_body = swapped.split('.').nth(1).unwrap();
    let head = good.split('.').next().unwrap();
    let forged = [
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        hmac.unwrap(),
        format!("{head}.{admin_body}.{signature}"),
    ];
    for token in forged {
        let shown = Shown { token: Some(&token), ..Shown::default() };
        refused(&world, shown, call(&plain_csr()), Code::Unauthenticated, "the token is refused").await;
    }
}

#[tokio::test]
async fn a_certificate_beside_a_token_of_another_account() {
    let world = World::new();
    let mine = leaf(&world.issued(call(&plain_csr())).await);
    let admin = mint(&world.tokens, "shop", "admin", AUDIENCE, HOUR, midday()).unwrap();
    let shown = Shown { certificate: Some(&mine), token: Some(&admin) };
    let words = "the token is about account shop/admin: show one of them";
    refused(&world, shown, call(&plain_csr()), Code::Unauthenticated, words).await;
    // One of the same account that is over, or no token at all, contradicts nothing.
    let ours = mint(&world.tokens, "shop", "cart", AUDIENCE, HOUR, midday() - 2 * HOUR).unwrap();
    for token in [&*ours, "none"] {
        let shown = Shown { certificate: Some(&mine), token: Some(token) };
        assert!(world.ask(shown, call(&plain_csr())).await.is_ok(), "{token}");
    }
}

#[test]
fn a_token_that_must_be_understood_in_a_way_that_it_is_not() {
    let world = World::new();
    let key = EncodingKey::from_ec_pem(world.tokens.private_pem().text().as_bytes()).unwrap();
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::ES256) };
    let token = encode(&header, &claims(), &key).unwrap();
    let critical = TokenProblem::Malformed("its header names extensions as critical".to_owned());
    assert_eq!(verifier(&world).check(&token, midday()), Err(critical));
}

#[test]
fn claims_must_agree_and_be_names() {
    let world = World::new();
    let check = |claims: Value| verifier(&world).check(&signed(&world, &claims), midday());
    assert_eq!(check(claims()), Ok(ServiceAccount { namespace: "shop".into(), name: "cart".into() }));
    let with = |path: &str, value: Value| {
        let mut claims = claims();
        *claims.pointer_mut(path).unwrap() = value;
        claims
    };
    assert!(check(with("/aud", json!(AUDIENCE))).is_ok(), "a single audience");
    for (path, value) in [
        ("/sub", json!("system:serviceaccount:shop:admin")),
        ("/sub", json!("system:node:shop:cart")),
        ("/kubernetes.io/namespace", json!("other")),
        ("/kubernetes.io/serviceaccount/name", json!("admin")),
    ] {
        assert_eq!(check(with(path, value)), Err(TokenProblem::Subject), "{path}");
    }
    let mut slash = with("/sub", json!("system:serviceaccount:shop:cart/ns/x"));
    slash["kubernetes.io"]["serviceaccount"]["name"] = json!("cart/ns/x");
    assert_eq!(check(slash), Err(TokenProblem::Subject), "a name must not reach into the URI");
    assert_eq!(check(with("/exp", json!(1_900_000_000))), Err(TokenProblem::Expired { ago: Duration::ZERO }));
    let mut early = claims();
    early["nbf"] = json!(1_900_000_100);
    assert_eq!(check(early), Err(TokenProblem::NotYetValid));
    for missing in ["sub", "aud", "exp", "kubernetes.io"] {
        let mut less = claims();
        less.as_object_mut().unwrap().remove(missing);
        assert!(matches!(check(less), Err(TokenProblem::Malformed(_))), "without {missing}");
    }
}

#[test]
fn a_token_is_bounded_and_rsa_keys_verify_too() {
    let world = World::new();
    let long = "x".repeat(MAX_TOKEN + 1);
    assert_eq!(verifier(&world).check(&long, midday()), Err(TokenProblem::TooLong(MAX_TOKEN)));
    let rsa = EncodingKey::from_rsa_pem(include_bytes!("data/token-rsa.pem")).unwrap();
    let token = encode(&Header::new(Algorithm::RS256), &claims(), &rsa).unwrap();
    assert_eq!(verifier(&world).check(&token, midday()), Err(TokenProblem::Signature));
    let both = format!("{}{}", world.tokens.public_pem(), include_str!("data/token-rsa.pub.pem"));
    let both = KeyVerifier::from_pem(&both, AUDIENCE).unwrap();
    assert!(both.check(&token, midday()).is_ok() && both.check(&world.token(), midday()).is_ok());
    assert!(KeyVerifier::from_pem("", AUDIENCE).is_err());
    assert!(KeyVerifier::from_pem(world.tokens.private_pem().text(), AUDIENCE).is_err(), "a private key");
}

#[tokio::test]
async fn requests_that_are_garbage_unsigned_weak_or_huge() {
    let world = World::new();
    let token = world.token();
    let good = plain_csr();
    // One character of the signature, which stands at the end, is another one.
    let end = good.rfind("\n-----END").unwrap() - 8;
    let flipped = if good.as_bytes()[end] == b'A' { "B" } else { "A" };
    let tampered = format!("{}{flipped}{}", &good[..end], &good[end + 1..]);
    for (csr, words) in [
        (String::new(), "not a PKCS#10 request"),
        ("garbage".to_owned(), "not a PKCS#10 request"),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".to_owned(),
            "not a PKCS#10 request",
        ),
        (good[..good.len() / 2].to_owned(), "not a PKCS#10 request"),
        (tampered, "signature does not verify"),
        (include_str!("data/weak-rsa.csr").to_owned(), "its key must be"),
        (include_str!("data/p521.csr").to_owned(), "its key must be"),
        (format!("{good}{}", "\n".repeat(MAX_REQUEST)), "longer than"),
    ] {
        let shown = Shown { token: Some(&token), ..Shown::default() };
        refused(&world, shown, call(&csr), Code::InvalidArgument, words).await;
    }
    let negative = IstioCertificateRequest { validity_duration: -1, ..call(&good) };
    let shown = Shown { token: Some(&token), ..Shown::default() };
    refused(&world, shown, negative, Code::InvalidArgument, "must not be negative").await;
}

#[tokio::test]
async fn the_identity_of_somebody_else() {
    let world = World::new();
    let token = world.token();
    let value = prost_types::value::Kind::StringValue("spiffe://cluster.local/ns/shop/sa/admin".to_owned());
    let fields = [("ImpersonatedIdentity".to_owned(), prost_types::Value { kind: Some(value) })].into();
    let asked = IstioCertificateRequest { metadata: Some(prost_types::Struct { fields }), ..call(&plain_csr()) };
    let shown = Shown { token: Some(&token), ..Shown::default() };
    refused(&world, shown, asked, Code::PermissionDenied, "may not have a certificate for").await;
}

#[tokio::test]
async fn certificates_that_are_expired_foreign_or_name_no_workload() {
    let world = World::new();
    let expired = leaf(&world.issued(call(&plain_csr())).await);
    world.clock.set(midday() + 24 * HOUR);
    let shown = Shown { certificate: Some(&expired), ..Shown::default() };
    refused(&world, shown, call(&plain_csr()), Code::Unauthenticated, "certificate is refused: it has expired").await;

    let foreign = TestCa::new("elsewhere");
    let (begin, end) = (midday(), midday() + 48 * HOUR);
    let certificate = |uris: &[&str]| foreign.issue(uris, &["x"], begin, end).chain()[0].clone();
    for (uris, words) in [
        (&["spiffe://elsewhere/ns/shop/sa/cart"][..], "of trust domain elsewhere"),
        (&[], "exactly one URI"),
        (&["spiffe://cluster.local/x"], "exactly one URI"),
        (&["spiffe://cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/c"], "exactly one URI"),
    ] {
        let der = certificate(uris);
        let shown = Shown { certificate: Some(&der), token: Some("x") };
        refused(&world, shown, call(&plain_csr()), Code::Unauthenticated, words).await;
    }
}

#[tokio::test]
async fn each_decision_is_one_line_without_secrets() {
    let world = World::new();
    let token = world.token();
    let (logs, _guard) = capture_logs();
    world.issued(call(&plain_csr())).await;
    world.ask(Shown { token: Some(&token[1..]), ..Shown::default() }, call(&plain_csr())).await.unwrap_err();
    let text = logs.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("audit")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("decision=\"issued\"") && lines[0].contains("spiffe://cluster.local/ns/shop/sa/cart"));
    assert!(lines[1].contains("decision=\"refused\"") && lines[1].contains("reason=\"token\""));
    assert!(!text.contains("BEGIN") && !text.contains(&token[1..40]), "{text}");
}
