use super::*;
use mesh_config::{matcher::Pattern, name::Port};

type Headers<'a> = Vec<(&'a str, &'a str)>;

fn held(conditions: &RouteMatch, authority: &str, path: &str, headers: &Headers<'_>) -> Option<MatchedPath> {
    let request =
        RequestView { method: "GET", scheme: "http", authority, path, headers, listener_port: Port::new(80).unwrap() };
    matches(conditions, &request)
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

fn prefix(text: &str) -> StringMatch {
    StringMatch::Prefix(text.into())
}

fn regex(text: &str) -> StringMatch {
    StringMatch::Regex(Pattern::new(text).unwrap())
}

fn on_path(matcher: StringMatch, ignore_case: bool) -> RouteMatch {
    RouteMatch { path: Some(PathMatch { matcher, ignore_case }), ..RouteMatch::default() }
}

fn on_header(name: &str, matcher: StringMatch, invert: bool) -> RouteMatch {
    RouteMatch { headers: vec![HeaderMatch { name: name.into(), matcher, invert }], ..RouteMatch::default() }
}

#[test]
fn paths_are_matched_without_query() {
    for (matcher, ignore_case, path, want) in [
        (exact("/a"), false, "/a?x=1", Some(MatchedPath::Whole)),
        (exact("/a"), false, "/a/", None),
        (exact("/a"), false, "/A", None),
        (exact("/a"), true, "/A", Some(MatchedPath::Whole)),
        (prefix("/foo"), false, "/foobar", Some(MatchedPath::Prefix(4))),
        (prefix("/foo"), true, "/FOObar", Some(MatchedPath::Prefix(4))),
        (prefix("/foo"), false, "/?/foo", None),
        (regex("/a.*"), false, "/abc?q", Some(MatchedPath::Whole)),
        (regex("/a"), false, "/ab", None),
        (regex("b"), false, "/ab", None),
        (regex("/a"), true, "/A", None),
    ] {
        let conditions = on_path(matcher, ignore_case);
        assert_eq!(held(&conditions, "h", path, &vec![]), want, "{conditions:?} {path}");
    }
}

#[test]
fn without_a_path_condition_a_rewrite_replaces_the_first_slash() {
    assert_eq!(held(&RouteMatch::default(), "h", "/x", &vec![]), Some(MatchedPath::Prefix(1)));
    assert_eq!(held(&RouteMatch::default(), "h", "*", &vec![]), Some(MatchedPath::Prefix(0)));
}

#[test]
fn each_value_of_a_header_is_tested_on_its_own() {
    let none: Headers<'_> = vec![];
    let one: Headers<'_> = vec![("x", "a")];
    let two: Headers<'_> = vec![("x", "b"), ("x", "a")];
    let empty: Headers<'_> = vec![("x", "")];
    for (matcher, invert, headers, want) in [
        (exact("a"), false, &one, true),
        (exact("a"), false, &two, true),
        (exact("b,a"), false, &two, false),
        (exact("a"), false, &none, false),
        (regex(".*"), false, &none, false),
        (prefix(""), false, &empty, true),
        (StringMatch::Present, false, &empty, true),
        (StringMatch::Present, false, &none, false),
        (exact("a"), true, &one, false),
        (exact("a"), true, &two, false),
        (exact("a"), true, &empty, true),
        (exact("a"), true, &none, true),
        (regex(".*"), true, &none, false),
        (exact(""), true, &none, false),
        (StringMatch::Present, true, &none, true),
        (StringMatch::Present, true, &empty, false),
    ] {
        let conditions = on_header("x", matcher, invert);
        assert_eq!(held(&conditions, "h", "/", headers).is_some(), want, "{conditions:?} {headers:?}");
    }
}

#[test]
fn the_authority_is_matched_as_sent() {
    let on = |matcher| RouteMatch { authority: Some(matcher), ..RouteMatch::default() };
    for (matcher, authority, want) in [
        (exact("h:80"), "h:80", true),
        (exact("h"), "h:80", false),
        (exact("h"), "H", false),
        (prefix("h"), "h:80", true),
    ] {
        assert_eq!(held(&on(matcher), authority, "/", &vec![]).is_some(), want, "{authority}");
    }
}

#[test]
fn query_parameters_count_by_their_first_value_undecoded() {
    let on = |name: &str, matcher| RouteMatch {
        query: vec![QueryMatch { name: name.into(), matcher }],
        ..RouteMatch::default()
    };
    for (name, matcher, path, want) in [
        ("a", exact("1"), "/?a=1&a=2", true),
        ("a", exact("2"), "/?a=1&a=2", false),
        ("A", exact("1"), "/?a=1", false),
        ("a", exact("x y"), "/?a=x%20y", false),
        ("a", exact("x%20y"), "/?a=x%20y", true),
        ("a", regex("[0-9]+"), "/?b=x&a=12", true),
        ("a", regex("[0-9]"), "/?a=12", false),
        ("a", StringMatch::Present, "/?a", true),
        ("a", StringMatch::Present, "/?a=", true),
        ("a", StringMatch::Present, "/?ab=1", false),
        ("a", StringMatch::Present, "/", false),
    ] {
        assert_eq!(held(&on(name, matcher), "h", path, &vec![]).is_some(), want, "{name} {path}");
    }
}

#[test]
fn all_conditions_must_hold() {
    let both =
        RouteMatch { method: Some(exact("GET")), scheme: Some(exact("http")), ..on_header("x", exact("a"), false) };
    assert!(held(&both, "h", "/", &vec![("x", "a")]).is_some());
    assert!(held(&both, "h", "/", &vec![]).is_none());
    let method = RouteMatch { method: Some(exact("POST")), ..both.clone() };
    assert!(held(&method, "h", "/", &vec![("x", "a")]).is_none());
    let scheme = RouteMatch { scheme: Some(exact("https")), ..both };
    assert!(held(&scheme, "h", "/", &vec![("x", "a")]).is_none());
}
