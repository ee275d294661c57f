//! Clients that are slow, silent and half open, a thousand at a time, and what is held for one that asks for much.

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use mesh_config::model::route::RouteRule;
use mesh_config::{
    kind::Role,
    model::{Part, Protocol},
};
use mesh_proxy::{
    conn::Direction,
    limit::clients::Bounds,
    net::executor::LocalExecutor,
    snapshot::{
        fixture::{self, gateway, instance, prefix, server},
        listener::DestinationKey,
    },
    testing::{
        Proxy, port, run, service,
        wire::{Wire, body, ok, status},
    },
};
use mesh_runtime::clock;
use std::{future::pending, rc::Rc, sync::Arc, time::Duration};

const SHOP: &str = "shop.example";
const CART: &str = "cart.shop.svc.cluster.local";
const A: &str = "10.2.0.1:8080";
/// The application beside a sidecar.
const APP: &str = "10.0.0.1:8080";
const CROWD: usize = 1000;

/// A gateway in front of an upstream that answers when it has the whole request.
fn edge() -> Rc<Proxy> {
    let rules = vec![RouteRule { matches: vec![prefix("/")], ..fixture::rule(fixture::send_to(&[(CART, 1)]).action) }];
    let routes = fixture::for_gateway("shop/edge", fixture::route("shop/routes", &[SHOP], 1, rules));
    let edge =
        [Part::Gateway(Arc::new(gateway("shop/edge", 1, vec![server(80, &[SHOP])]))), Part::Route(Arc::new(routes))];
    Proxy::new(Role::Gateway, edge.into_iter().chain(service(CART, 80, Protocol::Http, &[A])))
}

fn at_edge(proxy: &Proxy) -> Wire {
    proxy.connect(Direction::Gateway, DestinationKey::Gateway(port(80)), 80)
}

/// Silent, with half a head, half a body, and half a head after a whole request.
async fn crowd(connect: impl Fn() -> Wire, host: &str) -> Vec<Wire> {
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut client = connect();
        match number % 4 {
            0 => {}
            1 => client.write(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Half: ")).await,
            2 => client.write(&format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nhalf")).await,
            _ => {
                assert_eq!(status(&client.get(host, "/").await), "200");
                client.write("GET / HTTP/1.1\r\nX-Half: ").await;
            }
        }
        crowd.push(client);
    }
    crowd
}

/// So many seconds, as the worker sees them.
async fn seconds(proxy: &Proxy, count: u32) {
    for _ in 0..count {
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.requests.tick(clock::now());
    }
}

#[test]
fn a_gateway_ends_what_is_slow_silent_and_half_open_and_serves_an_honest_client_all_the_while() {
    run(async {
        let proxy = edge();
        proxy.net.serve(A, |request| ok(body(request)));
        let room = proxy.requests.connections.room().left();
        let mut crowd = crowd(|| at_edge(&proxy), SHOP).await;
        assert_eq!(proxy.requests.connections.len(), CROWD);
        assert!(room - proxy.requests.connections.room().left() < CROWD * 200);
        let mut honest = at_edge(&proxy);
        // A body that comes a byte at a time is on its way.
        let mut steady = at_edge(&proxy);
        steady.write(&format!("POST / HTTP/1.1\r\nHost: {SHOP}\r\nContent-Length: 5\r\n\r\n")).await;
        for _ in 0..5 {
            assert_eq!(status(&honest.get(SHOP, "/").await), "200");
            seconds(&proxy, 30).await;
            steady.write("x").await;
        }
        assert_eq!(body(&steady.message().await.unwrap()), "xxxxx");
        for client in &mut crowd {
            // What is said before, if anything, is why.
            while !client.ended().await {}
        }
        assert_eq!(status(&honest.get(SHOP, "/").await), "200");
        seconds(&proxy, 1).await;
        assert_eq!((proxy.requests.connections.len(), proxy.requests.connections.room().left()), (2, room));
    });
}

#[test]
fn a_sidecar_has_no_clocks_that_istio_has_not_and_serves_an_honest_client_too() {
    run(async {
        let own = instance(&[], &[(8080, "shop/cart.shop.svc.cluster.local", 80, Protocol::Http)]);
        let proxy = Proxy::sidecar([own]);
        proxy.net.serve(APP, |request| ok(body(request)));
        let crowd = crowd(|| proxy.peer(8080), CART).await;
        let mut honest = proxy.peer(8080);
        for _ in 0..5 {
            assert_eq!(status(&honest.get(CART, "/").await), "200");
            seconds(&proxy, 60).await;
        }
        assert_eq!(proxy.requests.connections.len(), CROWD + 1);
        drop(crowd);
        seconds(&proxy, 1).await;
        assert_eq!(proxy.requests.connections.len(), 1);
    });
}

#[test]
fn heads_that_are_held_for_one_client_are_bounded_and_others_are_served() {
    run(async {
        let proxy = edge();
        proxy.net.listen(A, |mut io, _| async move {
            // Long heads are never answered.
            while let Some(request) = io.message().await {
                match request.contains("x-long") {
                    true => pending().await,
                    false => io.write(&ok("")).await,
                }
            }
        });
        let room = proxy.requests.connections.room().left();
        let io = proxy.pipe(Direction::Gateway, DestinationKey::Gateway(port(80)), 80);
        let (sender, connection) =
            hyper::client::conn::http2::handshake(LocalExecutor, TokioIo::new(io)).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let long = "a".repeat(50_000);
        let asked = (0..50).map(|_| {
            let request = Request::get(format!("http://{SHOP}/")).header("x-long", &long);
            let answer = sender.clone().send_request(request.body(Empty::<Bytes>::new()).unwrap());
            tokio::task::spawn_local(tokio::time::timeout(Duration::from_secs(5), answer))
        });
        let mut statuses = Vec::new();
        for answer in asked.collect::<Vec<_>>() {
            if let Ok(answer) = answer.await.unwrap() {
                statuses.push(answer.unwrap().status().as_u16());
            }
        }
        let bound = Bounds::default().held_by_connection;
        assert_eq!(statuses, vec![503; 50 - bound / 50_100]);
        assert!(proxy.records.all().iter().any(|record| record.details == "overload"));
        assert!(room - proxy.requests.connections.room().left() <= bound);
        assert_eq!(status(&at_edge(&proxy).get(SHOP, "/").await), "200");
        drop(sender);
        connection.abort();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(proxy.requests.connections.room().left(), room);
    });
}
