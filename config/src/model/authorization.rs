//! Who may call what: one AuthorizationPolicy.
//!
//! Inside a source or operation all fields must hold; inside a list any value; `not_*` lists must not match.
//! Sources are alternatives, operations are alternatives, conditions must all hold.

use super::{Labels, Subject};
use crate::{
    matcher::{PathTemplate, StringMatch},
    name::NamespacedName,
};
use ipnet::IpNet;
use std::sync::Arc;

/// What a match means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// If any ALLOW policy applies to a workload, one of its rules must match.
    Allow,
    /// A match refuses.
    Deny,
    /// A match is noted.
    Audit,
    /// A match asks this extension provider; an unknown provider refuses.
    Custom(Arc<str>),
}

/// One AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq)]
pub struct Authorization {
    /// The object's name. In the root namespace it is for workloads of every namespace.
    pub name: NamespacedName,
    /// Which workloads; empty: all.
    pub selector: Labels,
    /// What a match means.
    pub action: Action,
    /// Decided and reported, not enforced (annotation `istio.io/dry-run`).
    pub dry_run: bool,
    /// Alternatives; none: never matches.
    pub rules: Vec<Rule>,
}

impl Authorization {
    /// Whether it holds for a workload. One in the root namespace selects among those of every namespace.
    pub fn holds_for(&self, subject: &Subject<'_>) -> bool {
        subject.is_under(&self.name.namespace) && self.selector.selects(subject.labels)
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    /// Empty: any source.
    pub sources: Vec<Source>,
    /// Empty: any operation.
    pub operations: Vec<Operation>,
    /// All must hold.
    pub conditions: Vec<Condition>,
}

/// Values that match and values that must not. A list that is empty says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Values<T> {
    /// At least one must match, if there is any.
    pub any_of: Vec<T>,
    /// None may match.
    pub none_of: Vec<T>,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Values { any_of: Vec::new(), none_of: Vec::new() }
    }
}

impl<T> Values<T> {
    /// Says nothing.
    pub fn is_empty(&self) -> bool {
        self.any_of.is_empty() && self.none_of.is_empty()
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Source {
    /// On the identity without `spiffe://`; trust domain aliases are expanded when the policy is compiled.
    pub principals: Values<StringMatch>,
    /// On `issuer/subject` of a validated token.
    pub request_principals: Values<StringMatch>,
    /// On the namespace in the identity.
    pub namespaces: Values<StringMatch>,
    /// `namespace/account` in the identity.
    pub service_accounts: Values<NamespacedName>,
    /// On the trust domain of the identity.
    pub trust_domains: Values<StringMatch>,
    /// The peer's address.
    pub ip_blocks: Values<IpNet>,
    /// The original client's address.
    pub remote_ip_blocks: Values<IpNet>,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Operation {
    /// Host as sent; compared without case.
    pub hosts: Values<StringMatch>,
    /// The workload's port.
    pub ports: Values<u16>,
    /// Method.
    pub methods: Values<StringMatch>,
    /// Path without query.
    pub paths: Values<PathRule>,
}

/// On the path.
#[derive(Debug, Clone, PartialEq)]
pub enum PathRule {
    /// Exact, prefix, suffix, presence.
    Text(StringMatch),
    /// With `{*}` and `{**}`.
    Template(PathTemplate),
}

/// One `when`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub key: Attribute,
    /// What it must, and must not, be.
    pub values: Values<ConditionValue>,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `request.headers[name]`, lower-case.
    RequestHeader(Arc<str>),
    /// `source.ip`.
    SourceIp,
    /// `remote.ip`.
    RemoteIp,
    /// `source.namespace`.
    SourceNamespace,
    /// `source.principal`.
    SourcePrincipal,
    /// `source.serviceAccount`.
    SourceServiceAccount,
    /// `source.trustDomain`.
    SourceTrustDomain,
    /// `request.auth.principal`.
    RequestPrincipal,
    /// `request.auth.audiences`.
    RequestAudiences,
    /// `request.auth.presenter`.
    RequestPresenter,
    /// `request.auth.claims[a][b]`.
    RequestClaim(Vec<Arc<str>>),
    /// `destination.ip`.
    DestinationIp,
    /// `destination.port`.
    DestinationPort,
    /// `connection.sni`.
    ConnectionSni,
    /// `experimental.envoy.filters.<filter>[key][…]`.
    FilterMetadata {
        /// Name of the filter.
        filter: Arc<str>,
        /// Path inside its metadata.
        path: Vec<Arc<str>>,
    },
}

/// One value of a condition, of the kind that its attribute has.
#[derive(Debug, Clone, PartialEq)]
pub enum ConditionValue {
    /// Texts.
    Text(StringMatch),
    /// For a claim or metadata value that is a list: any element (`[value]` in filter metadata).
    ListElement(StringMatch),
    /// Addresses.
    Block(IpNet),
    /// Ports.
    Port(u16),
    /// `namespace/account`.
    ServiceAccount(NamespacedName),
}
