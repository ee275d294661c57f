//! What the application gets of a request's head, and the client of an answer's, whatever version each side speaks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Bytes, Frame},
    client::conn::http2::SendRequest,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use mesh_config::model::Protocol;
use mesh_proxy::{
    conn::Direction,
    net::executor::LocalExecutor,
    snapshot::listener::DestinationKey,
    testing::{
        Proxy, port, run, service,
        wire::{Wire, body, field, ok, status},
    },
};
use std::{cell::Cell, convert::Infallible, rc::Rc};

const CART: &str = "cart.shop.svc.cluster.local";
const A: &str = "10.2.0.1:8080";

type Sent = BoxBody<Bytes, Infallible>;

/// An HTTP/1 application that answers with what it got.
fn echo() -> Rc<Proxy> {
    let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]));
    proxy.net.serve(A, |request| ok(&request.replace("\r\n", "\n")));
    proxy
}

async fn http2_client(proxy: &Proxy) -> SendRequest<Sent> {
    let io = proxy.pipe(Direction::Outbound, DestinationKey::HttpPort(port(80)), 80);
    let (sender, connection) = hyper::client::conn::http2::handshake(LocalExecutor, TokioIo::new(io)).await.unwrap();
    tokio::task::spawn_local(connection);
    sender
}

fn nothing() -> Sent {
    BoxBody::new(Empty::new())
}

/// A body that does not say how long it is.
fn pieces(text: &'static str) -> Sent {
    BoxBody::new(StreamBody::new(tokio_stream::iter([Ok(Frame::data(Bytes::from_static(text.as_bytes())))])))
}

/// Status, and the text of the answer.
async fn call(client: &mut SendRequest<Sent>, request: Request<Sent>) -> (u16, String) {
    let answer = client.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

fn lines<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    let is = |line: &&str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
    request.lines().filter(is).map(|line| line.split_once(": ").map_or("", |(_, value)| value)).collect()
}

#[test]
fn an_http1_application_gets_the_cookies_of_an_http2_client_in_one_line() {
    run(async {
        let mut client = http2_client(&echo()).await;
        let request = Request::get(format!("http://{CART}/"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("cookie", "c=3")
            .body(nothing())
            .unwrap();
        let (_, got) = call(&mut client, request).await;
        assert_eq!(lines(&got, "cookie"), ["a=1; b=2; c=3"]);
    });
}

#[test]
fn an_application_gets_one_host_and_one_length() {
    run(async {
        let proxy = echo();
        let mut client = http2_client(&proxy).await;
        let request = |uri: &str| Request::post(uri.to_owned()).version(Version::HTTP_2);
        let both = request(&format!("http://{CART}/")).header("host", "other").header("content-length", "2");
        let both = both.header("content-length", "2").body(pieces("ab")).unwrap();
        let (status, got) = call(&mut client, both).await;
        assert_eq!((status, lines(&got, "host"), lines(&got, "content-length")), (200, vec![CART], vec!["2"]));
        let hosts = request(&format!("http://{CART}/")).header("host", "a").header("host", "b");
        let (status, _) = call(&mut client, hosts.body(nothing()).unwrap()).await;
        assert_eq!(status, 400);

        let answer = proxy.client().call(&format!("GET / HTTP/1.1\r\nHost: {CART}\r\nHost: other\r\n\r\n")).await;
        assert_eq!(mesh_proxy::testing::wire::status(&answer), "400");
    });
}

#[test]
fn a_body_without_a_length_reaches_the_application_whatever_the_method() {
    run(async {
        let proxy = echo();
        for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
            let request = format!(
                "{method} /x HTTP/1.1\r\nHost: {CART}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            );
            let seen = Rc::new(Cell::new(None));
            let keep = seen.clone();
            proxy.net.serve(A, move |request| {
                keep.set(Some(body(request).to_owned()));
                "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned()
            });
            proxy.client().call(&request).await;
            assert_eq!(seen.take().as_deref(), Some("abcde"), "{method}");
        }
        let proxy = echo();
        let mut client = http2_client(&proxy).await;
        let request = Request::get(format!("http://{CART}/x")).body(pieces("abc")).unwrap();
        let (_, got) = call(&mut client, request).await;
        assert_eq!((lines(&got, "transfer-encoding"), got.ends_with("\n\nabc")), (vec!["chunked"], true), "{got}");
    });
}

#[test]
fn connect_to_a_path_is_refused() {
    run(async {
        let proxy = echo();
        for target in ["/x/../admin", "/", "http://cart/x"] {
            let answer = proxy.client().call(&format!("CONNECT {target} HTTP/1.1\r\nHost: {CART}\r\n\r\n")).await;
            assert_eq!(status(&answer), "400", "{target}");
        }
        assert_eq!(proxy.net.dialled(A), 0);
    });
}

#[test]
fn what_is_no_websocket_is_an_ordinary_request() {
    run(async {
        let proxy = echo();
        for (connection, upgrade) in [
            ("Upgrade, HTTP2-Settings", "h2c"),
            ("Upgrade, HTTP2-Settings", "websocket, h2c"),
            ("upgrade", "h2c, websocket"),
            ("Upgrade", "TLS/1.0"),
            ("close", "websocket"),
        ] {
            let request = format!(
                "GET / HTTP/1.1\r\nHost: {CART}\r\nConnection: {connection}\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
            );
            let answer = proxy.client().call(&request).await;
            let left = |name| lines(body(&answer), name);
            assert_eq!(status(&answer), "200", "{answer}");
            assert_eq!([left("connection"), left("upgrade"), left("http2-settings")].concat(), [""; 0], "{upgrade}");
        }
    });
}

#[test]
fn a_connection_becomes_only_what_was_asked_for() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]));
        for (asked, answered) in
            [("websocket", "h2c"), ("websocket", "websocket, h2c"), ("websocket", ""), ("", "websocket")]
        {
            let switch =
                format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {answered}\r\n\r\n");
            proxy.net.serve(A, move |_| switch.clone());
            let wish =
                if asked.is_empty() { String::new() } else { format!("Connection: Upgrade\r\nUpgrade: {asked}\r\n") };
            let answer = proxy.client().call(&format!("GET / HTTP/1.1\r\nHost: {CART}\r\n{wish}\r\n")).await;
            assert_eq!(status(&answer), "502", "{asked} {answered}");
        }
        let record = proxy.records.number(4).await;
        assert_eq!((record.code, record.flags.as_str()), (502, "UPE"));
    });
}

