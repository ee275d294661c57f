use super::*;

fn request<'a>(scheme: &'a str, authority: &'a str, path: &'a str) -> RequestView<'a> {
    RequestView { method: "GET", scheme, authority, path, headers: &(), listener_port: Port::new(8080).unwrap() }
}

fn plain() -> Redirect {
    Redirect { path: None, authority: None, port: RedirectPort::Keep, scheme: None, code: 301 }
}

fn check(redirect: Redirect, request: RequestView<'_>, want: &str) {
    assert_eq!(location(&redirect, MatchedPath::Prefix(3), &request), want);
}

#[test]
fn parts_that_the_rule_leaves_out_are_the_requests() {
    let full = |text: &str| Redirect { path: Some(RedirectPath::Full(text.into())), ..plain() };
    check(full("/new"), request("http", "h:81", "/p1/x?q=1"), "http://h:81/new?q=1");
    check(full("/new?z=2"), request("http", "h", "/p1/x?q=1"), "http://h/new?z=2");
    check(full("/new"), request("https", "h", "/p1"), "https://h/new");
    let authority = Redirect { authority: Some("other".into()), ..plain() };
    check(authority, request("http", "h:81", "/p1/x?q=1"), "http://other/p1/x?q=1");
}

#[test]
fn a_prefix_is_replaced_and_the_rest_stays() {
    let prefix = Redirect { path: Some(RedirectPath::Prefix("/new".into())), ..plain() };
    check(prefix.clone(), request("http", "h", "/p1/x?q=1"), "http://h/new/x?q=1");
    check(prefix, request("http", "h", "/p1"), "http://h/new");
}

#[test]
fn a_new_scheme_drops_the_old_ones_default_port() {
    let secure = Redirect { scheme: Some("https".into()), ..plain() };
    check(secure.clone(), request("http", "hh:80", "/"), "https://hh/");
    check(secure.clone(), request("http", "hh:8080", "/"), "https://hh:8080/");
    check(secure, request("https", "hh:443", "/"), "https://hh:443/");
    let open = Redirect { scheme: Some("http".into()), ..plain() };
    check(open, request("https", "[::1]:443", "/"), "http://[::1]/");
}

#[test]
fn ports_are_as_the_rule_says() {
    let port = |port| Redirect { port, ..plain() };
    let number = |n| RedirectPort::Number(Port::new(n).unwrap());
    check(port(number(81)), request("http", "h:8000", "/"), "http://h:81/");
    check(port(number(80)), request("http", "h:8000", "/"), "http://h/");
    check(port(number(443)), request("https", "h:8000", "/"), "https://h/");
    check(port(number(443)), request("http", "h", "/"), "http://h:443/");
    check(port(RedirectPort::RequestPort), request("http", "h", "/"), "http://h:8080/");
    check(port(RedirectPort::ProtocolDefault), request("http", "h:8000", "/"), "http://h/");
    let both = Redirect { authority: Some("o".into()), scheme: Some("https".into()), ..port(number(8443)) };
    check(both, request("http", "h:8000", "/"), "https://o:8443/");
}

#[test]
fn gateways_send_plain_text_to_https() {
    assert_eq!(to_https(&request("http", "shop.example:80", "/a?b")), "https://shop.example/a?b");
    assert_eq!(to_https(&request("http", "shop.example:8080", "/")), "https://shop.example:8080/");
}
