//! A pilot in a process of its own, and one client that wants all of it: each bound is exceeded ten times over, and
//! meanwhile an honest proxy starts, gets its certificate and its configuration, and follows a change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(feature = "serve")]

#[path = "discovery/client.rs"]
mod client;

use bytes::Bytes;
use client::{Client, PATIENCE, secure, token};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use mesh_config::{
    model::Kind,
    wire::proto::envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
};
use mesh_pilot::app;
use mesh_runtime::{
    clock,
    identity::client::{Authority, CaClient},
    snapshot,
    tls::material::CaBundle,
};
use std::{
    collections::HashMap,
    fmt::Write as _,
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, body::Body, transport::Channel};
use tower_service::Service as _;

/// Bounds low enough for a test to exceed them ten times over.
const BOUNDS: [(&str, usize); 10] = [
    ("--max-handshakes", ALL_HANDSHAKES),
    ("--max-handshakes-per-source", HANDSHAKES),
    ("--max-idle-connections", ALL_IDLE),
    ("--max-idle-connections-per-source", IDLE),
    ("--max-calls-per-connection", CALLS),
    ("--max-streams-per-source", SOURCE_STREAMS),
    ("--max-streams-per-account", STREAMS),
    ("--max-names", NAMES),
    ("--max-said", SAID),
    ("--max-message", MESSAGE),
];
const HANDSHAKES: usize = 8;
const ALL_HANDSHAKES: usize = 16;
const IDLE: usize = 16;
const ALL_IDLE: usize = 32;
const CALLS: usize = 10;
const SOURCE_STREAMS: usize = 24;
const STREAMS: usize = 10;
const NAMES: usize = 10_000;
const SAID: usize = 1 << 20;
const MESSAGE: usize = 2 << 20;

/// Clocks that a test can wait for.
const CLOCKS: [&str; 4] = ["--first-byte-timeout", "--idle-connection-timeout", "--call-timeout", "--message-timeout"];
const CLOCK: &str = "5s";

/// What this variable says, in seconds, is how long an honest proxy may take for each of its steps until it has followed a
/// change; unless it is set, it is enough that they are done.
const WITHIN: &str = "HONEST_WITHIN";

/// The call for a certificate.
const CERTIFICATE: &str = "http://pilot/istio.v1.auth.IstioCertificateService/CreateCertificate";

/// Who the hostile client is, and where it calls from; the honest one calls from where its workload is.
const BAD: &str = "bad";
const HOSTILE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));

struct Pilot {
    dir: tempfile::TempDir,
    process: Child,
    xds: SocketAddr,
    monitoring: SocketAddr,
}

