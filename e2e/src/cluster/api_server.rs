//! An API server with its etcd, on loopback: enough for whatever depends on definitions, validation, admission and
//! storage of objects alone. No nodes, no controllers.
//!
//! All that it writes is in one folder, which is removed at its end; one that a killed run left is removed by the next.

use super::{
    certificates::{Authority, Pair},
    client::Client,
    control_plane::{Place, Services},
    document, handle,
    process::Component,
};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use tokio::net::TcpStream;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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

        let services = Services { range: "10.96.0.0/16".to_owned(), first: IpAddr::from([10, 96, 0, 1]) };
        let place = Place { folder: folder.path(), etcd: clients, peers, secure, services: &services };
        let mut etcd = Component::start(programs, "etcd", &place.etcd_args(), folder.path())?;
        etcd.ready(|| async { Ok(TcpStream::connect(clients).await?) }).await?;

        place.write_credentials(&authority)?;
        let mut server = Component::start(programs, "kube-apiserver", &place.lone_server_args(), folder.path())?;
        let root = authority.root();
        server.ready(|| async { Client::open(secure, &root, &admin).await?.ready().await }).await?;

        place.write_kubeconfig("kubeconfig", &authority, &admin)?;
        Ok(ApiServer { address: secure, root, admin, _server: server, _etcd: etcd, folder })
    }

    /// One of the programs of this checkout.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn here() -> Result<Self> {
        let built = handle::built();
        Self::start(&built.join("bin"), &built.join("runs")).await
    }

    /// The same, which knows the kinds of our charts.
    ///
    /// # Errors
    /// As [`Self::start`]; when it does not take a definition.
    pub async fn with_our_kinds() -> Result<Self> {
        let server = Self::here().await?;
        server.client().await?.define(&document::our_kinds()?).await?;
        Ok(server)
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
