//! The HTTP path in memory, one behaviour a test.

use mesh_config::model::{
    Protocol,
    destination::ConnectionPool,
    route::{HeaderChange, RetryOn, RetryPolicy, RouteRule},
};
use mesh_proxy::testing::{
    Proxy, limits, route, rule_to, run, service,
    wire::{body, field, ok, status},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tokio::io::AsyncWriteExt;

const CART: &str = "cart.shop.svc.cluster.local";
const A: &str = "10.2.0.1:8080";
const B: &str = "10.2.0.2:8080";

fn cart(endpoints: &[&str]) -> Rc<Proxy> {
    Proxy::sidecar(service(CART, 80, Protocol::Http, endpoints))
}

fn with_rule(endpoints: &[&str], change: impl FnOnce(&mut RouteRule)) -> Rc<Proxy> {
    let mut rule = rule_to(CART);
    change(&mut rule);
    Proxy::sidecar(service(CART, 80, Protocol::Http, endpoints).into_iter().chain([route(CART, vec![rule])]))
}

fn retries(attempts: u32, on: RetryOn) -> RetryPolicy {
    RetryPolicy { attempts, per_try_timeout: None, on, backoff: Duration::from_millis(25), avoid_previous: true }
}

#[test]
fn requests_of_a_connection_share_one_upstream_connection() {
    run(async {
        let proxy = cart(&[A]);
        proxy.net.serve(A, |request| ok(request.split(' ').nth(1).unwrap()));
        let mut client = proxy.client();
        for path in ["/one", "/two", "/three"] {
            let answer = client.get(CART, path).await;
            assert_eq!((status(&answer), body(&answer)), ("200", path));
            assert_eq!(field(&answer, "server").as_deref(), Some("envoy"));
            assert!(field(&answer, "x-envoy-upstream-service-time").is_some());
        }
        assert_eq!(proxy.net.dialled(A), 1);
        let record = proxy.records.number(3).await;
        assert_eq!((record.code, record.flags.as_str(), record.details.as_str()), (200, "-", "via_upstream"));
        assert_eq!(record.response_bytes, 6);
    });
}

#[test]
fn requests_reach_the_upstream_with_their_case_and_our_headers() {
    run(async {
        let proxy = cart(&[A]);
        let seen: Rc<RefCell<String>> = Rc::default();
        let keep = seen.clone();
        proxy.net.serve(A, move |request| {
            *keep.borrow_mut() = request.to_owned();
            "HTTP/1.1 200 OK\r\nX-MiXed: 1\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n".to_owned()
        });
        let request = format!("GET /a/../b?q HTTP/1.1\r\nHost: {CART}\r\nX-CaSe: 1\r\nX-Envoy-Retry-On: 5xx\r\n\r\n");
        let answer = proxy.client().call(&request).await;
        assert!(answer.contains("X-MiXed: 1"), "{answer}");
        let seen = seen.borrow();
        assert!(seen.starts_with("GET /b?q HTTP/1.1\r\n") && seen.contains("X-CaSe: 1\r\n"), "{seen}");
        assert_eq!(field(&seen, "x-envoy-attempt-count").as_deref(), Some("1"));
        assert_eq!(field(&seen, "x-forwarded-proto").as_deref(), Some("http"));
        assert_eq!(field(&seen, "x-request-id").map(|id| id.len()), Some(36));
        assert_eq!(field(&seen, "x-envoy-decorator-operation"), Some(format!("{CART}:80/*")));
        assert_eq!(field(&seen, "x-envoy-retry-on"), None);
    });
}

/// An upstream that answers once a connection and then closes it when the second request has been read.
fn closes_on_the_second_request(proxy: &Proxy, counted: &Rc<Cell<u32>>) {
    let counted = counted.clone();
    proxy.net.listen(A, move |mut io, _| {
        let counted = counted.clone();
        async move {
            let Some(_) = io.message().await else { return };
            counted.set(counted.get() + 1);
            io.write(&ok("first")).await;
            if io.message().await.is_some() {
                counted.set(counted.get() + 1);
            }
        }
    });
}

#[test]
fn a_get_on_a_connection_that_died_is_sent_again() {
    run(async {
        let proxy = cart(&[A]);
        let counted = Rc::default();
        closes_on_the_second_request(&proxy, &counted);
        let mut client = proxy.client();
        for _ in 0..2 {
            assert_eq!(body(&client.get(CART, "/").await), "first");
        }
        let record = proxy.records.number(2).await;
        assert_eq!((record.code, record.replays, record.retries, record.flags.as_str()), (200, 1, 0, "-"));
        assert_eq!(proxy.net.dialled(A), 2);
    });
}

#[test]
fn a_post_that_may_have_begun_is_never_sent_twice() {
    run(async {
        let proxy = cart(&[A]);
        let counted: Rc<Cell<u32>> = Rc::default();
        closes_on_the_second_request(&proxy, &counted);
        let mut client = proxy.client();
        let post = format!("POST / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(body(&client.call(&post).await), "first");
        let answer = client.call(&post).await;
        assert_eq!(status(&answer), "503");
        assert_eq!(counted.get(), 2, "the upstream saw each request once");
        let record = proxy.records.number(2).await;
        assert_eq!(record.flags, "UC");
        assert_eq!(record.details, "upstream_reset_before_response_started{stale_connection}");
        assert_eq!(record.request_bytes, 3);
    });
}

#[test]
fn a_post_that_was_not_written_goes_to_a_new_connection() {
    run(async {
        let proxy = cart(&[A]);
        proxy.net.listen(A, |mut io, _| async move {
            io.message().await;
            io.write(&ok("x")).await;
            // Closed while idle.
        });
        let mut client = proxy.client();
        let post = format!("POST / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: 3\r\n\r\nabc");
        for _ in 0..3 {
            assert_eq!(status(&client.call(&post).await), "200");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(proxy.records.all().iter().all(|record| record.code == 200));
    });
}

#[test]
fn a_refused_connection_is_retried_on_another_endpoint() {
    run(async {
        let proxy = cart(&[A, B]);
        proxy.net.serve(B, |_| ok("b"));
        for _ in 0..8 {
            let answer = proxy.client().get(CART, "/").await;
            assert_eq!((status(&answer), body(&answer)), ("200", "b"));
        }
        assert!(proxy.records.all().iter().any(|record| record.retries > 0), "sometimes the dead one is picked");
    });
}

#[test]
fn a_dead_service_is_told_as_such() {
    run(async {
        let proxy = cart(&[A]);
        let answer = proxy.client().get(CART, "/").await;
        assert_eq!(status(&answer), "503");
        assert!(body(&answer).ends_with("retried and the latest reset reason: remote connection failure"), "{answer}");
        let record = proxy.records.number(1).await;
        assert_eq!((record.flags.as_str(), record.retries, proxy.net.dialled(A)), ("URX,UF", 2, 3));
        assert_eq!(
            record.details,
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        );
    });
}

#[test]
fn no_endpoint_and_no_route_are_told_apart() {
    run(async {
        let proxy = cart(&[]);
        let answer = proxy.client().get(CART, "/").await;
        assert_eq!((status(&answer), body(&answer)), ("503", "no healthy upstream"));
        assert_eq!(proxy.records.number(1).await.flags, "UH");

        let mut rule = rule_to(CART);
        let exact = mesh_config::matcher::StringMatch::Exact("/only".into());
        rule.matches = vec![mesh_config::model::route::RouteMatch {
            path: Some(mesh_config::model::route::PathMatch { matcher: exact, ignore_case: false }),
            ..Default::default()
        }];
        proxy.apply([route(CART, vec![rule])]);
        let answer = proxy.client().get(CART, "/other").await;
        assert_eq!((status(&answer), body(&answer)), ("404", ""));
        let record = proxy.records.number(2).await;
        assert_eq!((record.flags.as_str(), record.details.as_str()), ("NR", "route_not_found"));
    });
}

#[test]
fn a_request_without_host_is_refused() {
    run(async {
        let proxy = cart(&[A]);
        let answer = proxy.client().call("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!((status(&answer), field(&answer, "connection").as_deref()), ("400", Some("close")));
        let record = proxy.records.number(1).await;
        assert_eq!((record.flags.as_str(), record.details.as_str()), ("-", "missing_host_header"));
    });
}

#[test]
fn what_hyper_refuses_is_recorded() {
    run(async {
        let proxy = cart(&[A]);
        for (request, want) in [
            (format!("GET / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400),
            (format!("GET / HTTP/1.1\r\nHost: {CART}\r\nTransfer-Encoding: gzip\r\n\r\n"), 400),
            (format!("GET / HTTP/1.1\r\nHost: {CART}\r\nX: {}\r\n\r\n", "a".repeat(70_000)), 431),
        ] {
            let before = proxy.records.all().len();
            let answer = proxy.client().call(&request).await;
            assert_eq!(status(&answer), want.to_string(), "{answer}");
            let record = proxy.records.number(before + 1).await;
            assert_eq!((record.code, record.flags.as_str()), (want, "DPE"));
        }
    });
}

#[test]
fn both_framings_at_once_cannot_smuggle() {
    run(async {
        let proxy = cart(&[A]);
        let seen: Rc<RefCell<Vec<String>>> = Rc::default();
        let keep = seen.clone();
        proxy.net.serve(A, move |request| {
            keep.borrow_mut().push(request.to_owned());
            ok("")
        });
        let mut client = proxy.client();
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        );
        client.call(&request).await;
        assert!(client.ended().await, "nothing after it is read");
        assert!(
            seen.borrow().iter().all(|r| !r.contains("smuggled") && field(r, "content-length").is_none()),
            "{seen:?}"
        );
    });
}

#[test]
fn the_routes_timeout_ends_a_request() {
    run(async {
        let proxy = with_rule(&[A], |rule| rule.timeout = Some(Duration::from_millis(300)));
        proxy.net.listen(A, |mut io, _| async move {
            io.message().await;
            io.ended().await;
        });
        let answer = proxy.client().get(CART, "/").await;
        assert_eq!((status(&answer), body(&answer)), ("504", "upstream request timeout"));
        let record = proxy.records.number(1).await;
        assert_eq!((record.flags.as_str(), record.details.as_str()), ("UT", "response_timeout"));
    });
}

#[test]
fn a_try_has_its_own_timeout_and_words_decide_about_another() {
    run(async {
        let proxy = with_rule(&[A], |rule| {
            let on = RetryOn { server_error: true, ..RetryOn::default() };
            rule.retries = Some(RetryPolicy { per_try_timeout: Some(Duration::from_millis(100)), ..retries(1, on) });
        });
        proxy.net.listen(A, |mut io, number| async move {
            io.message().await;
            if number > 1 {
                io.write(&ok("second")).await;
            }
            io.ended().await;
        });
        assert_eq!(body(&proxy.client().get(CART, "/").await), "second");
        let record = proxy.records.number(1).await;
        assert_eq!((record.retries, record.flags.as_str()), (1, "-"));
    });
}

#[test]
fn answers_are_retried_and_the_last_one_is_passed_on() {
    run(async {
        let proxy = with_rule(&[A], |rule| {
            rule.retries = Some(retries(2, RetryOn { server_error: true, ..RetryOn::default() }));
        });
        let attempts: Rc<RefCell<Vec<String>>> = Rc::default();
        let keep = attempts.clone();
        proxy.net.serve(A, move |request| {
            keep.borrow_mut().push(field(request, "x-envoy-attempt-count").unwrap());
            "HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nfail".to_owned()
        });
        let answer = proxy.client().get(CART, "/").await;
        assert_eq!((status(&answer), body(&answer)), ("500", "fail"));
        assert_eq!(*attempts.borrow(), ["1", "2", "3"]);
        let record = proxy.records.number(1).await;
        assert_eq!((record.flags.as_str(), record.details.as_str(), record.retries), ("URX", "via_upstream", 2));
    });
}

#[test]
fn the_budget_bounds_retries_when_everything_fails() {
    run(async {
        let proxy = with_rule(&[A], |rule| {
            rule.retries = Some(retries(3, RetryOn { server_error: true, ..RetryOn::default() }));
        });
        let seen: Rc<Cell<u32>> = Rc::default();
        let keep = seen.clone();
        proxy.net.listen(A, move |mut io, _| {
            let keep = keep.clone();
            async move {
                while io.message().await.is_some() {
                    keep.set(keep.get() + 1);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    io.write("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        });
        let clients = (0..100).map(|_| {
            let mut client = proxy.client();
            async move { client.get(CART, "/").await }
        });
        futures_util::future::join_all(clients).await;
        assert!(seen.get() <= 100 + 3 * 20, "{} requests for 100", seen.get());
        assert!(proxy.records.all().iter().any(|record| record.flags.contains("UO")));
    });
}

#[test]
fn header_operations_apply_on_both_ways() {
    run(async {
        let proxy = with_rule(&[A], |rule| {
            rule.headers.request = HeaderChange {
                remove: vec!["x-gone".into()],
                set: vec![("x-set".into(), "%REQ(X-Old)%!".into())],
                add: vec![("x-add".into(), "2".into())],
            };
            rule.headers.response = HeaderChange { set: vec![("x-answer".into(), "yes".into())], ..Default::default() };
        });
        let seen: Rc<RefCell<String>> = Rc::default();
        let keep = seen.clone();
        proxy.net.serve(A, move |request| {
            *keep.borrow_mut() = request.to_owned();
            ok("")
        });
        let request = format!("GET / HTTP/1.1\r\nHost: {CART}\r\nX-Gone: 1\r\nX-Old: o\r\nX-Add: 1\r\n\r\n");
        let answer = proxy.client().call(&request).await;
        assert_eq!(field(&answer, "x-answer").as_deref(), Some("yes"));
        let seen = seen.borrow().to_lowercase();
        assert!(seen.contains("x-set: o!") && seen.contains("x-add: 1") && seen.contains("x-add: 2"), "{seen}");
        assert!(!seen.contains("x-gone"));
    });
}

#[test]
fn an_upgraded_connection_carries_raw_bytes() {
    run(async {
        let proxy = cart(&[A]);
        proxy.net.listen(A, |mut io, _| async move {
            let request = io.message().await.unwrap();
            assert_eq!(field(&request, "upgrade").as_deref(), Some("websocket"));
            io.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
            let asked = io.bytes(5).await.unwrap();
            io.write(&String::from_utf8(asked).unwrap().to_uppercase()).await;
            io.ended().await;
        });
        let mut client = proxy.client();
        let request = format!("GET /ws HTTP/1.1\r\nHost: {CART}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let answer = client.call(&request).await;
        assert_eq!((status(&answer), field(&answer, "upgrade").as_deref()), ("101", Some("websocket")));
        client.write("hello").await;
        assert_eq!(client.bytes(5).await.unwrap(), b"HELLO");
        drop(client);
        let record = proxy.records.number(1).await;
        assert_eq!((record.code, record.request_bytes, record.response_bytes), (101, 5, 5));
    });
}

#[test]
fn a_client_that_leaves_is_recorded() {
    run(async {
        let proxy = cart(&[A]);
        proxy.net.listen(A, |mut io, _| async move {
            io.message().await;
            io.ended().await;
        });
        let mut client = proxy.client();
        client.write(&format!("GET / HTTP/1.1\r\nHost: {CART}\r\n\r\n")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(client);
        let record = proxy.records.number(1).await;
        assert_eq!((record.code, record.flags.as_str()), (0, "DC"));
        assert_eq!(record.details, "downstream_remote_disconnect");
    });
}

#[test]
fn big_bodies_go_through_both_ways() {
    run(async {
        let proxy = cart(&[A]);
        proxy.net.serve(A, |request| ok(body(request)));
        let sent = "0123456789abcdef".repeat(40_000);
        let mut client = proxy.client();
        let head = format!("POST / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: {}\r\n\r\n", sent.len());
        let (mut read, mut write) = tokio::io::split(std::mem::replace(&mut client.io, tokio::io::duplex(1).0));
        let text = head + &sent;
        let writing = tokio::task::spawn_local(async move {
            write.write_all(text.as_bytes()).await.unwrap();
            write
        });
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            got.push(tokio::io::AsyncReadExt::read_u8(&mut read).await.unwrap());
        }
        let mut echoed = vec![0; sent.len()];
        tokio::io::AsyncReadExt::read_exact(&mut read, &mut echoed).await.unwrap();
        assert!(echoed == sent.as_bytes());
        let _write = writing.await.unwrap();
        let record = proxy.records.number(1).await;
        assert_eq!((record.request_bytes, record.response_bytes), (640_000, 640_000));
    });
}

#[test]
fn limits_of_the_pool_are_kept() {
    run(async {
        let pool = ConnectionPool { max_requests: Some(1), ..ConnectionPool::default() };
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]).into_iter().chain([limits(CART, pool)]));
        proxy.net.listen(A, |mut io, _| async move {
            io.message().await;
            io.ended().await;
        });
        let mut first = proxy.client();
        first.write(&format!("GET / HTTP/1.1\r\nHost: {CART}\r\n\r\n")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let answer = proxy.client().get(CART, "/").await;
        assert_eq!((status(&answer), field(&answer, "x-envoy-overloaded").as_deref()), ("503", Some("true")));
        let record = proxy.records.number(1).await;
        assert_eq!(
            (record.flags.as_str(), record.details.as_str()),
            ("UO", "upstream_reset_before_response_started{overflow}")
        );
    });
}

#[test]
fn a_connection_serves_no_more_requests_than_allowed() {
    run(async {
        let pool = ConnectionPool { max_requests_per_connection: Some(2), ..ConnectionPool::default() };
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]).into_iter().chain([limits(CART, pool)]));
        proxy.net.serve(A, |_| ok(""));
        let mut client = proxy.client();
        for _ in 0..6 {
            assert_eq!(status(&client.get(CART, "/").await), "200");
        }
        assert_eq!(proxy.net.dialled(A), 3);
    });
}

#[test]
fn more_connections_than_allowed_wait_for_each_other() {
    run(async {
        let pool = ConnectionPool { max_connections: Some(1), ..ConnectionPool::default() };
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]).into_iter().chain([limits(CART, pool)]));
        proxy.net.listen(A, |mut io, _| async move {
            while io.message().await.is_some() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                io.write(&ok("")).await;
            }
        });
        let calls = (0..5).map(|_| {
            let mut client = proxy.client();
            async move { status(&client.get(CART, "/").await).to_owned() }
        });
        assert_eq!(futures_util::future::join_all(calls).await, ["200"; 5]);
        assert_eq!(proxy.net.dialled(A), 1);
    });
}

#[test]
fn http_1_0_is_answered_in_kind_and_forwarded_as_1_1() {
    run(async {
        let proxy = cart(&[A]);
        proxy.net.serve(A, |request| ok(request.lines().next().unwrap()));
        let mut client = proxy.client();
        let answer = client.call(&format!("GET / HTTP/1.0\r\nHost: {CART}\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert_eq!(body(&answer), "GET / HTTP/1.1");
        assert!(client.ended().await);
    });
}

#[test]
fn a_draining_worker_closes_after_the_answer() {
    run(async {
        let proxy = cart(&[A]);
        proxy.net.serve(A, |_| ok("x"));
        let (mut busy, mut idle) = (proxy.client(), proxy.client());
        idle.get(CART, "/").await;
        busy.write(&format!("GET / HTTP/1.1\r\nHost: {CART}\r\n")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        proxy.requests.drain();
        busy.write("\r\n").await;
        for answer in [busy.message().await.unwrap(), idle.get(CART, "/").await] {
            assert_eq!((body(&answer), field(&answer, "connection").as_deref()), ("x", Some("close")));
        }
        assert!(busy.ended().await && idle.ended().await);
    });
}

#[test]
fn a_peer_reaches_the_application_and_what_it_never_began_is_sent_again() {
    run(async {
        let proxy = Proxy::sidecar([]);
        let seen: Rc<RefCell<String>> = Rc::default();
        let keep = seen.clone();
        // Ports that nothing declares are passed to the application at the address that was dialled.
        proxy.net.listen("10.0.0.1:8080", move |mut io, _| {
            let keep = keep.clone();
            async move {
                *keep.borrow_mut() = io.message().await.unwrap_or_default();
                io.write(&ok("app")).await;
                // Closed while idle.
            }
        });
        let mut peer = proxy.peer(8080);
        let post = "POST / HTTP/1.1\r\nHost: cart\r\nX-Forwarded-Client-Cert: forged\r\nContent-Length: 1\r\n\r\nx";
        for _ in 0..3 {
            let answer = peer.call(post).await;
            assert_eq!((status(&answer), body(&answer)), ("200", "app"));
            assert_eq!(field(&answer, "server").as_deref(), Some("istio-envoy"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(field(&seen.borrow(), "x-forwarded-client-cert"), None);
        assert!(proxy.records.all().iter().all(|record| record.flags == "-"));
    });
}

#[test]
fn details_that_do_not_come_are_told_as_such() {
    run(async {
        let index = service(CART, 80, Protocol::Http, &[]).remove(0);
        let proxy = Proxy::sidecar([index]);
        let answer = proxy.client().get(CART, "/").await;
        assert_eq!(status(&answer), "503");
        assert_eq!(proxy.records.number(1).await.details, format!("not_ready{{shop/{CART}}}"));
    });
}

#[test]
fn a_connection_costs_little_before_it_is_read_from() {
    run(async {
        let proxy = cart(&[A]);
        let key = mesh_proxy::snapshot::listener::DestinationKey::HttpPort(mesh_proxy::testing::port(80));
        for protocol in [mesh_proxy::http::server::Protocol::Http1, mesh_proxy::http::server::Protocol::Either] {
            let conn = proxy.connection(mesh_proxy::conn::Direction::Outbound, key.clone(), 80);
            let (_client, io) = tokio::io::duplex(64);
            let future = mesh_proxy::http::server::serve(io, conn, protocol, proxy.requests.clone());
            let bytes = size_of_val(&future);
            assert!(bytes <= 256, "{protocol:?}: {bytes} bytes");
        }
    });
}
