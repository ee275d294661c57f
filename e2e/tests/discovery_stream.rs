//! Both ends of discovery over TLS: a proxy's follower through the absence of pilot, and through its own restart.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_config::{
    kind::Role,
    model::{Kind, Part},
};
use mesh_pilot::{
    app::{self, Addresses, App},
    settings::{Cli, Command as PilotCommand},
};
use mesh_proxy::discovery::{self, Command, Ends, NodeFacts, Push, Settings, Status};
use mesh_runtime::{
    drain, ready,
    telemetry::log::{self, Format, LogHandle},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

const PATIENCE: Duration = Duration::from_secs(30);

const CART: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec: {hosts: [cart.shop], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}],
       endpoints: [{address: 127.0.1.1}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: front-1, namespace: web}
spec: {address: 127.0.0.1, serviceAccount: front}
";

fn log() -> LogHandle {
    static LOG: OnceLock<LogHandle> = OnceLock::new();
    LOG.get_or_init(|| log::init(Format::Text, "error").expect("the first time")).clone()
}

/// A directory in which everything lives.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Home(tempfile::tempdir().unwrap());
        app::make_token_key(home.0.path()).unwrap();
        std::fs::create_dir(home.path("config")).unwrap();
        home.write(CART);
        let key = home.path("token-key.pem").display().to_string();
        let line = ["pilot", "token", "--key", &key, "--namespace", "web", "--service-account", "front"];
        let PilotCommand::Token(args) = Cli::of(line).unwrap().command else { panic!("token") };
        std::fs::write(home.path("token"), app::make_token(&args).unwrap()).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.0.path()).join(name)
    }

    fn write(&self, objects: &str) {
        std::fs::write(self.path("config/mesh.yaml"), objects).unwrap();
    }
}

struct Pilot {
    addresses: Addresses,
    signal: drain::Signal,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Pilot {
    async fn start(home: &Home, xds: &str) -> Self {
        let path = |name: &str| home.path(name).display().to_string();
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
            xds,
            "--plaintext-xds-address",
            "off",
            "--monitoring-address",
            "127.0.0.1:0",
        ];
        let PilotCommand::Discovery(settings) = Cli::of(line).unwrap().command else { panic!("pilot") };
        let (signal, watch) = drain::channel();
        let app = App::build(*settings, watch).await.unwrap();
        Pilot { addresses: app.addresses(), signal, task: tokio::spawn(app.run(log())) }
    }

    async fn stop(self) {
        self.signal.drain(PATIENCE).await;
        self.task.await.unwrap().unwrap();
    }
}

/// A proxy's follower, and the parts that it has put in force.
struct Proxy {
    parts: Arc<Mutex<BTreeMap<(Kind, String), Part>>>,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    ready: ready::Ready,
    signal: drain::Signal,
    task: JoinHandle<()>,
}

impl Proxy {
    fn start(home: &Home, address: &str) -> Self {
        let parts: Arc<Mutex<BTreeMap<(Kind, String), Part>>> = Arc::default();
        let (commands, wanted) = mpsc::channel(8);
        let (status, seen) = watch::channel(Status::default());
        let (signal, drain) = drain::channel();
        let ready = ready::Ready::new();
        let held = parts.clone();
        let mut guard = Some(ready.register("configuration"));
        let sink = move |push: Push| {
            drop(guard.take());
            let mut parts = held.lock().unwrap();
            for (kind, name) in push.changes.removed {
                parts.remove(&(kind, name.to_string()));
            }
            parts.extend(push.changes.upserts.into_iter().map(|part| ((part.kind(), part.name().to_string()), part)));
            Vec::new()
        };
        let node = NodeFacts {
            id: "sidecar~127.0.0.1~front-1.web~web.svc.cluster.local".into(),
            role: Role::Sidecar,
            name: "front-1".into(),
            namespace: "web".into(),
            service_account: "front".into(),
            cluster: "Kubernetes".into(),
            addresses: vec!["127.0.0.1".parse().unwrap()],
        };
        let settings = Settings {
            node,
            address: address.into(),
            server_name: "istiod.istio-system.svc".into(),
            root_cert: home.path("ca/root-cert.pem"),
            token: home.path("token"),
            state_dir: Some(home.path("state")),
        };
        let ends = Ends { commands: wanted, sink, identity: None, status, drain };
        Proxy { parts, commands, status: seen, ready, signal, task: tokio::spawn(discovery::run(settings, ends)) }
    }

    fn has(&self, kind: Kind, name: &str) -> bool {
        self.parts.lock().unwrap().contains_key(&(kind, name.to_owned()))
    }

    /// Waits until the status, and then what was put in force, is as wanted.
    async fn until(&mut self, what: &str, mut wanted: impl FnMut(&Self) -> bool) {
        let waited = async {
            while !wanted(self) {
                self.status.changed().await.expect("the follower lives");
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("{what}"));
    }

    async fn stop(self) {
        drop(self.signal);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_proxy_serves_what_it_has_while_pilot_is_away_and_catches_up_afterwards() {
    let home = Home::new();
    let pilot = Pilot::start(&home, "127.0.0.1:0").await;
    let address = pilot.addresses.xds.to_string();
    let mut proxy = Proxy::start(&home, &address);
    assert!(!proxy.ready.is_ready());
    proxy.until("a first push", |p| p.has(Kind::Index, "shop/cart.shop")).await;
    assert!(proxy.ready.is_ready());
    proxy.commands.send(Command::NeedService("shop/cart.shop".parse().unwrap())).await.unwrap();
    proxy.until("the service", |p| p.has(Kind::Service, "shop/cart.shop")).await;

    // Away: everything stays. Back at the same address, with another mesh: only that changes.
    pilot.stop().await;
    proxy.until("to notice", |p| !p.status.borrow().connected).await;
    assert!(proxy.has(Kind::Service, "shop/cart.shop"));
    home.write(&CART.replace("127.0.1.1", "127.0.1.2"));
    let pilot = Pilot::start(&home, &address).await;
    let moved = |p: &Proxy| {
        let parts = p.parts.lock().unwrap();
        let endpoints: Vec<&String> = parts.keys().filter(|k| k.0 == Kind::Endpoint).map(|k| &k.1).collect();
        endpoints.len() == 1 && endpoints[0].contains("127.0.1.2")
    };
    proxy.until("the moved endpoint", moved).await;

    // A restart of the proxy while pilot is away.
    let parts = proxy.parts.lock().unwrap().clone();
    proxy.stop().await;
    pilot.stop().await;
    let mut proxy = Proxy::start(&home, &address);
    proxy.until("a failed attempt", |p| p.status.borrow().error.is_some()).await;
    assert!(proxy.ready.is_ready());
    assert_eq!(*proxy.parts.lock().unwrap(), parts);
    proxy.stop().await;
}
