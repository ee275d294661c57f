//! HTTP/2 and gRPC in memory, one behaviour a test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, client::conn::http2::SendRequest, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use mesh_config::model::{
    Part, Protocol, Settings,
    destination::{ConnectionPool, H2Upgrade},
};
use mesh_proxy::{
    conn::Direction,
    net::executor::LocalExecutor,
    snapshot::{fixture::instance, listener::DestinationKey},
    testing::{
        Proxy, limits, port, run, service,
        wire::{Wire, body, ok},
    },
};
use std::{cell::Cell, convert::Infallible, rc::Rc, sync::Arc, time::Duration};

const CART: &str = "cart.shop.svc.cluster.local";
const APP: &str = "10.0.0.1:8080";
const A: &str = "10.2.0.1:8080";

type Text = BoxBody<Bytes, Infallible>;

async fn client(proxy: &Proxy) -> SendRequest<Full<Bytes>> {
    let io = proxy.pipe(Direction::Outbound, DestinationKey::HttpPort(port(80)), 80);
    let (sender, connection) = hyper::client::conn::http2::handshake(LocalExecutor, TokioIo::new(io)).await.unwrap();
    tokio::task::spawn_local(connection);
    sender
}

fn post(path: &str, content_type: &'static str, text: &str) -> Request<Full<Bytes>> {
    Request::post(format!("http://{CART}{path}"))
        .header("content-type", content_type)
        .header("te", "trailers")
        .body(Full::new(Bytes::from(text.to_owned())))
        .unwrap()
}

/// An HTTP/2 upstream.
fn serve<F>(proxy: &Proxy, answer: impl Fn(Request<hyper::body::Incoming>) -> F + Clone + 'static)
where
    F: Future<Output = Response<Text>> + 'static,
{
    proxy.net.listen(A, move |wire: Wire, _| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let _ = http2::Builder::new(LocalExecutor).serve_connection(TokioIo::new(wire.io), service).await;
        }
    });
}

fn text(text: &str) -> Text {
    Full::new(Bytes::from(text.to_owned())).boxed()
}

fn with_trailers(text: &str, status: &'static str) -> Text {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let frames = [Ok(Frame::data(Bytes::from(text.to_owned()))), Ok(Frame::trailers(trailers))];
    BoxBody::new(StreamBody::new(tokio_stream::iter(frames)))
}

#[test]
fn http2_is_forwarded_as_http1_where_the_port_says_so() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http, &[A]));
        proxy.net.serve(A, |request| ok(&format!("{}|{}", request.lines().next().unwrap(), body(request))));
        let mut client = client(&proxy).await;
        let answer = client.send_request(post("/x", "text/plain", "hello")).await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "POST /x HTTP/1.1|hello");
    });
}

#[test]
fn grpc_goes_through_with_its_trailers() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Grpc, &[A]));
        serve(&proxy, |request| async move {
            assert_eq!(request.headers()["te"], "trailers");
            assert_eq!(request.uri().authority().unwrap(), CART);
            request.into_body().collect().await.unwrap();
            Response::builder()
                .header("content-type", "application/grpc")
                .body(with_trailers("\0\0\0\0\x01x", "5"))
                .unwrap()
        });
        let mut client = client(&proxy).await;
        let answer = client.send_request(post("/s/M", "application/grpc", "\0\0\0\0\0")).await.unwrap();
        let whole = answer.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "5");
        let record = proxy.records.number(1).await;
        assert_eq!((record.code, record.grpc_status), (200, Some(5)));
    });
}

#[test]
fn errors_are_told_to_grpc_in_its_own_form() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Grpc, &[]));
        let mut client = client(&proxy).await;
        let answer = client.send_request(post("/s/M", "application/grpc", "")).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &HeaderValue::from(14)));
        assert_eq!(answer.headers()["grpc-message"], "no healthy upstream");
        let record = proxy.records.number(1).await;
        assert_eq!((record.code, record.flags.as_str(), record.grpc_status), (200, "UH", Some(14)));
    });
}

#[test]
fn requests_share_one_upstream_connection() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http2, &[A]));
        serve(&proxy, |_| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Response::new(text("x"))
        });
        let client = client(&proxy).await;
        let calls = (0..50).map(|_| {
            let mut client = client.clone();
            async move { client.send_request(post("/", "text/plain", "")).await.unwrap().status().as_u16() }
        });
        assert_eq!(futures_util::future::join_all(calls).await, [200; 50]);
        assert_eq!(proxy.net.dialled(A), 1);
    });
}

