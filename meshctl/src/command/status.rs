//! What is wrong with the mesh of a cluster, and what mends it: the control plane's pods, its webhooks, namespaces whose pods
//! are not injected, proxies that do not follow, findings about objects. [`gather`] asks the cluster; what is made of the
//! answers is pure.

mod gather;

use crate::{
    command::ca::told::{self, Certificate},
    context::Context,
    dataplane, remote,
    report::{Report, Table},
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

/// Most findings that are listed.
const MOST: usize = 20;

/// A pod of the control plane.
#[derive(Debug, Clone, Default, PartialEq)]
struct PilotPod {
    name: String,
    ready: bool,
    /// Why it is not, where Kubernetes says so.
    reason: String,
}

/// A webhook that injects.
#[derive(Debug, Clone, Default, PartialEq)]
struct Webhook {
    name: String,
    /// Every entry has a CA bundle.
    trusted: bool,
}

/// A namespace that asks for injection.
#[derive(Debug, Clone, Default, PartialEq)]
struct Injected {
    name: String,
    /// Running pods that are meant to have a sidecar.
    pods: usize,
    /// Those of them that have none.
    without: Vec<String>,
}

/// A proxy as a pilot tells of it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Proxy {
    name: String,
    version: String,
    /// Version of the pilot that tells of it, where that says so.
    pilot: Option<String>,
    stale: Vec<String>,
    refused: Vec<String>,
}

