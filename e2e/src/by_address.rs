//! An application whose connections are captured calls a workload by its address, which no service has: two sidecars as
//! processes, pilot beside the second.

use crate::{
    client::Call,
    mesh::credentials,
    namespace::{
        Inside, PROXY_GROUP, Pair, SERVER, peer,
        processes::{Folder, Sidecar, ask, kill, ready, workload},
    },
    until,
    workload::{App, Kind},
};
use anyhow::{Context, ensure};
use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Child,
};

/// Requests: a port that services elsewhere declare so.
const HTTP: u16 = 8080;
const ECHO: u16 = 9000;
/// A port of a headless service, whose target port is another.
const HEADLESS: u16 = 9002;

/// The workload that is called, and somebody whom no object mentions.
fn callee(port: u16) -> SocketAddr {
    (peer(6), port).into()
}

fn stranger() -> SocketAddr {
    (peer(5), ECHO).into()
}

/// See the module. Fields are dropped in this order: processes, threads, namespaces.
pub struct Place {
    pilot: Option<Child>,
    _sidecars: Vec<Child>,
    _apps: Vec<App>,
    inside: Inside,
    outside: Inside,
    dir: tempfile::TempDir,
    _pair: Pair,
}

impl Place {
    /// Everything, ready.
    ///
    /// # Errors
    /// What the system does not allow.
    pub async fn prepare() -> anyhow::Result<Place> {
        let pair = Pair::create()?;
        let (inside, outside) = (Inside::start(&pair.server)?, Inside::start(&pair.peers)?);
        let dir = tempfile::Builder::new().prefix("ferromesh-").tempdir()?;
        fs::create_dir(dir.path().join("objects"))?;
        credentials(dir.path(), BTreeSet::from(["client", "one"]));
        let mut apps = Vec::new();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let echoes = [local(ECHO), local(HEADLESS), stranger()].map(|at| (Kind::Echo, at));
        for (kind, at) in [(Kind::Http1, local(HTTP))].into_iter().chain(echoes) {
            apps.push(outside.run(async move { App::start(kind, "one", at).await }).await);
        }
        let folder = Folder { path: dir.path(), pilot: peer(1).into() };
        folder.write(&objects("one"));
        let pilot = folder.pilot(&pair.peers, &outside).await?;
        let client = Sidecar { name: "client", address: SERVER.into(), group: PROXY_GROUP };
        let one = Sidecar { name: "one", address: peer(6).into(), group: 0 };
        let sidecars = vec![folder.sidecar(&pair.server, &client)?, folder.sidecar(&pair.peers, &one)?];
        let place = Place { pilot: Some(pilot), _sidecars: sidecars, _apps: apps, inside, outside, dir, _pair: pair };
        for address in [SERVER, peer(6)] {
            ready(&place.outside, (address, 15021).into(), "/healthz/ready").await;
        }
        Ok(place)
    }

    /// The objects; the workload at the address has this account.
    pub fn write_objects(&self, account: &str) {
        Folder { path: self.dir.path(), pilot: peer(1).into() }.write(&objects(account));
    }

    /// Ends pilot as a crash would.
    pub async fn stop_pilot(&mut self) {
        kill(self.pilot.take()).await;
    }

    /// The head of the application's request, as it came to the workload.
    ///
    /// # Errors
    /// When it is not answered with 200.
    pub async fn get(&self) -> anyhow::Result<String> {
        get(&self.inside).await
    }

    /// The same of somebody who has no sidecar.
    ///
    /// # Errors
    /// As [`Place::get`].
    pub async fn get_past_the_sidecars(&self) -> anyhow::Result<String> {
        get(&self.outside).await
    }

    /// Waits until the application's request is refused; as what.
    pub async fn refused(&self) -> String {
        until("the request is refused", || async {
            match self.get().await {
                Err(error) => Ok(format!("{error:#}")),
                Ok(said) => Err(said),
            }
        })
        .await
    }

    /// Waits until the application's request is answered.
    pub async fn answered(&self) -> String {
        until("the request is answered", || self.get()).await
    }

    /// What the workload sends back of the application's `hello`.
    ///
    /// # Errors
    /// When the connection is not carried.
    pub async fn echo(&self) -> anyhow::Result<String> {
        self.inside.run(echo(callee(ECHO))).await
    }

    /// The same at a port of a headless service that the workload is of.
    ///
    /// # Errors
    /// As [`Place::echo`].
    pub async fn echo_of_a_headless_service(&self) -> anyhow::Result<String> {
        self.inside.run(echo(callee(HEADLESS))).await
    }

    /// The same of somebody whom no object mentions.
    ///
    /// # Errors
    /// As [`Place::echo`].
    pub async fn echo_of_a_stranger(&self) -> anyhow::Result<String> {
        self.inside.run(echo(stranger())).await
    }

    /// Metrics of the application's sidecar, as Prometheus reads them.
    pub async fn metrics(&self) -> String {
        let page = ask(&self.outside, (SERVER, 15090).into(), "/stats/prometheus").await;
        page.map(|(_, body)| body).unwrap_or_default()
    }
}

async fn get(from: &Inside) -> anyhow::Result<String> {
    let to = callee(HTTP);
    let reply = from.run(async move { Call::get(&to.to_string(), "/").send(to).await }).await?;
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.body);
    Ok(reply.body)
}

async fn echo(to: SocketAddr) -> anyhow::Result<String> {
    let speak = async move {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(b"hello").await?;
        let mut said = [0; 5];
        stream.read_exact(&mut said).await.context("nothing comes back")?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(20), speak).await.context("no answer")?
}

fn objects(account: &str) -> String {
    let client = workload("client", SERVER.into(), "client");
    [OBJECTS.to_owned(), client, workload("one", peer(6).into(), account)].concat()
}

/// Mutual TLS alone, a service elsewhere that makes a port one for requests, and a headless one.
const OBJECTS: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: test}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: elsewhere, namespace: test}
spec:
  hosts: [elsewhere.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  endpoints: [{address: 10.77.0.9}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: one, namespace: test}
spec:
  workloadSelector: {labels: {app: one}}
  ingress:
  - {port: {number: 8080, name: http, protocol: HTTP}, bind: 10.77.0.6, captureMode: NONE, defaultEndpoint: '127.0.0.1:8080'}
  - {port: {number: 9000, name: tcp, protocol: TCP}, bind: 10.77.0.6, captureMode: NONE, defaultEndpoint: '127.0.0.1:9000'}
  - {port: {number: 9002, name: tcp-2, protocol: TCP}, bind: 10.77.0.6, captureMode: NONE, defaultEndpoint: '127.0.0.1:9002'}
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: test}
spec: {clusterIP: None, selector: {app: one}, ports: [{name: tcp, port: 9002, targetPort: 9003}]}
";
