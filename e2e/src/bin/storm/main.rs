//! `make storm`: drills under load, open loop. Prints a table for each drill, and ends with one line and an exit
//! status: 0 when no request was lost.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod report;

use mesh_e2e::{
    faults::{self, Loads, changes::Changes, endpoints::Drill},
    mesh::Mesh,
};
use mesh_runtime::clock;
use report::Report;
use std::{process::ExitCode, time::Duration};

const USAGE: &str = "\
storm [--rate N] [--seconds N] [--changes N] [--starts N] [--starts-rate N]
      [--clients N] [--endpoint-changes N] [--only DRILL]
  --rate N         requests a second of each kind: HTTP/1.1, HTTP/2, unary gRPC, new TCP connections (500)
  --seconds N      at least so long for each of `endpoints`, `pilot`, `rotation` and `stale` (45)
  --changes N      random changes (100)
  --starts N       starts of a sidecar behind captured connections (200); needs root, ip and nft
  --starts-rate N  connections a second of each caller of it (200)
  --clients N      clients of discovery, besides the sidecars, in `endpoints` (300)
  --endpoint-changes N  changes a second in `endpoints` (50)
  --only DRILL     changes, endpoints, pilot, rotation, stale, policy or starts; may be given several times";

struct Settings {
    rate: u64,
    time: Duration,
    changes: u32,
    starts: u32,
    starts_rate: u64,
    clients: usize,
    endpoint_changes: u32,
    only: Vec<String>,
}

impl Settings {
    fn read() -> Result<Self, String> {
        let mut settings = Settings {
            rate: 500,
            time: Duration::from_secs(45),
            changes: 100,
            starts: 200,
            starts_rate: 200,
            clients: 300,
            endpoint_changes: 50,
            only: Vec::new(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
            match name.as_str() {
                "--rate" => settings.rate = number(value()?)?.max(1),
                "--seconds" => settings.time = Duration::from_secs(number(value()?)?),
                "--changes" => settings.changes = u32::try_from(number(value()?)?).map_err(|e| e.to_string())?,
                "--starts" => settings.starts = u32::try_from(number(value()?)?).map_err(|e| e.to_string())?,
                "--starts-rate" => settings.starts_rate = number(value()?)?.max(1),
                "--clients" => settings.clients = usize::try_from(number(value()?)?).map_err(|e| e.to_string())?,
                "--endpoint-changes" => {
                    settings.endpoint_changes = u32::try_from(number(value()?)?.max(1)).map_err(|e| e.to_string())?;
                }
                "--only" => settings.only.push(value()?),
                _ => return Err(format!("{name:?} is not known")),
            }
        }
        match settings.only.iter().find(|name| !DRILLS.contains(&name.as_str())) {
            Some(name) => Err(format!("there is no drill {name:?}")),
            None => Ok(settings),
        }
    }

    fn wants(&self, drill: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == drill)
    }
}

const DRILLS: [&str; 7] = ["changes", "endpoints", "pilot", "rotation", "stale", "policy", "starts"];

/// No start of a sidecar begins later than this.
const STARTS_TIME: Duration = Duration::from_secs(1200);

