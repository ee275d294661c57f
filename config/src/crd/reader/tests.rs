use super::*;
use crate::crd::form::{Fact, Field, Form, Holds};
use crate::crd::node;
use crate::diagnostic::ObjectRef;
use std::time::Duration;

fn report() -> Report {
    let object = ObjectRef { kind: "K".into(), namespace: "ns".into(), name: "n".into() };
    Report::new(object, "f.yaml".into())
}

/// What `read` returns for a text, and its findings as `code field:line`.
fn check<T>(text: &str, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> (Option<T>, Vec<String>) {
    let node = node::read(text).remove(0).unwrap().node;
    let report = report();
    let value = Item::new(&node, "spec", &report).object(read);
    let found = report.into_diagnostics().into_iter();
    (value, found.map(|d| format!("{} {}:{}", d.code, d.field, d.origin.line)).collect())
}

#[test]
fn fields_left_over_are_unknown_and_a_near_name_is_offered() {
    let node = node::read("timeout: 1s\nretrys: {}\nzzz: 1\n").remove(0).unwrap().node;
    let report = report();
    Item::new(&node, "spec", &report).object(|f| {
        f.duration("timeout");
        f.item("retries");
        Some(())
    });
    let found = report.into_diagnostics();
    assert_eq!(
        found[0].to_string(),
        "Error [unknown-field] (K ns/n f.yaml:2:1) spec.retrys: there is no field \"retrys\" here; did you mean retries?"
    );
    assert_eq!(found[1].message, "there is no field \"zzz\" here");
}

#[test]
fn a_slip_is_named_where_the_reader_stops_for_what_is_missing() {
    let (_, found) = check("hots: [a]\nhtp: []\nother: 1\n", |f| {
        let hosts = f.required("hosts");
        f.one_is_required::<()>(&["http", "tls"], "one of http and tls is required");
        hosts.map(|_| ())
    });
    let want =
        ["unknown-field spec.hots:1", "missing-field spec.hosts:1", "unknown-field spec.htp:2", "invalid-field spec:1"];
    assert_eq!(found, want);
}

#[test]
fn numbers_may_be_texts_and_null_is_absent() {
    let (got, found) = check("a: \"8080\"\nb: 80\nc: null\nd: 3.0\ne: http\n", |f| {
        Some((f.u32("a"), f.port("b").map(|p| p.get()), f.u32("c"), f.u32("d"), f.int_or_string("e")))
    });
    assert_eq!(got, Some((Some(8080), Some(80), None, Some(3), Some(IntOrString::String("http".into())))));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn wrong_values_are_reported_where_they_stand() {
    let (_, found) = check("a: x\nb: 70000\nc: 5\nd:\n- 1\n- {}\ne: 1.0\n", |f| {
        f.u32("a");
        f.port("b");
        f.duration("c");
        f.strings("d");
        f.opt_string("e");
        f.string("f");
        Some(())
    });
    let want = [
        "invalid-field spec.a:1",
        "invalid-field spec.b:2",
        "invalid-field spec.c:3",
        "invalid-field spec.d[0]:5",
        "invalid-field spec.d[1]:6",
        "invalid-field spec.e:7",
        "missing-field spec.f:1",
    ];
    assert_eq!(found, want);
}

#[test]
fn a_field_without_effect_is_named() {
    const MARK: Fact = Fact::Inert("");
    const fn field(name: &'static str, facts: &'static [Fact]) -> Field {
        Field { name, holds: Holds::Whole(0, 9), text: "", facts }
    }
    static FORM: Form =
        Form { fields: &[field("a", &[MARK]), field("b", &[MARK]), field("c", &[])], together: &[], rule: None };
    let (got, found) = check("{a: 1, c: 2}\n", |f| {
        FORM.read_inert(f);
        f.u32("c")
    });
    assert_eq!((got, found), (Some(2), vec!["field-not-acted-on spec.a:1".to_owned()]));
    let (got, found) =
        check("{a: 10}\n", |f| Some((FORM.read_inert_of(f, &["b"]), FORM.read_inert_of(f, &["a", "b"]))));
    let want = ["refused-by-validation spec.a:1", "field-not-acted-on spec.a:1"];
    assert_eq!((got, found), (Some((false, true)), want.map(str::to_owned).to_vec()));
}

#[test]
fn time_spans_are_read_as_go_does() {
    for (text, want) in [
        ("0", Some(0)),
        ("0s", Some(0)),
        ("1.5s", Some(1_500_000_000)),
        ("100ms", Some(100_000_000)),
        ("1h30m", Some(5_400_000_000_000)),
        (".5s", Some(500_000_000)),
        ("10us", Some(10_000)),
        ("1µs", Some(1_000)),
        ("", None),
        ("5", None),
        ("-1s", None),
        ("s", None),
        (".s", None),
        ("1..5s", None),
        ("1d", None),
        ("99999999999h", None),
        ("1s2", None),
    ] {
        assert_eq!(crate::time::duration(text), want.map(Duration::from_nanos), "{text}");
    }
}

#[test]
fn selectors_have_no_wildcards() {
    let (_, found) = check("a: {app: \"*\", x/y.z: \"ok\"}\n", |f| Some(f.selector("a")));
    assert_eq!(found, ["invalid-field spec.a.app:1"]);
}

#[test]
fn findings_are_bounded() {
    let text: String = (0..1000).map(|i| format!("x{i}: 1\n")).collect();
    let (_, found) = check(&text, |_| Some(()));
    assert_eq!((found.len(), &*found[200]), (201, "more-findings :201"));
}

#[test]
fn fields_that_are_not_known_are_reported_also_where_there_is_nothing_to_return() {
    let found = |text: &str| check(text, |f| f.opt_string("mode")).1;
    assert_eq!(found("{mod: STRICT}"), ["unknown-field spec.mod:1"]);
    assert_eq!(found("{}"), [""; 0]);
    assert_eq!(found("{mode: [1], mod: STRICT}"), ["invalid-field spec.mode:1"]);
}

#[test]
fn fields_may_have_the_names_that_protobuf_gives_them() {
    let node = node::read("{export_to: 7, plain: 8}").remove(0).unwrap().node;
    let reference = ObjectRef { kind: "".into(), namespace: "".into(), name: "".into() };
    let report = Report::new(reference, "".into());
    let read =
        Item::new(&node, "spec", &report).object(|f| Some((f.has("exportTo"), f.u32("exportTo"), f.u32("plain"))));
    assert_eq!(read, Some((true, Some(7), Some(8))));
    let found: Vec<_> = report.into_diagnostics().iter().map(|d| format!("{} {}", d.code, d.field)).collect();
    assert_eq!(found, ["protobuf-name spec.export_to"]);
}