#[test]
fn too_many_fields_are_refused_in_both_versions() {
    run(async {
        let proxy = echo();
        let mut client = http2_client(&proxy).await;
        let mut request = Request::get(format!("http://{CART}/"));
        for n in 0..101 {
            request = request.header(format!("x-{n}"), "v");
        }
        let (status, _) = call(&mut client, request.body(nothing()).unwrap()).await;
        assert_eq!(status, 431);
        let record = proxy.records.number(1).await;
        assert_eq!((record.flags.as_str(), record.details.as_str()), ("DPE", "http1.too_many_headers"));
    });
}

#[test]
fn an_answer_leaves_behind_what_was_for_the_last_hop() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]));
        proxy.net.serve(A, |_| {
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nX-Yours: 2\r\nKeep-Alive: timeout=5\r\n\
             Transfer-Encoding: chunked\r\nContent-Length: 9\r\nUpgrade: h2c\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                .to_owned()
        });
        let answer = proxy.client().get(CART, "/").await;
        let named = |name| field(&answer, name);
        assert_eq!((named("x-yours").as_deref(), body(&answer)), (Some("2"), "abc"));
        for gone in ["x-mine", "keep-alive", "content-length", "upgrade", "connection"] {
            assert_eq!(named(gone), None, "{gone}");
        }
        let mut client = http2_client(&proxy).await;
        let answer =
            client.send_request(Request::get(format!("http://{CART}/")).body(nothing()).unwrap()).await.unwrap();
        let names: Vec<_> = ["x-mine", "keep-alive", "connection", "transfer-encoding"]
            .into_iter()
            .filter(|name| answer.headers().contains_key(*name))
            .collect();
        assert_eq!(names, [""; 0]);
    });
}

#[test]
fn a_reset_is_an_answer_and_the_request_is_not_sent_again() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http2, &[A]));
        let served: Rc<Cell<u32>> = Rc::default();
        let count = served.clone();
        proxy.net.listen(A, move |wire: Wire, _| {
            let count = count.clone();
            async move {
                let service = service_fn(move |_| {
                    count.set(count.get() + 1);
                    let first = count.get() == 1;
                    async move {
                        match first {
                            true => Ok(Response::new(nothing())),
                            false => Err("reset"),
                        }
                    }
                });
                let _ = http2::Builder::new(LocalExecutor).serve_connection(TokioIo::new(wire.io), service).await;
            }
        });
        let mut client = http2_client(&proxy).await;
        let request = || Request::get(format!("http://{CART}/")).body(nothing()).unwrap();
        assert_eq!(call(&mut client, request()).await.0, 200);
        assert_eq!(call(&mut client, request()).await.0, 503);
        let record = proxy.records.number(2).await;
        assert_eq!((served.get(), record.replays, record.flags.as_str()), (2, 0, "UR"));
    });
}

#[test]
fn an_answer_in_a_coding_that_the_client_would_not_learn_of_is_none() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]));
        for (codings, want) in [
            ("Transfer-Encoding: chunked", "200"),
            ("Transfer-Encoding: Chunked ", "200"),
            ("Transfer-Encoding: gzip, chunked", "502"),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "502"),
        ] {
            proxy.net.serve(A, move |_| {
                format!("HTTP/1.1 200 OK\r\n{codings}\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
            });
            assert_eq!(status(&proxy.client().get(CART, "/").await), want, "{codings}");
        }
    });
}

#[test]
fn a_target_without_a_path_is_for_connect_alone() {
    run(async {
        let proxy = echo();
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = proxy.client().call(&format!("{method} cart:80 HTTP/1.1\r\nHost: {CART}\r\n\r\n")).await;
            assert_eq!(status(&answer), "400", "{method}");
        }
        assert_eq!(proxy.net.dialled(A), 0);
        let absolute = proxy.client().call(&format!("GET http://{CART} HTTP/1.1\r\nHost: {CART}\r\n\r\n")).await;
        assert_eq!(status(&absolute), "200");
    });
}
