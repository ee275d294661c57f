use super::*;

fn one(text: &str) -> Node {
    read(text).remove(0).unwrap().node
}

fn broken(text: &str) -> Broken {
    read(text).into_iter().find_map(Result::err).expect("a broken document")
}

#[test]
fn values_know_their_lines() {
    let node = one("# c\na: 1\nb:\n- x\n- y: true\nc: {\"d\":\n  null}\n");
    let at = |path: &[&str]| {
        let node = path.iter().fold(&node, |n, k| n.get(k).unwrap());
        (node.line, node.column, node.key)
    };
    assert_eq!(at(&["a"]), (2, 4, 1));
    assert_eq!(at(&["b"]), (3, 1, 1), "what begins further down is at its key");
    assert_eq!((at(&["c"]), at(&["c", "d"])), ((6, 4, 1), (6, 5, 5)));
    let Value::Seq(items) = &node.get("b").unwrap().value else { panic!() };
    assert_eq!((items[0].place(), items[1].place()), (Place { line: 4, column: 3 }, Place { line: 5, column: 3 }));
    assert_eq!(items[1].get("y").unwrap().place(), Place { line: 5, column: 6 });
}

#[test]
fn scalars_are_told_apart() {
    for (text, want) in [
        ("1", Value::Int(1)),
        ("-3", Value::Int(-3)),
        ("0x10", Value::Int(16)),
        ("1.5", Value::Float(1.5)),
        ("1e3", Value::Float(1000.0)),
        ("1.2.3", Value::String("1.2.3".into())),
        ("10.0.0.1", Value::String("10.0.0.1".into())),
        ("100ms", Value::String("100ms".into())),
        ("\"1\"", Value::String("1".into())),
        ("!!str 1", Value::String("1".into())),
        ("True", Value::Bool(true)),
        ("'true'", Value::String("true".into())),
        ("yes", Value::String("yes".into())),
        ("-", Value::Seq(vec![Node { line: 1, column: 2, key: 0, value: Value::Null }])),
    ] {
        assert_eq!(one(text).value, want, "{text}");
    }
}

#[test]
fn a_broken_document_leaves_the_others() {
    let read = read("a: 1\n---\nb: [1\n---\nc: 3\n---\n---\nd: \"x\n---\ne: 5\n");
    let kept: Vec<_> = read.iter().flatten().map(|d| (d.number, d.line)).collect();
    let lost: Vec<_> = read.iter().filter_map(|r| r.as_ref().err()).map(|b| b.place.line).collect();
    assert_eq!(kept, [(0, 1), (2, 5), (5, 10)]);
    assert_eq!(lost.len(), 2);
    assert!(lost[0] >= 3 && lost[1] >= 8, "{lost:?}");
}

#[test]
fn input_is_bounded() {
    assert!(broken(&"a".repeat(MAX_TEXT + 1)).reason.contains("bytes"));
    assert!(broken(&"[".repeat(100)).place.line == 1);
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let of = format!("*a{},", i - 1).repeat(10);
        bomb.push_str(&format!("a{i}: &a{i} [{of}]\n"));
    }
    assert!(broken(&bomb).reason.contains("aliases"));
    let nested = format!("{}[{}]{}", "&a [".repeat(60), "1,".repeat(100_000), "]".repeat(60));
    assert!(broken(&nested).reason.contains("values"));
}

#[test]
fn aliases_and_merges_stand_for_what_they_name() {
    let node = one("x: &x {a: 1, b: 2}\ny: *x\nz:\n  <<: *x\n  b: 3\n");
    assert_eq!(node.get("y").unwrap().get("a").unwrap().value, Value::Int(1));
    let z = node.get("z").unwrap();
    assert_eq!((&z.get("a").unwrap().value, &z.get("b").unwrap().value), (&Value::Int(1), &Value::Int(3)));
    assert!(broken("a: &a [*a]").reason.contains("alias"));
}

#[test]
fn a_key_may_stand_once() {
    let broken = broken("a: 1\nb: 2\na: 3\n");
    assert_eq!(broken.place, Place { line: 3, column: 1 });
    assert!(broken.reason.contains("duplicate key"));
}