impl Pilot {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        app::make_token_key(dir.path()).unwrap();
        std::fs::create_dir(path("config")).unwrap();
        std::fs::write(path("config/mesh.yaml"), mesh()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilot"));
        command.arg("discovery").arg("--config-dir").arg(path("config")).arg("--ca-dir").arg(path("ca"));
        command.arg("--token-key").arg(path("token-key.pub.pem")).arg("--address-file").arg(path("addresses"));
        command.args(["--xds-address", "127.0.0.1:0", "--monitoring-address", "127.0.0.1:0"]);
        command.args(["--plaintext-xds-address", "off"]);
        for (name, bound) in BOUNDS {
            command.arg(name).arg(bound.to_string());
        }
        for name in CLOCKS {
            command.args([name, CLOCK]);
        }
        let log = std::fs::File::create(path("log")).unwrap();
        let process = command.env_clear().stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let addresses = until("pilot serves", async || {
            let text = std::fs::read(path("addresses")).ok()?;
            serde_json::from_slice::<HashMap<String, Option<SocketAddr>>>(&text).ok()
        });
        let addresses = addresses.await;
        let address = |name: &str| addresses[name].unwrap();
        Pilot { process, xds: address("xds"), monitoring: address("monitoring"), dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn channel(&self, from: IpAddr) -> Channel {
        secure(self.xds, &self.path("ca/root-cert.pem"), Some(from))
    }

    fn token(&self, account: &str) -> String {
        token(&self.path("token-key.pem"), "web", account, "istio-ca")
    }

    /// A connection that has not said anything, or the beginning of a record that says it will be long.
    async fn tcp(&self, from: IpAddr, half_hello: bool) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let mut stream = socket.connect(self.xds).await.unwrap();
        if half_hello {
            // Fails when it had to give way already.
            let _ = stream.write_all(&[22, 3, 1, 8, 0]).await;
        }
        stream
    }

    /// Bytes that the process has in memory.
    fn resident(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// Bytes that it had at most since [`Pilot::forget_peak`].
    fn peak(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
    }

    /// A call whose body is this; its status of gRPC.
    async fn call(mut channel: Channel, token: String, path: &'static str, body: Body) -> Option<i32> {
        let request = http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
        let request = request.header("authorization", format!("Bearer {token}")).body(body).unwrap();
        poll_fn(|cx| channel.poll_ready(cx)).await.ok()?;
        let answer = channel.call(request).await.ok()?;
        match answer.headers().get("grpc-status") {
            Some(status) => status.to_str().ok()?.parse().ok(),
            None => {
                answer.into_body().collect().await.ok()?.trailers()?.get("grpc-status")?.to_str().ok()?.parse().ok()
            }
        }
    }

    fn log_lines(&self) -> usize {
        std::fs::read_to_string(self.path("log")).unwrap().lines().count()
    }

    /// The sum of a metric with such labels.
    async fn counted(&self, metric: &str) -> f64 {
        let stream = TcpStream::connect(self.monitoring).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get("/metrics").header("host", "pilot").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(answer.to_vec()).unwrap();
        let values = text.lines().filter_map(|line| line.strip_prefix(metric)?.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// A proxy that has just started: its certificate, its configuration, and a change that it follows.
    async fn serves_an_honest_one(&self, name: &str) {
        let begin = clock::now();
        std::fs::write(self.path(name), self.token("front")).unwrap();
        let root = std::fs::read(self.path("ca/root-cert.pem")).unwrap();
        let authority = CaClient {
            address: self.xds.to_string().into(),
            authority: Authority::Host("istiod.istio-system.svc".into()),
            roots: snapshot::Reader::fixed(Arc::new(CaBundle::from_pem(&root).unwrap())),
            root_file: None,
            token: Some(self.path(name)),
            lifetime: Duration::from_secs(3600),
            timeout: PATIENCE,
            wall: clock::WallClock::system(),
        };
        // Where others come in the same moment its connection may have to give way: a proxy tries again.
        until("a certificate", async || authority.create(None).await.ok()).await;
        let certified = clock::since(begin);
        let kinds = [Kind::Settings, Kind::Trust, Kind::Instance, Kind::Index];
        let token = self.token("front");
        let open = async || Client::open(self.channel(HONEST), &token, &kinds, &["shop/cart-0.shop"]).await.ok();
        let mut client = until("a stream", open).await;
        let (came, _) = client.push().await.unwrap();
        assert!(came.contains(&(Kind::Service, "shop/cart-0.shop".to_owned())), "{came:?}");
        let configured = clock::since(begin);
        std::fs::write(self.path("config").join(name).with_extension("yaml"), service(name)).unwrap();
        assert_eq!(client.push().await.unwrap().0, [(Kind::Index, format!("shop/{name}.shop"))]);
        let changed = clock::since(begin);
        let mut client = client.again(self.channel(HONEST), &self.token("front")).await.unwrap();
        assert_eq!(client.push().await.unwrap(), (vec![], vec![]));
        if let Ok(within) = std::env::var(WITHIN) {
            let within = Duration::from_secs_f64(within.parse().unwrap());
            let took = [certified, configured - certified, changed - configured];
            assert!(took.iter().all(|step| *step <= within), "{name}: {took:?}");
        }
        eprintln!(
            "{name}: certified after {certified:?}, configured after {configured:?}, a change after {:?}, {} KiB",
            changed - configured,
            self.resident() / 1024
        );
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Looks until it is so.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = clock::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(clock::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn service(name: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec: {{hosts: [{name}.shop], resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: 127.0.1.1}}]}}
---"
    )
}

/// Some services, and a workload of each account.
fn mesh() -> String {
    let mut text = String::new();
    for number in 0..300 {
        text += &service(&format!("cart-{number}"));
    }
    for (account, address) in [("front", HONEST), (BAD, HOSTILE)] {
        let _ = write!(
            text,
            "
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {account}-1, namespace: web}}
spec: {{address: {address}, serviceAccount: {account}, labels: {{app: {account}}}}}
---"
        );
    }
    text
}

/// A stream of the hostile account, on a connection of its own.
struct Hostile {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: tonic::Streaming<mesh_config::wire::proto::envoy::service::discovery::v3::DeltaDiscoveryResponse>,
}

impl Hostile {
    async fn open(pilot: &Pilot) -> Result<Self, Status> {
        Hostile::on(pilot.channel(HOSTILE), &pilot.token(BAD)).await
    }

