//! The certificate authority of pilots at a real API server: one root for all, tokens that the server reviews, roots in
//! every namespace.

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use mesh_e2e::cluster::{
    api_server::ApiServer,
    client::{Client, Unknown},
};
use mesh_pilot::{
    app::{Addresses, App},
    settings::{Cli, Command},
};
use mesh_runtime::{
    clock::{self, WallClock},
    drain,
    identity::client::{Authority, CaClient, CaError},
    snapshot::Reader,
    telemetry::log::{self, Format, LogHandle},
    tls::material::{CaBundle, Identity},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::task::JoinHandle;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "istiod.istio-system.svc";

fn log() -> LogHandle {
    static LOG: OnceLock<LogHandle> = OnceLock::new();
    LOG.get_or_init(|| log::init(Format::Text, "info").expect("once")).clone()
}

/// A cluster without nodes, and a folder for tokens.
struct Cluster {
    server: ApiServer,
    client: Client,
    dir: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let server = ApiServer::with_our_kinds().await?;
        let client = server.client().await?;
        Ok(Cluster { server, client, dir: tempfile::tempdir()? })
    }

    async fn make(&mut self, object: Value) -> Result<()> {
        let made = self.client.create(&object, Unknown::Refuse, false).await?;
        made.map(drop).map_err(|refusal| anyhow::anyhow!("{object} is refused: {}", refusal.message))
    }

    async fn namespace(&mut self, name: &str) -> Result<()> {
        self.make(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await
    }

    async fn account(&mut self, namespace: &str, name: &str) -> Result<()> {
        let metadata = json!({"name": name, "namespace": namespace});
        self.make(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})).await
    }

    async fn pod(&mut self, namespace: &str, name: &str, account: &str, address: &str) -> Result<()> {
        let metadata = json!({"name": name, "namespace": namespace, "labels": {"app": name}});
        let spec = json!({"serviceAccountName": account, "containers": [{"name": "app", "image": "none"}]});
        self.make(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})).await?;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        let mut pod = self.get(path.trim_end_matches("/status")).await?;
        pod["status"] = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}]});
        self.call(Method::PUT, &path, Some(&pod)).await.map(drop)
    }

    async fn get(&mut self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    async fn call(&mut self, method: Method, path: &str, content: Option<&Value>) -> Result<Value> {
        let (status, said) = self.client.call(method.clone(), path, content).await?;
        ensure!(status.is_success(), "{method} {path}: {status}: {said}");
        Ok(said)
    }

    /// A file with a token of an account, bound to a pod where one is named.
    async fn token(&mut self, namespace: &str, account: &str, audience: &str, pod: Option<&str>) -> Result<PathBuf> {
        let bound = pod.map(|name| json!({"kind": "Pod", "apiVersion": "v1", "name": name}));
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 3600, "boundObjectRef": bound},
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let said = self.call(Method::POST, &path, Some(&request)).await?;
        let file = self.dir.path().join(format!("{namespace}-{account}-{audience}-{}", pod.unwrap_or("none")));
        std::fs::write(&file, said["status"]["token"].as_str().context("a token")?)?;
        Ok(file)
    }

    /// The roots that a namespace is told, once there are such.
    async fn roots(&mut self, namespace: &str, want: impl Fn(&Value) -> bool) -> Result<Value> {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/istio-ca-root-cert");
        let end = clock::now() + PATIENCE;
        loop {
            let (_, said) = self.client.call(Method::GET, &path, None).await?;
            if want(&said) {
                return Ok(said);
            }
            ensure!(clock::now() < end, "ConfigMap of {namespace}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

struct Pilot {
    addresses: Addresses,
    signal: Option<drain::Signal>,
    task: JoinHandle<Result<()>>,
}

impl Pilot {
    async fn start(kubeconfig: PathBuf, name: &str) -> Result<Pilot> {
        let kubeconfig = kubeconfig.display().to_string();
        let any = "127.0.0.1:0";
        let line = ["pilot", "discovery", "--kubeconfig", &kubeconfig, "--pod-name", name, "--xds-address", any];
        let rest = ["--plaintext-xds-address", "off", "--monitoring-address", any];
        let Ok(Command::Discovery(settings)) = Cli::of(line.into_iter().chain(rest)).map(|cli| cli.command) else {
            bail!("the command line is not read")
        };
        let (signal, drain) = drain::channel();
        let app = App::build(*settings, drain).await?;
        Ok(Pilot { addresses: app.addresses(), signal: Some(signal), task: tokio::spawn(app.run(log())) })
    }

    async fn stop(mut self) -> Result<()> {
        if let Some(signal) = self.signal.take() {
            signal.drain(PATIENCE).await;
        }
        self.task.await?
    }

    /// A certificate by this token, or by the one before.
    async fn certify(&self, roots: &str, token: Option<&Path>, shown: Option<&Identity>) -> Result<Identity, CaError> {
        let client = CaClient {
            address: self.addresses.xds.to_string().into(),
            authority: Authority::Host(NAME.into()),
            roots: Reader::fixed(Arc::new(CaBundle::from_pem(roots.as_bytes()).expect("roots"))),
            root_file: None,
            token: token.map(Path::to_owned),
            lifetime: Duration::from_secs(3600),
            timeout: PATIENCE,
            wall: WallClock::system(),
        };
        client.create(shown.cloned().map(Arc::new)).await
    }
}

fn code(refused: Result<Identity, CaError>) -> Option<(Code, String)> {
    match refused {
        Err(CaError::Refused { code, message, .. }) => Some((code, message)),
        Ok(_) | Err(_) => None,
    }
}

#[tokio::test]
async fn two_pilots_sign_with_one_root_and_keep_it_in_every_namespace() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let config = cluster.server.kubeconfig();
    let (one, other) = tokio::try_join!(Pilot::start(config.clone(), "one"), Pilot::start(config, "other"))?;

    let map = cluster.roots("default", |map| map["data"]["root-cert.pem"].is_string()).await?;
    let roots = map["data"]["root-cert.pem"].as_str().context("text")?.to_owned();
    ensure!(map["metadata"]["labels"]["istio.io/config"] == "true", "{map}");
    let is_right = |map: &Value| map["data"]["root-cert.pem"] == *roots;
    cluster.roots("kube-system", is_right).await?;
    let path = "/api/v1/namespaces/kube-public/configmaps/istio-ca-root-cert";
    let (status, _) = cluster.client.call(Method::GET, path, None).await?;
    ensure!(status == 404, "kube-public is left out");

    // New, deleted, edited.
    cluster.namespace("shop").await?;
    cluster.roots("shop", is_right).await?;
    let path = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert";
    cluster.call(Method::DELETE, path, None).await?;
    let mut edited = cluster.roots("shop", is_right).await?;
    edited["data"] = json!({"root-cert.pem": "somebody else's", "more": "stays"});
    cluster.call(Method::PUT, path, Some(&edited)).await?;
    let mended = cluster.roots("shop", is_right).await?;
    ensure!(mended["data"]["more"] == "stays", "{mended}");

    // Either signs for what the other has signed.
    cluster.account("shop", "cart").await?;
    let token = cluster.token("shop", "cart", "istio-ca", None).await?;
    let first = one.certify(&roots, Some(&token), None).await?;
    ensure!(first.material.identity.to_string() == "spiffe://cluster.local/ns/shop/sa/cart");
    let second = other.certify(&roots, None, Some(&first)).await?;
    ensure!(second.material.identity == first.material.identity);

    // Who leads is drained: the other puts right what is edited then.
    let lease =
        cluster.get("/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/ferromesh-trust-bundle").await?;
    let (leader, next) = match lease["spec"]["holderIdentity"].as_str() {
        Some("one") => (one, other),
        Some("other") => (other, one),
        _ => bail!("who leads? {lease}"),
    };
    leader.stop().await?;
    cluster.call(Method::DELETE, path, None).await?;
    let begun = clock::now();
    cluster.roots("shop", is_right).await?;
    ensure!(clock::since(begun) < Duration::from_secs(10), "handed over at once: {:?}", clock::since(begun));
    next.stop().await
}

#[tokio::test]
async fn a_certificate_is_for_whom_the_api_server_knows_alone() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let pilot = Pilot::start(cluster.server.kubeconfig(), "pilot").await?;
    let map = cluster.roots("default", |map| map["data"]["root-cert.pem"].is_string()).await?;
    let roots = map["data"]["root-cert.pem"].as_str().context("text")?.to_owned();

    cluster.namespace("shop").await?;
    cluster.account("shop", "cart").await?;
    cluster.pod("shop", "cart-1", "cart", "10.0.0.1").await?;
    let good = cluster.token("shop", "cart", "istio-ca", Some("cart-1")).await?;
    let held = pilot.certify(&roots, Some(&good), None).await?;
    let other = cluster.token("shop", "cart", "vault", Some("cart-1")).await?;
    let refused = code(pilot.certify(&roots, Some(&other), None).await);
    ensure!(matches!(&refused, Some((Code::Unauthenticated, why)) if why.contains("audience")), "{refused:?}");

    let late = cluster.token("shop", "cart", "istio-ca", None).await?;
    let end = clock::now() + PATIENCE;
    cluster.call(Method::DELETE, "/api/v1/namespaces/shop/pods/cart-1?gracePeriodSeconds=0", None).await?;
    // Until the pilot, and the API server, have forgotten that it was good.
    let refused = loop {
        match pilot.certify(&roots, Some(&good), None).await {
            Ok(_) => ensure!(clock::now() < end, "the token of a pod that is gone is good"),
            refused => break code(refused),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    ensure!(matches!(&refused, Some((Code::Unauthenticated, _))), "{refused:?}");
    let invented = cluster.dir.path().join("invented");
    std::fs::write(&invented, std::fs::read_to_string(&late)?.replace('.', ".A"))?;
    let refused = code(pilot.certify(&roots, Some(&invented), None).await);
    ensure!(matches!(&refused, Some((Code::Unauthenticated, _))), "{refused:?}");

    // Without the API server, who has a certificate is served, and who has a token is to try again.
    let Cluster { server, dir, .. } = cluster;
    drop(server);
    pilot.certify(&roots, None, Some(&held)).await?;
    let refused = code(pilot.certify(&roots, Some(&late), None).await);
    ensure!(matches!(&refused, Some((Code::Unavailable, _))), "{refused:?}");
    drop(dir);
    pilot.stop().await
}
