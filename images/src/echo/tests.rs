use super::{
    call::{Answer, Kept, Target},
    serve::{Serve, Serving},
    tally::Tally,
};
use clap::Parser;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    target: Target,
}

fn target(words: &[&str]) -> Target {
    Words::parse_from([&["echo"], words].concat()).target
}

async fn call(words: &[&str]) -> anyhow::Result<Answer> {
    target(words).call().await
}

async fn open(serve: Serve) -> Serving {
    Serve { bind: Some(Ipv4Addr::LOCALHOST.into()), ..serve }.open().await.unwrap()
}

async fn http() -> (SocketAddr, Serving) {
    let serving = open(Serve { http: vec![0], ..Serve::default() }).await;
    (serving.addresses[0], serving)
}

#[tokio::test]
async fn http_says_what_came_over_either_version() {
    let (at, _serving) = http().await;
    for (version, words) in [("HTTP/1.1", &[][..]), ("HTTP/2.0", &["--http2"])] {
        let url = format!("http://{at}/a/b?c=d");
        let words =
            [&[url.as_str(), "-H", "host: shop.example:80", "-H", "x-one: 1", "--body", "12345"], words].concat();
        let answer = call(&words).await.unwrap();
        let report = answer.report();
        let got = ["path", "host", "method", "proto", "bytes", "local"].map(|key| report[key].clone());
        assert_eq!((answer.status, answer.proto.as_str()), (200, version));
        assert_eq!(
            got.to_vec(),
            [
                json!("/a/b?c=d"),
                json!("shop.example:80"),
                json!("POST"),
                json!(version),
                json!(5),
                json!(at.to_string())
            ]
        );
        assert_eq!(report["headers"]["x-one"], json!(["1"]));
    }
}

#[tokio::test]
async fn a_path_asks_for_a_status_and_an_expectation_refuses_others() {
    let (at, _serving) = http().await;
    assert_eq!(call(&[&format!("http://{at}/status/503")]).await.unwrap().status, 503);
    let refused = call(&[&format!("http://{at}/status/503"), "--expect", "200"]).await.unwrap_err().to_string();
    assert!(refused.starts_with("status 503: {\"path\":\"/status/503\""), "{refused}");
}

#[tokio::test]
async fn grpc_answers_its_method_and_health_and_returns_other_messages() {
    let (at, _serving) = http().await;
    let answer = call(&[&format!("grpc://{at}"), "-H", "x-one: 1"]).await.unwrap();
    assert_eq!((answer.grpc_status, &answer.report()["headers"]["x-one"]), (Some(0), &json!(["1"])));
    assert_eq!(answer.report()["path"], json!("/proto.EchoTestService/Echo"));
    let other = call(&[&format!("grpc://{at}/some.Service/Method"), "--body", "back"]).await.unwrap();
    assert_eq!((other.grpc_status, other.body.as_str()), (Some(0), "back"));
    let health = call(&[&format!("grpc://{at}/grpc.health.v1.Health/Check")]).await.unwrap();
    assert_eq!(health.body.as_bytes(), super::grpc::SERVING);
}

#[tokio::test]
async fn a_call_of_several_messages_gets_each_back_and_ends_well() {
    let (at, _serving) = http().await;
    let answer = call(&[&format!("grpc://{at}"), "--messages", "3", "--body", "again"]).await.unwrap();
    assert_eq!((answer.grpc_status, answer.body.as_str()), (Some(0), "again"));
}

#[tokio::test]
async fn a_call_of_several_messages_that_breaks_off_has_failed() {
    let (at, serving) = http().await;
    let url = format!("grpc://{at}");
    let broken = tokio::spawn(async move { call(&[&url, "--messages", "2", "--pause", "60s"]).await });
    // The server is there and gone again; whatever the call has come to, its second message comes back to nobody.
    call(&[&format!("http://{at}/")]).await.unwrap();
    drop(serving);
    assert!(broken.await.unwrap().is_err());
}

#[tokio::test]
async fn kept_connections_carry_call_after_call_until_their_server_ends_them() {
    for scheme in ["http", "grpc"] {
        let (at, serving) = http().await;
        let target = target(&[&format!("{scheme}://{at}")]);
        let kept = Kept::default();
        let mut peers = std::collections::BTreeSet::new();
        for _ in 0..3 {
            peers.insert(target.call_on(Some(&kept)).await.unwrap().report()["peer"].to_string());
        }
        assert_eq!(peers.len(), 1, "{scheme}: {peers:?}");
        // An idle connection that its server closes costs no call: here there is nobody to call any more.
        serving.finish().await;
        let refused = target.call_on(Some(&kept)).await.unwrap_err().to_string();
        assert!(refused.starts_with("cannot connect"), "{scheme}: {refused}");
    }
}

