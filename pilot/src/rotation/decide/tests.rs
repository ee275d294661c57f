//! Every step, from what is there.

use super::*;

fn facts(phase: Phase) -> Facts {
    let state = State { phase, since: 5, ..State::default() };
    Facts {
        now: 1000,
        state,
        ends: 1_000_000,
        next: phase != Phase::Idle,
        roots: "old".to_owned(),
        lifetime: 100,
        ..Facts::default()
    }
}

fn asked(wish: Wish, facts: Facts) -> Step {
    Facts { asked: Some(Request { wish, id: "r".to_owned() }), ..facts }.step()
}

fn past(roots: &str, until: u64) -> Past {
    Past { roots: roots.to_owned(), until }
}

/// What is said where a request is answered and nothing else is done.
fn refused(step: Step, facts: &Facts) -> String {
    match step {
        Step::Write(state) => {
            let same = State { handled: "r".to_owned(), said: state.said.clone(), ..facts.state.clone() };
            assert_eq!(state, same);
            state.said
        }
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_rotation_goes_from_announcing_by_switching_to_the_end() {
    let idle = facts(Phase::Idle);
    assert_eq!(idle.step(), Step::Nothing);
    let Step::Announce(state) = asked(Wish::Rotate, idle) else { panic!() };
    assert_eq!((&*state.handled, state.phase, state.since), ("r", Phase::Announcing, 1000));

    // Somebody is waited for; nobody is, but for too short a time.
    let announcing = Facts { state, ..facts(Phase::Announcing) };
    assert_eq!(announcing.step(), Step::Nothing);
    assert_eq!(Facts { known_since: Some(1000 - KNOWN_FOR + 1), ..announcing.clone() }.step(), Step::Nothing);
    let known = Facts { known_since: Some(1000 - KNOWN_FOR), ..announcing };
    let Step::Write(state) = known.step() else { panic!() };
    assert_eq!((state.phase, &state.past), (Phase::Switching, &vec![past("old", 1100 + SLACK)]));

    let switching = Facts { state, ..facts(Phase::Switching) };
    assert_eq!(switching.step(), Step::Replace);
    let Step::Forget(state) = (Facts { switched: true, ..switching }).step() else { panic!() };
    assert_eq!((state.phase, &state.past), (Phase::Idle, &vec![past("old", 1100 + SLACK)]));

    let retiring = Facts { state: state.clone(), now: 1100 + SLACK - 1, ..facts(Phase::Idle) };
    assert_eq!(retiring.step(), Step::Nothing);
    let over = Facts { now: 1100 + SLACK, ..retiring };
    assert_eq!(over.step(), Step::Write(State { past: Vec::new(), ..state }));
}

#[test]
fn what_signed_is_trusted_until_its_last_certificate_ends_and_not_beyond_its_own_end() {
    let until = |issued_until, ends| {
        let facts = Facts { known_since: Some(0), issued_until, ends, ..facts(Phase::Announcing) };
        let Step::Write(state) = facts.step() else { panic!() };
        state.past[0].until - SLACK
    };
    assert_eq!([until(0, 9999), until(5000, 9999), until(5000, 1050)], [1100, 5000, 1050]);
}

#[test]
fn it_is_given_up_until_the_other_root_takes_its_place() {
    let Step::Forget(state) = asked(Wish::Abort, facts(Phase::Announcing)) else { panic!() };
    assert_eq!((&*state.handled, state.phase), ("r", Phase::Idle));
    for phase in [Phase::Idle, Phase::Switching] {
        assert!(refused(asked(Wish::Abort, facts(phase)), &facts(phase)).starts_with("refused: "));
    }
}

#[test]
fn what_cannot_be_is_refused_and_what_is_under_way_goes_on() {
    let words = |wish, facts: Facts| refused(asked(wish, facts.clone()), &facts);
    let given = Facts { given: true, ..facts(Phase::Idle) };
    for wish in [Wish::Rotate, Wish::Abort, Wish::Recover] {
        assert!(words(wish, given.clone()).contains("Secret cacerts"));
    }
    assert!(words(Wish::Rotate, facts(Phase::Announcing)).contains("under way"));
    assert!(words(Wish::Recover, facts(Phase::Idle)).contains("has not ended"));
    let ended = Facts { ends: 1000, ..facts(Phase::Idle) };
    assert!(words(Wish::Rotate, ended.clone()).contains("meshctl ca recover"));
    assert!(matches!(asked(Wish::Recover, ended), Step::Recover(State { phase: Phase::Idle, .. })));
}

#[test]
fn a_root_of_somebody_elses_that_comes_meanwhile_ends_it() {
    let Step::Forget(state) = (Facts { given: true, ..facts(Phase::Announcing) }).step() else { panic!() };
    assert_eq!(state.phase, Phase::Idle);
    let Step::Write(state) = (Facts { next: false, ..facts(Phase::Switching) }).step() else { panic!() };
    assert_eq!(state.phase, Phase::Idle);
}

#[test]
fn what_signed_before_is_written_down_once_and_for_the_longest_time() {
    let mut facts = facts(Phase::Idle);
    facts.given = true;
    facts.state.past = vec![past("a", 2000), past("b", 2000)];
    facts.unwritten = vec![past("a", 1500)];
    assert_eq!(facts.step(), Step::Nothing);
    facts.unwritten = vec![past("a", 2500), past("c", 1001), past("d", 1000)];
    let wanted = vec![past("a", 2500), past("b", 2000), past("c", 1001)];
    assert_eq!(facts.step(), Step::Write(State { past: wanted, ..facts.state.clone() }));
}
