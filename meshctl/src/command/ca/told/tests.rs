use super::*;
use crate::report::Format;

fn certificate(role: &str, sha: &str, life: u8, more: Value) -> Value {
    let mut said =
        json!({"role": role, "sha256": sha.repeat(32), "notBefore": 0, "notAfter": 2_111_184_000, "life": life});
    for (key, value) in more.as_object().into_iter().flatten() {
        said[key] = value.clone();
    }
    said
}

fn pilot(certificates: &Value, more: Value) -> Pilot {
    let mut said = json!({
        "place": "Secret istio-system/istio-ca-secret", "certificates": certificates, "issuedUntil": 0, "told": [],
        "clients": 3, "behind": 0, "behindNames": [], "rotation": null,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        said[key] = value.clone();
    }
    Pilot::of("istiod-1".to_owned(), Ok(said))
}

fn facts(state: State, pilots: Vec<Pilot>) -> Facts {
    Facts { state, asked: None, pilots }
}

fn request(wish: Wish) -> Request {
    Request { wish, id: "7".to_owned() }
}

#[test]
fn a_rotation_under_way_is_told_with_what_it_waits_for() {
    let certificates =
        json!([certificate("root", "ab", 92, json!({"alarm": 90})), certificate("next", "cd", 0, json!({}))]);
    let waiting = json!({"behind": 1, "rotation": {"phase": "announcing", "since": 1_764_356_000, "said": "",
        "waiting": ["proxy cart-1.shop has not acknowledged it (this pilot)"]}});
    let silent = Pilot::of("istiod-2".to_owned(), Err("no answer within 5s".to_owned()));
    let state = State { phase: Phase::Announcing, since: 1_764_356_000, ..State::default() };
    let facts = facts(state, vec![pilot(&certificates, waiting), silent]);
    insta::assert_snapshot!(facts.report().render(Format::Table).unwrap(), @r"
    CERTIFICATE   SHA-256            LIFE   ENDS                   WHAT FOR
    root          abababababababab   92 %   2036-11-25T00:00:00Z   signs
    next          cdcdcdcdcdcdcdcd   0 %    2036-11-25T00:00:00Z   is to sign next

    kept in Secret istio-system/istio-ca-secret
    2 of 3 proxies know all of it
    rotating since 2025-11-28T18:53:20Z: another root is trusted, and signs when everybody knows it
      waits: proxy cart-1.shop has not acknowledged it (this pilot)

    ✘ istiod-2 cannot be asked: no answer within 5s

    ✘ 92 % of the life of the authority's root certificate is over: it ends 2036-11-25T00:00:00Z
      a root of our own: meshctl ca rotate; one of Secret cacerts: write another there (docs/operations/certificates.md)
    ");
    assert_eq!(facts.report().value()["state"]["phase"], "announcing");
}

#[test]
fn a_root_that_signed_before_and_pilots_that_differ_are_told() {
    let past = certificate("past", "ab", 1, json!({"until": 1_764_442_400}));
    let (new, old) = (certificate("root", "cd", 0, json!({})), certificate("root", "ab", 1, json!({})));
    let state = State { since: 1_764_356_000, said: "another root signs".to_owned(), past: vec![], ..State::default() };
    let past_of = mesh_config::root_rotation::Past { roots: String::new(), until: 1_764_442_400 };
    let state = State { past: vec![past_of], ..state };
    let facts = facts(state, vec![pilot(&json!([new, past]), json!({})), pilot(&json!([old]), json!({}))]);
    insta::assert_snapshot!(facts.text(), @r"
    CERTIFICATE   SHA-256            LIFE   ENDS                   WHAT FOR
    root          cdcdcdcdcdcdcdcd   0 %    2036-11-25T00:00:00Z   signs
    past          abababababababab   1 %    2036-11-25T00:00:00Z   signed before; trusted until 2025-11-29T18:53:20Z

    kept in Secret istio-system/istio-ca-secret
    pilots do not agree yet: each looks every few seconds
    6 of 6 proxies know all of it
    rotated 2025-11-28T18:53:20Z; what signed before is still trusted
    last answer: another root signs
    ");
}

#[test]
fn what_cannot_be_is_said_before_it_is_asked() {
    let refused = |wish, phase, place: &str| {
        let pilot = pilot(&json!([]), json!({"place": place}));
        facts(State { phase, ..State::default() }, vec![pilot]).refusal(wish)
    };
    let own = "Secret istio-system/istio-ca-secret";
    assert_eq!(refused(Wish::Rotate, Phase::Idle, own), None);
    assert_eq!(refused(Wish::Abort, Phase::Announcing, own), None);
    assert_eq!(refused(Wish::Recover, Phase::Idle, own), None);
    for (wish, phase, place) in [
        (Wish::Rotate, Phase::Announcing, own),
        (Wish::Abort, Phase::Idle, own),
        (Wish::Rotate, Phase::Idle, "Secret istio-system/cacerts"),
        (Wish::Recover, Phase::Idle, "/etc/cacerts"),
    ] {
        assert!(refused(wish, phase, place).is_some(), "{wish:?} {phase:?} {place}");
    }
    // Where no pilot answers, the one that comes back decides.
    let silent = || vec![Pilot::of("istiod-1".to_owned(), Err("away".to_owned()))];
    assert_eq!(facts(State::default(), silent()).refusal(Wish::Recover), None);
    let waits = facts(State::default(), silent()).waits_for(&request(Wish::Recover));
    assert_eq!(waits, ["a pilot that leads to take it up", "istiod-1 cannot be asked: away"]);
}

#[test]
fn a_request_is_done_when_it_was_answered_and_nothing_waits() {
    let of = |handled: &str, phase| {
        let state = State { handled: handled.to_owned(), phase, ..State::default() };
        facts(state, Vec::new())
    };
    assert!(of("7", Phase::Idle).is_done() && !of("7", Phase::Announcing).is_done());
    assert_eq!(of("7", Phase::Announcing).waits_for(&request(Wish::Rotate)), [""; 0]);
}