fn main() -> ExitCode {
    let settings = match Settings::read() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(storm(&settings));
    println!("\n{}", report.verdict());
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn storm(settings: &Settings) -> Report {
    let mut report = Report::default();
    println!("storm: {} requests a second each of HTTP/1.1, HTTP/2, unary gRPC and new TCP connections", settings.rate);
    if settings.wants("changes") {
        report.announce("changes");
        changes(settings, &mut report).await;
    }
    if settings.wants("endpoints") {
        report.announce("endpoints");
        endpoints(settings, &mut report).await;
    }
    if settings.wants("pilot") {
        report.announce("pilot");
        pilot(settings, &mut report).await;
    }
    if settings.wants("rotation") {
        report.announce("rotation");
        rotation(settings, &mut report).await;
    }
    if settings.wants("stale") {
        report.announce("stale");
        stale(settings, &mut report).await;
    }
    if settings.wants("policy") {
        report.announce("policy");
        policy(&mut report).await;
    }
    if settings.wants("starts") {
        report.announce("starts");
        starts(settings, &mut report).await;
    }
    report
}

async fn changes(settings: &Settings, report: &mut Report) {
    let mesh = Mesh::start(faults::plan()).await;
    let mut changes = Changes::new(&mesh).await;
    let loads = Loads::start(&mesh, settings.rate);
    let begun = clock::now();
    let mut made = std::collections::BTreeMap::<_, u32>::new();
    for _ in 0..settings.changes {
        *made.entry(changes.random(&mesh, &loads).await).or_default() += 1;
    }
    let kinds: Vec<String> = made.iter().map(|(change, count)| format!("{change:?} {count}")).collect();
    let what = format!("{} changes, each seen in effect ({})", settings.changes, kinds.join(", "));
    report.drill("changes", &what, clock::since(begun), loads.stop().await);
}

async fn endpoints(settings: &Settings, report: &mut Report) {
    let mesh = Mesh::start(faults::plan()).await;
    let begun = clock::now();
    let rate = settings.endpoint_changes;
    let seconds = u32::try_from(settings.time.as_secs()).unwrap_or(u32::MAX).max(1);
    // The clients are most of the load here.
    let requests = (settings.rate / 5).max(1);
    let drill = Drill { clients: settings.clients, rate, changes: rate.saturating_mul(seconds), requests };
    let found = faults::endpoints::endpoints(&mesh, drill).await;
    report.endpoints(clock::since(begun), drill, found);
}

async fn pilot(settings: &Settings, report: &mut Report) {
    let mut mesh = Mesh::start(faults::plan()).await;
    let loads = Loads::start(&mesh, settings.rate);
    let begun = clock::now();
    let mut times = 0;
    while times < 3 || clock::since(begun) < settings.time {
        faults::pilot_restarts(&mut mesh, &loads, 1, settings.rate * 2).await;
        times += 1;
    }
    let what = format!("pilot killed and restarted {times} times, each listened to afterwards");
    report.drill("pilot", &what, clock::since(begun), loads.stop().await);
}

async fn rotation(settings: &Settings, report: &mut Report) {
    // Renewed at half of its life: every two seconds.
    let mesh = Mesh::start(faults::plan().certificate_ttl(Duration::from_secs(4))).await;
    let loads = Loads::start(&mesh, settings.rate);
    let begun = clock::now();
    let wanted = usize::try_from(settings.time.as_secs() / 2).unwrap_or(2).max(3);
    let (servers, clients) = faults::rotations(&mesh, &loads, wanted).await;
    let what = format!("{servers} certificates of the server and {clients} of the client seen in new handshakes");
    report.drill("rotation", &what, clock::since(begun), loads.stop().await);
}

async fn stale(settings: &Settings, report: &mut Report) {
    let mesh = Mesh::start(faults::stale::plan()).await;
    let begun = clock::now();
    // Six loads share the rate of three.
    let found = faults::stale_connections(&mesh, settings.rate / 2, settings.time).await;
    report.stale(clock::since(begun), found);
}

async fn policy(report: &mut Report) {
    let mesh = Mesh::start(faults::policy::plan()).await;
    let begun = clock::now();
    let mut found = Vec::new();
    for _ in 0..3 {
        for change in faults::policy::CHANGES {
            found.push(faults::policy::policy_change(&mesh, change, 8).await);
        }
    }
    report.policy(clock::since(begun), &found);
}

async fn starts(settings: &Settings, report: &mut Report) {
    let begun = clock::now();
    let drill = faults::start::Drill { starts: settings.starts, rate: settings.starts_rate, time: STARTS_TIME };
    match faults::start::starts(drill).await {
        Ok(found) => report.starts(clock::since(begun), settings.starts, found),
        Err(error) => report.not_run("starts", &format!("{error:#}")),
    }
}
