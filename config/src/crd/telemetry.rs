//! Telemetry of `telemetry.istio.io`: access logging. Metrics and tracing are known and not acted on.
//!
//! Providers are looked up among those of MeshConfig here, so that what comes out names files and formats. A rule that
//! cannot be read as it is written is left out with a finding: logging then is what it would be without the rule.

mod filter;
mod forms;
mod providers;

pub(super) use forms::TELEMETRY;
pub use providers::LogProviders;
pub(super) use providers::{log_providers, outlet};

use super::{
    Object, ParseContext,
    reader::{Fields, Item},
    target,
};
use crate::model::telemetry::{LogOutlet, LogRule, LogSide, Telemetry};

/// Reads a Telemetry's `spec`. `None` without an error: it says nothing about the logs of workloads.
pub(super) fn parse(object: &Object, f: &mut Fields<'_>, context: &ParseContext) -> Option<Telemetry> {
    let labels = f.object("selector", |f| Some(f.selector("matchLabels"))).unwrap_or_default();
    TELEMETRY.read_inert_of(f, &["metrics", "tracing"]);
    let for_workloads = target::is_for_workloads(f, &TELEMETRY);
    let rules: Vec<LogRule> =
        f.list("accessLogging", |item| item.object(|f| Some(rule(f, &context.logs)))).into_iter().flatten().collect();
    if rules.iter().any(|rule| rule.outlets.is_empty() && !rule.disabled) && context.logs.defaults.is_empty() {
        f.warn(
            "no-log-provider",
            "a rule names no provider, and MeshConfig has neither defaultProviders.accessLogging nor accessLogFile: \
             it writes only where a wider Telemetry names one",
        );
    }
    (for_workloads && !rules.is_empty()).then(|| Telemetry {
        name: object.name(),
        precedence: object.precedence(),
        selector: (!labels.is_empty()).then_some(labels),
        defaults: context.logs.defaults.clone(),
        rules,
    })
}

/// `None`: as it stands it cannot be acted on, which is reported.
fn rule(f: &mut Fields<'_>, known: &LogProviders) -> Option<LogRule> {
    let sides = [
        ("UNSPECIFIED", LogSide::Both),
        ("CLIENT_AND_SERVER", LogSide::Both),
        ("CLIENT", LogSide::Client),
        ("SERVER", LogSide::Server),
    ];
    let side = f.object("match", |f| f.enum_of("mode", &sides)).unwrap_or(LogSide::Both);
    let named = f.objects("providers", |f| f.required("name").map(|item| provider(&item, known)));
    let disabled = f.bool("disabled").unwrap_or(false);
    let filter = f.object("filter", |f| f.item("expression").map(|item| filter::read(&item)));
    let outlets: Vec<LogOutlet> = named.iter().flatten().cloned().collect();
    let all_unknown = !named.is_empty() && outlets.is_empty();
    match filter {
        _ if all_unknown => None,
        Some(None) => None,
        filter => Some(LogRule { side, outlets, disabled, filter: filter.flatten() }),
    }
}

fn provider(item: &Item<'_>, known: &LogProviders) -> Option<LogOutlet> {
    let name = item.non_empty()?;
    let outlet = known.get(&name);
    if outlet.is_none() {
        item.warn(
            "log-provider-not-found",
            format!("{name:?} is no envoyFileAccessLog among MeshConfig's extensionProviders: nothing is logged to it"),
        );
    }
    outlet.cloned()
}

#[cfg(test)]
mod tests;