    async fn on(channel: Channel, token: &str) -> Result<Self, Status> {
        let (requests, out) = mpsc::channel(16);
        let mut call = Request::new(ReceiverStream::new(out));
        call.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.delta_aggregated_resources(call).await?.into_inner();
        Ok(Hostile { requests, responses })
    }

    fn first(kind: Kind) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node: Some(Node { id: format!("sidecar~{HOSTILE}~bad-1.web~web.svc"), ..Node::default() }),
            type_url: kind.type_url().into(),
            ..Default::default()
        }
    }

    /// Says this first, and how the stream ends.
    async fn ends(pilot: &Pilot, request: DeltaDiscoveryRequest) -> Code {
        let hostile = match Hostile::open(pilot).await {
            Ok(hostile) => hostile,
            Err(status) => return status.code(),
        };
        // Fails when pilot has ended it already.
        let _ = hostile.requests.send(request).await;
        hostile.end().await
    }

    async fn end(mut self) -> Code {
        loop {
            match tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("an end in time") {
                Ok(Some(_)) => {}
                Ok(None) => return Code::Ok,
                Err(status) => return status.code(),
            }
        }
    }
}

fn names(count: usize, length: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{number:0>length$}"))
}

#[tokio::test]
async fn one_client_that_exceeds_every_bound_keeps_nobody_out_and_pilots_memory_small() {
    let pilot = Pilot::start().await;
    pilot.serves_an_honest_one("before").await;
    let (before, lines) = (pilot.resident(), pilot.log_lines());
    let crowd = connections(&pilot).await;
    pilot.serves_an_honest_one("silent").await;
    let streams = streams_of_an_account(&pilot).await;
    pilot.serves_an_honest_one("streams").await;
    streams_of_an_address(&pilot, streams.len()).await;
    pilot.serves_an_honest_one("address").await;
    said(&pilot, streams).await;
    pilot.serves_an_honest_one("said").await;
    long(&pilot).await;
    pilot.serves_an_honest_one("long").await;
    pilot.forget_peak();
    let quiet = pilot.resident();
    dense(&pilot).await;
    pilot.serves_an_honest_one("dense").await;
    eprintln!("dense: {} KiB before, at most {} KiB", quiet / 1024, pilot.peak() / 1024);
    assert!(pilot.peak() <= 2 * before, "{} KiB before, {} KiB at most", before / 1024, pilot.peak() / 1024);
    late(&pilot).await;
    pilot.serves_an_honest_one("late").await;
    nobody(&pilot).await;
    pilot.serves_an_honest_one("after").await;

    let (after, new_lines) = (pilot.resident(), pilot.log_lines() - lines);
    assert!(after <= 2 * before, "{} KiB before, {} KiB after", before / 1024, after / 1024);
    assert!(new_lines < 100, "{new_lines} lines");
    drop(crowd);
}

