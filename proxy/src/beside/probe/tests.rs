use super::*;
use crate::settings::Probe;
use mesh_runtime::{settings::Map, testing::TestCa};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const STATUS_PORT: u16 = 15020;

fn prober(how: How, timeout: Duration) -> Prober {
    let vars = [("POD_NAME", "cart"), ("POD_NAMESPACE", "shop"), ("INSTANCE_IP", "127.0.0.1")];
    let mut settings = Settings::read(&Map::from_iter(vars)).unwrap();
    settings.pod.probes.0 = BTreeMap::from([("/app-health/a/livez".to_owned(), Probe { how, timeout })]);
    Prober::new(Arc::new(settings), STATUS_PORT)
}

fn get(port: u16, headers: &[(&str, &str)]) -> How {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    How::Http(HttpGet { path: "/ok?x=1".into(), port, https: false, headers })
}

async fn asked(prober: &Prober, headers: &[(&'static str, &'static str)]) -> (u16, String) {
    let headers = headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
    let reply = prober.answer("/app-health/a/livez", &headers.collect()).await;
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// An application that gives one answer and tells the heads it got.
async fn application(answer: String) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut head, mut buffer) = (String::new(), [0; 1024]);
        while !head.contains("\r\n\r\n") {
            let read = stream.read(&mut buffer).await.unwrap();
            head.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        let _ = stream.write_all(answer.as_bytes()).await;
        head
    });
    (port, served)
}

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_application_is_asked_as_the_kubelet_would_have_and_its_answer_passed_on() {
    let (port, served) = application("HTTP/1.1 418 no\r\ncontent-length: 3\r\n\r\nwhy".into()).await;
    let prober = prober(get(port, &[("X-Own", "yes"), ("Accept", "a/b")]), PATIENCE);
    let headers =
        [("host", "10.0.0.1:15020"), ("user-agent", "kube-probe"), ("accept", "*/*"), ("connection", "close")];
    assert_eq!(asked(&prober, &headers).await, (418, "why".into()));
    let head = served.await.unwrap();
    let mut lines: Vec<&str> = head.trim_end().lines().skip(1).collect();
    lines.sort_unstable();
    assert!(head.starts_with("GET /ok?x=1 HTTP/1.1\r\n"), "{head}");
    let host = format!("host: 10.0.0.1:{port}");
    assert_eq!(lines, ["accept: a/b", &host, "user-agent: kube-probe", "x-own: yes"]);
}

#[tokio::test]
async fn a_redirection_is_health_and_a_host_of_the_probes_own_stays() {
    let (port, served) = application("HTTP/1.1 302 x\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n".into()).await;
    assert_eq!(asked(&prober(get(port, &[("Host", "shop.example")]), PATIENCE), &[("host", "p:15020")]).await.0, 200);
    assert!(served.await.unwrap().contains("host: shop.example\r\n"));
}

#[tokio::test]
async fn of_a_long_body_the_beginning_is_passed_on() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{}", "x".repeat(99_999));
    let (port, _served) = application(long).await;
    assert_eq!(asked(&prober(get(port, &[]), PATIENCE), &[]).await, (200, "x".repeat(10 * 1024)));
}

#[tokio::test]
async fn who_does_not_answer_is_not_well() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = asked(&prober(get(port, &[]), Duration::from_millis(20)), &[]).await;
    assert_eq!(silent, (500, "no answer within 20ms\n".into()));
    assert_eq!(asked(&prober(How::Tcp { port }, PATIENCE), &[]).await, (200, String::new()));
    drop(listener);
    assert_eq!(asked(&prober(How::Tcp { port }, PATIENCE), &[]).await.0, 500);
    assert_eq!(asked(&prober(get(port, &[]), PATIENCE), &[]).await.0, 500);
}

#[tokio::test]
async fn a_path_that_is_no_probe_is_the_askers_mistake() {
    let reply = prober(How::Tcp { port: 1 }, PATIENCE).answer("/app-health/b/livez", &HeaderMap::new()).await;
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn tls_is_not_verified() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = TestCa::new("cluster.local").server_certificate(&["elsewhere.example"]);
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(mesh_runtime::tls::provider::get().clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificate.chain().to_vec(), key)
        .unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let How::Http(plain) = get(port, &[]) else { unreachable!() };
    let https = How::Http(HttpGet { https: true, ..plain });
    assert_eq!(asked(&prober(https, PATIENCE), &[]).await.0, 200);
    served.await.unwrap();
}

/// A server of `grpc.health.v1` that says this status, or none at all.
async fn health(status: Option<i32>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let head = http::Response::builder().header(header::CONTENT_TYPE, "application/grpc");
            let Some(status) = status else {
                let head = head.header("grpc-status", "12").body(()).unwrap();
                respond.send_response(head, true).unwrap();
                continue;
            };
            let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
            body.send_data(framed(&HealthCheckResponse { status }), false).unwrap();
            let trailers =
                HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
            body.send_trailers(trailers).unwrap();
        }
    });
    port
}

#[tokio::test]
async fn grpc_health_is_what_the_service_says() {
    for (said, status) in [(Some(1), 200), (Some(2), 500), (Some(0), 500), (None, 500)] {
        let how = How::Grpc { port: health(said).await, service: "cart".into() };
        assert_eq!(asked(&prober(how, PATIENCE), &[]).await.0, status, "{said:?}");
    }
}