#[tokio::test]
async fn websocket_sends_messages_back() {
    let (at, _serving) = http().await;
    let answer = call(&[&format!("ws://{at}/chat"), "--body", "how are you"]).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str(), answer.proto.as_str()), (101, "how are you", "WebSocket"));
}

#[tokio::test]
async fn tcp_sends_back_and_signs_and_may_speak_first() {
    let serving = open(Serve { tcp: vec![0], greeting: vec![0], ..Serve::default() }).await;
    let plain = call(&[&format!("tcp://{}", serving.addresses[0]), "--body", "abc"]).await.unwrap();
    assert!(plain.body.starts_with("abc\n{\"proto\":\"TCP\""), "{}", plain.body);
    assert_eq!(plain.report()["local"], json!(serving.addresses[0].to_string()));
    let first = call(&[&format!("tcp://{}", serving.addresses[1])]).await.unwrap();
    assert!(first.body.starts_with("220 "), "{}", first.body);
}

#[tokio::test]
async fn udp_sends_back_and_signs() {
    let serving = open(Serve { udp: vec![0], ..Serve::default() }).await;
    let answer = call(&[&format!("udp://{}", serving.datagrams[0]), "--body", "abc"]).await.unwrap();
    assert!(answer.body.starts_with("abc\n"), "{}", answer.body);
    assert_eq!(answer.report()["proto"], json!("UDP"));
}

#[tokio::test]
async fn tls_is_trusted_by_the_roots_that_were_given_and_by_none_otherwise() {
    let files = tempfile::tempdir().unwrap();
    let place = |name: &str| files.path().join(name);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(place("crt"), made.cert.pem()).unwrap();
    std::fs::write(place("key"), made.signing_key.serialize_pem()).unwrap();
    let own = open(Serve { http: vec![0], tls: vec![0], ..Serve::default() }).await;
    let given = Serve { certificate: Some(place("crt")), key: Some(place("key")), ..Serve::default() };
    let known = open(Serve { http: vec![0], tls: vec![0], ..given }).await;
    let root = place("crt").display().to_string();
    let url = |serving: &Serving| format!("https://localhost:{}/", serving.addresses[0].port());
    let address = |serving: &Serving| serving.addresses[0].to_string();
    let answer = call(&[&url(&known), "--address", &address(&known), "--ca", &root]).await.unwrap();
    assert_eq!(
        answer.report()["tls"],
        json!({
            "version": "TLSv1_3", "serverName": "localhost", "negotiatedProtocol": "h2", "clientCertificate": false
        })
    );
    assert!(call(&[&url(&own), "--address", &address(&own), "--ca", &root]).await.is_err());
    assert_eq!(call(&[&url(&own), "--address", &address(&own)]).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_call_that_nobody_answers_fails_and_is_counted_with_its_reason() {
    let (at, serving) = http().await;
    let slow = call(&[&format!("http://{at}/delay/60000"), "--timeout", "50ms"]).await;
    assert_eq!(slow.as_ref().unwrap_err().to_string(), "no answer within 50ms");
    serving.finish().await;
    let refused = call(&[&format!("http://{at}/")]).await;
    let mut tally = Tally::default();
    tally.add(&Ok(Answer { status: 200, ..Answer::default() }));
    tally.add(&refused);
    assert_eq!(
        tally.summary(),
        format!(
            "2 calls, 1 failed; 1 of status 200; 1 from ?\n1 failed: cannot connect to {at}: Connection refused (os error 111)"
        )
    );
}

#[tokio::test]
async fn a_call_under_way_ends_when_the_server_finishes() {
    let (at, serving) = http().await;
    let begun = tokio::spawn(async move { call(&[&format!("http://{at}/delay/300")]).await });
    // The connection is there once the server holds it; a second call shows that the first was accepted before.
    call(&[&format!("http://{at}/")]).await.unwrap();
    serving.finish().await;
    assert_eq!(begun.await.unwrap().unwrap().status, 200);
}

#[test]
fn lengths_of_time_are_read_as_people_write_them() {
    let millis = |text| super::duration(text).map(|time| time.as_millis());
    assert_eq!(
        [millis("30s"), millis("1.5"), millis("250ms"), millis("2m")],
        [Ok(30_000), Ok(1_500), Ok(250), Ok(120_000)]
    );
    assert!(super::duration("5 apples").is_err() && super::duration("").is_err());
}
