//! A pilot in a process of its own, and one client that wants all of it: each bound is exceeded ten times over, and
//! meanwhile an honest proxy starts, gets its certificate and its configuration, and follows a change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(feature = "serve")]

#[path = "discovery/client.rs"]
mod client;

use bytes::Bytes;
use client::{Client, PATIENCE, secure, token};
use http_body_util::{BodyExt, Empty};
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
use tonic::{Code, Request, Status, transport::Channel};

/// Bounds low enough for a test to exceed them ten times over.
const BOUNDS: [(&str, usize); 7] = [
    ("--max-handshakes-per-source", HANDSHAKES),
    ("--max-idle-connections-per-source", IDLE),
    ("--max-streams-per-account", STREAMS),
    ("--max-names", NAMES),
    ("--max-said", SAID),
    ("--max-message", MESSAGE),
    ("--max-calls-per-connection", 10),
];
const HANDSHAKES: usize = 8;
const IDLE: usize = 16;
const STREAMS: usize = 8;
const NAMES: usize = 10_000;
const SAID: usize = 4 << 20;
const MESSAGE: usize = 2 << 20;

/// Where the hostile client calls from; the honest one calls from where its workload is.
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

    /// A connection that has not said anything.
    async fn tcp(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(HOSTILE, 0)).unwrap();
        socket.connect(self.xds).await.unwrap()
    }

    /// Bytes that the process has in memory.
    fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
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
            token: Some(self.path(name)),
            lifetime: Duration::from_secs(3600),
            timeout: PATIENCE,
            wall: clock::WallClock::system(),
        };
        authority.create(None).await.unwrap();
        let certified = clock::since(begin);
        let kinds = [Kind::Settings, Kind::Trust, Kind::Instance, Kind::Index];
        let mut client =
            Client::open(self.channel(HONEST), &self.token("front"), &kinds, &["shop/cart-0.shop"]).await.unwrap();
        let (came, _) = client.push().await.unwrap();
        assert!(came.contains(&(Kind::Service, "shop/cart-0.shop".to_owned())), "{came:?}");
        let configured = clock::since(begin);
        std::fs::write(self.path("config").join(name).with_extension("yaml"), service(name)).unwrap();
        assert_eq!(client.push().await.unwrap().0, [(Kind::Index, format!("shop/{name}.shop"))]);
        let changed = clock::since(begin);
        let mut client = client.again(self.channel(HONEST), &self.token("front")).await.unwrap();
        assert_eq!(client.push().await.unwrap(), (vec![], vec![]));
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
    for (account, address) in [("front", HONEST), ("bad", HOSTILE)] {
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
        let (requests, out) = mpsc::channel(16);
        let mut call = Request::new(ReceiverStream::new(out));
        call.metadata_mut().insert("authorization", format!("Bearer {}", pilot.token("bad")).parse().unwrap());
        let mut client = AggregatedDiscoveryServiceClient::new(pilot.channel(HOSTILE));
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
        let mut hostile = match Hostile::open(pilot).await {
            Ok(hostile) => hostile,
            Err(status) => return status.code(),
        };
        // Fails when pilot has ended it already.
        let _ = hostile.requests.send(request).await;
        loop {
            match tokio::time::timeout(PATIENCE, hostile.responses.message()).await.expect("an end in time") {
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

    // Connections that are silent, and handshakes that do not end.
    let mut crowd = Vec::new();
    for number in 0..10 * IDLE.max(HANDSHAKES) {
        let mut stream = pilot.tcp().await;
        if number % 2 == 0 {
            // A record that says it will be long. Fails when it had to give way already.
            let _ = stream.write_all(&[22, 3, 1, 8, 0]).await;
        }
        crowd.push(stream);
    }
    pilot.serves_an_honest_one("silent").await;

    // Streams of one account: it has one workload.
    let mut streams = Vec::new();
    let mut refused = 0;
    for _ in 0..10 * (STREAMS + 2) {
        match Hostile::open(&pilot).await {
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
    pilot.serves_an_honest_one("streams").await;

    // What the open streams say: each what it may, together more than the account may.
    for hostile in &mut streams {
        let initial = names(9 * NAMES / 10, 64).map(|name| (name, String::new())).collect();
        let request = DeltaDiscoveryRequest { initial_resource_versions: initial, ..Hostile::first(Kind::Index) };
        hostile.requests.send(request).await.unwrap();
    }
    let mut ended = 0;
    for hostile in &mut streams {
        // Those that are not ended have nothing to hear, since they have not asked for services.
        let wait = tokio::time::timeout(Duration::from_secs(1), hostile.responses.message()).await;
        ended += usize::from(wait.is_ok_and(|said| said.is_err_and(|status| status.code() == Code::ResourceExhausted)));
    }
    assert!(ended > 0 && ended < streams.len(), "{ended}");
    pilot.serves_an_honest_one("said").await;
    drop(streams);
    until("the streams are gone", async || (pilot.counted("pilot_xds ").await == 0.0).then_some(())).await;

    // Names that are followed and held, a node, a message: each ten times as long as it may be.
    let followed = DeltaDiscoveryRequest {
        resource_names_subscribe: names(10 * NAMES, 6).collect(),
        ..Hostile::first(Kind::Service)
    };
    let held = DeltaDiscoveryRequest {
        initial_resource_versions: names(10 * NAMES, 6).map(|name| (name, String::new())).collect(),
        ..Hostile::first(Kind::Index)
    };
    let mut node = Hostile::first(Kind::Settings);
    node.node.as_mut().unwrap().id = "a".repeat(10 << 10);
    let long = DeltaDiscoveryRequest { response_nonce: "a".repeat(10 * MESSAGE), ..Hostile::first(Kind::Settings) };
    let asked = [followed, held, node, long].map(|request| Hostile::ends(&pilot, request));
    let [followed, held, node, long] = asked;
    // Refused before they are names.
    assert_eq!(followed.await, Code::ResourceExhausted);
    assert_eq!(held.await, Code::ResourceExhausted);
    assert_eq!(node.await, Code::InvalidArgument);
    // Refused by its length alone: before there is room for it.
    assert_eq!(long.await, Code::ResourceExhausted);
    pilot.serves_an_honest_one("long").await;

    // Callers that are nobody, again and again, on one connection.
    let channel = pilot.channel(HOSTILE);
    for _ in 0..500 {
        let mut call = Request::new(tokio_stream::empty::<DeltaDiscoveryRequest>());
        call.metadata_mut().insert("authorization", "Bearer nobody".parse().unwrap());
        let mut client = AggregatedDiscoveryServiceClient::new(channel.clone());
        assert_eq!(client.delta_aggregated_resources(call).await.unwrap_err().code(), Code::Unauthenticated);
    }
    pilot.serves_an_honest_one("after").await;

    let (after, new_lines) = (pilot.resident(), pilot.log_lines() - lines);
    assert!(after <= 2 * before, "{} KiB before, {} KiB after", before / 1024, after / 1024);
    assert!(new_lines < 60, "{new_lines} lines");
    assert!(pilot.counted("mesh_grpc_connections_ended_total{reason=\"gave_way\"}").await >= 9.0 * IDLE as f64);
    assert_eq!(pilot.counted("pilot_refused_callers_total{reason=\"account_streams\"}").await, refused as f64);
    assert_eq!(pilot.counted("pilot_refused_callers_total{reason=\"unauthenticated\"}").await, 500.0);
    assert_eq!(pilot.counted("mesh_log_lines_left_out_total{cause=\"unauthenticated\"}").await, 499.0);
    drop(crowd);
}
