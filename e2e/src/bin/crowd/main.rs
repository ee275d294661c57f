//! Starts pilot at an API server with a crowd of objects, and says how soon it is ready and how much memory it has then:
//! `crowd PILOT [SERVICES PODS]`, 1,000 and 10,000 unless given. Then endpoints change, 20 a second for a minute, and a proxy
//! follows them: it says what that takes of a core, and how long a change takes from the API server to the acknowledgement.
//! Time on processors is what counts on a machine with other work. Ends with an error where a figure is above the limit that the
//! environment may set: `READY_WITHIN` (seconds), `MEMORY_BELOW` (MB), `CORE_BELOW` (%), `LAG_BELOW` (ms, of 99 in 100 changes).

mod churn;
mod follower;
mod objects;

use anyhow::{Context, Result, bail, ensure};
use follower::Follower;
use mesh_e2e::cluster::api_server::ApiServer;
use mesh_runtime::clock;
use objects::Crowd;
use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    time::Duration,
};

/// For pilot to become ready at all.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between looks.
const LOOK: Duration = Duration::from_millis(20);
/// Endpoints change for so long.
const CHANGES: Duration = Duration::from_secs(60);
/// Then memory is looked at once more.
const AFTERWARDS: Duration = Duration::from_secs(5);

// One thread, which stays to the end: what it starts ends when it does, however it ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = tokio::select! {
        done = run() => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "crowd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let pilot: PathBuf = words.next().context("usage: crowd PILOT [SERVICES PODS]")?.into();
    let mut number = |usual: usize| words.next().map_or(Ok(usual), |word| word.parse());
    let crowd = Crowd { services: number(1_000)?, pods: number(10_000)? };
    let server = ApiServer::with_our_kinds().await?;
    let begin = clock::now();
    objects::write(&server, crowd).await?;
    say(&format!("{crowd:?} written in {:.1} s", clock::since(begin).as_secs_f64()))?;

    let folder = tempfile::tempdir()?;
    let begin = clock::now();
    let pilot = Pilot::start(&pilot, &server.kubeconfig(), folder.path())?;
    pilot.ready(folder.path(), PATIENCE).await?;
    let (ready, worked) = (clock::since(begin).as_secs_f64(), pilot.worked()?);
    tokio::time::sleep(AFTERWARDS).await;
    let (memory, peak) = (pilot.memory("VmRSS")?, pilot.memory("VmHWM")?);
    say(&format!("ready in {ready:.2} s ({worked:.2} s on processors), {memory} MB (peak {peak} MB)"))?;
    below(ready, "READY_WITHIN")?;
    below(peak as f64, "MEMORY_BELOW")?;
    changes(&server, &pilot, crowd, folder.path()).await
}

async fn changes(server: &ApiServer, pilot: &Pilot, crowd: Crowd, folder: &Path) -> Result<()> {
    let plain = address(&folder.join("addresses"), "plaintext").context("pilot has no plain port")?;
    let token = pilot.token(folder, &objects::namespace_of(0), "service-0")?;
    let mut follower = Follower::open(plain, &token, churn::changing(crowd)).await?;
    churn::begin(&mut follower, crowd).await?;
    let mut client = server.client().await?;
    let (before, begin) = (pilot.worked()?, clock::now());
    let lags = churn::run(&mut client, &mut follower, crowd, CHANGES).await?;
    let share = (pilot.worked()? - before) / clock::since(begin).as_secs_f64() * 100.0;
    let [median, high, worst] = [0.5, 0.99, 1.0].map(|share| lags.quantile(share));
    let count = lags.count();
    say(&format!(
        "{count} changes: {share:.1} % of a core; lag {median:.0} ms, p99 {high:.0} ms, worst {worst:.0} ms"
    ))?;
    let memory = pilot.memory("VmRSS")?;
    say(&format!("{memory} MB after them"))?;
    // Both are judged, whatever becomes of the first.
    let core = below(share, "CORE_BELOW");
    below(high, "LAG_BELOW")?;
    core
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Refuses a figure that is above the limit in the environment, if one is there.
fn below(seen: f64, variable: &str) -> Result<()> {
    let Ok(limit) = std::env::var(variable) else { return Ok(()) };
    let limit: f64 = limit.parse().with_context(|| format!("{variable} is no number"))?;
    say(&format!("{seen:.1}: limit {variable}={limit}: {}", if seen > limit { "missed" } else { "met" }))?;
    ensure!(seen <= limit, "{seen} is above {variable}={limit}");
    Ok(())
}

/// Pilot as a process, ended when dropped.
struct Pilot {
    program: PathBuf,
    process: Child,
}

impl Pilot {
    fn start(program: &Path, kubeconfig: &Path, folder: &Path) -> Result<Self> {
        let keys = Command::new(program).args(["token-key", "--out"]).arg(folder).status()?;
        if !keys.success() {
            bail!("no key for tokens");
        }
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).arg("discovery");
        command.arg("--kubeconfig").arg(kubeconfig).arg("--ca-dir").arg(folder.join("ca"));
        command.arg("--token-key").arg(folder.join("token-key.pub.pem"));
        command.arg("--address-file").arg(folder.join("addresses"));
        for address in ["--xds-address", "--plaintext-xds-address", "--monitoring-address"] {
            command.args([address, "127.0.0.1:0"]);
        }
        let process = command.spawn().context("cannot run setpriv (Debian package util-linux)")?;
        Ok(Pilot { program: program.to_owned(), process })
    }

    /// Waits until it says that it is ready.
    async fn ready(&self, folder: &Path, patience: Duration) -> Result<()> {
        let end = clock::now() + patience;
        loop {
            if is_ready(&folder.join("addresses")).await == Some(true) {
                return Ok(());
            }
            if clock::now() > end {
                bail!("pilot is not ready within {patience:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A token of an account's, by the key that pilot was started with.
    fn token(&self, folder: &Path, namespace: &str, account: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("token").arg("--key").arg(folder.join("token-key.pem"));
        command.args(["--namespace", namespace, "--service-account", account]);
        Ok(mesh_e2e::command::finish(&mut command)?.trim().to_owned())
    }

    /// Its time on processors, in seconds.
    fn worked(&self) -> Result<f64> {
        let account = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // Behind the name, which may hold anything in parentheses.
        let fields: Vec<&str> = account.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
        let (own, kernel) = ticks(11).zip(ticks(12)).context("no account of time")?;
        // The kernel counts in hundredths, whatever the machine.
        Ok((own + kernel) / 100.0)
    }

    /// A line of the kernel's account of it, in MB.
    fn memory(&self, line: &str) -> Result<u64> {
        let account = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let found = account.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let kilobytes: u64 =
            found.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok()).context("no memory")?;
        Ok(kilobytes / 1024)
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `None`: it does not answer yet.
async fn is_ready(addresses: &Path) -> Option<bool> {
    let stream = tokio::net::TcpStream::connect(address(addresses, "monitoring")?).await.ok()?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
    tokio::spawn(connection);
    let request = hyper::Request::get("/ready").header("host", "pilot");
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).ok()?;
    Some(sender.send_request(request).await.ok()?.status().is_success())
}

/// Where pilot listens, as it says in a file.
fn address(addresses: &Path, port: &str) -> Option<SocketAddr> {
    let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(addresses).ok()?).ok()?;
    addresses[port].as_str()?.parse().ok()
}
