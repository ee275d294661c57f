//! Answers that come before their request has ended, and requests that never do: the client gets the whole answer, and
//! what is the client's fault is called so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_config::model::{
    Protocol,
    route::{RetryOn, RetryPolicy},
};
use mesh_proxy::testing::{
    Proxy, Record, route, rule_to, run, service,
    wire::{Wire, body, field, ok, status},
};
use std::{rc::Rc, time::Duration};
use tokio::io::AsyncWriteExt;

const CART: &str = "cart.shop.svc.cluster.local";
const A: &str = "10.2.0.1:8080";
const LONG: usize = 2 << 20;

fn cart() -> Rc<Proxy> {
    Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]))
}

/// Sends all of a long request before it reads anything, and gives the answer.
async fn upload(client: &mut Wire, head: &str) -> String {
    client.io.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    for _ in 0..LONG / 1024 {
        client.io.write_all(&[b'x'; 1024]).await.expect("the connection takes what the client sends");
    }
    client.message().await.expect("an answer")
}

#[test]
fn our_own_answers_reach_a_client_that_is_still_sending() {
    run(async {
        let proxy = cart();
        let long = format!("Content-Length: {LONG}\r\n");
        let two_hosts = format!("POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n{long}");
        let unknown = format!("POST / HTTP/1.1\r\nHost: nobody.example\r\n{long}");
        let large = format!("POST / HTTP/1.1\r\nHost: {CART}\r\n{long}X: ");
        let unreadable = format!("PO ST / HTTP/1.1\r\nHost: {CART}\r\n{long}");
        for (head, want) in [(two_hosts, "400"), (unknown, "503"), (large, "431"), (unreadable, "400")] {
            let mut client = proxy.client();
            let answer = upload(&mut client, &head).await;
            assert_eq!((status(&answer), field(&answer, "connection").as_deref()), (want, Some("close")), "{head}");
            assert!(client.ended().await, "it is closed in the end");
        }
    });
}

#[test]
fn a_client_that_never_stops_is_not_read_for_ever() {
    run(async {
        let proxy = cart();
        let mut client = proxy.client();
        client.write(&format!("POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: {LONG}\r\n\r\n")).await;
        assert_eq!(status(&client.message().await.unwrap()), "400");
        let began = mesh_runtime::clock::now();
        while client.io.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(
            (4..=6).contains(&mesh_runtime::clock::since(began).as_secs()),
            "{:?}",
            mesh_runtime::clock::since(began)
        );
    });
}

