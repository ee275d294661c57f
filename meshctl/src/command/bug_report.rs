//! One archive with what helps to find a fault: versions, objects of the mesh, pages and logs of the control plane, configuration and
//! logs of chosen proxies. Data of Secrets is never asked for, and [`redact`] takes out of everything else what looks like a
//! secret. Time and size are bounded: what there is when either is up is the report, and it says what is missing.
//!
//! [`choose`]: which proxies. [`plan`]: what is asked. [`ask`]: asking. [`archive`]: the file.

mod archive;
mod ask;
mod choose;
mod plan;
mod redact;

use super::{status, version};
use crate::{
    cli::{BugReportArgs, KubeArgs, VersionArgs, XdsArgs},
    cluster::Cluster,
    context::Context,
    remote,
    report::{Format, Report},
    usage::Usage,
};
use anyhow::{Context as _, Result};
use archive::Archive;
use futures_util::StreamExt as _;
use plan::{Question, What};
use std::{fmt::Write as _, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

/// Longest that one question may take.
const EACH: Duration = Duration::from_secs(60);
/// How long listing what there is to ask may take, and writing what is left.
const AROUND: Duration = Duration::from_secs(120);
/// Questions at once.
const AT_ONCE: usize = 8;

/// Gathers, and says where it is.
///
/// # Errors
/// When the cluster does not answer at all, or the archive cannot be written. What else fails stands in the archive.
pub(crate) fn run(args: &BugReportArgs, context: &Context) -> Result<()> {
    let chosen = choose::Choice::new(&args.include, &args.exclude).map_err(Usage::new)?;
    let logs = ask::Logs::new(args)?;
    let namespace = args.control_plane.clone().unwrap_or_else(|| context.kube.istio_namespace.clone());
    let kube = KubeArgs { istio_namespace: namespace, ..context.kube.clone() };
    let context = Context::new(None, kube);
    let summary = if args.dry_run { Vec::new() } else { summary(args, &context) };
    remote::carried_out(args.timeout + AROUND, async {
        let end = mesh_runtime::clock::now() + args.timeout;
        let cluster = Cluster::open(&context.kube).await?;
        let questions = timeout(AROUND, plan::questions(args, &chosen, &cluster))
            .await
            .context("the cluster does not answer")??;
        if args.dry_run {
            let names = questions.iter().map(|question| format!("{}\n", question.file));
            return crate::report::write(&names.collect::<String>());
        }
        let mut archive = Archive::create(&args.output_dir)?;
        for (file, text) in summary {
            archive.add(&file, &text)?;
        }
        let at_once = if args.rq_concurrency == 0 { AT_ONCE } else { usize::from(args.rq_concurrency) };
        gather(&questions, &logs, &cluster, at_once, end, &mut archive).await?;
        let path = archive.finish()?;
        crate::report::write(&format!("{}\n", path.display()))
    })
}

/// What other commands say; that they cannot is told in their place.
fn summary(args: &BugReportArgs, context: &Context) -> Vec<(String, String)> {
    let told = |report: Result<Report>| match report.and_then(|report| report.render(Format::Table)) {
        Ok(text) => text,
        Err(error) => format!("not known: {error:#}\n"),
    };
    let limit = args.timeout.min(EACH);
    let asked = VersionArgs {
        output: String::new(),
        short: false,
        remote: Some(true),
        xds: XdsArgs { timeout: limit, ..XdsArgs::default() },
    };
    let mut files = vec![("versions.txt".to_owned(), told(version::run(&asked, context)))];
    if !args.skip_analyze {
        files.push(("status.txt".to_owned(), told(status::run(limit, context))));
    }
    files
}

/// Asks everything, as far as there is time and room, and notes what is missing.
async fn gather(
    questions: &[Question],
    logs: &ask::Logs,
    cluster: &Cluster,
    at_once: usize,
    end: Instant,
    archive: &mut Archive,
) -> Result<()> {
    let mut missing = String::new();
    let mut open: std::collections::BTreeSet<&str> = questions.iter().map(|question| &*question.file).collect();
    let asking = futures_util::stream::iter(questions).map(async |question: &Question| {
        let answer = match timeout(EACH, ask::answer(&question.what, logs, cluster)).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow::anyhow!("no answer within {EACH:?}")),
        };
        (question, answer)
    });
    let mut answers = std::pin::pin!(asking.buffer_unordered(at_once));
    while let Ok(Some((question, answer))) = timeout_at(end, answers.next()).await {
        open.remove(&*question.file);
        match answer {
            Ok(text) if !archive.has_room(&text) => {
                let _ = writeln!(missing, "{}: the archive is full", question.file);
            }
            Ok(text) if text.is_empty() => {}
            Ok(text) => archive.add(&question.file, &text)?,
            // Most containers have not ended before.
            Err(_) if matches!(question.what, What::Log { previous: true, .. }) => {}
            Err(error) => {
                let _ = writeln!(missing, "{}: {error:#}", question.file);
            }
        }
    }
    for file in open {
        let _ = writeln!(missing, "{file}: the time was up (--timeout)");
    }
    if !missing.is_empty() {
        archive.add("missing.txt", &missing)?;
    }
    Ok(())
}
