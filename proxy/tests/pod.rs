//! A proxy as a container of a pod, over loopback and without a pilot: what its pages answer and how they end it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_proxy::{app::Proxy, settings::Settings};
use mesh_runtime::{settings::Map, testing::TestCa};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

/// A running proxy with its port for hooks and metrics, and what it serves until.
struct Running {
    at: SocketAddr,
    serving: JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
    _dir: tempfile::TempDir,
}

fn start(more: &[(&str, &str)]) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root-cert.pem");
    std::fs::write(&root, TestCa::new("cluster.local").root_pem()).unwrap();
    let mut vars = vec![
        ("POD_NAME", "cart"),
        ("POD_NAMESPACE", "shop"),
        ("INSTANCE_IP", "127.0.0.1"),
        ("DISCOVERY_ADDRESS", "127.0.0.1:1"),
        ("FERROMESH_ROOT_CERT", root.to_str().unwrap()),
        ("FERROMESH_WORKERS", "1"),
        ("TERMINATION_DRAIN_DURATION_SECONDS", "0"),
        ("FERROMESH_METRICS_ADDRESS", "127.0.0.1:0"),
    ];
    let others = ["ADMIN", "STATUS", "PROMETHEUS", "OUTBOUND", "INBOUND"].map(|n| format!("FERROMESH_{n}_ADDRESS"));
    vars.extend(others.iter().map(|name| (name.as_str(), "off")));
    vars.extend(more);
    let proxy = Proxy::start(Settings::read(&vars.into_iter().collect::<Map>()).unwrap()).unwrap();
    let (stop, told) = tokio::sync::oneshot::channel();
    let at = proxy.addresses().metrics.unwrap();
    let serving = tokio::spawn(proxy.serve_until(async {
        // Dropped: nobody tells it.
        if told.await.is_err() {
            std::future::pending().await
        }
    }));
    Running { at, serving, stop, _dir: dir }
}

/// Status line and body.
async fn ask(from: &str, to: SocketAddr, head: &str) -> (String, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

async fn ended(serving: JoinHandle<()>) {
    tokio::time::timeout(Duration::from_secs(30), serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hook_begins_the_drain_and_the_proxy_serves_on_until_it_is_told_to_end() {
    let running = start(&[]);
    let waits = "certificate\nconfiguration\nlisteners\n";
    let ready = ask("127.0.0.1", running.at, "GET /healthz/ready").await;
    assert_eq!(ready, ("HTTP/1.1 503 Service Unavailable".into(), waits.into()));
    assert_eq!(ask("127.0.0.1", running.at, "GET /drain").await.0, "HTTP/1.1 405 Method Not Allowed");
    // Carried here by the proxy itself: nobody of the pod.
    assert_eq!(ask("127.0.0.6", running.at, "POST /drain").await.0, "HTTP/1.1 403 Forbidden");
    assert_eq!(ask("127.0.0.1", running.at, "GET /healthz/ready").await.1, waits);

    for _ in 0..2 {
        assert_eq!(ask("127.0.0.1", running.at, "POST /drain").await, ("HTTP/1.1 200 OK".into(), "OK".into()));
    }
    until(async || ask("127.0.0.1", running.at, "GET /healthz/ready").await.1 == format!("draining\n{waits}")).await;
    assert!(!running.serving.is_finished());
    running.stop.send(()).unwrap();
    ended(running.serving).await;
}

#[tokio::test]
async fn a_job_may_end_its_proxy_at_once() {
    let running = start(&[("TERMINATION_DRAIN_DURATION_SECONDS", "3600")]);
    assert_eq!(ask("127.0.0.6", running.at, "POST /quitquitquit").await.0, "HTTP/1.1 403 Forbidden");
    assert_eq!(ask("127.0.0.1", running.at, "POST /quitquitquit").await, ("HTTP/1.1 200 OK".into(), "OK".into()));
    ended(running.serving).await;
    drop(running.stop);
}

#[tokio::test]
async fn a_native_sidecar_does_not_wait_for_an_application_that_has_ended() {
    let native = [("FERROMESH_NATIVE_SIDECAR", "true"), ("TERMINATION_DRAIN_DURATION_SECONDS", "3600")];
    let running = start(&native);
    running.stop.send(()).unwrap();
    ended(running.serving).await;
}

/// An application that answers every request so.
async fn application(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            // One that only connects says nothing.
            if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    port
}

#[tokio::test]
async fn the_kubelet_and_prometheus_reach_the_application_through_the_proxy() {
    let port = application("HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\nown_metric 42\n").await;
    let probes = format!(
        r#"{{"/app-health/a/livez":{{"tcpSocket":{{"port":{port}}}}},"/app-lifecycle/a/poststartz":{{"httpGet":{{"port":{port}}}}}}}"#
    );
    let scrape = format!(r#"{{"scrape":"true","port":"{port}","path":"/m"}}"#);
    let vars = [("ISTIO_KUBE_APP_PROBERS", probes.as_str()), ("ISTIO_PROMETHEUS_ANNOTATIONS", scrape.as_str())];
    let running = start(&vars);
    assert_eq!(
        ask("127.0.0.1", running.at, "GET /app-health/a/livez").await,
        ("HTTP/1.1 200 OK".into(), String::new())
    );
    let hook = ask("127.0.0.1", running.at, "GET /app-lifecycle/a/poststartz").await;
    assert_eq!(hook, ("HTTP/1.1 200 OK".into(), "own_metric 42\n".into()));
    assert_eq!(ask("127.0.0.1", running.at, "GET /app-health/b/livez").await.0, "HTTP/1.1 400 Bad Request");
    let (status, page) = ask("127.0.0.1", running.at, "GET /stats/prometheus").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains("istio_agent_scrapes_total 1\n") && page.ends_with("\nown_metric 42\n"), "{page}");
    running.stop.send(()).unwrap();
    ended(running.serving).await;
}

#[tokio::test]
async fn metrics_of_an_application_that_is_not_there_are_counted_and_the_proxys_own_shown() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let scrape = format!(r#"{{"scrape":"true","port":"{gone}","path":"/m"}}"#);
    let running = start(&[("ISTIO_PROMETHEUS_ANNOTATIONS", scrape.as_str())]);
    let (status, page) = ask("127.0.0.1", running.at, "GET /metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains("istio_agent_scrape_failures_total{type=\"application\"} 1\n"), "{page}");
    drop(running.stop);
    running.serving.abort();
}

async fn until(mut met: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !met().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}
