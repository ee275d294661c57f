//! HTTP/1 connections that give their buffers back while they are quiet: nothing is lost, and nobody notices.

use mesh_config::model::Protocol;
use mesh_proxy::{
    connections::QUIET,
    http::server::{Protocol as Spoken, serve},
    snapshot::listener::DestinationKey,
    testing::{
        Proxy, port, run, service,
        wire::{Wire, body, field, ok, status},
    },
};
use mesh_runtime::clock;
use std::{rc::Rc, time::Duration};

const CART: &str = "cart.shop.svc.cluster.local";
const A: &str = "10.2.0.1:8080";
/// A connection that idles longer is closed.
const IDLE: Duration = Duration::from_secs(3600);

fn cart() -> Rc<Proxy> {
    let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]));
    proxy.net.serve(A, |request| match body(request) {
        "" => ok(request.split(' ').nth(1).unwrap_or_default()),
        body => ok(body),
    });
    proxy
}

/// Time passes, and everybody does what there is to do.
async fn quiet(proxy: &Proxy) {
    for _ in 0..3 {
        tokio::time::sleep(QUIET).await;
        proxy.requests.tick(clock::now());
    }
    // Time is paused: this ends when nobody has anything left to do.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn resting(proxy: &Proxy) -> usize {
    proxy.requests.connections.resting()
}

#[test]
fn a_resting_connection_answers_the_next_request() {
    run(async {
        let proxy = cart();
        let mut client = proxy.client();
        for path in ["/one", "/two", "/three"] {
            assert_eq!(body(&client.get(CART, path).await), path);
            assert_eq!(resting(&proxy), 0, "not at once");
            quiet(&proxy).await;
            assert_eq!(resting(&proxy), 1);
        }
        let post = format!("POST / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(body(&client.call(&post).await), "abc");
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 1, "a body that was read is over");
        let chunked =
            format!("POST / HTTP/1.1\r\nHost: {CART}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(body(&client.call(&chunked).await), "abc");
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 1);
    });
}

#[test]
fn a_head_may_come_in_pieces_of_any_length() {
    run(async {
        let proxy = cart();
        let mut client = proxy.client();
        let request = format!("GET /slow HTTP/1.1\r\nHost: {CART}\r\nX: {}\r\n\r\n", "x".repeat(3000));
        client.get(CART, "/").await;
        for at in [1, 2, 17, 1023, 1024, 1025, request.len() - 1, request.len()] {
            quiet(&proxy).await;
            assert_eq!(resting(&proxy), 1);
            client.write(&request[..at]).await;
            quiet(&proxy).await;
            assert_eq!(resting(&proxy), usize::from(at == request.len()), "half a head at {at} is not a rest");
            client.write(&request[at..]).await;
            assert_eq!(body(&client.message().await.unwrap()), "/slow");
        }
    });
}

#[test]
fn pipelined_requests_are_all_answered_in_order() {
    run(async {
        let proxy = cart();
        let mut client = proxy.client();
        client.get(CART, "/").await;
        quiet(&proxy).await;
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {CART}\r\n\r\n");
        let third = get("/3");
        // The last one is cut: its first half is in hyper's buffer when the connection falls quiet.
        client.write(&(get("/1") + &get("/2") + &third[..9])).await;
        for path in ["/1", "/2"] {
            assert_eq!(body(&client.message().await.unwrap()), path);
        }
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 0);
        client.write(&third[9..]).await;
        assert_eq!(body(&client.message().await.unwrap()), "/3");
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 1);
    });
}

#[test]
fn a_slow_reader_gets_the_whole_answer() {
    run(async {
        let proxy = cart();
        let text = "0123456789".repeat(15_000);
        let sent = text.clone();
        proxy.net.serve(A, move |_| ok(&sent));
        let mut client = proxy.client();
        client.write(&format!("GET / HTTP/1.1\r\nHost: {CART}\r\n\r\n")).await;
        // It is over for the proxy, but for the bytes that the pipe does not take.
        proxy.records.number(1).await;
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 0, "an answer is half out");
        assert!(body(&client.message().await.unwrap()) == text);
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 1);
    });
}

#[test]
fn an_answer_before_the_end_of_the_request_keeps_the_connection_awake() {
    run(async {
        let proxy = cart();
        proxy.net.listen(A, |mut io, _| async move {
            io.bytes(10).await;
            io.write(&ok("early")).await;
            while !io.ended().await {}
        });
        let mut client = proxy.client();
        client.write(&format!("POST / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: 10\r\n\r\nabcd")).await;
        assert_eq!(body(&client.message().await.unwrap()), "early");
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 0);
        // What is left of the request is never taken for the next one.
        client.write("GET / ").await;
        quiet(&proxy).await;
        assert_eq!(proxy.records.all().len(), 1);
    });
}

fn upgrade() -> String {
    format!("GET /ws HTTP/1.1\r\nHost: {CART}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
}

#[test]
fn a_connection_that_rested_becomes_a_tunnel_with_all_its_bytes() {
    run(async {
        let proxy = cart();
        proxy.net.listen(A, |mut io, _| async move {
            while io.message().await.is_some_and(|request| field(&request, "upgrade").is_none()) {
                io.write(&ok("")).await;
            }
            io.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
                .await;
            let asked = io.bytes(10).await.unwrap();
            io.write(&String::from_utf8(asked).unwrap().to_uppercase()).await;
            io.ended().await;
        });
        let mut tunnel = proxy.client();
        tunnel.get(CART, "/").await;
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 1);
        tunnel.write(&(upgrade() + "early")).await;
        let answer = tunnel.message().await.unwrap();
        assert_eq!((status(&answer), field(&answer, "upgrade").as_deref()), ("101", Some("websocket")));
        assert_eq!(tunnel.bytes(5).await.unwrap(), b"first");
        tunnel.write("-late").await;
        assert_eq!(tunnel.bytes(10).await.unwrap(), b"EARLY-LATE");
        quiet(&proxy).await;
        drop(tunnel);
        let record = proxy.records.number(2).await;
        assert_eq!((record.code, record.request_bytes, record.response_bytes), (101, 10, 15));
    });
}

