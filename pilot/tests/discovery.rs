//! A whole pilot on loopback: streams over its encrypted and its plain port, callers that it must not believe, and a
//! file that changes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(feature = "serve")]

#[path = "discovery/client.rs"]
mod client;

use client::{Client, PATIENCE, token};
use mesh_ca::root::self_signed;
use mesh_config::{
    identity::TrustDomain,
    model::Kind,
    wire::proto::{
        envoy::{
            config::core::v3::Node,
            service::discovery::v3::{
                DeltaDiscoveryRequest, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
            },
        },
        ferromesh::v1::{AuthorityRequest, ClientsRequest, ConfigRequest, debug_client::DebugClient},
    },
};
use mesh_pilot::{
    app::{self, Addresses, App},
    settings::{Cli, Command},
};
use mesh_runtime::{
    clock, drain,
    telemetry::log::{self, Format, LogHandle},
};
use std::{slice, sync::OnceLock};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};

const SERVICE: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec: {hosts: [cart.shop], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: front-1, namespace: web}
spec: {address: 127.0.2.1, serviceAccount: front, labels: {app: front}}
";

struct Pilot {
    dir: tempfile::TempDir,
    addresses: Addresses,
    signal: Option<drain::Signal>,
    task: JoinHandle<anyhow::Result<()>>,
}

fn log() -> LogHandle {
    static LOG: OnceLock<LogHandle> = OnceLock::new();
    LOG.get_or_init(|| log::init(Format::Text, "warn").unwrap()).clone()
}

impl Pilot {
    async fn start() -> Self {
        Pilot::with(&[]).await
    }

    async fn with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        app::make_token_key(dir.path()).unwrap();
        std::fs::create_dir(path("config")).unwrap();
        std::fs::write(path("config/mesh.yaml"), SERVICE).unwrap();
        let line = [
            "pilot",
            "discovery",
            "--config-dir",
            &path("config"),
            "--ca-dir",
            &path("ca"),
            "--token-key",
            &path("token-key.pub.pem"),
            "--xds-address",
            "127.0.0.1:0",
            "--plaintext-xds-address",
            "127.0.0.1:0",
            "--monitoring-address",
            "127.0.0.1:0",
        ];
        let line = line.into_iter().chain(more.iter().copied());
        let Command::Discovery(settings) = Cli::of(line).unwrap().command else { panic!("discovery") };
        let (signal, watch) = drain::channel();
        let app = App::build(*settings, watch).await.unwrap();
        let addresses = app.addresses();
        let task = tokio::spawn(app.run(log()));
        Pilot { dir, addresses, signal: Some(signal), task }
    }

    fn token(&self, namespace: &str, account: &str, audience: &str) -> String {
        token(&self.dir.path().join("token-key.pem"), namespace, account, audience)
    }

    fn plain(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.addresses.plaintext.unwrap())).unwrap().connect_lazy()
    }

    /// Over TLS.
    fn secure(&self) -> Channel {
        client::secure(self.addresses.xds, &self.dir.path().join("ca/root-cert.pem"), None)
    }

    async fn stop(mut self) {
        self.signal.take().unwrap().drain(PATIENCE).await;
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_proxy_gets_what_it_follows_and_then_what_changes() {
    let pilot = Pilot::start().await;
    let token = pilot.token("web", "front", "istio-ca");
    let kinds = [Kind::Settings, Kind::Trust, Kind::Instance, Kind::Index];
    let mut client = Client::open(pilot.secure(), &token, &kinds, &["shop/cart.shop"]).await.unwrap();
    let (came, _) = client.push().await.unwrap();
    let kinds: Vec<Kind> = came.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Settings, Kind::Trust, Kind::Instance, Kind::Index, Kind::Service]);

    let endpoint = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other, namespace: shop}
