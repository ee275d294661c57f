//! Any text ends in an answer of bounded size, whatever stands in it.

use mesh_config::{
    crd::{ParseContext, node, read_text, validate},
    diagnostic::Diagnostic,
};
use proptest::prelude::*;

/// All that is said about a text, and how many objects it has.
fn answer(text: &str) -> (usize, Vec<Diagnostic>) {
    let (objects, mut found) = read_text(&"f".into(), text);
    found.extend(objects.iter().flat_map(|object| validate(object, &ParseContext::default())));
    (objects.len(), found)
}

/// The one thing that is said about a text without objects.
fn refusal(text: &str) -> String {
    let (objects, found) = answer(text);
    assert_eq!((objects, found.len()), (0, 1), "{found:?}");
    found[0].message.clone()
}

const HEAD: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n";

#[test]
fn what_grows_without_end_is_refused() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..40 {
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", format!("*a{},", i - 1).repeat(10)));
    }
    assert!(refusal(&bomb).contains("counting what aliases expand to"));
    let mut merges = String::from("a0: &a0 {k: v}\n");
    for i in 1..60 {
        merges.push_str(&format!("a{i}: &a{i} {{<<: [*a{0}, *a{0}, *a{0}, *a{0}], k{i}: v}}\n", i - 1));
    }
    assert!(refusal(&merges).contains("counting what aliases expand to"));
    let deep = format!("nested more than {} levels deep", node::MAX_DEPTH);
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), format!("{HEAD}spec: {}", "[".repeat(100_000))] {
        assert!(answer(&text).1[0].message.contains(&deep), "{:?}", answer(&text).1.first());
    }
    assert!(refusal(&"a".repeat(node::MAX_TEXT + 1)).contains("bytes long"));
}

#[test]
fn many_documents_are_told_of_in_few_words() {
    let (objects, found) = answer(&"a: 1\n---\n".repeat(50_000));
    assert_eq!((objects, found.len()), (0, 1001));
    assert_eq!(found[1000].code, "more-findings");
    let too_many = answer(&"a: 1\n---\n".repeat(node::MAX_DOCUMENTS + 1)).1;
    assert_eq!(too_many.len(), 1001);
    assert_eq!(node::read(&"a: 1\n---\n".repeat(node::MAX_DOCUMENTS + 5)).len(), node::MAX_DOCUMENTS + 1);
    assert_eq!(answer(&"---\n".repeat(100_000)), (0, Vec::new()));
}

#[test]
fn many_errors_of_one_object_are_told_in_few_words() {
    let fields: String = (0..10_000).map(|i| format!("  f{i}: 1\n")).collect();
    let rest = "  hosts: [a]\n  http: [{route: [{destination: {host: a}}]}]\n";
    let (objects, found) = answer(&format!("{HEAD}spec:\n{rest}{fields}"));
    assert_eq!((objects, found.len()), (1, 201));
    let routes = "{x: 1},".repeat(10_000);
    assert_eq!(answer(&format!("{HEAD}spec: {{hosts: [a], http: [{routes}]}}")).1.len(), 201);
}

/// Each of these took a minute when its names were held against each other one by one.
#[test]
fn long_lists_of_names_are_looked_up() {
    let names: String = (0..50_000).map(|i| format!("h{i}.example,")).collect();
    let route = "route: [{destination: {host: a}}]";
    let (objects, found) = answer(&format!("{HEAD}spec: {{hosts: [{names}], http: [{{{route}}}]}}"));
    assert_eq!((objects, found), (1, Vec::new()));
    let tls = format!("{HEAD}spec: {{hosts: [{names}], tls: [{{match: [{{sniHosts: [{names}]}}], {route}}}]}}");
    assert_eq!(answer(&tls), (1, Vec::new()));
    let unknown: String = (0..100_000).map(|i| format!("  f{i}: 1\n")).collect();
    let rest = "  hosts: [a]\n  http: [{route: [{destination: {host: a}}]}]\n";
    assert_eq!(answer(&format!("{HEAD}spec:\n{rest}{unknown}")).1.len(), 201);
    let shares: String = (0..50_000).map(|i| format!("r{i}/z: 1,")).collect();
    let distribute = format!("localityLbSetting: {{distribute: [{{from: a/b, to: {{{shares}}}}}]}}");
    let rule = HEAD.replace("VirtualService", "DestinationRule");
    let found = answer(&format!("{rule}spec: {{host: a, trafficPolicy: {{loadBalancer: {{{distribute}}}}}}}")).1;
    assert_eq!(found[0].message, "the shares must add up to 100");
    let parents: String = (0..50_000).map(|i| format!("{{name: g{i}}},")).collect();
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n";
    let found = answer(&format!("{route}spec: {{parentRefs: [{parents}]}}")).1;
    assert_eq!(found[0].message, "has 50000 entries, of which there may be 32");
}

#[test]
fn odd_values_are_values() {
    let huge = "9".repeat(100_000);
    let long = "k".repeat(1_000_000);
    for spec in [
        format!("{{hosts: [a], http: [{{timeout: {huge}}}]}}"),
        format!("{{hosts: [a], http: [{{route: [{{destination: {{host: a, port: {{number: {huge}}}}}}}]}}]}}"),
        format!("{{hosts: [{long}]}}"),
        format!("{{{long}: 1}}"),
        "{hosts: [a], http: [{timeout: 1e999}]}".into(),
        "{hosts: [a], http: [{timeout: -0x8000000000000000}]}".into(),
        "{hosts: [\"a\\0b\", \"\\uFEFF\", \"\\u2028\"]}".into(),
        "{hosts: &a [*a]}".into(),
        "!!binary aGk=".into(),
        "{? [a, b] : c}".into(),
        "{'<<': 1}".into(),
    ] {
        let (_, found) = answer(&format!("{HEAD}spec: {spec}\n"));
        assert!((1..=201).contains(&found.len()), "{}", &spec[..spec.len().min(80)]);
    }
    for text in
        ["\0", "\u{feff}", "%YAML 9.9\n---\na", "a: \0\n", "\t- a", "- - - -\n-", "&a", "*a", "? ", ": :", "--- !<"]
    {
        assert!(answer(text).1.len() <= 3, "{text:?}");
    }
}

/// Pieces of which texts are made that are nearly objects.
const PIECES: [&str; 32] = [
    "apiVersion: ",
    "networking.istio.io/v1",
    "kind: ",
    "VirtualService",
    "metadata: ",
    "{name: a}",
    "spec: ",
    "http: ",
    "\n",
    "\n  ",
    "\n- ",
    "---\n",
    "[",
    "]",
    "{",
    "}",
    ": ",
    ",",
    "&a ",
    "*a",
    "<<: ",
    "|",
    ">-\n  ",
    "\"",
    "'",
    "# c",
    "!!str ",
    "\0",
    "\t",
    "9999999999999999999999",
    "é\u{2028}",
    "items: ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn whatever_is_written_is_answered_at_a_place_in_it(picks in prop::collection::vec(0..PIECES.len(), 0..60), object: bool) {
        let head = if object { HEAD } else { "" };
        let text = head.to_owned() + &picks.iter().map(|pick| PIECES[*pick]).collect::<String>();
        let lines = u32::try_from(text.split('\n').count()).unwrap_or(u32::MAX);
        for finding in answer(&text).1 {
            prop_assert!((1..=lines).contains(&finding.origin.line), "{finding}\n{text}");
        }
    }
}