/// Everything that was asked.
#[derive(Debug, Clone, Default, PartialEq)]
struct Facts {
    namespace: String,
    /// Versions of the control plane's pods.
    versions: BTreeSet<String>,
    pilots: Vec<PilotPod>,
    webhooks: Vec<Webhook>,
    namespaces: Vec<Injected>,
    /// Pods with a sidecar, or of a gateway: `NAME.NAMESPACE`, and what makes them anew.
    meshed: BTreeMap<String, String>,
    proxies: Vec<Proxy>,
    /// What signs and is trusted.
    certificates: Vec<Certificate>,
    /// Severity, object and text.
    findings: Vec<(String, String, String)>,
    /// What could not be asked, and why.
    unasked: Vec<String>,
    /// Namespaces of whose pods it is not known whether they should have a sidecar, and why.
    undecided: Vec<String>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
struct Problem {
    what: String,
    mend: String,
}

/// Looks at everything.
///
/// # Errors
/// When the cluster does not answer.
pub(crate) fn run(limit: Duration, context: &Context) -> Result<Report> {
    let facts = remote::within(limit, "the cluster", gather::facts(context))?;
    Ok(report(&facts))
}

/// A failure, where something is wrong; said after the report.
pub(crate) fn verdict(report: &Report) -> Result<()> {
    match report.value()["problems"].as_array().map_or(0, Vec::len) {
        0 => Ok(()),
        1 => bail!("1 problem"),
        count => bail!("{count} problems"),
    }
}

fn report(facts: &Facts) -> Report {
    let problems = problems(facts);
    let ready = facts.pilots.iter().filter(|pilot| pilot.ready).count();
    let pods: usize = facts.namespaces.iter().map(|namespace| namespace.pods).sum();
    let without: usize = facts.namespaces.iter().map(|namespace| namespace.without.len()).sum();
    let current = facts.proxies.iter().filter(|proxy| proxy.stale.is_empty() && proxy.refused.is_empty()).count();
    let mut table = Table::new(&["PART", "STATE"]).padded(3);
    let versions: Vec<&str> = facts.versions.iter().map(String::as_str).collect();
    let version = match versions.len() {
        0 => String::new(),
        1 => format!(", version {}", versions[0]),
        _ => format!(", versions {}", versions.join(", ")),
    };
    let mut row = |part: &str, state: String| table.push(vec![part.to_owned(), state]);
    row("control plane", format!("{ready} of {} pods ready{version}", facts.pilots.len()));
    row("injection", format!("{} webhooks, {} namespaces", facts.webhooks.len(), facts.namespaces.len()));
    row("workloads", format!("{} of {pods} pods in those namespaces have a sidecar", pods - without));
    row("proxies", format!("{} connected, {current} have what was last sent", facts.proxies.len()));
    let signs = facts.certificates.iter().find(|one| one.role == "root");
    row("authority", signs.map_or_else(|| "not known".to_owned(), Certificate::age));
    row("objects", format!("{} findings", facts.findings.len()));
    let mut text = table.render();
    for problem in &problems {
        let _ = write!(text, "\n✘ {}\n  {}\n", problem.what, problem.mend);
    }
    if problems.is_empty() {
        text.push_str("\n✔ nothing is wrong\n");
    }
    Report::text(text, value(facts, &problems))
}

fn value(facts: &Facts, problems: &[Problem]) -> Value {
    json!({
        "versions": facts.versions,
        "pilots": facts.pilots.iter().map(|p| json!({"name": p.name, "ready": p.ready})).collect::<Vec<_>>(),
        "webhooks": facts.webhooks.iter().map(|w| json!({"name": w.name, "trusted": w.trusted})).collect::<Vec<_>>(),
        "namespaces": facts.namespaces.iter()
            .map(|n| json!({"name": n.name, "pods": n.pods, "without": n.without}))
            .collect::<Vec<_>>(),
        "proxies": facts.proxies.iter()
            .map(|p| json!({"name": p.name, "version": p.version, "stale": p.stale, "refused": p.refused}))
            .collect::<Vec<_>>(),
        "certificates": facts.certificates.iter()
            .map(|one| json!({"role": one.role, "life": one.life, "alarm": one.alarm()}))
            .collect::<Vec<_>>(),
        "problems": problems.iter().map(|p| json!({"what": p.what, "mend": p.mend})).collect::<Vec<_>>(),
    })
}

fn problems(facts: &Facts) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |what: String, mend: String| problems.push(Problem { what, mend });
    let ns = &facts.namespace;
    if facts.pilots.is_empty() {
        add(
            format!("no control plane runs in namespace {ns}"),
            "install one with meshctl install, or give its namespace with -i".to_owned(),
        );
    }
    for pilot in facts.pilots.iter().filter(|pilot| !pilot.ready) {
        let why = if pilot.reason.is_empty() { String::new() } else { format!(": {}", pilot.reason) };
        let mend = format!("kubectl -n {ns} describe pod {0}; kubectl -n {ns} logs {0}", pilot.name);
        add(format!("pod {} of the control plane is not ready{why}", pilot.name), mend);
    }
    if facts.webhooks.is_empty() && !facts.namespaces.is_empty() {
        add(
            "namespaces ask for injection, and no webhook injects".to_owned(),
            "install the control plane's chart, which has the webhook".to_owned(),
        );
    }
    for webhook in facts.webhooks.iter().filter(|webhook| !webhook.trusted) {
        add(
            format!(
                "webhook {} does not know by whom pilot's certificate is signed, so no pod can start",
                webhook.name
            ),
            format!("kubectl -n {ns} logs deploy/istiod says why pilot has not told it"),
        );
    }
    for namespace in facts.namespaces.iter().filter(|namespace| !namespace.without.is_empty()) {
        let (first, count) = (&namespace.without[0], namespace.without.len());
        add(
            format!("{count} pods of namespace {} have no sidecar, such as {first}", namespace.name),
            format!(
                "they started before the namespace asked for it: kubectl -n {} rollout restart deployment",
                namespace.name
            ),
        );
    }
    if !facts.pilots.is_empty() && facts.unasked.is_empty() {
        let connected: BTreeSet<&str> = facts.proxies.iter().map(|proxy| &*proxy.name).collect();
        for pod in facts.meshed.keys().filter(|pod| !connected.contains(&***pod)).take(MOST) {
            let (name, namespace) = pod.split_once('.').unwrap_or((pod, "default"));
            add(
                format!("the proxy of pod {pod} is not connected to the control plane"),
                format!("kubectl -n {namespace} logs {name} -c istio-proxy"),
            );
        }
    }
    for proxy in &facts.proxies {
        if let Some(refused) = proxy.refused.first() {
            let count = proxy.refused.len();
            add(
                format!("proxy {} refused {count} parts of its configuration, such as {refused}", proxy.name),
                format!("meshctl proxy-status {} names each, with the reason", proxy.name),
            );
        }
    }
    let versions =
        facts.proxies.iter().filter_map(|proxy| Some((&*proxy.name, &*proxy.version, proxy.pilot.as_deref()?)));
    for group in dataplane::behind(versions, &facts.meshed) {
        add(group.what(), group.mend());
    }
    for alarm in facts.certificates.iter().filter_map(Certificate::alarm) {
        add(alarm, told::MEND.to_owned());
    }
    for (severity, object, text) in facts.findings.iter().take(MOST) {
        add(format!("{severity}: {object}: {text}"), "docs/reference/diagnostics.md has every finding".to_owned());
    }
    if facts.findings.len() > MOST {
        let more = facts.findings.len() - MOST;
        add(
            format!("{more} more findings about objects"),
            "pilot's port 15014, /debug/diagnostics, has all".to_owned(),
        );
    }
    for unasked in facts.unasked.iter().chain(&facts.undecided) {
        add(unasked.clone(), "what follows from it is not told here".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests;