#[test]
fn an_upstream_that_goes_away_gracefully_loses_nothing() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Grpc, &[A]));
        let served: Rc<Cell<u32>> = Rc::default();
        let count = served.clone();
        proxy.net.listen(A, move |wire: Wire, _| {
            let count = count.clone();
            async move {
                let here: Rc<Cell<u32>> = Rc::default();
                let seen = here.clone();
                let service = service_fn(move |_| {
                    count.set(count.get() + 1);
                    seen.set(seen.get() + 1);
                    async { Ok::<_, Infallible>(Response::new(text("x"))) }
                });
                let connection = http2::Builder::new(LocalExecutor).serve_connection(TokioIo::new(wire.io), service);
                let mut connection = std::pin::pin!(connection);
                let mut told = false;
                std::future::poll_fn(|cx| {
                    if here.get() >= 3 && !told {
                        told = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    connection.as_mut().poll(cx)
                })
                .await
                .ok();
            }
        });
        let client = client(&proxy).await;
        for _ in 0..20 {
            let calls = (0..4).map(|_| {
                let mut client = client.clone();
                async move {
                    client
                        .send_request(post("/s/M", "application/grpc", ""))
                        .await
                        .unwrap()
                        .headers()
                        .contains_key("grpc-status")
                }
            });
            assert_eq!(futures_util::future::join_all(calls).await, [false; 4], "no answer of the proxy's own");
        }
        assert_eq!(served.get(), 80, "none was done twice");
        assert!(proxy.net.dialled(A) > 1);
    });
}

#[test]
fn the_clients_grpc_timeout_counts() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Grpc, &[A]));
        serve(&proxy, |_| async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Response::new(text(""))
        });
        let mut client = client(&proxy).await;
        let mut request = post("/s/M", "application/grpc", "");
        request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("2S"));
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "14");
        assert_eq!(proxy.records.number(1).await.flags, "UT");
    });
}

#[test]
fn an_upgrade_to_an_http2_upstream_is_refused() {
    run(async {
        let proxy = Proxy::sidecar(service(CART, 80, Protocol::Http2, &[A]));
        let request = format!("GET / HTTP/1.1\r\nHost: {CART}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let answer = proxy.client().call(&request).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert_eq!(proxy.records.number(1).await.details, "upgrade_failed");
    });
}

#[test]
fn a_rule_upgrades_whatever_the_port_declares_and_the_mesh_what_declares_http() {
    run(async {
        let rule = |upgrade| limits(CART, ConnectionPool { h2_upgrade: Some(upgrade), ..ConnectionPool::default() });
        let mesh = || Part::Settings(Arc::new(Settings { h2_upgrade: H2Upgrade::Upgrade, ..Settings::default() }));
        let (upgrade, not) = (H2Upgrade::Upgrade, H2Upgrade::DoNotUpgrade);
        for (protocol, more, http2) in [
            (Protocol::Auto, vec![], false),
            (Protocol::Auto, vec![mesh()], false),
            (Protocol::Auto, vec![rule(upgrade)], true),
            (Protocol::Auto, vec![mesh(), rule(not)], false),
            (Protocol::Http, vec![], false),
            (Protocol::Http, vec![mesh()], true),
            (Protocol::Http, vec![mesh(), rule(not)], false),
            (Protocol::Http, vec![rule(upgrade)], true),
            (Protocol::Http2, vec![rule(not)], true),
        ] {
            let told = format!("{protocol:?} {more:?}");
            let proxy = Proxy::sidecar(service(CART, 80, protocol, &[A]).into_iter().chain(more));
            match http2 {
                true => serve(&proxy, |request| {
                    let said = format!("{:?}", request.version());
                    async move { Response::new(text(&said)) }
                }),
                false => proxy.net.serve(A, |request| ok(request.lines().next().unwrap())),
            }
            let key = match protocol {
                Protocol::Auto => DestinationKey::Service(format!("shop/{CART}").parse().unwrap(), port(80)),
                _ => DestinationKey::HttpPort(port(80)),
            };
            let mut client = proxy.connect(Direction::Outbound, key, 80);
            let answer = client.call(&format!("GET / HTTP/1.1\r\nHost: {CART}\r\n\r\n")).await;
            assert_eq!(body(&answer), if http2 { "HTTP/2.0" } else { "GET / HTTP/1.1" }, "{told}");
        }
    });
}

#[test]
fn the_meshs_upgrade_is_not_for_the_application() {
    run(async {
        let mesh = Settings { h2_upgrade: H2Upgrade::Upgrade, ..Settings::default() };
        let own = instance(&[], &[(8080, &format!("shop/{CART}"), 80, Protocol::Http)]);
        let proxy = Proxy::sidecar([own, Part::Settings(Arc::new(mesh))]);
        proxy.net.serve(APP, |request| ok(request.lines().next().unwrap()));
        let mut peer = proxy.peer(8080);
        let answer = peer.call(&format!("GET / HTTP/1.1\r\nHost: {CART}\r\n\r\n")).await;
        assert_eq!(body(&answer), "GET / HTTP/1.1");
    });
}
