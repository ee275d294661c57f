//! Clients that are slow, silent and half open, a thousand at a time, and what is held for one that asks for much.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::{body::Frame, client::conn::http2::SendRequest};
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
use std::{cell::Cell, convert::Infallible, future::pending, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    sync::mpsc,
    task::{JoinHandle, spawn_local},
};
use tokio_stream::wrappers::ReceiverStream;

const SHOP: &str = "shop.example";
const CART: &str = "cart.shop.svc.cluster.local";
const A: &str = "10.2.0.1:8080";
/// The application beside a sidecar.
const APP: &str = "10.0.0.1:8080";
const CROWD: usize = 1000;
/// How its clients go about it.
const WAYS: usize = 8;

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

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The preface of HTTP/2 with its settings, and the head of a POST whose body is to follow.
fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, b"")].concat()
}

fn post(host: &str) -> Vec<u8> {
    // POST, http and / are in the table; the authority is written out.
    let block = [&[0x83, 0x86, 0x84, 0x01, u8::try_from(host.len()).unwrap()], host.as_bytes()].concat();
    frame(1, 4, 1, &block)
}

/// Silent; with half a head, half a body, and half a head after a whole request; silent after the preface of HTTP/2, with
/// half a head and half a body there; and with a head that comes a byte at a time.
async fn crowd(connect: impl Fn() -> Wire, host: &str) -> Vec<Wire> {
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut client = connect();
        let said = match number % WAYS {
            0 => Vec::new(),
            1 => format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Half: ").into(),
            2 => format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nhalf").into(),
            3 => {
                assert_eq!(status(&client.get(host, "/").await), "200");
                b"GET / HTTP/1.1\r\nX-Half: ".to_vec()
            }
            4 => preface(),
            5 => [preface(), post(host)[..20].to_vec()].concat(),
            6 => [preface(), post(host), frame(0, 0, 1, b"half")].concat(),
            _ => b"GET / HTTP/1.1\r\nX-Slow: ".to_vec(),
        };
        client.io.write_all(&said).await.unwrap();
        crowd.push(client);
    }
    // All of them have been read.
    tokio::time::sleep(Duration::from_millis(1)).await;
    crowd
}

/// A byte more of each head that comes so.
async fn trickle(crowd: &mut [Wire]) {
    for client in crowd.iter_mut().skip(WAYS - 1).step_by(WAYS) {
        client.write("x").await;
    }
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
            for _ in 0..6 {
                seconds(&proxy, 5).await;
                trickle(&mut crowd).await;
            }
            steady.write("x").await;
        }
        assert_eq!(body(&steady.message().await.unwrap()), "xxxxx");
        for (number, client) in crowd.iter_mut().enumerate() {
            // What is said before, if anything, is why.
            while number % WAYS != 6 && !client.ended().await {}
        }
        assert_eq!(status(&honest.get(SHOP, "/").await), "200");
        seconds(&proxy, 1).await;
        // Of HTTP/2 a half body costs its request; what is left of those connections idles.
        let idle = CROWD / WAYS;
        assert_eq!((proxy.requests.connections.len(), proxy.requests.connections.room().left()), (2 + idle, room));
        let ended = ["first_request", "head", "body"].map(|reason| proxy.ended_for(reason));
        assert_eq!(ended, [3, 3, 2].map(|ways| ways * (CROWD / WAYS) as u64));
    });
}

#[test]
fn a_sidecar_has_no_clocks_that_istio_has_not_and_serves_an_honest_client_too() {
    run(async {
        let own = instance(&[], &[(8080, "shop/cart.shop.svc.cluster.local", 80, Protocol::Http)]);
        let proxy = Proxy::sidecar([own]);
        proxy.net.serve(APP, |request| ok(body(request)));
        let mut crowd = crowd(|| proxy.peer(8080), CART).await;
        let mut honest = proxy.peer(8080);
        for _ in 0..5 {
            assert_eq!(status(&honest.get(CART, "/").await), "200");
            seconds(&proxy, 60).await;
            trickle(&mut crowd).await;
        }
        assert_eq!(proxy.requests.connections.len(), CROWD + 1);
        drop(crowd);
        seconds(&proxy, 1).await;
        assert_eq!(proxy.requests.connections.len(), 1);
    });
}

