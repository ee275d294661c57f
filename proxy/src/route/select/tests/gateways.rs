//! What gateways answer, and with which server.

use super::*;

fn gateway_state(gateways: Vec<mesh_config::model::Gateway>, routes: Vec<mesh_config::model::Route>) -> State {
    let gateways = gateways.into_iter().map(|g| Part::Gateway(Arc::new(g)));
    let routes = routes.into_iter().map(|r| Part::Route(Arc::new(r)));
    state(Role::Gateway, both().chain(gateways).chain(routes))
}

fn answer(status: u16) -> RouteRule {
    rule(RouteAction::Respond(DirectResponse { status, body: Bytes::new() }))
}

#[test]
fn a_gateway_serves_where_its_hosts_and_a_routes_meet() {
    let gateway_key = DestinationKey::Gateway(port(8080));
    let own = gateway("shop/g", 1, vec![server(8080, &["shop/*.example.com", "other.org"])]);
    let routes = vec![
        for_gateway("shop/g", route("shop/a", &["a.example.com", "b.org"], 1, vec![answer(201)])),
        for_gateway("shop/g", route("shop/w", &["*"], 2, vec![answer(202)])),
        for_gateway("shop/g", route("other/x", &["x.example.com"], 3, vec![answer(203)])),
        for_gateway("shop/other", route("shop/y", &["y.example.com"], 4, vec![answer(204)])),
        route("shop/mesh", &["z.example.com"], 5, vec![answer(205)]),
    ];
    let state = gateway_state(vec![own], routes);
    for (authority, want) in [
        ("a.example.com:8080", "a.example.com:8080 default 201"),
        ("A.example.com", "a.example.com:8080 default 201"),
        ("x.example.com", "*.example.com:8080 default 202"),
        ("y.example.com", "*.example.com:8080 default 202"),
        ("other.org", "other.org:8080 default 202"),
        ("b.org", "404 "),
        ("example.com", "404 "),
    ] {
        assert_eq!(said(&ask(&state, &gateway_key, authority, "/")), want, "{authority}");
    }
    let Selection::Answer(Answer::Respond { meta, .. }) = ask(&state, &gateway_key, "a.example.com", "/") else {
        panic!()
    };
    assert_eq!(&*meta.route_config, "http.8080");
}

#[test]
fn a_host_that_is_an_address_is_found_however_it_is_spelled() {
    let own = gateway("shop/g", 1, vec![server(8080, &["shop/2001:db8::10", "[2001:db8::11]", "192.0.2.1"])]);
    let routes = vec![
        for_gateway("shop/g", route("shop/a", &["2001:db8::10"], 1, vec![answer(201)])),
        for_gateway("shop/g", route("shop/b", &["[2001:DB8:0::11]"], 2, vec![answer(202)])),
        for_gateway("shop/g", route("shop/c", &["192.0.2.1"], 3, vec![answer(203)])),
    ];
    let state = gateway_state(vec![own], routes);
    for (authority, want) in [
        ("[2001:db8::10]:8080", "201"),
        ("[2001:db8::10]", "201"),
        ("[2001:0DB8::0010]", "201"),
        ("[2001:db8::11]:1", "202"),
        ("192.0.2.1:8080", "203"),
        ("[2001:db8::12]", "404 "),
    ] {
        let got = said(&ask(&state, &DestinationKey::Gateway(port(8080)), authority, "/"));
        assert!(got.ends_with(want), "{authority}: {got}");
    }
}

#[test]
fn routes_of_one_host_are_joined_oldest_first_and_catch_alls_last() {
    let own = gateway("shop/g", 1, vec![server(80, &["*"])]);
    let old = vec![when(vec![prefix("/a")], answer(201)), answer(202)];
    let young = vec![when(vec![prefix("/a")], answer(203)), when(vec![prefix("/b")], answer(204))];
    let routes = vec![
        for_gateway("shop/g", route("shop/young", &["h.com"], 2, young)),
        for_gateway("shop/g", route("shop/z-old", &["h.com"], 1, old)),
    ];
    let state = gateway_state(vec![own], routes);
    for (path, want) in [("/a", 201), ("/b", 204), ("/c", 202)] {
        let got = said(&ask(&state, &DestinationKey::Gateway(port(80)), "h.com", path));
        assert!(got.ends_with(&want.to_string()), "{path}: {got}");
    }
}

