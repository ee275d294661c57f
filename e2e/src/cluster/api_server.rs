//! An API server with its etcd, on loopback: enough for whatever depends on definitions, validation, admission and
//! storage of objects alone. No nodes, no controllers.
//!
//! All that it writes is in one folder, which is removed at its end; one that a killed run left is removed by the next.

use super::{
    certificates::{Authority, Pair},
    client::Client,
    process::Component,
};
use anyhow::{Context, Result};
use rcgen::KeyPair;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use tokio::net::TcpStream;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Addresses of Services; the first one is the API server's own.
const SERVICES: &str = "10.96.0.0/16";
const FIRST_SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// A running API server. Its processes end and its folder goes with it.
pub struct ApiServer {
    address: SocketAddr,
    root: String,
    admin: Pair,
    // Ends before etcd, which it would otherwise complain about; the folder goes last.
    _server: Component,
    _etcd: Component,
    folder: TempDir,
}

impl ApiServer {
    /// Starts one from the programs of a folder; a folder of its own is made in `runs`.
    ///
    /// # Errors
    /// When a program is not there, or does not become ready.
    pub async fn start(programs: &Path, runs: &Path) -> Result<Self> {
        let folder = folder_in(runs)?;
        let authority = Authority::new()?;
        let admin = authority.user("admin", &["system:masters"])?;
        let [clients, peers, secure] = free_ports()?;

        let mut etcd = Component::start(programs, "etcd", &etcd_args(folder.path(), clients, peers), folder.path())?;
        etcd.ready(|| async { Ok(TcpStream::connect(clients).await?) }).await?;

        write_credentials(folder.path(), &authority, secure)?;
        let args = server_args(folder.path(), clients, secure);
        let mut server = Component::start(programs, "kube-apiserver", &args, folder.path())?;
        let root = authority.root();
        server.ready(|| async { Client::open(secure, &root, &admin).await?.ready().await }).await?;

        fs::write(folder.path().join("kubeconfig"), kubeconfig(secure, &root, &admin)?)?;
        Ok(ApiServer { address: secure, root, admin, _server: server, _etcd: etcd, folder })
    }

    /// A connection of its administrator.
    ///
    /// # Errors
    /// When there is none.
    pub async fn client(&self) -> Result<Client> {
        Client::open(self.address, &self.root, &self.admin).await
    }

    /// The file that `kubectl --kubeconfig` wants.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }
}

fn etcd_args(folder: &Path, clients: SocketAddr, peers: SocketAddr) -> Vec<String> {
    vec![
        "--name=tests".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls=http://{clients}"),
        format!("--advertise-client-urls=http://{clients}"),
        format!("--listen-peer-urls=http://{peers}"),
        format!("--initial-advertise-peer-urls=http://{peers}"),
        format!("--initial-cluster=tests=http://{peers}"),
        // Nothing here is wanted after a crash.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn server_args(folder: &Path, etcd: SocketAddr, secure: SocketAddr) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    vec![
        format!("--etcd-servers=http://{etcd}"),
        format!("--bind-address={}", secure.ip()),
        format!("--secure-port={}", secure.port()),
        // No Service leads to it, so it needs no address that pods could reach.
        format!("--advertise-address={}", secure.ip()),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("client-ca-file", "root.crt"),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        file("service-account-key-file", "accounts.pub"),
        file("service-account-signing-key-file", "accounts.key"),
        "--authorization-mode=RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        // Objects of any namespace may be written without making it first, and pods without a controller of accounts.
        "--disable-admission-plugins=NamespaceLifecycle,ServiceAccount".to_owned(),
    ]
}

fn write_credentials(folder: &Path, authority: &Authority, secure: SocketAddr) -> Result<()> {
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let server = authority.server("kube-apiserver", &[secure.ip(), FIRST_SERVICE], &names)?;
    let accounts = KeyPair::generate()?;
    let files = [
        ("root.crt", authority.root()),
        ("server.crt", server.certificate),
        ("server.key", server.key),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn kubeconfig(server: SocketAddr, root: &str, user: &Pair) -> Result<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let said = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "tests",
            "cluster": {"server": format!("https://{server}"), "certificate-authority-data": STANDARD.encode(root)},
        }],
        "users": [{
            "name": "admin",
            "user": {
                "client-certificate-data": STANDARD.encode(&user.certificate),
                "client-key-data": STANDARD.encode(&user.key),
            },
        }],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
        "current-context": "tests",
    });
    Ok(serde_json::to_string_pretty(&said)?)
}

/// Ports that are free now; held together while they are chosen, so that they differ.
fn free_ports<const N: usize>() -> Result<[SocketAddr; N]> {
    let held: Vec<_> = (0..N).map(|_| TcpListener::bind((LOOPBACK, 0))).collect::<Result<_, _>>()?;
    let mut ports = [SocketAddr::new(LOOPBACK, 0); N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?;
    }
    Ok(ports)
}

/// A folder for a run, named by the process that runs it; what killed runs left is removed.
fn folder_in(runs: &Path) -> Result<TempDir> {
    fs::create_dir_all(runs).with_context(|| format!("cannot make {}", runs.display()))?;
    sweep(runs)?;
    Ok(tempfile::Builder::new().prefix(&format!("{}-", std::process::id())).tempdir_in(runs)?)
}

/// Removes what runs left that were killed.
fn sweep(runs: &Path) -> Result<()> {
    for entry in fs::read_dir(runs)? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
