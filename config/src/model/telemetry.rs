//! What is written to access logs, and which requests and connections are worth a line.
//!
//! [`effective`] merges the objects that hold for a workload, as Istio does: the mesh's, the namespace's, the workload's.
//! Where none of them says anything about logs, MeshConfig's access log is in force.

use super::{
    Labels, Precedence, Subject,
    settings::{AccessLog, AccessLogEncoding},
};
use crate::name::NamespacedName;
use std::{collections::BTreeMap, sync::Arc};

/// One Telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// The object's name.
    pub name: NamespacedName,
    /// The oldest wins among objects without a selector.
    pub precedence: Precedence,
    /// Which workloads of its namespace; `None`: all (root namespace: all of the mesh).
    pub selector: Option<Labels>,
    /// Logs of rules that name none where no wider object named any.
    pub defaults: Vec<LogOutlet>,
    /// The last that says something about a log counts.
    pub rules: Vec<LogRule>,
}

/// One entry of `accessLogging`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRule {
    /// Whose requests it is about.
    pub side: LogSide,
    /// The logs; none: those in force so far.
    pub outlets: Vec<LogOutlet>,
    /// Nothing is written to them.
    pub disabled: bool,
    /// `None`: every request and connection.
    pub filter: Option<LogFilter>,
}

/// Whose requests a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSide {
    /// All.
    Both,
    /// Those that the workload sends, and all of a gateway's.
    Client,
    /// Those that it receives.
    Server,
}

/// A log, under the name of its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOutlet {
    /// The provider's name, in lower case.
    pub name: Arc<str>,
    /// A path, `/dev/stdout` or `/dev/stderr`.
    pub file: Arc<str>,
    /// What a line looks like.
    pub format: LogFormat,
}

/// What a line looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// Text with command operators; empty: Istio's.
    Text(Arc<str>),
    /// One JSON object: keys and the command operators of their values; none: Istio's.
    Json(BTreeMap<Arc<str>, Arc<str>>),
}

/// What MeshConfig says of the mesh's log.
impl From<&AccessLog> for LogFormat {
    fn from(log: &AccessLog) -> Self {
        match log.encoding {
            AccessLogEncoding::Text => LogFormat::Text(log.format.clone()),
            AccessLogEncoding::Json => LogFormat::Json(BTreeMap::new()),
        }
    }
}

/// Alternatives, each of conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    /// Any of them.
    pub any: Vec<LogAlternative>,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogAlternative {
    /// All of them.
    pub all: Vec<LogCondition>,
}

/// An attribute compared with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCondition {
    /// What is compared.
    pub attribute: LogAttribute,
    /// How.
    pub comparison: LogComparison,
    /// With what.
    pub number: i64,
}

/// What a filter can ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogAttribute {
    /// `response.code`; 0 of a connection.
    ResponseCode,
    /// `response.flags`: 0 where none are set, else 1.
    ResponseFlags,
    /// `response.grpc_status`; a request that is not gRPC has none, and no comparison with it holds.
    GrpcStatus,
    /// `connection.mtls`: 0 or 1.
    MutualTls,
}

/// How an attribute is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the comparison of its name")]
pub enum LogComparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl LogComparison {
    /// Whether it holds between two numbers.
    pub fn holds(self, left: i64, right: i64) -> bool {
        match self {
            LogComparison::Equal => left == right,
            LogComparison::NotEqual => left != right,
            LogComparison::Less => left < right,
            LogComparison::AtMost => left <= right,
            LogComparison::Greater => left > right,
            LogComparison::AtLeast => left >= right,
        }
    }

    /// The comparison that holds where this one does not.
    pub fn negated(self) -> LogComparison {
        match self {
            LogComparison::Equal => LogComparison::NotEqual,
            LogComparison::NotEqual => LogComparison::Equal,
            LogComparison::Less => LogComparison::AtLeast,
            LogComparison::AtLeast => LogComparison::Less,
            LogComparison::Greater => LogComparison::AtMost,
            LogComparison::AtMost => LogComparison::Greater,
        }
    }
}

impl LogFilter {
    /// Whether what has these attributes is worth a line. An attribute that is not there makes every condition on it false.
    pub fn passes(&self, value: impl Fn(LogAttribute) -> Option<i64>) -> bool {
        let holds = |c: &LogCondition| value(c.attribute).is_some_and(|found| c.comparison.holds(found, c.number));
        self.any.iter().any(|alternative| alternative.all.iter().all(holds))
    }
}

/// A log in force, and what of a workload's requests goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveLog {
    /// Where to.
    pub outlet: LogOutlet,
    /// `None`: everything.
    pub filter: Option<LogFilter>,
}

impl Telemetry {
    /// Whether it holds for a workload. One in the root namespace with a selector is for workloads of that namespace.
    pub fn holds_for(&self, subject: &Subject<'_>) -> bool {
        let of = &self.name.namespace;
        match &self.selector {
            Some(selector) => of == subject.namespace && selector.selects(subject.labels),
            None => subject.is_under(of),
        }
    }
}

/// The logs of a workload's requests on one side, which is not [`LogSide::Both`]. `None`: nobody says anything about
/// that side, and MeshConfig's access log is in force.
///
/// Of the objects without a selector the oldest of the root namespace counts, then the oldest of the workload's own;
/// then all that select it, the oldest first.
pub fn effective<'a>(
    objects: impl Iterator<Item = &'a Arc<Telemetry>>,
    subject: &Subject<'_>,
    side: LogSide,
) -> Option<Vec<EffectiveLog>> {
    let mut applying: Vec<&Telemetry> = objects.map(|t| &**t).filter(|t| t.holds_for(subject)).collect();
    let level = |t: &Telemetry| (t.selector.is_some(), t.name.namespace != *subject.root);
    applying.sort_by(|a, b| (level(a), &a.precedence, &a.name).cmp(&(level(b), &b.precedence, &b.name)));
    let mut wide = None;
    applying.retain(|t| t.selector.is_some() || wide.replace(level(t)) != Some(level(t)));

    let mut in_force: Option<Vec<EffectiveLog>> = None;
    for telemetry in applying {
        let mut named: Vec<EffectiveLog> = Vec::new();
        let inherited = in_force.clone();
        let mut spoke = false;
        for rule in telemetry.rules.iter().filter(|rule| rule.side == LogSide::Both || rule.side == side) {
            spoke = true;
            let inherits = || match &inherited {
                Some(logs) => logs.iter().map(|log| log.outlet.clone()).collect(),
                None => telemetry.defaults.clone(),
            };
            let outlets = if rule.outlets.is_empty() { inherits() } else { rule.outlets.clone() };
            named.retain(|log| outlets.iter().all(|outlet| outlet.name != log.outlet.name));
            if !rule.disabled {
                let logs = outlets.into_iter().map(|outlet| EffectiveLog { outlet, filter: rule.filter.clone() });
                named.extend(logs);
            }
        }
        if spoke {
            in_force = Some(named);
        }
    }
    in_force
}

#[cfg(test)]
mod tests;
