use super::*;
use crate::{
    route::{RequestView, Routed, Selection, select},
    snapshot::{fixture::*, listener::DestinationKey},
};
use mesh_config::{
    kind::Role,
    matcher::{Pattern, StringMatch},
    model::{
        Part, Protocol,
        route::{PathMatch, Rewrite, RouteAction, RouteMatch, RouteRule},
    },
};

const CART: &str = "cart.shop.svc.cluster.local";

/// What a rule makes of a request to the service.
fn routed(rule: RouteRule, path: &str) -> Routed {
    let cart = service("shop/cart.shop.svc.cluster.local", "", &[(80, Protocol::Http)]);
    let route = Part::Route(Arc::new(route("shop/r", &[CART], 1, vec![rule])));
    let state = state(Role::Sidecar, in_use(&cart).into_iter().chain([route]));
    let request =
        RequestView { method: "GET", scheme: "http", authority: "cart", path, headers: &(), listener_port: port(80) };
    match select(state.snapshot(), &DestinationKey::HttpPort(port(80)), &request, 0) {
        Selection::Forward(routed) => routed,
        other => panic!("{other:?}"),
    }
}

fn rewritten(matcher: Option<StringMatch>, rewrite: Rewrite, from: &str) -> Option<String> {
    let path = matcher.map(|matcher| PathMatch { matcher, ignore_case: false });
    let rule = RouteRule {
        matches: vec![RouteMatch { path, ..RouteMatch::default() }],
        rewrite: Some(rewrite),
        ..send_to(&[(CART, 1)])
    };
    let routed = routed(rule, from);
    path_of(&routed, from)
}

fn path_of(routed: &Routed, from: &str) -> Option<String> {
    path(routed.rule.as_ref().unwrap(), &routed.matched.unwrap(), from)
}

#[test]
fn what_was_matched_is_replaced_literally() {
    let prefix = |text: &str| Some(StringMatch::Prefix(text.into()));
    let exact = |text: &str| Some(StringMatch::Exact(text.into()));
    let regex = |text: &str| Some(StringMatch::Regex(Pattern::new(text).unwrap()));
    for (matcher, uri, from, want) in [
        (prefix("/p2"), "/new", "/p2/x", "/new/x"),
        (prefix("/p2"), "/new", "/p2x", "/newx"),
        (prefix("/p3/"), "/new", "/p3/", "/new"),
        (prefix("/p3/"), "/new", "/p3/x", "/newx"),
        (prefix("/p1"), "/", "/p1", "/"),
        (prefix("/p1"), "/", "/p1x", "/x"),
        (prefix("/p1"), "/", "/p1/x", "//x"),
        (prefix("/p1"), "/new", "/p1/x?q=/p1", "/new/x?q=/p1"),
        (prefix("/"), "/new", "/x", "/newx"),
        (exact("/a"), "/b", "/a?q", "/b?q"),
        (regex("/a.*"), "/b", "/a/c?q", "/b?q"),
        (regex(".*"), "/b", "/a/c", "/b"),
        (None, "/new", "/x", "/newx"),
    ] {
        let rewrite = Rewrite { uri: Some(uri.into()), ..Rewrite::default() };
        assert_eq!(rewritten(matcher, rewrite, from).as_deref(), Some(want), "{from} to {uri}");
    }
}

#[test]
fn a_pattern_replaces_every_match_in_the_path_alone() {
    for (pattern, replacement, from, want) in [
        ("^/old(/?)(.*)", "/\\2", "/old/x/y?z=/old", "/x/y?z=/old"),
        ("a", "b", "/aXa?a", "/bXb?a"),
        ("/v([0-9])", "/\\1\\1", "/v1/v2", "/11/22"),
        ("x", "$0\\0", "/x", "/$0x"),
    ] {
        let uri_regex = Some((Pattern::new(pattern).unwrap(), replacement.into()));
        let rewrite = Rewrite { uri_regex, ..Rewrite::default() };
        let all = Some(StringMatch::Prefix("/".into()));
        assert_eq!(rewritten(all, rewrite, from).as_deref(), Some(want), "{pattern}");
    }
}

#[test]
fn a_rule_without_rewrite_leaves_the_path() {
    let routed = routed(send_to(&[(CART, 1)]), "/x");
    assert_eq!(path_of(&routed, "/x"), None);
    assert_eq!(authority(routed.rule.as_ref().unwrap(), 0), None);
}

#[test]
fn the_rules_authority_comes_before_the_backends() {
    let mut rule = send_to(&[(CART, 1)]);
    let RouteAction::Forward(backends) = &mut rule.action else { unreachable!() };
    backends[0].headers.request.set = vec![("host".into(), "backend".into())];
    let of = |rule: &RouteRule| authority(routed(rule.clone(), "/").rule.as_ref().unwrap(), 0).map(|a| a.to_string());
    assert_eq!(of(&rule).as_deref(), Some("backend"));
    rule.headers.request.set = vec![("x".into(), "y".into()), (":authority".into(), "header".into())];
    assert_eq!(of(&rule).as_deref(), Some("header"));
    rule.rewrite = Some(Rewrite { authority: Some("rewrite".into()), ..Rewrite::default() });
    assert_eq!(of(&rule).as_deref(), Some("rewrite"));
}
