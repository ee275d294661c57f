use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends the bytes on a connection of their own and returns all that came back.
async fn exchange(admin: Admin, request: &str) -> String {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let (_signal, watch) = drain::channel();
    let served = tokio::spawn(Arc::new(admin).connection(server, Extensions::new(), watch));
    client.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    served.await.unwrap();
    reply
}

fn routes() -> Admin {
    Admin::new()
        .get("/a", |_| async { text(StatusCode::OK, "exact") })
        .get_prefix("/debug/", |r| async move { text(StatusCode::OK, r.uri().path().to_owned()) })
        .get_prefix("/debug/deep/", |_| async { text(StatusCode::OK, "deep") })
        .post("/a", |r| async move { json(StatusCode::OK, r.into_body()) })
}

async fn check(request: &str, status: &str, body: &str) {
    let request = format!("{request}Host: x\r\nConnection: close\r\n\r\n");
    let reply = exchange(routes(), &request).await;
    assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {reply}");
    assert!(reply.ends_with(body), "{request}: {reply}");
}

#[tokio::test]
async fn routes_by_exact_path_then_longest_prefix_then_method() {
    check("GET /a HTTP/1.1\r\n", "200", "exact").await;
    check("GET /debug/x HTTP/1.1\r\n", "200", "/debug/x").await;
    check("GET /debug/deep/x HTTP/1.1\r\n", "200", "deep").await;
    check("GET /none HTTP/1.1\r\n", "404", "Not Found\n").await;
    check("DELETE /a HTTP/1.1\r\n", "405", "Method Not Allowed\n").await;
}

#[tokio::test]
async fn a_body_reaches_its_handler_and_a_large_one_does_not() {
    let small = "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    assert!(exchange(routes(), small).await.ends_with("{}"));
    let large = "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n";
    let reply = exchange(routes(), large).await;
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
}

#[tokio::test]
async fn a_gate_answers_for_what_is_behind_it() {
    for (address, expected) in [("127.0.0.1:1", "200"), ("[::ffff:127.0.0.1]:1", "200"), ("10.0.0.1:1", "403")] {
        let admin = Arc::new(routes().gated("/debug/", from_loopback()));
        for (path, expected) in [("/debug/x", expected), ("/a", "200")] {
            let (mut client, server) = tokio::io::duplex(1 << 16);
            let (_signal, watch) = drain::channel();
            tokio::spawn(admin.clone().connection(server, about(address.parse().unwrap()), watch));
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let mut reply = String::new();
            client.read_to_string(&mut reply).await.unwrap();
            assert!(reply.starts_with(&format!("HTTP/1.1 {expected}")), "{address} {path}: {reply}");
        }
    }
}

#[tokio::test]
async fn a_gate_answers_before_a_body_has_come() {
    let admin = Arc::new(routes().gated("/a", from_loopback()));
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let (_signal, watch) = drain::channel();
    tokio::spawn(admin.connection(server, about("10.0.0.1:1".parse().unwrap()), watch));
    client.write_all(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n").await.unwrap();
    let mut reply = [0; 12];
    client.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 403");
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let ready = Ready::new();
    let guard = ready.register("index");
    let admin = Admin::new().with_readiness("/readyz", ready).with_liveness();
    let request = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let reply = exchange(admin.clone(), request).await;
    assert!(reply.starts_with("HTTP/1.1 503") && reply.ends_with("index\n"), "{reply}");
    drop(guard);
    assert!(exchange(admin, request).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_drain_ends_the_server_and_its_idle_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (signal, watch) = drain::channel();
    let server = tokio::spawn(routes().serve(listener, watch.clone()));
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(signal.drain(Duration::from_secs(60)).await, drain::Drained::Clean);
    server.await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}

#[test]
fn only_this_machines_own_programs_are_local() {
    let is_local = |peer: Option<&str>| {
        let mut request = Request::new(());
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        }
        Peer::is_local(&request)
    };
    for local in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(is_local(Some(local)), "{local}");
    }
    for not in [None, Some("10.0.0.1:1"), Some("127.0.0.6:1"), Some("[::ffff:127.0.0.6]:1"), Some("[::6]:1")] {
        assert!(!is_local(not), "{not:?}");
    }
}

#[tokio::test]
async fn nothing_is_changed_for_a_web_page() {
    let post = |origin: &str| {
        format!("POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{origin}Content-Length: 2\r\n\r\n{{}}")
    };
    for (origin, want) in [("", "200"), ("Origin: http://localhost\r\n", "403"), ("Origin: null\r\n", "403")] {
        let reply = exchange(routes(), &post(origin)).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {want}")), "{origin}: {reply}");
    }
}
