//! Where it happens: two namespaces, pilot and the sidecar as processes of their own, the applications.

use crate::{
    mesh::{credentials, fqdn, issue},
    namespace::{
        Inside, PROXY_GROUP, Pair, SERVER, peer,
        processes::{Folder, Sidecar, ask, kill, workload},
    },
    until,
    workload::{App, Kind},
};
use anyhow::Context;
use mesh_config::identity::TrustDomain;
use mesh_runtime::{clock, tls::material::Identity};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{io::AsyncReadExt, net::TcpListener, process::Child, time::Instant};

/// Requests, declared.
pub(super) const HTTP: u16 = 8080;
/// Opaque bytes, declared.
pub(super) const ECHO: u16 = 9000;
/// Requests, on a port that no object mentions.
pub(super) const UNDECLARED: u16 = 7070;
/// A workload of the mesh that the application calls; it stands for a sidecar, and only looks at first bytes.
pub(super) fn partner() -> SocketAddr {
    (peer(4), 8081).into()
}
/// Somebody whom no object mentions.
pub(super) fn nobody() -> SocketAddr {
    (peer(5), 8082).into()
}

const CONFIGURATION: &str = "configuration.bin";

/// See the module. Fields are dropped in this order: processes, threads, namespaces.
pub(super) struct Place {
    proxy: Option<Child>,
    pilot: Option<Child>,
    /// The application's side.
    pub(super) inside: Inside,
    /// Everybody else's.
    pub(super) outside: Arc<Inside>,
    apps: Vec<App>,
    leaks: Arc<Mutex<Vec<String>>>,
    dir: tempfile::TempDir,
    pair: Pair,
}

impl Place {
    /// Everything but the sidecar.
    pub(super) async fn prepare() -> anyhow::Result<Place> {
        let pair = Pair::create()?;
        let (inside, outside) = (Inside::start(&pair.server)?, Arc::new(Inside::start(&pair.peers)?));
        let dir = tempfile::Builder::new().prefix("ferromesh-").tempdir()?;
        fs::create_dir(dir.path().join("objects"))?;
        credentials(dir.path(), BTreeSet::from(["server"]));
        let mut apps = Vec::new();
        for (port, kind) in [(HTTP, Kind::Http1), (ECHO, Kind::Echo), (UNDECLARED, Kind::Http1)] {
            apps.push(inside.run(async move { App::start(kind, "server", (SERVER, port).into()).await }).await);
        }
        let leaks = Arc::<Mutex<Vec<String>>>::default();
        outside.run(watch(partner(), leaks.clone(), is_tls)).await?;
        outside.run(watch(nobody(), leaks.clone(), |_| false)).await?;
        let mut place = Place { proxy: None, pilot: None, inside, outside, apps, leaks, dir, pair };
        place.write_objects(true);
        place.start_pilot().await?;
        Ok(place)
    }

    /// A certificate for an account of the mesh.
    pub(super) fn issue(&self, account: &str) -> Arc<Identity> {
        issue(&self.dir.path().join("ca"), TrustDomain::default(), account)
    }

    fn folder(&self) -> Folder<'_> {
        Folder { path: self.dir.path(), pilot: peer(1).into() }
    }

    /// The objects; `known`: with the server's workload.
    pub(super) fn write_objects(&self, known: bool) {
        self.folder().write(&objects(known));
    }

    pub(super) async fn start_pilot(&mut self) -> anyhow::Result<()> {
        self.pilot = Some(self.folder().pilot(&self.pair.peers, &self.outside).await?);
        Ok(())
    }

    pub(super) async fn stop_pilot(&mut self) {
        kill(self.pilot.take()).await;
    }

    pub(super) fn start_proxy(&mut self) -> anyhow::Result<()> {
        let sidecar = Sidecar { name: "server", address: SERVER.into(), group: PROXY_GROUP };
        self.proxy = Some(self.folder().sidecar(&self.pair.server, &sidecar)?);
        Ok(())
    }

    /// As a crash would.
    pub(super) async fn stop_proxy(&mut self) {
        kill(self.proxy.take()).await;
    }

    pub(super) async fn configuration_kept(&self) {
        let file = self.state().join(CONFIGURATION);
        until("configuration is kept", || async { file.exists().then_some(()).ok_or("not yet") }).await;
    }

    pub(super) fn forget_configuration(&self) {
        let _ = fs::remove_file(self.state().join(CONFIGURATION));
    }

    pub(super) fn forget_everything(&self) {
        let _ = fs::remove_dir_all(self.state());
    }

    /// Waits until the sidecar has received its first configuration, as its page says; when that was.
    pub(super) async fn configured(&self) -> Instant {
        until("configuration received", || async {
            let (_, pending) = self.readiness().await.ok_or("no page")?;
            if pending.lines().any(|what| what == "configuration") { Err("pending") } else { Ok(()) }
        })
        .await;
        clock::now()
    }

    pub(super) async fn pages_served(&self) {
        until("pages of the sidecar", || async { self.readiness().await.map(drop).ok_or("no page") }).await;
    }

    pub(super) async fn is_ready(&self) -> bool {
        self.readiness().await.is_some_and(|(status, _)| status == 200)
    }

    async fn readiness(&self) -> Option<(u16, String)> {
        ask(&self.outside, (SERVER, 15021).into(), "/healthz/ready").await
    }

    /// Ids that any application has seen.
    pub(super) fn served(&self) -> Vec<String> {
        self.apps.iter().flat_map(|app| app.seen.take().into_keys()).collect()
    }

    /// What the application's calls should not have done.
    pub(super) fn leaks(&self) -> Vec<String> {
        self.leaks.lock().expect("no holder panics").clone()
    }

    fn state(&self) -> PathBuf {
        self.folder().state("server")
    }
}

/// Listens, and remembers first bytes that are not as they should be, whole and with whence they came: what the
/// application said itself shows who sent it by what the sidecar adds.
async fn watch(at: SocketAddr, leaks: Arc<Mutex<Vec<String>>>, expected: fn(&[u8]) -> bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at}"))?;
    tokio::spawn(async move {
        while let Ok((mut stream, from)) = listener.accept().await {
            let leaks = leaks.clone();
            tokio::spawn(async move {
                let mut first = [0; 1024];
                let read = stream.read(&mut first).await.unwrap_or(0);
                if !expected(&first[..read]) {
                    let said = String::from_utf8_lossy(&first[..read]).into_owned();
                    leaks.lock().expect("no holder panics").push(format!("left for {at} from {from}: {said:?}"));
                }
            });
        }
    });
    Ok(())
}

/// A handshake, or nothing at all.
fn is_tls(first: &[u8]) -> bool {
    first.first().is_none_or(|byte| *byte == 0x16)
}

fn objects(known: bool) -> String {
    let mut text = OBJECTS.replace("SERVER", &fqdn("server")).replace("PARTNER", &fqdn("partner"));
    text.push_str(&workload("partner", partner().ip(), "partner"));
    if known {
        text.push_str(&workload("server", SERVER.into(), "server"));
    }
    text
}

/// Mutual TLS alone, and one caller alone; what is not known is not called.
const OBJECTS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: test}
spec: {selector: {matchLabels: {app: server}}, mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: one-caller, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  rules: [{from: [{source: {principals: [cluster.local/ns/test/sa/admitted]}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: server, namespace: test}
spec:
  hosts: [SERVER]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 8080, name: http, protocol: HTTP}
  - {number: 9000, name: tcp, protocol: TCP}
  workloadSelector: {labels: {app: server}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner, namespace: test}
spec:
  hosts: [PARTNER]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8081, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: partner}}
";