/// Connections that are silent, and handshakes that do not end: of one address, and of many.
async fn connections(pilot: &Pilot) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for number in 0..10 * IDLE.max(HANDSHAKES) {
        crowd.push(pilot.tcp(HOSTILE, number % 2 == 0).await);
    }
    pilot.serves_an_honest_one("crowd").await;
    for number in 0..10 * ALL_IDLE.max(ALL_HANDSHAKES) {
        let from = Ipv4Addr::new(127, 0, 66, u8::try_from(number / (IDLE / 2)).unwrap());
        crowd.push(pilot.tcp(from.into(), number % 2 == 0).await);
    }
    let gave_way = "mesh_grpc_connections_ended_total{reason=\"gave_way\"}";
    let most = 8.0 * (IDLE + ALL_IDLE) as f64;
    until("most gave way", async || (pilot.counted(gave_way).await >= most).then_some(())).await;
    crowd
}

/// Of an account with one workload.
async fn streams_of_an_account(pilot: &Pilot) -> Vec<Hostile> {
    let (mut streams, mut refused) = (Vec::new(), 0);
    for _ in 0..10 * (STREAMS + 2) {
        match Hostile::open(pilot).await {
            Ok(hostile) => {
                hostile.requests.send(Hostile::first(Kind::Settings)).await.unwrap();
                streams.push(hostile);
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                refused += 1;
            }
        }
    }
    assert_eq!((streams.len(), refused), (STREAMS + 2, 9 * (STREAMS + 2)));
    assert_eq!(pilot.counted("pilot_refused_callers_total{reason=\"account_streams\"}").await, refused as f64);
    streams
}

