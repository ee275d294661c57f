//! The authorisation rules of one workload, compiled and merged: once for HTTP, once for opaque TCP.
//!
//! What a policy says about HTTP means nothing on opaque TCP: an ALLOW rule that needs it cannot match there, a DENY
//! (AUDIT, CUSTOM) rule goes without it and so matches more. Within a set the rules are in the order of their
//! names, so which one is reported does not depend on the order of arrival.

mod compile;
mod trust_domain;

use ipnet::IpNet;
use mesh_config::{
    matcher::StringMatch,
    model::{
        Authorization, Settings,
        authorization::{Action, PathRule},
    },
    name::NamespacedName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// All authorisation rules of one workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies {
    /// In force for HTTP requests.
    pub http: RuleSets,
    /// In force for opaque TCP connections.
    pub tcp: RuleSets,
}

/// Rules by what a match means.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleSets {
    /// A match refuses: CUSTOM policies whose provider cannot be used.
    pub unusable_custom: Vec<CompiledRule>,
    /// A match asks the provider.
    pub custom: Option<CustomRules>,
    /// A match is noted.
    pub audit: Vec<CompiledRule>,
    /// A match refuses; those of the root namespace stand first.
    pub deny: Vec<CompiledRule>,
    /// One must match; `None`: no ALLOW policy applies, so everything is allowed.
    pub allow: Option<Vec<CompiledRule>>,
    /// DENY rules that are only tried; `None`: there is no such policy.
    pub dry_run_deny: Option<Vec<CompiledRule>>,
    /// ALLOW rules that are only tried; `None`: there is no such policy.
    pub dry_run_allow: Option<Vec<CompiledRule>>,
}

/// CUSTOM rules, all of one provider.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomRules {
    /// Name of the extension provider.
    pub provider: Arc<str>,
    pub rules: Vec<CompiledRule>,
}

/// Which rule of which policy. Its text form is the name that Envoy's logs carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleId {
    pub policy: NamespacedName,
    /// Its place among the policy's rules, counted from 0.
    pub rule: usize,
    /// What a match of it means.
    pub action: Action,
    /// A CUSTOM rule that refuses because its provider cannot be used.
    pub unusable: bool,
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Action::Custom(provider) = &self.action {
            match provider.is_empty() {
                true => f.write_str("istio-ext-authz-")?,
                false => write!(f, "istio-ext-authz-{provider}-")?,
            }
        }
        write!(f, "ns[{}]-policy[{}]-rule[{}]", self.policy.namespace, self.policy.name, self.rule)?;
        match self.unusable {
            true => f.write_str("-deny-due-to-bad-CUSTOM-action"),
            false => Ok(()),
        }
    }
}

/// A rule in executable form: one alternative of each half must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct CompiledRule {
    /// Its name.
    pub id: RuleId,
    /// Alternatives on what is called.
    pub operations: Vec<Vec<Check>>,
    /// Alternatives on who calls.
    pub sources: Vec<Vec<Check>>,
}

/// One thing that must hold, or must not.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What is looked at and the values of which one must match.
    pub test: Test,
    /// No value may match. What is not there does not match.
    pub negated: bool,
}

/// What is looked at, with its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// The request's method.
    Method(Vec<StringMatch>),
    /// The request's host, without case.
    Host(Vec<StringMatch>),
    /// The path without its query.
    Path(Vec<PathRule>),
    /// A header, or a pseudo header, by its lower-case name.
    Header(Arc<str>, Vec<StringMatch>),
    /// The workload's port.
    Port(Vec<u16>),
    /// The address that was called.
    DestinationIp(Vec<IpNet>),
    /// The peer's address.
    SourceIp(Vec<IpNet>),
    /// The original client's address.
    RemoteIp(Vec<IpNet>),
    /// The server name that the client asked for.
    Sni(Vec<StringMatch>),
    /// The proven identity.
    Identity(Vec<IdentityMatch>),
    /// Issuer and subject of a validated token.
    TokenPrincipal(Vec<TokenPrincipal>),
    /// A claim of a validated token: a text, or any element of a list.
    Claim(Vec<Arc<str>>, Vec<StringMatch>),
    /// What an earlier filter found.
    Metadata {
        /// Name of the filter.
        filter: Arc<str>,
        /// Path inside its metadata.
        path: Vec<Arc<str>>,
        /// On a text there.
        texts: Vec<StringMatch>,
        /// On any element of a list there.
        elements: Vec<StringMatch>,
    },
}

/// On the URI that the peer proved, of whatever form it is.
#[derive(Debug, Clone, PartialEq)]
pub enum IdentityMatch {
    /// Any identity.
    Any,
    /// The whole URI.
    Uri(Box<str>),
    /// What the URI begins with.
    UriPrefix(Box<str>),
    /// What a `spiffe://` URI ends with, after the scheme.
    SpiffeSuffix(Box<str>),
    /// `/ns/…/` somewhere, as in `.*/ns/NAMESPACE/.*`.
    Namespace(NamespaceMatch),
    /// `spiffe://…/ns/NAMESPACE/…sa/ACCOUNT`, more segments allowed where the dots are and at the end.
    Account {
        /// `/ns/NAMESPACE/`.
        namespace: Box<str>,
        /// `sa/ACCOUNT`.
        account: Box<str>,
    },
    /// On the trust domain of a `spiffe://` URI.
    TrustDomain(StringMatch),
}

