//! Whether the mesh can be installed in a cluster, and what of the cluster it could not mesh. [`gather`] asks the cluster; what
//! is made of the answers is pure. Codes are those of istioctl's messages where it has one.

mod gather;

use crate::{
    cli::PrecheckArgs,
    context::{self, Context},
    remote,
    report::Report,
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Oldest served Kubernetes.
const OLDEST: (u32, u32) = (1, 32);

/// How bad it is, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Info,
    Warning,
    Error,
}

/// Something about the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    level: Level,
    code: &'static str,
    /// `Namespace shop`, `Cluster`.
    origin: String,
    text: String,
}

/// Everything that was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    /// Major and minor version of Kubernetes.
    version: Option<(u32, u32)>,
    /// What must be made to install and may not be: verb and resource.
    forbidden: Vec<String>,
    /// Namespaces that ask for injection: name, and the level of pod security that is enforced there.
    namespaces: Vec<(String, Option<String>)>,
    /// Webhooks that inject: name, revision, service's namespace.
    webhooks: Vec<(String, String, String)>,
    /// Definitions of Istio's kinds that are there: name, and the Helm release that owns it.
    definitions: Vec<(String, Option<String>)>,
}

/// Looks, and prints what is to be said.
///
/// # Errors
/// When the cluster does not answer, and when something stands against installing.
pub(crate) fn run(args: &PrecheckArgs, context: &Context) -> Result<()> {
    let (least, format) = (level(&args.output_threshold), context::format(&args.output, "log")?);
    let facts = remote::within(args.timeout, "the cluster", gather::facts(args.skip_controlplane, context))?;
    let messages = judge(&facts, context.kube.istio_namespace.as_str(), args.revision.as_deref());
    let shown: Vec<&Message> = messages.iter().filter(|message| message.level >= least).collect();
    Report::text(log(&shown), value(&shown)).print(format)?;
    let against = messages.iter().filter(|message| message.level > Level::Info).count();
    if against > 0 {
        bail!("{against} of what was found stands against installing, or keeps workloads out of the mesh");
    }
    eprint_success();
    Ok(())
}

fn eprint_success() {
    let said = "✔ No issues found when checking the cluster. The mesh can be installed or upgraded.\n";
    // There is nobody to tell that standard error is closed.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
}

fn level(word: &str) -> Level {
    match word.to_ascii_lowercase().as_str() {
        "info" => Level::Info,
        "error" => Level::Error,
        _ => Level::Warning,
    }
}

fn log(messages: &[&Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let _ = writeln!(text, "{:?} [{}] ({}) {}", message.level, message.code, message.origin, message.text);
    }
    text
}

fn value(messages: &[&Message]) -> Value {
    let one = |message: &&Message| {
        json!({
            "code": message.code,
            "level": format!("{:?}", message.level),
            "message": message.text,
            "origin": message.origin,
        })
    };
    messages.iter().map(one).collect()
}

fn judge(facts: &Facts, mesh_namespace: &str, revision: Option<&str>) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut say = |level, code, origin: &str, text: String| {
        messages.push(Message { level, code, origin: origin.to_owned(), text });
    };
    if let Some(version) = facts.version.filter(|version| *version < OLDEST) {
        let ((major, minor), (from, least)) = (version, OLDEST);
        let text = format!("Kubernetes {major}.{minor} is too old: the mesh needs {from}.{least} or newer");
        say(Level::Error, "IST0142", "Cluster", text);
    }
    for what in &facts.forbidden {
        let text = format!("not allowed to {what}, which installing needs: ask whoever administers the cluster");
        say(Level::Error, "IST0141", "Cluster", text);
    }
    for (name, enforced) in &facts.namespaces {
        if let Some(level) = enforced.as_ref().filter(|level| *level != "privileged") {
            let text = format!(
                "pods cannot be meshed here: the namespace enforces pod security {level:?}, which refuses the init container \
                 that captures traffic (it needs NET_ADMIN and NET_RAW). Label the namespace \
                 pod-security.kubernetes.io/enforce=privileged, or leave it out of the mesh"
            );
            say(Level::Warning, "pod-security", &format!("Namespace {name}"), text);
        }
    }
    for (name, theirs, namespace) in &facts.webhooks {
        let ours = namespace == mesh_namespace && revision.unwrap_or("default") == theirs;
        if ours {
            say(
                Level::Info,
                "installed",
                "Cluster",
                format!("webhook {name} is of this revision: installing upgrades it"),
            );
        } else if revision.unwrap_or("default") == theirs {
            let text = format!(
                "webhook {name} injects for revision {theirs:?} already, from namespace {namespace}: install with --revision \
                 NAME, so that each namespace says whose it is"
            );
            say(Level::Error, "another-control-plane", "Cluster", text);
        } else {
            let text =
                format!("another control plane, revision {theirs:?}, runs in namespace {namespace}; it is left alone");
            say(Level::Info, "another-control-plane", "Cluster", text);
        }
    }
    let owned = facts.definitions.iter().filter_map(|(name, owner)| Some((name, owner.as_ref()?)));
    for (name, owner) in owned.filter(|(_, owner)| owner.as_str() != format!("{mesh_namespace}/istio-base")) {
        let text = format!("is of the Helm release {owner}, which keeps it: it is not taken over");
        say(Level::Info, "definition-owned", &format!("CustomResourceDefinition {name}"), text);
    }
    messages.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| (&a.origin, &a.text).cmp(&(&b.origin, &b.text))));
    messages
}

#[cfg(test)]
mod tests;