spec: {hosts: [other.shop], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]}
";
    std::fs::write(pilot.dir.path().join("config/other.yaml"), endpoint).unwrap();
    assert_eq!(client.push().await.unwrap().0, [(Kind::Index, "shop/other.shop".to_owned())]);
    std::fs::remove_file(pilot.dir.path().join("config/other.yaml")).unwrap();
    assert_eq!(client.push().await.unwrap(), (vec![], vec!["shop/other.shop".to_owned()]));

    // A pilot that goes ends its streams politely.
    let (ended, ()) = tokio::join!(client.push(), pilot.stop());
    assert_eq!(ended.unwrap_err().code(), Code::Ok);
}

#[tokio::test]
async fn a_root_that_is_replaced_reaches_proxies_beside_the_one_before() {
    let pilot = Pilot::start().await;
    let token = pilot.token("web", "front", "istio-ca");
    let mut client = Client::open(pilot.secure(), &token, &[Kind::Trust], &[]).await.unwrap();
    let trust = (Kind::Trust, "cluster.local".to_owned());
    assert_eq!(client.push().await.unwrap().0, slice::from_ref(&trust));
    let old = client.roots.first().unwrap().clone();
    assert_eq!(client.roots.len(), 1);

    // Written over file by file: what does not fit together meanwhile is not used.
    let other = self_signed(&TrustDomain::default(), clock::system_now()).unwrap();
    let write = |name: &str, text: &str| std::fs::write(pilot.dir.path().join("ca").join(name), text).unwrap();
    write("ca-key.pem", other.key.text());
    write("ca-cert.pem", &other.certificate);
    write("root-cert.pem", &other.roots);
    assert_eq!(client.push().await.unwrap().0, slice::from_ref(&trust));
    assert_eq!(client.roots.len(), 2);
    assert!(client.roots.contains(&old));
    drop(client);
    pilot.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_it_is_old_and_the_next_one_goes_on_where_it_was() {
    let pilot = Pilot::with(&["--keepalive-max-server-connection-age", "1s"]).await;
    let token = pilot.token("web", "front", "istio-ca");
    let kinds = [Kind::Settings, Kind::Index];
    let mut client = Client::open(pilot.secure(), &token, &kinds, &["shop/cart.shop"]).await.unwrap();
    let (came, _) = client.push().await.unwrap();
    assert_eq!(came.len(), 3);
    // Politely: not as one that is refused.
    assert_eq!(client.push().await.unwrap_err().code(), Code::Ok);

    let other = SERVICE.replace("cart", "other");
    std::fs::write(pilot.dir.path().join("config/other.yaml"), other).unwrap();
    let mut again = client.again(pilot.secure(), &token).await.unwrap();
    let mut came = again.push().await.unwrap().0;
    if came.is_empty() {
        // Pilot has read the file only now.
        came = again.push().await.unwrap().0;
    }
    assert_eq!(came, [(Kind::Index, "shop/other.shop".to_owned())]);
    pilot.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_began_it() {
    let pilot = Pilot::start().await;
    let token = client::token_for(&pilot.dir.path().join("token-key.pem"), ("web", "front"), "istio-ca", "2s");
    let mut client = Client::open(pilot.secure(), &token, &[Kind::Settings], &[]).await.unwrap();
    client.push().await.unwrap();
    let ended = client.push().await.unwrap_err();
    assert_eq!(
        (ended.code(), ended.message().contains("the token that began")),
        (Code::Unauthenticated, true),
        "{ended}"
    );
    pilot.stop().await;
}

#[tokio::test]
async fn who_cannot_prove_the_claim_is_refused() {
    let pilot = Pilot::start().await;
    let stranger = tempfile::tempdir().unwrap();
    app::make_token_key(stranger.path()).unwrap();
    let foreign = token(&stranger.path().join("token-key.pem"), "web", "front", "istio-ca");
    for wrong in [foreign, pilot.token("web", "front", "somebody-else"), "nonsense".to_owned()] {
        for channel in [pilot.plain(), pilot.secure()] {
            let refused = Client::open(channel, &wrong, &[Kind::Settings], &[]).await.err().expect("refused");
            assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        }
    }
    // A good token, of another namespace than the node says to be in.
    let other = pilot.token("bank", "front", "istio-ca");
    let mut client = Client::open(pilot.plain(), &other, &[Kind::Settings], &[]).await.unwrap();
    let refused = client.push().await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("\"web\"") && refused.message().contains("\"bank\""), "{refused}");
    pilot.stop().await;
}

#[tokio::test]
async fn operators_see_clients_and_what_they_hold() {
    let pilot = Pilot::start().await;
    let token = pilot.token("web", "front", "istio-ca");
    let mut client = Client::open(pilot.plain(), &token, &[Kind::Settings], &[]).await.unwrap();
    client.push().await.unwrap();

    // From this machine without proof; over the encrypted port only from the root namespace.
    let mut local = DebugClient::new(pilot.plain());
    let read = |json: String| serde_json::from_str::<serde_json::Value>(&json).unwrap();
    let deadline = clock::now() + PATIENCE;
    loop {
        let clients = read(local.clients(ClientsRequest {}).await.unwrap().into_inner().json);
        assert_eq!((&clients[0]["proxy"], &clients[0]["namespace"]), (&"front-1.web".into(), &"web".into()));
        // The answer is on its way.
        if clients[0]["kinds"]["Settings"]["status"] == "synced" {
            assert_eq!(clients[0]["kinds"]["Gateway"]["status"], "not sent");
            break;
        }
        assert!(clock::now() < deadline, "{clients:#}");
        tokio::task::yield_now().await;
    }
    let config = local.config(ConfigRequest { proxy: "front-1.web".into() }).await.unwrap();
    let config = read(config.into_inner().json);
    assert_eq!((&config["parts"][0]["kind"], &config["parts"][0]["stale"]), (&"Settings".into(), &false.into()));
    assert!(config["parts"][0]["wire"].is_string());
    let none = local.config(ConfigRequest { proxy: "nobody.web".into() }).await.unwrap_err();
    assert_eq!(none.code(), Code::NotFound);

    let asked = async |namespace: &str| {
        let mut call = Request::new(ClientsRequest {});
        let token = pilot.token(namespace, "operator", "istio-ca");
        call.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        DebugClient::new(pilot.secure()).clients(call).await.map(drop).map_err(|status| status.code())
    };
    assert_eq!((asked("istio-system").await, asked("web").await), (Ok(()), Err(Code::PermissionDenied)));
    let said = read(local.authority(AuthorityRequest {}).await.unwrap().into_inner().json);
    let (signs, told) = (&said["certificates"][0], &said["told"][0]);
    assert_eq!((&signs["role"], &signs["sha256"], &signs["life"]), (&"root".into(), told, &0.into()));
    assert_eq!((&said["clients"], &said["rotation"]), (&1.into(), &serde_json::Value::Null));
    drop(client);
    pilot.stop().await;
}

#[tokio::test]
async fn a_client_that_wants_envoys_resources_is_told_why_it_gets_none() {
    let pilot = Pilot::start().await;
    let (requests, out) = mpsc::channel(1);
    let request = DeltaDiscoveryRequest {
        node: Some(Node { id: "sidecar~127.0.2.1~front-1.web~web.svc".into(), ..Node::default() }),
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".into(),
        ..Default::default()
    };
    requests.send(request).await.unwrap();
    let mut call = Request::new(ReceiverStream::new(out));
    let token = pilot.token("web", "front", "istio-ca");
    call.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let mut client = AggregatedDiscoveryServiceClient::new(pilot.secure());
    let mut responses = client.delta_aggregated_resources(call).await.unwrap().into_inner();
    let refused = responses.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("not type.googleapis.com/envoy.config.cluster.v3.Cluster"), "{refused}");
    pilot.stop().await;
}