/// Of accounts without a workload, all from the address that has some already.
async fn streams_of_an_address(pilot: &Pilot, there: usize) {
    let (mut streams, mut refused) = (Vec::new(), 0);
    for account in 0..10 * SOURCE_STREAMS / CALLS {
        let (channel, token) = (pilot.channel(HOSTILE), pilot.token(&format!("{BAD}-{account}")));
        for _ in 0..CALLS {
            match Hostile::on(channel.clone(), &token).await {
                Ok(hostile) => streams.push(hostile),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((streams.len(), refused), (SOURCE_STREAMS - there, 9 * SOURCE_STREAMS + there));
    assert_eq!(pilot.counted("pilot_refused_callers_total{reason=\"source_streams\"}").await, refused as f64);
}

/// What the streams of an account say: each what it may, together ten times more than the account may.
async fn said(pilot: &Pilot, streams: Vec<Hostile>) {
    const EACH: usize = 3_700;
    // As names that are kept, and in a message that names them.
    const BYTES: usize = EACH * (64 + 64) + EACH * (64 + 4 + 64);
    assert!(BYTES < SAID && streams.len() * BYTES > 10 * SAID && EACH < NAMES);
    for hostile in &streams {
        let initial = names(EACH, 64).map(|name| (name, String::new())).collect();
        let request = DeltaDiscoveryRequest { initial_resource_versions: initial, ..Hostile::first(Kind::Index) };
        // Fails when pilot has ended it already.
        let _ = hostile.requests.send(request).await;
    }
    // There is room for one of them.
    until("the streams that said too much are gone", async || (pilot.counted("pilot_xds ").await <= 1.0).then_some(()))
        .await;
    drop(streams);
    until("the streams are gone", async || (pilot.counted("pilot_xds ").await == 0.0).then_some(())).await;
}

/// Names that are followed and held, a node and texts of it, a message: each ten times as long as it may be.
async fn long(pilot: &Pilot) {
    let followed = DeltaDiscoveryRequest {
        resource_names_subscribe: names(10 * NAMES, 6).collect(),
        ..Hostile::first(Kind::Service)
    };
    let held = DeltaDiscoveryRequest {
        initial_resource_versions: names(10 * NAMES, 6).map(|name| (name, String::new())).collect(),
        ..Hostile::first(Kind::Index)
    };
    let name =
        DeltaDiscoveryRequest { resource_names_subscribe: names(1, 5_120).collect(), ..Hostile::first(Kind::Service) };
    let mut text = Hostile::first(Kind::Settings);
    text.node.as_mut().unwrap().id = "a".repeat(10 << 10);
    let mut node = Hostile::first(Kind::Settings);
    node.node.as_mut().unwrap().cluster = "a".repeat(640 << 10);
    let long = DeltaDiscoveryRequest { response_nonce: "a".repeat(10 * MESSAGE), ..Hostile::first(Kind::Settings) };
    let exceeded = [
        // Refused before they are names, or there is room for the message.
        (followed, Code::ResourceExhausted),
        (held, Code::ResourceExhausted),
        (node, Code::ResourceExhausted),
        (long, Code::ResourceExhausted),
        (name, Code::InvalidArgument),
        (text, Code::InvalidArgument),
    ];
    for (request, code) in exceeded {
        assert_eq!(Hostile::ends(pilot, request).await, code);
    }
    let request = Body::new(Full::new(Bytes::from([&[0, 0, 10, 0, 0][..], &[0; 640 << 10]].concat())));
    let status = Pilot::call(pilot.channel(HOSTILE), pilot.token(BAD), CERTIFICATE, request).await;
    assert_eq!(status, Some(Code::OutOfRange as i32), "ten times the longest call for a certificate");
}

/// Ten clients at once whose message is as long as it may be, and would be a dozen times as large once it is names.
async fn dense(pilot: &Pilot) {
    let request = |kind| DeltaDiscoveryRequest {
        resource_names_subscribe: vec![String::new(); MESSAGE / 2 - 1_000],
        ..Hostile::first(kind)
    };
    // Ten handshakes at once are more than one address may have, and a slow machine may need longer for a message than there is:
    // whoever gave way or was late begins again, until the message itself is refused.
    let gave_way = [Code::DeadlineExceeded, Code::Cancelled, Code::Unavailable, Code::Unknown];
    let refused = async || loop {
        match Hostile::ends(pilot, request(Kind::Service)).await {
            code if gave_way.contains(&code) => {}
            code => break code,
        }
    };
    let codes = futures_util::future::join_all((0..10).map(|_| refused())).await;
    assert_eq!(codes, [Code::ResourceExhausted; 10]);
}

/// Whoever takes longer than the clocks allow: connections without a byte, a whole ClientHello or a believed call, streams
/// without a first message, and calls that are never whole, ten times as many as may be on a connection.
async fn late(pilot: &Pilot) {
    let silent = [pilot.tcp(HOSTILE, false).await, pilot.tcp(HOSTILE, true).await];
    let idle = pilot.channel(HOSTILE);
    let refused = Hostile::on(idle.clone(), "nobody").await.err().map(|status| status.code());
    assert_eq!(refused, Some(Code::Unauthenticated));
    let stream = Hostile::open(pilot).await.unwrap();
    let channel = pilot.channel(HOSTILE);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 * CALLS {
        let never = StreamBody::new(tokio_stream::pending::<Result<hyper::body::Frame<Bytes>, Status>>());
        calls.spawn(Pilot::call(channel.clone(), pilot.token(BAD), CERTIFICATE, Body::new(never)));
    }
    pilot.serves_an_honest_one("waiting").await;
    assert_eq!(stream.end().await, Code::DeadlineExceeded);
    for _ in 0..CALLS {
        // With its connection, where that was idle for too long in the same moment.
        let status = calls.join_next().await.unwrap().unwrap();
        assert!(status.is_none_or(|status| status == Code::Cancelled as i32), "{status:?}");
    }
    for reason in ["silent", "handshake", "idle"] {
        let metric = format!("mesh_grpc_connections_ended_total{{reason=\"{reason}\"}}");
        until(reason, async || (pilot.counted(&metric).await >= 1.0).then_some(())).await;
    }
    drop((silent, idle));
}

/// Callers that are nobody, again and again, on one connection.
async fn nobody(pilot: &Pilot) {
    let unauthenticated = "pilot_refused_callers_total{reason=\"unauthenticated\"}";
    let before = pilot.counted(unauthenticated).await;
    let channel = pilot.channel(HOSTILE);
    for _ in 0..500 {
        let refused = Hostile::on(channel.clone(), "nobody").await.err().map(|status| status.code());
        assert_eq!(refused, Some(Code::Unauthenticated));
    }
    assert_eq!(pilot.counted(unauthenticated).await, before + 500.0);
    let left_out = pilot.counted("mesh_log_lines_left_out_total{cause=\"unauthenticated\"}").await;
    assert!(left_out >= 499.0, "{left_out}");
}