#[test]
fn an_application_that_answers_early_and_closes_is_heard() {
    run(async {
        for (close, at_once) in [(true, true), (true, false), (false, true), (false, false)] {
            let proxy = cart();
            proxy.net.listen(A, move |mut io, _| async move {
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    seen.extend(io.bytes(1).await.unwrap());
                }
                let close = if close { "Connection: close\r\n" } else { "" };
                io.write(&format!("HTTP/1.1 413 Content Too Large\r\n{close}Content-Length: 5\r\n\r\nlarge")).await;
                if !at_once {
                    io.io.shutdown().await.unwrap();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let mut client = proxy.client();
            let head = format!("POST / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: {LONG}\r\n");
            let answer = upload(&mut client, &head).await;
            assert_eq!((status(&answer), body(&answer)), ("413", "large"), "{close} {at_once}");
            let record = proxy.records.number(1).await;
            assert_eq!((record.code, record.flags.as_str(), record.details.as_str()), (413, "-", "via_upstream"));
        }
    });
}

#[test]
fn an_upload_goes_on_after_its_answer_on_connections_that_end_with_it() {
    run(async {
        let proxy = cart();
        proxy.net.listen(A, |mut io, number| async move {
            if number > 1 {
                while io.message().await.is_some() {
                    io.write(&ok(&number.to_string())).await;
                }
                return;
            }
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                seen.extend(io.bytes(1).await.unwrap());
            }
            io.write(&ok("1")).await;
            io.bytes(LONG).await;
        });
        let mut slow = proxy.client();
        slow.write(&format!("POST / HTTP/1.1\r\nHost: {CART}\r\nContent-Length: {LONG}\r\n\r\n")).await;
        let answer = slow.message().await.unwrap();
        assert_eq!((body(&answer), field(&answer, "connection").as_deref()), ("1", Some("close")));
        assert_eq!(body(&proxy.client().get(CART, "/").await), "2");
        for _ in 0..LONG / 1024 {
            slow.io.write_all(&[b'x'; 1024]).await.unwrap();
        }
        assert!(slow.ended().await);
        let record = proxy.records.number(1).await;
        assert_eq!((record.code, record.flags.as_str()), (200, "-"));
    });
}

#[test]
fn a_connection_serves_on_after_an_answer_of_ours_if_its_request_was_read() {
    run(async {
        let proxy = cart();
        let mut client = proxy.client();
        let short = "POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 3\r\n\r\nabc";
        for _ in 0..3 {
            let answer = client.call(short).await;
            assert_eq!((status(&answer), field(&answer, "connection")), ("503", None));
        }
        let waits = "POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        let answer = client.call(waits).await;
        assert_eq!((status(&answer), field(&answer, "connection").as_deref()), ("503", Some("close")));
    });
}

#[test]
fn a_request_that_is_sent_again_has_all_its_fields() {
    run(async {
        let proxy = cart();
        proxy.net.listen(A, |mut io, number| async move {
            while let Some(request) = io.message().await {
                if number == 1 && request.starts_with("GET /again") {
                    return;
                }
                let mine = request.lines().filter(|line| line.to_ascii_lowercase().starts_with("x-mine"));
                let values: Vec<_> = mine.filter_map(|line| line.split_once(": ")).map(|(_, value)| value).collect();
                io.write(&ok(&values.join("|"))).await;
            }
        });
        let mut client = proxy.client();
        let request =
            |path| format!("GET {path} HTTP/1.1\r\nHost: {CART}\r\nX-Mine: a\r\nX-Yours: b\r\nX-Mine: c\r\n\r\n");
        assert_eq!(body(&client.call(&request("/")).await), "a|c");
        assert_eq!(body(&client.call(&request("/again")).await), "a|c");
        assert_eq!(proxy.records.number(2).await.replays, 1);
    });
}

/// Two tries for whatever goes wrong.
fn eager() -> Rc<Proxy> {
    let mut rule = rule_to(CART);
    let on = RetryOn { server_error: true, reset: true, ..RetryOn::default() };
    rule.retries =
        Some(RetryPolicy { attempts: 2, per_try_timeout: None, on, backoff: Duration::ZERO, avoid_previous: false });
    let mut parts = service(CART, 80, Protocol::Http, &[A]);
    parts.push(route(CART, vec![rule]));
    Proxy::sidecar(parts)
}

async fn spoilt(rest: &str) -> (Option<String>, Record, usize) {
    let proxy = eager();
    proxy.net.listen(A, |mut io, _| async move {
        io.message().await;
        io.ended().await;
    });
    let mut client = proxy.client();
    client.write(&format!("POST / HTTP/1.1\r\nHost: {CART}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    client.write(rest).await;
    let answer = match rest {
        "" => {
            drop(client);
            None
        }
        _ => client.message().await,
    };
    (answer, proxy.records.number(1).await, proxy.net.dialled(A))
}

#[test]
fn a_body_that_is_none_is_the_clients_fault() {
    run(async {
        for rest in ["nonsense\r\n\r\n", "ffffffffffffffffff\r\n", "3\r\nabcdef\r\n0\r\n\r\n", "-1\r\n"] {
            let (answer, record, dialled) = spoilt(rest).await;
            assert_eq!(answer.as_deref().map(status), Some("400"), "{rest:?}");
            assert_eq!((record.code, record.flags.as_str(), record.retries, dialled), (400, "DPE", 0, 1), "{rest:?}");
            assert_eq!(record.details, "http1.codec_error");
        }
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_left() {
    run(async {
        let (_, record, dialled) = spoilt("").await;
        assert_eq!((record.code, record.flags.as_str(), record.retries, dialled), (0, "DC", 0, 1));
        assert_eq!(record.details, "downstream_remote_disconnect");
    });
}