#[test]
fn a_refused_upgrade_leaves_a_usable_connection_that_can_rest_and_end() {
    run(async {
        let proxy = cart();
        proxy.net.serve(A, |request| match field(request, "upgrade") {
            Some(_) => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_owned(),
            None => ok("yes"),
        });
        let mut client = proxy.client();
        for _ in 0..2 {
            let answer = client.call(&upgrade()).await;
            assert_eq!((status(&answer), body(&answer)), ("403", "no"));
            quiet(&proxy).await;
            assert_eq!(resting(&proxy), 1);
            assert_eq!(body(&client.get(CART, "/").await), "yes");
        }
        client.call(&upgrade()).await;
        proxy.requests.finish();
        assert!(client.ended().await, "shut down, not only dropped");
        assert!(proxy.requests.connections.is_empty());
    });
}

#[test]
fn a_drain_reaches_resting_connections() {
    run(async {
        let proxy = cart();
        let (mut one, mut other) = (proxy.client(), proxy.client());
        for client in [&mut one, &mut other] {
            client.get(CART, "/").await;
        }
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 2);
        proxy.requests.drain();
        let answer = one.get(CART, "/last").await;
        assert_eq!((body(&answer), field(&answer, "connection").as_deref()), ("/last", Some("close")));
        assert!(one.ended().await);
        assert_eq!(resting(&proxy), 1, "one that waits is left alone");
        proxy.requests.finish();
        assert!(other.ended().await);
        assert!(proxy.requests.connections.is_empty());
    });
}

#[test]
fn a_new_connection_may_send_its_first_request_while_requests_finish_but_not_for_ever() {
    run(async {
        let proxy = cart();
        let (mut asks, mut silent) = (proxy.client(), proxy.client());
        tokio::time::sleep(Duration::from_millis(10)).await;
        proxy.requests.finish();
        let answer = asks.get(CART, "/first").await;
        assert_eq!((body(&answer), field(&answer, "connection").as_deref()), ("/first", Some("close")));
        assert!(asks.ended().await);
        assert_eq!(proxy.requests.connections.len(), 1, "its request may be on the way");
        quiet(&proxy).await;
        assert!(silent.ended().await);
        assert!(proxy.requests.connections.is_empty());
    });
}

#[test]
fn a_resting_connection_ends_with_its_client_its_worker_and_its_idle_limit() {
    run(async {
        let proxy = cart();
        let mut clients = [proxy.client(), proxy.client(), proxy.client()];
        for client in &mut clients {
            client.get(CART, "/").await;
        }
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 3);
        let [gone, mut idle, mut last] = clients;
        drop(gone);
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 2);
        tokio::time::sleep(IDLE - QUIET * 10).await;
        last.get(CART, "/").await;
        tokio::time::sleep(QUIET * 10).await;
        quiet(&proxy).await;
        assert!(idle.ended().await);
        assert_eq!(resting(&proxy), 1);
        proxy.requests.end();
        assert!(last.ended().await);
    });
}

#[test]
fn connection_close_is_kept() {
    run(async {
        let proxy = cart();
        let mut client = proxy.client();
        client.get(CART, "/").await;
        quiet(&proxy).await;
        let close = format!("GET /bye HTTP/1.1\r\nHost: {CART}\r\nConnection: close\r\n\r\n");
        let answer = client.call(&close).await;
        assert_eq!((body(&answer), field(&answer, "connection").as_deref()), ("/bye", Some("close")));
        assert!(client.ended().await);
        assert!(proxy.requests.connections.is_empty());
    });
}

#[test]
fn a_connection_that_never_spoke_can_rest() {
    run(async {
        let proxy = cart();
        let key = DestinationKey::HttpPort(port(80));
        let conn = proxy.connection(mesh_proxy::conn::Direction::Outbound, key, 80);
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::task::spawn_local(serve(theirs, conn, Spoken::Http1, proxy.requests.clone()));
        quiet(&proxy).await;
        assert_eq!(resting(&proxy), 1);
        let mut client = Wire::new(ours);
        assert_eq!(body(&client.get(CART, "/hello").await), "/hello");
    });
}

#[test]
fn what_cannot_be_read_is_refused_after_a_rest_too() {
    run(async {
        let proxy = cart();
        let mut client = proxy.client();
        client.get(CART, "/").await;
        quiet(&proxy).await;
        let answer = client.call("nonsense\r\n\r\n").await;
        assert_eq!(status(&answer), "400");
        assert!(client.ended().await);
        assert_eq!(proxy.records.number(2).await.flags, "DPE");
    });
}

#[test]
fn busy_connections_do_not_rest() {
    run(async {
        let proxy = cart();
        let mut client = proxy.client();
        for _ in 0..20 {
            client.get(CART, "/").await;
            tokio::time::sleep(QUIET / 2).await;
            proxy.requests.tick(clock::now());
            assert_eq!(resting(&proxy), 0);
        }
    });
}
