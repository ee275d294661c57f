//! `make storm-cluster`: drills in a cluster under load, in their long form. Prints what each caller saw, and ends with one line
//! and an exit status: 0 when no call was lost.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::{Context, Result, bail};
use mesh_e2e::cluster::{
    drill::{Stage, changes, load::Told, outages, rollouts, upgrade},
    mesh::Mesh,
};
use mesh_runtime::clock;
use std::{process::ExitCode, time::Duration};

const USAGE: &str = "\
storm-cluster [--rate N] [--rollouts N] [--away SECONDS] [--changes N] [--only DRILL]
  --rate N        calls a second, in all: HTTP/1.1, HTTP/2 and gRPC streams, through sidecars and through the gateway (500)
  --rollouts N    rollouts of the server, each followed by fewer pods and more again (10)
  --away SECONDS  how long the API server is away (120)
  --changes N     policies and routes that change (100)
  --only DRILL    rollouts, pilot, api-server, kubelet, changes, upgrade or revision; may be given several times";

/// What is done, and says what was.
type Drill = fn(&Stage<'_>, &Settings) -> Result<String>;

const DRILLS: [(&str, Drill); 7] = [
    ("rollouts", |stage, settings| {
        rollouts::rollouts(stage, settings.rollouts)?;
        Ok(format!("{} rollouts, each with fewer pods and more again", settings.rollouts))
    }),
    ("pilot", |stage, _| {
        outages::pilots_killed(stage)?;
        Ok("every pilot killed, pods meshed by those that came".to_owned())
    }),
    ("api-server", |stage, settings| {
        let took = outages::api_server_away(stage, settings.away)?;
        Ok(format!("API server away for {:?}, a change then in force after {took:.1?}", settings.away))
    }),
    ("kubelet", |stage, _| {
        let node = outages::node_of_server(stage)?;
        outages::kubelet_away(stage, &node, KUBELET)?;
        Ok(format!("kubelet of {node} away for {KUBELET:?}"))
    }),
    ("changes", |stage, settings| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let took = runtime.block_on(changes::changes(stage, changes::gateway(stage)?, settings.changes))?;
        let (median, p99) = (took.median(), took.p99());
        Ok(format!("{} changes, from kubectl's end to in force: median {median:.1?}, p99 {p99:.1?}", settings.changes))
    }),
    ("upgrade", |stage, _| {
        upgrade::prepare(stage)?;
        upgrade::in_place(stage)?;
        Ok("up and down in place".to_owned())
    }),
    ("revision", |stage, _| {
        upgrade::prepare(stage)?;
        upgrade::by_revision(stage)?;
        Ok("up and down by a revision".to_owned())
    }),
];

/// How long a kubelet is away.
const KUBELET: Duration = Duration::from_secs(30);

struct Settings {
    rate: u32,
    rollouts: u32,
    away: Duration,
    changes: u32,
    only: Vec<String>,
}

impl Settings {
    fn read() -> Result<Self> {
        let mut settings =
            Settings { rate: 500, rollouts: 10, away: Duration::from_secs(120), changes: 100, only: Vec::new() };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut value = || args.next().with_context(|| format!("{name} needs a value"));
            let number = |text: String| text.parse::<u32>().with_context(|| format!("{text:?} is no number"));
            match name.as_str() {
                "--rate" => settings.rate = number(value()?)?.max(1),
                "--rollouts" => settings.rollouts = number(value()?)?,
                "--away" => settings.away = Duration::from_secs(number(value()?)?.into()),
                "--changes" => settings.changes = number(value()?)?,
                "--only" => settings.only.push(value()?),
                _ => bail!("{name:?} is not known"),
            }
        }
        match settings.only.iter().find(|name| DRILLS.iter().all(|(drill, _)| drill != name)) {
            Some(name) => bail!("there is no drill {name:?}"),
            None => Ok(settings),
        }
    }
}

fn main() -> ExitCode {
    let settings = match Settings::read() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error:#}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match storm(&settings) {
        Ok(0) => {
            println!("\nno call was lost");
            ExitCode::SUCCESS
        }
        Ok(lost) => {
            println!("\n{lost} calls were lost");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("\na drill did not end: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn storm(settings: &Settings) -> Result<u64> {
    let mesh = Mesh::installed()?;
    let wanted = |(name, _): &(&str, Drill)| settings.only.is_empty() || settings.only.iter().any(|only| only == name);
    DRILLS.into_iter().filter(wanted).try_fold(0, |lost, drill| Ok(lost + play(&mesh, drill, settings)?))
}

/// Plays one drill; gives how many calls were lost.
fn play(mesh: &Mesh, (name, drill): (&str, Drill), settings: &Settings) -> Result<u64> {
    let stage = Stage::new(mesh, &format!("storm-{name}"))?;
    let load = stage.load(settings.rate)?;
    let begin = clock::now();
    let said = drill(&stage, settings).with_context(|| format!("drill {name}"));
    let told = load.stop()?;
    let took = clock::since(begin).as_secs();
    println!("\n{name}: {}, in {took} s", said.as_deref().unwrap_or("did not end"));
    told.iter().for_each(|told| println!("  {told}"));
    said.map(|_| told.iter().map(|told: &Told| told.failed).sum())
}
