//! A whole pilot that is fed from memory, and proxies in a process of their own that follow it.

mod proxy;

pub(super) use proxy::clients;

use super::{
    crowd::{self, PODS},
    measure::{cpu, forget_peak, memory, row},
};
use mesh_pilot::{
    app::{self, App},
    settings::{Cli, Command},
    source::Batch,
};
use mesh_runtime::{
    clock, drain,
    telemetry::log::{self, Format},
};
use proxy::{Proxy, Say};
use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    sync::mpsc,
};

/// Streams that are sent nothing.
const IDLE: usize = 300;
/// Streams that come at once.
const CROWD: usize = 2_000;
/// Changes of a row, one every [`BEAT`].
const TIMES: usize = 100;
const BEAT: Duration = Duration::from_millis(100);
/// Fifty changes a second, for thirty seconds.
const STORM: (usize, Duration) = (1_500, Duration::from_millis(20));
/// The services that change are the last ones; each is changed once a second by the storm.
const CHANGING: usize = 50;

/// Has a process of its own measure.
pub(super) fn in_own_process() {
    let own = std::env::current_exe().expect("it runs");
    let ended = std::process::Command::new(own).arg("streams").status().expect("it starts");
    assert!(ended.success(), "measuring streams failed");
}

/// Prints the rows; the first services of the crowd are followed, the last ones change.
pub(super) fn measure(services: usize, rules: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a directory");
        let (feed, batches) = mpsc::channel(16);
        let first = feed.clone();
        tokio::spawn(async move { first.send(crowd::all(services, rules)).await });
        let (_signal, watch) = drain::channel();
        let app = App::fed(batches, settings(dir.path()), watch).await.expect("it builds");
        let plain = app.addresses().plaintext.expect("it has one").to_string();
        let log = log::init(Format::Text, "error").expect("the first time");
        tokio::spawn(app.run(log));
        let changing = services - CHANGING;

        let none = changes(&feed, changing, TIMES, BEAT).await;
        row("one endpoint, all of pilot", per(none, TIMES), "ms", Some(5.0));
        let idle = Clients::start(&plain, dir.path(), IDLE).await;
        let with = changes(&feed, changing, TIMES, BEAT).await;
        let each = per(with.saturating_sub(none), TIMES) / IDLE as f64;
        row("each stream that is sent nothing", each, "ms a change", Some(0.02));

        let follower = Proxy::open(&plain, dir.path(), 0, (changing..services).collect()).await;
        let (share, lag) = storm(&feed, changing, follower).await;
        row("50 endpoints a second, of a core", share * 100.0, "%", Some(50.0));
        row("the same, worst lag to a follower", lag.as_secs_f64() * 1e3, "ms", Some(250.0));
        idle.stop().await;

        forget_peak();
        let before = cpu();
        let crowd = Clients::start(&plain, dir.path(), CROWD).await;
        row("2,000 streams come at once", (cpu() - before).as_secs_f64(), "s", None);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (peak, steady) = (memory("VmHWM"), memory("VmRSS"));
        row("the same, steady", steady as f64, "MB", None);
        row("the same, peak over steady", peak as f64 / steady as f64, "", Some(1.5));
        crowd.stop().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        row("resident after all, without clients", memory("VmRSS") as f64, "MB", Some(150.0));
    });
}

fn per(took: Duration, times: usize) -> f64 {
    took.as_secs_f64() * 1e3 / times as f64
}

fn settings(dir: &Path) -> mesh_pilot::settings::Settings {
    app::make_token_key(dir).expect("a key");
    let path = |name: &str| dir.join(name).display().to_string();
    let (ca, key) = (path("ca"), path("token-key.pub.pem"));
    // No directory is read: the objects are handed in.
    let line = ["pilot", "discovery", "--config-dir", "-", "--ca-dir", &ca, "--token-key", &key];
    let addresses = ["--xds-address", "--plaintext-xds-address", "--monitoring-address"];
    let line = line.into_iter().chain(addresses.into_iter().flat_map(|address| [address, "127.0.0.1:0"]));
    match Cli::of(line).expect("a command line").command {
        Command::Discovery(settings) => *settings,
        _ => unreachable!("it is that command"),
    }
}

/// A service's endpoints, of which one is ready or not in turn.
fn change(changing: usize, n: usize) -> (usize, crowd::Made) {
    let service = changing + n % CHANGING;
    (service, crowd::slice(service, PODS - (n / CHANGING + 1) % 2))
}

/// Time on processors that so many changes take.
async fn changes(feed: &mpsc::Sender<Batch>, changing: usize, times: usize, beat: Duration) -> Duration {
    let made: Vec<Batch> = (0..times).map(|n| crowd::one(change(changing, n).1)).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cpu();
    let mut beats = tokio::time::interval(beat);
    for batch in made {
        beats.tick().await;
        feed.send(batch).await.expect("pilot takes it");
    }
    tokio::time::sleep(beat).await;
    cpu() - before
}

/// The share of a core, and the longest time from a change to its acknowledgement.
async fn storm(feed: &mpsc::Sender<Batch>, changing: usize, mut follower: Proxy) -> (f64, Duration) {
    let (times, beat) = STORM;
    let made: Vec<(usize, Batch)> = (0..times).map(|n| change(changing, n)).map(|(s, c)| (s, crowd::one(c))).collect();
    let mut sent: BTreeMap<usize, tokio::time::Instant> = BTreeMap::new();
    let mut worst = Duration::ZERO;
    let mut beats = tokio::time::interval(beat);
    let (before, begin) = (cpu(), clock::now());
    let mut made = made.into_iter();
    loop {
        tokio::select! {
            _ = beats.tick(), if made.len() > 0 => {
                let Some((service, batch)) = made.next() else { continue };
                sent.entry(service).or_insert_with(clock::now);
                feed.send(batch).await.expect("pilot takes it");
            }
            said = follower.next() => for Say { service } in said {
                if let Some(at) = sent.remove(&service) {
                    worst = worst.max(clock::since(at));
                }
            },
        }
        if made.len() == 0 && sent.is_empty() {
            return ((cpu() - before).as_secs_f64() / clock::since(begin).as_secs_f64(), worst);
        }
    }
}

/// Proxies in a process of their own.
struct Clients(Child);

impl Clients {
    /// Waits until each has what it follows.
    async fn start(plain: &str, dir: &Path, count: usize) -> Self {
        let own = std::env::current_exe().expect("it runs");
        let mut command = tokio::process::Command::new(own);
        command.args(["clients", plain]).arg(dir).arg(count.to_string());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        lines.next_line().await.expect("it speaks").expect("it is there");
        Clients(child)
    }

    async fn stop(mut self) {
        self.0.kill().await.expect("it is there");
    }
}
