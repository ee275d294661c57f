//! What a real API server says about our definitions: tables of objects that it must take or refuse, and objects that must
//! come back with every field. One line a judge, `name: passed/total`, and a line for each case that fails.

mod keeps;
mod round;
mod table;

use anyhow::{Result, bail};
use mesh_e2e::cluster::{
    api_server::ApiServer,
    client::{Client, Unknown},
    document,
};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};
use table::Table;

/// Cases of `crds.json` that need not pass: the table's own mark.
const CRDS_MAY_FAIL: usize = 1;

/// Where everything is.
struct Places {
    /// The tables.
    suites: PathBuf,
    /// A table of objects of the Gateway API, each of which a schema takes or refuses.
    gateway: PathBuf,
    /// What `.ci/cluster` makes: `bin` with the programs of a cluster, `modules` with other projects' definitions.
    cluster: PathBuf,
    /// Our definitions.
    definitions: PathBuf,
    /// The folder of examples.
    examples: PathBuf,
}

// One thread, which stays to the end: what it starts ends when it does, however it ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = tokio::select! {
        done = run() => done,
        interrupted = interrupted() => interrupted,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "suites: {e:#}");
            ExitCode::from(2)
        }
    }
}

/// Ends with an error when somebody wants an end.
async fn interrupted() -> Result<bool> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}

async fn run() -> Result<bool> {
    let places = places()?;
    let server = ApiServer::start(&places.cluster.join("bin"), &places.cluster.join("runs")).await?;
    let mut client = server.client().await?;
    let ours = document::of_file(&places.definitions)?;
    let theirs = places.cluster.join("modules/istio-api/kubernetes/customresourcedefinitions.gen.yaml");
    let kept = keeps::all(&document::of_file(&theirs)?, &ours);

    client.define(&ours).await?;
    let crds = Table::read(&places.suites.join("crds.json"))?;
    let schema = schema(&mut client, &crds).await?;

    client.define(&gateway_definitions(&places.cluster.join("modules/gateway-api"))?).await?;
    let tables = [crds, Table::read(&places.suites.join("validation.json"))?, Table::read(&places.gateway)?];
    let round = round::trip(&mut client, &places.examples, &tables).await?;

    let kept = kept.say("kept fields", 0);
    let schema = schema.say("crds", CRDS_MAY_FAIL);
    let round = round.say("round trip", 0);
    Ok(kept && schema && round)
}

fn places() -> Result<Places> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [suites, gateway, cluster, definitions, examples] = arguments.try_into().map_err(|_| {
        anyhow::anyhow!(
            "usage: suites TABLES GATEWAY CLUSTER DEFINITIONS EXAMPLES: folder of the tables, table of the Gateway API, folder \
             that .ci/cluster makes, our definitions, folder of examples"
        )
    })?;
    Ok(Places { suites, gateway, cluster, definitions, examples })
}

/// The experimental channel, which has every kind and field.
fn gateway_definitions(folder: &Path) -> Result<Vec<serde_json::Value>> {
    let mut definitions = Vec::new();
    for file in document::files_under(&folder.join("config/crd/experimental"))? {
        definitions.extend(document::of_file(&file)?);
    }
    definitions.retain(|definition| definition["kind"] == "CustomResourceDefinition");
    Ok(definitions)
}

/// What passed, and what to say about the rest.
#[derive(Default)]
struct Score {
    passed: usize,
    failed: Vec<String>,
}

impl Score {
    fn add(&mut self, id: &str, failure: Option<String>) {
        match failure {
            None => self.passed += 1,
            Some(reason) => self.failed.push(format!("{id}: {reason}")),
        }
    }

    /// Prints it; whether it is enough.
    fn say(&self, name: &str, may_fail: usize) -> bool {
        let mut out = std::io::stdout().lock();
        for failure in &self.failed {
            let _ = writeln!(out, "  FAIL {failure}");
        }
        let _ = writeln!(out, "{name}: {}/{}", self.passed, self.passed + self.failed.len());
        self.passed > 0 && self.failed.len() <= may_fail
    }
}

/// Objects that the schema takes or refuses, with the server's own words.
async fn schema(client: &mut Client, table: &Table) -> Result<Score> {
    let mut score = Score::default();
    for case in &table.cases {
        let failure = match (client.create(&case.object, Unknown::Drop, true).await?, &case.refused) {
            (Ok(_), None) => None,
            (Ok(_), Some(want)) => Some(format!("taken, want refused: {want}")),
            (Err(refusal), None) => Some(format!("refused, want taken: {}", refusal.message)),
            (Err(refusal), Some(want)) if refusal.message.contains(want.as_str()) => None,
            (Err(refusal), Some(want)) => Some(format!("says {:?}, want {want:?}", refusal.message)),
        };
        score.add(&case.id, failure);
    }
    Ok(score)
}
