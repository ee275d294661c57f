//! A mesh in one process: a directory of objects, pilot on it, a sidecar for each workload that has one, a gateway.
//!
//! Each mesh has a block of loopback addresses for itself (127.A.B.0/24, picked at random and held by a socket), so
//! that any number of meshes run beside each other and every listener has a fixed port. Applications listen on
//! 127.0.0.1 behind their sidecar; workloads without sidecar listen on their own address.

mod control;
mod identity;
mod objects;
mod plan;

pub(crate) use control::credentials;
pub use control::{Pilot, log_handle};
pub use identity::issue;
pub use plan::{AUTO, Beside, GATEWAY_PORT, GRPC, HTTP, HTTP2, Plan, Port, TCP, Workload};

use crate::{until, workload::App};
use mesh_config::kind::Role;
use mesh_proxy::{app::Proxy, settings::Settings};
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The namespace of all workloads.
pub const NAMESPACE: &str = "test";

/// See the module.
pub struct Mesh {
    plan: Plan,
    block: [u8; 2],
    apps: BTreeMap<(String, u16), App>,
    proxies: BTreeMap<String, Proxy>,
    pilot: Option<Pilot>,
    dir: tempfile::TempDir,
    /// Holds the block of addresses.
    _claim: TcpListener,
}

impl Mesh {
    /// Starts everything and waits until it is ready.
    pub async fn start(plan: Plan) -> Mesh {
        let (block, claim) = claim_block();
        let dir = tempfile::Builder::new().prefix("ferromesh-").tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("objects")).expect("a folder of objects");
        let mut mesh =
            Mesh { plan, block, apps: BTreeMap::new(), proxies: BTreeMap::new(), pilot: None, dir, _claim: claim };
        mesh.start_apps().await;
        let objects = objects::render(&mesh.plan, |w| mesh.ip(w), |w, p| mesh.app(w, p).address);
        mesh.write("mesh", &objects);
        control::credentials(mesh.dir.path(), mesh.plan.accounts());
        mesh.start_pilot().await;
        let names: Vec<String> = mesh.plan.proxies().map(str::to_owned).collect();
        for name in &names {
            mesh.spawn_proxy(name).await;
        }
        for name in &names {
            mesh.wait_ready(name).await;
        }
        mesh
    }

    // What is where.

    /// The address of a workload.
    pub fn ip(&self, workload: &str) -> IpAddr {
        let position = self.plan.position(workload).unwrap_or_else(|| panic!("there is no workload {workload}"));
        self.address(u8::try_from(position + 1).expect("few workloads"))
    }

    /// An address of this mesh that nothing has.
    pub fn spare_ip(&self, number: u8) -> IpAddr {
        self.address(150 + number)
    }

    fn address(&self, last: u8) -> IpAddr {
        Ipv4Addr::new(127, self.block[0], self.block[1], last).into()
    }

    /// Where a workload's sidecar takes its application's calls to services with this port.
    pub fn egress(&self, workload: &str, port: Port) -> SocketAddr {
        SocketAddr::new(self.ip(workload), port.number)
    }

    /// Where peers reach a workload's port.
    pub fn ingress(&self, workload: &str, port: Port) -> SocketAddr {
        SocketAddr::new(self.ip(workload), port.target())
    }

    /// Where clients reach the gateway.
    pub fn gateway(&self) -> SocketAddr {
        SocketAddr::new(self.ip("gateway"), GATEWAY_PORT)
    }

    /// A service's host with a port: as in a Host header.
    pub fn host(&self, service: &str, port: Port) -> String {
        format!("{}:{}", fqdn(service), port.number)
    }

    /// A workload's application.
    pub fn app(&self, workload: &str, port: Port) -> &App {
        let key = (workload.to_owned(), port.number);
        self.apps.get(&key).unwrap_or_else(|| panic!("{workload} serves nothing on {}", port.number))
    }

    /// A workload's proxy.
    pub fn proxy(&self, workload: &str) -> &Proxy {
        self.proxies.get(workload).unwrap_or_else(|| panic!("{workload} has no proxy"))
    }

    /// The folder that all of it works in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file that the access log of all proxies is written to, see [`Plan::access_log`].
    pub fn access_log(&self) -> PathBuf {
        self.dir.path().join("access.log")
    }

    // The objects.

    /// Writes a file of objects, whole or not at all.
    pub fn write(&self, name: &str, objects: &str) {
        let objects = self.plan.fill(objects, self.dir.path());
        let draft = self.dir.path().join(format!("{name}.draft"));
        fs::write(&draft, objects).expect("objects can be written");
        fs::rename(&draft, self.object_file(name)).expect("objects can be moved into place");
    }

    /// Removes a file of objects.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.object_file(name)).expect("the file of objects is there");
    }

    /// Writes the objects of the plan again, without these workloads.
    pub fn write_without(&self, gone: &[&str]) {
        let mut plan = self.plan.clone();
        plan.gone = gone.iter().map(|w| (*w).to_owned()).collect();
        let objects = objects::render(&plan, |w| self.ip(w), |w, p| self.app(w, p).address);
        self.write("mesh", &objects);
    }

    fn object_file(&self, name: &str) -> PathBuf {
        self.dir.path().join("objects").join(format!("{name}.yaml"))
    }

    // Its processes.

    /// Starts pilot where it was before.
    pub async fn start_pilot(&mut self) {
        let ip = self.address(250);
        self.pilot = Some(Pilot::start(self.dir.path(), ip, self.plan.certificate_ttl).await);
    }

    /// Ends pilot at once, connections and all.
    pub async fn kill_pilot(&mut self) {
        if let Some(pilot) = self.pilot.take() {
            pilot.kill().await;
        }
    }

    /// Starts a workload's proxy again and waits until it is ready.
    pub async fn start_proxy(&mut self, workload: &str) {
        self.spawn_proxy(workload).await;
        self.wait_ready(workload).await;
    }

    /// Ends a workload's proxy at once.
    pub async fn kill_proxy(&mut self, workload: &str) {
        let proxy = self.proxies.remove(workload).expect("the proxy runs");
        blocking(move || proxy.kill()).await;
    }

    /// Ends a workload's proxy as SIGTERM does; waits for the end.
    pub fn drain_proxy(&mut self, workload: &str) -> impl Future<Output = ()> + use<> {
        self.proxies.remove(workload).expect("the proxy runs").drain()
    }

    /// Ends an application and its connections.
    pub fn stop_app(&mut self, workload: &str, port: Port) {
        self.apps.remove(&(workload.to_owned(), port.number));
    }

    /// Waits until a workload's proxy is ready.
    pub async fn wait_ready(&self, workload: &str) {
        let proxy = self.proxy(workload);
        until(&format!("proxy of {workload} ready"), || async { if proxy.ready() { Ok(()) } else { Err("no") } }).await;
    }

    async fn start_apps(&mut self) {
        for workload in self.plan.workloads.clone() {
            for (port, kind) in &workload.serves {
                let address = match workload.beside {
                    Beside::Sidecar | Beside::Foreign => SocketAddr::from(([127, 0, 0, 1], 0)),
                    Beside::Nobody => SocketAddr::new(self.ip(&workload.name), port.target()),
                };
                let app = App::start(*kind, &workload.name, address).await;
                self.apps.insert((workload.name.clone(), port.number), app);
            }
        }
    }

    /// What a proxy of a workload, with this account and address, is started with.
    pub fn proxy_settings(&self, workload: &str, account: &str, role: Role, ip: IpAddr) -> Settings {
        control::proxy_settings(&control::ProxyPlan {
            dir: self.dir.path(),
            workload,
            account,
            role,
            ip,
            pilot: SocketAddr::new(self.address(250), control::XDS),
            ttl: self.plan.certificate_ttl,
            workers: self.plan.workers,
        })
    }

    async fn spawn_proxy(&mut self, workload: &str) {
        let role = if workload == "gateway" { Role::Gateway } else { Role::Sidecar };
        let account = self.plan.account(workload);
        let settings = self.proxy_settings(workload, account, role, self.ip(workload));
        let proxy = blocking(move || Proxy::start(settings)).await;
        self.proxies.insert(workload.to_owned(), proxy.unwrap_or_else(|e| panic!("proxy of {workload}: {e:#}")));
    }

    /// Metrics of a workload's proxy, as Prometheus reads them.
    pub async fn metrics(&self, workload: &str) -> String {
        let at = self.proxy(workload).addresses().metrics;
        let at: SocketAddr = at.expect("metrics are served");
        crate::client::Call::get("localhost", "/stats/prometheus").send(at).await.expect("metrics").body
    }

    /// Lines of the access log that hold `text`, once there are at least `least` of them.
    pub async fn log_lines(&self, text: &str, least: usize) -> Vec<String> {
        let path = self.access_log();
        until(&format!("{least} lines with {text}"), || async {
            let log = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<String> = log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
            if lines.len() >= least { Ok(lines) } else { Err(log) }
        })
        .await
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // Each waits for its threads: not on ours, which may be the one that they need.
        let (proxies, pilot) = (std::mem::take(&mut self.proxies), self.pilot.take());
        let end = std::thread::spawn(move || {
            proxies.into_values().for_each(Proxy::kill);
            drop(pilot);
        });
        let _ = end.join();
    }
}