type Pieces = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

/// A client of HTTP/2.
async fn http2(io: DuplexStream) -> SendRequest<Pieces> {
    let mut builder = hyper::client::conn::http2::Builder::new(LocalExecutor);
    builder.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.unwrap();
    spawn_local(connection);
    sender
}

/// A request of HTTP/2 whose body has begun, and what came of it: status, the status of gRPC and the body's length, or that it
/// was reset.
struct Upload {
    pieces: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    answer: JoinHandle<Result<(u16, Option<u16>, usize), String>>,
}

impl Upload {
    async fn begin(client: &SendRequest<Pieces>, host: &str, content_type: &str, first: &'static [u8]) -> Upload {
        let (pieces, body) = mpsc::channel(4);
        let request = Request::post(format!("http://{host}/")).header("content-type", content_type);
        let request = request.body(StreamBody::new(ReceiverStream::new(body))).unwrap();
        let answer = client.clone().send_request(request);
        let upload = Upload {
            pieces,
            answer: spawn_local(async move {
                let answer = answer.await.map_err(|error| format!("{error:?}"))?;
                let (status, grpc) = (answer.status().as_u16(), answer.headers().get("grpc-status").cloned());
                let body = answer.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
                Ok((status, grpc.and_then(|status| status.to_str().ok()?.parse().ok()), body.len()))
            }),
        };
        if !first.is_empty() {
            upload.piece(first).await;
        }
        upload
    }

    async fn piece(&self, bytes: &'static [u8]) {
        self.pieces.send(Ok(Frame::data(Bytes::from_static(bytes)))).await.unwrap();
    }

    fn is_over(&self) -> bool {
        self.answer.is_finished()
    }

    /// Ends its body, if that is still wanted.
    async fn end(self) -> Result<(u16, Option<u16>, usize), String> {
        drop(self.pieces);
        self.answer.await.unwrap()
    }
}

#[test]
fn a_gateway_resets_a_half_body_of_http2_and_the_connection_goes_on() {
    run(async {
        let proxy = edge();
        proxy.net.serve(A, |request| ok(body(request)));
        let client = http2(proxy.pipe(Direction::Gateway, DestinationKey::Gateway(port(80)), 80)).await;
        let begin = async |content_type, first| Upload::begin(&client, SHOP, content_type, first).await;
        let none = begin("text/plain", b"").await;
        let half = begin("text/plain", b"half").await;
        let steady = begin("text/plain", b"x").await;
        let quiet = begin("application/grpc", b"\0\0\0\0\x01x").await;
        let cut = begin("application/grpc", b"\0\0\0\0\x02x").await;
        seconds(&proxy, 59).await;
        assert_eq!([&none, &half, &cut].map(Upload::is_over), [false; 3]);
        steady.piece(b"x").await;
        for _ in 0..2 {
            seconds(&proxy, 40).await;
            steady.piece(b"x").await;
        }
        assert_eq!([&none, &half, &cut, &steady, &quiet].map(Upload::is_over), [true, true, true, false, false]);
        let answers = [none.end().await, half.end().await, cut.end().await, steady.end().await, quiet.end().await];
        let late = Ok((408, None, "stream timeout".len()));
        let answered = |length| Ok((200, None, length));
        assert_eq!(answers, [late.clone(), late, Ok((200, Some(2), 0)), answered(4), answered(6)]);
        assert_eq!((proxy.ended_for("body"), proxy.requests.connections.len()), (3, 1));
        let records = proxy.records.all();
        let late = records.iter().filter(|record| record.details == "stream_idle_timeout" && record.flags == "SI");
        assert_eq!((records.len(), late.count()), (5, 3));
        assert_eq!(proxy.requests.connections.room().left(), Bounds::default().held);
    });
}

