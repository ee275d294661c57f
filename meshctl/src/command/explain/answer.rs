//! What a proxy decides about one call, in the words of `explain --cases`.

use serde::Serialize;
use serde_json::Value;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// Sent on.
    Forward,
    /// Not served.
    #[default]
    Refuse,
    /// Told to go elsewhere.
    Redirect,
    /// Answered by the proxy.
    Answer,
}

/// The decision and everything that led to it. What does not apply is left out.
#[derive(Debug, Clone, Serialize, Default)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// For refusals and redirects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// The same for a person, with what to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// Status of an answer or redirect of the proxy's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// Where a redirect points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listener: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter_chain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route_config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) virtual_host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<String>,
    /// The object that the rule is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<String>,
    /// All backends of a rule that has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) backends: Vec<Share>,
    /// Path after normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// The path that is sent on, where the rule rewrites it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rewritten_path: Option<String>,
    /// The host that is sent on, where the rule rewrites it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rewritten_host: Option<String>,
    /// The rule that decided; null: none did.
    pub(super) policy: Option<PolicyName>,
    pub(super) asks_external: bool,
    /// AUDIT rules that matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) audited: Vec<PolicyName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shadow: Option<ShadowAnswer>,
    /// How the connection is secured and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) security: Option<Security>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) endpoints: Vec<EndpointAnswer>,
}

/// One of several weighted backends.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Share {
    pub(super) cluster: String,
    pub(super) weight: u32,
}

/// A rule of a policy.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PolicyName {
    /// ALLOW, DENY, AUDIT or CUSTOM.
    pub(super) action: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Its place among the policy's rules, from 0.
    pub(super) rule: usize,
}

/// What dry-run policies would have said.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct ShadowAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allow: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deny: Option<bool>,
}

/// How a connection is secured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Security {
    /// `mutual TLS`, `TLS`, `plain text`; several, as endpoints differ, with commas.
    pub(super) transport: String,
    /// The object or rule that says so.
    pub(super) because: String,
}

/// Where a request may end.
#[derive(Debug, Clone, Serialize)]
pub(super) struct EndpointAnswer {
    pub(super) address: String,
    /// HEALTHY, DRAINING, UNHEALTHY.
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<String>,
    /// Uid of the workload, or the address; for looking it up.
    #[serde(skip)]
    pub(super) id: String,
    #[serde(skip)]
    pub(super) port: u16,
}

impl Answer {
    /// Not served, and why.
    pub(super) fn refuse(reason: &'static str, detail: impl Into<String>) -> Self {
        Answer { reason: Some(reason), detail: Some(detail.into()), ..Answer::default() }
    }

    /// As JSON.
    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("plain data with text keys")
    }
}