/// What stands between `/ns/` and a later `/`.
#[derive(Debug, Clone, PartialEq)]
pub enum NamespaceMatch {
    /// Anything.
    Any,
    /// `/ns/NAME/` is in the URI.
    Exact(Box<str>),
    /// `/ns/PREFIX` is, and a slash after it.
    Prefix(Box<str>),
    /// `/ns/` is, and `SUFFIX/` after it.
    Suffix(Box<str>),
    /// The whole URI.
    Pattern(mesh_config::matcher::Pattern),
}

/// `issuer/subject`, each matched on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenPrincipal {
    /// On claim `iss`.
    pub issuer: StringMatch,
    /// On claim `sub`.
    pub subject: StringMatch,
}

/// What the rules are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Http,
    Tcp,
}

impl Policies {
    /// Compiles the policies that apply to one workload.
    pub fn build(applying: &[Arc<Authorization>], settings: &Settings) -> Policies {
        Policies {
            http: RuleSets::build(applying, settings, Layer::Http),
            tcp: RuleSets::build(applying, settings, Layer::Tcp),
        }
    }

    /// With these policies in force too, of which nothing but the name is known: every call is refused in their name.
    pub fn refusing(mut self, unreadable: impl Iterator<Item = NamespacedName>) -> Policies {
        for policy in unreadable {
            let id = RuleId { policy, rule: 0, action: Action::Deny, unusable: false };
            let everything = CompiledRule { id, operations: vec![Vec::new()], sources: vec![Vec::new()] };
            self.http.deny.push(everything.clone());
            self.tcp.deny.push(everything);
        }
        self
    }

    /// Whether there is nothing to decide: everything is allowed.
    pub fn is_empty(&self) -> bool {
        self.http.is_empty() && self.tcp.is_empty()
    }
}

impl RuleSets {
    fn build(applying: &[Arc<Authorization>], settings: &Settings, layer: Layer) -> RuleSets {
        let domains = trust_domain::Domains::of(settings);
        let of = |action: Action, dry_run: bool| {
            let chosen: Vec<_> = applying.iter().filter(|p| p.action == action && p.dry_run == dry_run).collect();
            (!chosen.is_empty()).then(|| compile::rules(&chosen, &domains, layer))
        };
        let mut sets = RuleSets {
            audit: of(Action::Audit, false).unwrap_or_default(),
            deny: of(Action::Deny, false).unwrap_or_default(),
            allow: of(Action::Allow, false),
            dry_run_deny: of(Action::Deny, true),
            dry_run_allow: of(Action::Allow, true),
            ..RuleSets::default()
        };
        sets.deny.sort_by_key(|rule| rule.id.policy.namespace != settings.root_namespace);
        sets.add_custom(applying, settings, &domains, layer);
        sets
    }

    /// One provider a workload, and it must be usable; otherwise what should have been asked is refused. A policy that
    /// is only tried asks nobody, but its provider counts.
    fn add_custom(
        &mut self,
        applying: &[Arc<Authorization>],
        settings: &Settings,
        domains: &trust_domain::Domains,
        layer: Layer,
    ) {
        let mut enforced: BTreeMap<&Arc<str>, Vec<&Arc<Authorization>>> = BTreeMap::new();
        let mut providers = BTreeSet::new();
        for policy in applying {
            if let Action::Custom(provider) = &policy.action {
                providers.insert(provider);
                if !policy.dry_run {
                    enforced.entry(provider).or_default().push(policy);
                }
            }
        }
        for (provider, policies) in enforced {
            let usable = settings.external_authorizers.iter().find(|a| a.name == *provider && a.invalid.is_none());
            let mut rules = compile::rules(&policies, domains, layer);
            match usable {
                Some(authorizer) if providers.len() == 1 => {
                    // An HTTP provider can say nothing about TCP: there the policy is without effect.
                    if layer == Layer::Http || authorizer.grpc {
                        self.custom = Some(CustomRules { provider: provider.clone(), rules });
                    }
                }
                _ => {
                    rules.iter_mut().for_each(|rule| rule.id.unusable = true);
                    self.unusable_custom.append(&mut rules);
                }
            }
        }
    }

    /// Whether there is nothing to decide: everything is allowed.
    pub fn is_empty(&self) -> bool {
        self.unusable_custom.is_empty()
            && self.custom.is_none()
            && self.audit.is_empty()
            && self.deny.is_empty()
            && self.allow.is_none()
            && self.dry_run_deny.is_none()
            && self.dry_run_allow.is_none()
    }
}
