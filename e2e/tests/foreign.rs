//! Clients and servers that are not ours, through two sidecars: curl, nghttp2, wrk, nginx, Redis.

use mesh_e2e::{
    client::connect,
    mesh::{AUTO, HTTP, HTTP2, Mesh, Plan, Workload},
    program::{Program, run},
    until,
    workload::Kind,
};
use std::fs;

#[tokio::test]
async fn curl_gets_and_posts_in_each_version_of_http() {
    let mesh = Mesh::start(Plan::pair()).await;
    let url = format!("http://{}/from-curl", mesh.egress("client", HTTP));
    let host = format!("Host: {}", mesh.host("server", HTTP));
    let body = mesh.dir().join("body");
    fs::write(&body, vec![b'x'; 100_000]).unwrap();
    let data = format!("@{}", body.display());
    for version in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        let text = run("curl", &["-sS", "-i", "--max-time", "20", version, "-H", &host, &url]).await;
        assert!(text.contains(" 200") && text.contains("GET /from-curl HTTP/1.1"), "{version}: {text}");
        let post = ["-sS", "-i", "--max-time", "20", version, "-H", &host, "--data-binary", &data, &url];
        let text = run("curl", &post).await;
        assert!(text.to_ascii_lowercase().contains("x-body-bytes: 100000"), "{version}: {text}");
    }
    // Without a length, and with a question before the body.
    let headers = ["-H", &host, "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"];
    let mut args = vec!["-sS", "-i", "--max-time", "20", "--data-binary", &data];
    args.extend(headers);
    args.push(&url);
    let text = run("curl", &args).await;
    assert!(text.to_ascii_lowercase().contains("x-body-bytes: 100000"), "{text}");
}

#[tokio::test]
async fn nghttp_multiplexes() {
    let mesh = Mesh::start(Plan::pair()).await;
    let url = format!("http://{}/from-nghttp", mesh.egress("client", HTTP2));
    let authority = format!(":authority: {}", mesh.host("server", HTTP2));
    let text = run("nghttp", &["-v", "-n", "-t", "20", "-m", "20", "-H", &authority, &url]).await;
    assert_eq!(text.matches(":status: 200").count(), 20, "{text}");
    assert!(!text.contains("RST_STREAM"), "{text}");
}

#[tokio::test]
async fn wrk_sees_no_error() {
    let mesh = Mesh::start(Plan::pair()).await;
    let url = format!("http://{}/", mesh.egress("client", HTTP));
    let host = format!("Host: {}", mesh.host("server", HTTP));
    let text = run("wrk", &["-t", "1", "-c", "16", "-d", "1s", "-H", &host, &url]).await;
    assert!(text.contains("requests in") && !text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
}

#[tokio::test]
async fn nginx_serves_pages_small_and_large() {
    let server = Workload::new("server").serves(HTTP, Kind::External);
    let mesh = Mesh::start(Plan::new([Workload::new("client"), server])).await;
    let (dir, listen) = (mesh.dir().display(), mesh.app("server", HTTP).address);
    fs::write(mesh.dir().join("page.html"), "small").unwrap();
    fs::write(mesh.dir().join("large.bin"), vec![b'y'; 2_000_000]).unwrap();
    let config = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {dir}/n1; proxy_temp_path {dir}/n2; fastcgi_temp_path {dir}/n3;
    uwsgi_temp_path {dir}/n4; scgi_temp_path {dir}/n5;
    server {{ listen {listen}; root {dir}; keepalive_timeout 1s; }}
}}
"
    );
    let file = mesh.dir().join("nginx.conf");
    fs::write(&file, config).unwrap();
    let _nginx = Program::start("nginx", &["-c", file.to_str().unwrap()], &mesh.dir().join("nginx.log"));
    until("nginx listens", || connect(listen, None)).await;
    let host = format!("Host: {}", mesh.host("server", HTTP));
    let get = async |path: &str, more: &[&str]| {
        let url = format!("http://{}/{path}", mesh.egress("client", HTTP));
        run("curl", &[&["-sS", "--max-time", "20", "-H", &host, &url], more].concat()).await
    };
    assert_eq!(get("page.html", &[]).await, "small");
    assert_eq!(get("large.bin", &[]).await.len(), 2_000_000);
    assert_eq!(get("large.bin", &["-r", "0-9"]).await, "yyyyyyyyyy");
    assert!(get("nothing", &["-i"]).await.contains(" 404 "));
    let head = get("page.html", &["-I"]).await;
    assert!(head.to_ascii_lowercase().contains("content-length: 5"), "{head}");
}

#[tokio::test]
async fn redis_answers_on_a_port_that_says_nothing() {
    let server = Workload::new("redis").serves(AUTO, Kind::External);
    let mesh = Mesh::start(Plan::new([Workload::new("client"), server])).await;
    let listen = mesh.app("redis", AUTO).address;
    let (port, dir) = (listen.port().to_string(), mesh.dir().display().to_string());
    let args = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        &dir,
    ];
    let _redis = Program::start("redis-server", &args, &mesh.dir().join("redis.log"));
    until("Redis listens", || connect(listen, None)).await;
    let at = mesh.egress("client", AUTO);
    let (ip, port) = (at.ip().to_string(), at.port().to_string());
    let cli = async |command: &[&str]| run("redis-cli", &[&["-h", &ip, "-p", &port], command].concat()).await;
    assert_eq!(cli(&["PING"]).await.trim(), "PONG");
    let large = "z".repeat(60_000);
    assert_eq!(cli(&["SET", "key", &large]).await.trim(), "OK");
    assert_eq!(cli(&["GET", "key"]).await.trim(), large);
    assert_eq!(cli(&["-r", "50", "INCR", "counter"]).await.lines().last(), Some("50"));
}