#[test]
fn a_body_that_stops_after_its_answer_has_begun_is_reset() {
    run(async {
        let proxy = edge();
        proxy.net.listen(A, |mut io, _| async move {
            io.bytes(b"POST / HTTP/1.1".len()).await.unwrap();
            io.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
            while !io.ended().await {}
        });
        let client = http2(proxy.pipe(Direction::Gateway, DestinationKey::Gateway(port(80)), 80)).await;
        let half = Upload::begin(&client, SHOP, "text/plain", b"half").await;
        seconds(&proxy, 65).await;
        assert!(half.end().await.unwrap_err().contains("INTERNAL_ERROR"));
        let record = proxy.records.number(1).await;
        assert_eq!((record.code, record.flags.as_str(), &*record.details), (200, "SI", "stream_idle_timeout"));
        assert_eq!((proxy.ended_for("body"), proxy.requests.connections.len()), (1, 1));
    });
}

#[test]
fn a_sidecar_waits_for_a_half_body_of_http2_as_istio_does() {
    run(async {
        let own = instance(&[], &[(8080, "shop/cart.shop.svc.cluster.local", 80, Protocol::Http)]);
        let proxy = Proxy::sidecar([own]);
        proxy.net.serve(APP, |request| ok(body(request)));
        let client = http2(proxy.pipe(Direction::Inbound, DestinationKey::Inbound(port(8080)), 8080)).await;
        let half = Upload::begin(&client, CART, "text/plain", b"half").await;
        seconds(&proxy, 600).await;
        assert!(!half.is_over());
        assert_eq!((half.end().await, proxy.ended_for("body")), (Ok((200, None, 4)), 0));
    });
}

#[test]
fn a_client_that_reads_nothing_is_ended_when_it_has_idled_long_enough() {
    run(async {
        let proxy = edge();
        let long = "a".repeat(100_000);
        proxy.net.serve(A, move |_| ok(&long));
        let mut client = at_edge(&proxy);
        client.write(&format!("GET / HTTP/1.1\r\nHost: {SHOP}\r\n\r\n")).await;
        // hyper has taken all of the answer: as far as requests go, the connection idles.
        proxy.records.number(1).await;
        seconds(&proxy, 3600).await;
        assert_eq!(proxy.requests.connections.len(), 1);
        seconds(&proxy, 65).await;
        assert_eq!((proxy.requests.connections.len(), proxy.ended_for("idle")), (0, 1));
    });
}

#[test]
fn of_answers_that_clients_do_not_read_little_is_held() {
    run(async {
        let proxy = edge();
        let sent: Rc<[Cell<usize>; 2]> = Rc::default();
        let counted = sent.clone();
        proxy.net.listen(A, move |mut io, number| {
            let counted = counted.clone();
            async move {
                io.message().await.unwrap();
                io.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
                while io.io.write_all(&[0; 1024]).await.is_ok() {
                    counted[number - 1].set(counted[number - 1].get() + 1024);
                }
            }
        });
        let mut first = at_edge(&proxy);
        first.write(&format!("GET / HTTP/1.1\r\nHost: {SHOP}\r\n\r\n")).await;
        seconds(&proxy, 1).await;
        let client = http2(proxy.pipe(Direction::Gateway, DestinationKey::Gateway(port(80)), 80)).await;
        let (_, nothing) = mpsc::channel(1);
        let request = Request::get(format!("http://{SHOP}/")).body(StreamBody::new(ReceiverStream::new(nothing)));
        let answer = client.clone().send_request(request.unwrap()).await.unwrap();
        seconds(&proxy, 1000).await;
        // Two pipes of 64 KiB, and what is between them.
        let between = sent.each_ref().map(|sent| sent.get().saturating_sub(128 << 10));
        assert!(between[0] <= 256 << 10 && between[1] <= 256 << 10, "{between:?}");
        assert_eq!(proxy.requests.connections.len(), 2);
        drop((first, client, answer));
        seconds(&proxy, 1).await;
        assert_eq!(proxy.requests.connections.len(), 0);
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