/// A service's host.
pub fn fqdn(service: &str) -> String {
    format!("{service}.{NAMESPACE}.svc.cluster.local")
}

/// A Secret for these accounts of gateways; `data`: a key and a text in PEM each.
pub fn secret(name: &str, accounts: &str, data: &[(&str, &str)]) -> String {
    let mut object = format!(
        "---\napiVersion: v1\nkind: Secret\n\
         metadata: {{name: {name}, namespace: {NAMESPACE}, annotations: {{ferromesh.io/gateway-accounts: {accounts}}}}}\n\
         stringData:\n"
    );
    for (key, pem) in data {
        object.push_str(&format!("  {key}: |\n"));
        pem.lines().for_each(|line| object.push_str(&format!("    {line}\n")));
    }
    object
}

/// The SPIFFE identity of an account.
pub fn identity(account: &str) -> String {
    format!("spiffe://cluster.local/ns/{NAMESPACE}/sa/{account}")
}

/// A block that no other mesh on this machine has.
fn claim_block() -> ([u8; 2], TcpListener) {
    for _ in 0..1000 {
        // 127.0 and 127.1 are other people's habits.
        let block = [fastrand::u8(16..=250), fastrand::u8(..)];
        let address = SocketAddr::from(([127, block[0], block[1], 254], 15999));
        if let Ok(claim) = TcpListener::bind(address) {
            return (block, claim);
        }
    }
    panic!("no free block of loopback addresses");
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic")
}

/// How long a proxy under test still takes new connections after SIGTERM.
pub const DRAIN: Duration = Duration::from_millis(500);

/// Shared by tests that run calls beside each other.
pub type Shared = Arc<Mesh>;
