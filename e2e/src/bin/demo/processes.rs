//! The processes of the demo: pilot, a gateway and four sidecars, each as a user would start it, on addresses of
//! their own. All of them, and the folder they work in, go with this process.

use crate::apps::{self, App};
use anyhow::{Context, bail};
use mesh_runtime::clock;
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};

/// Where pilot listens.
const PILOT: &str = "127.0.11.250";

/// One proxy.
pub(crate) struct Proxy {
    /// The workload.
    pub(crate) name: &'static str,
    account: &'static str,
    /// Its address.
    pub(crate) ip: IpAddr,
    role: &'static str,
    child: Option<Child>,
}

/// Everything that runs.
pub(crate) struct Mesh {
    /// The folder of objects that pilot watches.
    pub(crate) objects: PathBuf,
    /// Gateway and sidecars.
    pub(crate) proxies: Vec<Proxy>,
    apps: BTreeMap<&'static str, JoinHandle<()>>,
    pilot: Option<Child>,
    dir: tempfile::TempDir,
    bin: PathBuf,
}

impl Mesh {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(examples: &Path) -> anyhow::Result<Self> {
        let bin = std::env::current_exe()?.parent().context("no folder of binaries")?.to_owned();
        let dir = tempfile::Builder::new().prefix("ferromesh-demo-").tempdir()?;
        let objects = dir.path().join("objects");
        let v6 = has_ipv6();
        copy_objects(examples, &objects, v6)?;
        let ratings: IpAddr = if v6 { "::1".parse()? } else { "127.0.11.5".parse()? };
        let proxy = |name, account, ip: &str, role| -> anyhow::Result<Proxy> {
            Ok(Proxy { name, account, ip: ip.parse()?, role, child: None })
        };
        let proxies = vec![
            proxy("gateway", "gateway", "127.0.11.1", "router")?,
            proxy("shop", "shop", "127.0.11.2", "sidecar")?,
            proxy("reviews-v1", "reviews", "127.0.11.3", "sidecar")?,
            proxy("reviews-v2", "reviews", "127.0.11.4", "sidecar")?,
            Proxy { name: "ratings", account: "ratings", ip: ratings, role: "sidecar", child: None },
        ];
        let mut mesh = Mesh { objects, proxies, apps: BTreeMap::new(), pilot: None, dir, bin };
        mesh.start_pilot().await?;
        mesh.start_apps().await?;
        for i in 0..mesh.proxies.len() {
            mesh.start_proxy(i)?;
        }
        for i in 0..mesh.proxies.len() {
            mesh.wait_for_proxy(i).await?;
        }
        Ok(mesh)
    }

    /// Address of a workload.
    pub(crate) fn ip(&self, name: &str) -> IpAddr {
        self.proxies.iter().find(|p| p.name == name).expect("a workload of the demo").ip
    }

    /// Where the sidecar of `name` takes its application's calls.
    pub(crate) fn egress(&self, name: &str) -> SocketAddr {
        SocketAddr::new(self.ip(name), 9080)
    }