#[test]
fn a_route_that_two_servers_bring_counts_once() {
    let own = gateway("shop/g", 1, vec![server(80, &["*", "h.com"]), server(80, &["h.com"])]);
    let rules = vec![when(vec![prefix("/a")], answer(201)), answer(202)];
    let state = gateway_state(vec![own], vec![for_gateway("shop/g", route("shop/r", &["h.com"], 1, rules))]);
    let gateway = state.snapshot().outbound.gateway(port(80)).unwrap();
    assert_eq!(gateway.requests().unwrap().exact("h.com").unwrap().entries.len(), 2);
}

#[test]
fn servers_of_several_gateways_share_a_port() {
    let gateways =
        vec![gateway("shop/g", 1, vec![server(80, &["a.com"])]), gateway("shop/h", 2, vec![server(80, &["b.com"])])];
    let routes = vec![
        for_gateway("shop/g", route("shop/a", &["a.com", "b.com"], 1, vec![answer(201)])),
        for_gateway("shop/h", route("shop/b", &["b.com"], 2, vec![answer(202)])),
    ];
    let state = gateway_state(gateways, routes);
    let at = DestinationKey::Gateway(port(80));
    assert!(said(&ask(&state, &at, "a.com", "/")).ends_with("201"));
    assert!(said(&ask(&state, &at, "b.com", "/")).ends_with("202"), "only the Gateway that it names counts");
}

#[test]
fn a_gateway_without_routes_answers_404() {
    let state = gateway_state(vec![gateway("shop/g", 1, vec![server(80, &["*"])])], vec![]);
    assert_eq!(said(&ask(&state, &DestinationKey::Gateway(port(80)), "h.com", "/")), "404 blackhole:80");
    assert_eq!(said(&ask(&state, &DestinationKey::Gateway(port(81)), "h.com", "/")), "404 ");
}

#[test]
fn plain_text_is_sent_to_https_before_any_rule() {
    let mut redirecting = server(80, &["h.com"]);
    redirecting.https_redirect = true;
    let own = gateway("shop/g", 1, vec![redirecting]);
    let routes = vec![for_gateway("shop/g", route("shop/a", &["h.com"], 1, vec![answer(201)]))];
    let at = DestinationKey::Gateway(port(80));
    for routes in [routes, vec![]] {
        let state = gateway_state(vec![own.clone()], routes);
        assert_eq!(said(&ask(&state, &at, "h.com:80", "/a?b")), "h.com:80 https https://h.com/a?b");
    }
}

#[test]
fn servers_with_tls_are_told_apart_by_name() {
    let tls = |name: &str, hosts: &[&str]| {
        let protocol =
            ServerProtocol::Https(ServerTls::Secret { name: name.into(), require_client_certificate: false });
        mesh_config::model::gateway::Server { protocol, port_name: name.into(), ..server(443, hosts) }
    };
    let own = gateway("shop/g", 1, vec![tls("a", &["a.com", "*.a.com"]), tls("b", &["*.b.a.com", "a.com"])]);
    let routes = vec![
        for_gateway("shop/g", route("shop/a", &["a.com"], 1, vec![answer(201)])),
        for_gateway("shop/g", route("shop/b", &["x.b.a.com"], 1, vec![answer(202)])),
    ];
    let state = gateway_state(vec![own], routes);
    let port_443 = state.snapshot().outbound.gateway(port(443)).unwrap().clone();
    for (sni, want) in [
        (Some("A.com"), Some("https.443.a.g.shop")),
        (Some("y.a.com"), Some("https.443.a.g.shop")),
        (Some("x.b.a.com"), Some("https.443.b.g.shop")),
        (Some("c.com"), None),
        (None, None),
    ] {
        assert_eq!(port_443.tls_server(sni).map(|s| &*s.route_config), want, "{sni:?}");
    }
    let at = |server: &str| DestinationKey::GatewayTls { port: port(443), server: server.into() };
    assert!(said(&ask(&state, &at("https.443.a.g.shop"), "a.com", "/")).ends_with("201"));
    assert!(said(&ask(&state, &at("https.443.b.g.shop"), "x.b.a.com", "/")).ends_with("202"));
    assert_eq!(said(&ask(&state, &at("https.443.gone"), "a.com", "/")), "404 ");
    assert_eq!(said(&ask(&state, &DestinationKey::Gateway(port(443)), "a.com", "/")), "404 ");
}