    /// Folder of the binaries.
    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    /// What a proxy has written so far.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    /// Where a proxy writes.
    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.log"))
    }

    /// Stops an application and its sidecar as Kubernetes does: SIGTERM to the sidecar, which drains.
    pub(crate) async fn stop_workload(&mut self, name: &'static str) -> anyhow::Result<()> {
        let proxy = self.proxies.iter_mut().find(|p| p.name == name).context("no such workload")?;
        if let Some(mut child) = proxy.child.take() {
            terminate(&child).await;
            let _ = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
        }
        if let Some(app) = self.apps.remove(name) {
            app.abort();
        }
        Ok(())
    }

    /// Ends of all logs, for a tour that failed.
    pub(crate) fn print_logs(&self) {
        for name in ["pilot"].into_iter().chain(self.proxies.iter().map(|p| p.name)) {
            let log = self.log(name);
            let lines: Vec<&str> = log.lines().collect();
            println!("\n--- last lines of {name}");
            for line in &lines[lines.len().saturating_sub(15)..] {
                println!("    {line}");
            }
        }
    }

    /// Stops everything.
    pub(crate) async fn stop(&mut self) {
        let children = self.proxies.iter_mut().filter_map(|p| p.child.take()).chain(self.pilot.take());
        let children: Vec<Child> = children.collect();
        for child in &children {
            terminate(child).await;
        }
        for mut child in children {
            if tokio::time::timeout(Duration::from_secs(3), child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
    }

    async fn start_pilot(&mut self) -> anyhow::Result<()> {
        progress("pilot and its certificate authority");
        let dir = self.dir.path();
        let keys = dir.join("keys");
        self.run_tool(&["token-key", "--out", path(&keys)?]).await?;
        for proxy in &self.proxies {
            let key = keys.join("token-key.pem");
            let args = ["token", "--key", path(&key)?, "--namespace", "bookshop", "--service-account", proxy.account];
            let token = self.run_tool(&args).await?;
            fs::write(dir.join(format!("{}.token", proxy.name)), token.trim())?;
        }
        let (ca, public) = (dir.join("ca"), keys.join("token-key.pub.pem"));
        let mut command = self.command("pilot", "pilot")?;
        command.args(["discovery", "--config-dir", path(&self.objects)?, "--ca-dir", path(&ca)?]);
        command.args(["--token-key", path(&public)?, "--server-names", "istiod.istio-system.svc"]);
        command.args([
            "--xds-address",
            &format!("{PILOT}:15012"),
            "--plaintext-xds-address",
            &format!("{PILOT}:15010"),
        ]);
        command.args(["--monitoring-address", &format!("{PILOT}:15014")]);
        self.pilot = Some(command.spawn().context("cannot start pilot")?);
        let ready: SocketAddr = format!("{PILOT}:15014").parse()?;
        wait_ready("pilot", ready, "/ready").await
    }

    async fn start_apps(&mut self) -> anyhow::Result<()> {
        progress("four small services");
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let list = [
            App {
                name: "shop",
                listen: loopback(18082),
                calls: Some(("reviews.bookshop.svc.cluster.local:9080", self.egress("shop"))),
            },
            App { name: "reviews-v1", listen: loopback(18083), calls: None },
            App {
                name: "reviews-v2",
                listen: loopback(18084),
                calls: Some(("ratings.bookshop.svc.cluster.local:9080", self.egress("reviews-v2"))),
            },
            App { name: "ratings", listen: loopback(18085), calls: None },
        ];
        for app in list {
            let (name, listen) = (app.name, app.listen);
            let handle = apps::serve(app).await.with_context(|| format!("{name} cannot listen on {listen}"))?;
            self.apps.insert(name, handle);
        }
        Ok(())
    }

    fn start_proxy(&mut self, index: usize) -> anyhow::Result<()> {
        let (dir, proxy) = (self.dir.path().to_owned(), &self.proxies[index]);
        progress(if proxy.role == "router" { "the gateway" } else { proxy.name });
        let at = |port: u16| SocketAddr::new(proxy.ip, port).to_string();
        let mut command = self.command("proxy", proxy.name)?;
        command.arg("run").env("PROXY_TYPE", proxy.role).env("POD_NAME", proxy.name).env("POD_NAMESPACE", "bookshop");
        command.env("SERVICE_ACCOUNT", proxy.account).env("INSTANCE_IP", proxy.ip.to_string());
        command.env("DISCOVERY_ADDRESS", format!("{PILOT}:15012"));
        command.env("FERROMESH_XDS_SERVER_NAME", "istiod.istio-system.svc").env("FERROMESH_WORKERS", "1");
        command.env("FERROMESH_TOKEN_FILE", dir.join(format!("{}.token", proxy.name)));
        command.env("FERROMESH_ROOT_CERT", dir.join("ca").join("root-cert.pem"));
        command.env("FERROMESH_OUTBOUND_ADDRESS", "off").env("FERROMESH_INBOUND_ADDRESS", "off");
        for (name, port) in [("ADMIN", 15000), ("METRICS", 15020), ("STATUS", 15021), ("PROMETHEUS", 15090)] {
            command.env(format!("FERROMESH_{name}_ADDRESS"), at(port));
        }
        command.env("TERMINATION_DRAIN_DURATION_SECONDS", "2");
        let child = command.spawn().with_context(|| format!("cannot start the proxy of {}", proxy.name))?;
        self.proxies[index].child = Some(child);
        Ok(())
    }

    async fn wait_for_proxy(&self, index: usize) -> anyhow::Result<()> {
        let proxy = &self.proxies[index];
        let ready = wait_ready(proxy.name, SocketAddr::new(proxy.ip, 15021), "/healthz/ready").await;
        if ready.is_err() {
            self.print_logs();
        }
        ready
    }

    /// A child whose output goes to a log of its own, and that ends when this process does.
    fn command(&self, binary: &str, log: &str) -> anyhow::Result<Command> {
        let binary = self.bin.join(binary);
        let log = fs::File::create(self.log_path(log))?;
        let mut command = match which("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "TERM"]).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        Ok(command)
    }

    /// Runs `pilot` with `args` to its end; gives what it printed.
    async fn run_tool(&self, args: &[&str]) -> anyhow::Result<String> {
        let done = Command::new(self.bin.join("pilot")).args(args).output().await.context("cannot run pilot")?;
        if !done.status.success() {
            bail!("pilot {}: {}", args[0], String::from_utf8_lossy(&done.stderr));
        }
        Ok(String::from_utf8(done.stdout)?)
    }
}

/// Asks a child to end.
async fn terminate(child: &Child) {
    if let Some(pid) = child.id() {
        let _ = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await;
    }
}

/// The objects into a folder that may be edited; without IPv6 the one workload that uses it moves.
fn copy_objects(from: &Path, to: &Path, v6: bool) -> anyhow::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "yaml") {
            let text = fs::read_to_string(entry.path())?;
            let text = if v6 { text } else { text.replace("\"::1\"", "127.0.11.5") };
            fs::write(to.join(entry.file_name()), text)?;
        }
    }
    Ok(())
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

fn progress(what: &str) {
    println!("  starting {what}");
    let _ = std::io::stdout().flush();
}

/// Polls until the process says that it is ready.
async fn wait_ready(name: &str, at: SocketAddr, path: &str) -> anyhow::Result<()> {
    let end = clock::now() + Duration::from_secs(30);
    loop {
        match crate::call::get(at, "localhost", path).await {
            Ok(reply) if reply.status == 200 => return Ok(()),
            _ if clock::now() > end => bail!("{name} was not ready within 30 seconds"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
