//! One rule of the model → one executable rule for one layer.
//!
//! Conditions belong to the half (who calls, what is called) that their key is about, and hold in every alternative.

use super::{
    Check, CompiledRule, IdentityMatch, Layer, NamespaceMatch, RuleId, Test, TokenPrincipal, trust_domain::Domains,
};
use mesh_config::{
    matcher::{Pattern, StringMatch},
    model::{
        Authorization,
        authorization::{Action, Attribute, Condition, ConditionValue, Operation, Rule, Source, Values},
    },
    name::NamespacedName,
};
use std::sync::Arc;

/// The rules of policies of one action, in the order of their names.
pub(super) fn rules(policies: &[&Arc<Authorization>], domains: &Domains, layer: Layer) -> Vec<CompiledRule> {
    let mut rules: Vec<_> = policies
        .iter()
        .flat_map(|policy| policy.rules.iter().enumerate().map(move |(at, rule)| (*policy, at, rule)))
        .filter_map(|(policy, at, rule)| {
            let id = RuleId { policy: policy.name.clone(), rule: at, action: policy.action.clone(), unusable: false };
            Compiler { domains, layer, lenient: policy.action != Action::Allow }.rule(id, rule)
        })
        .map(|rule| (rule.id.to_string(), rule))
        .collect();
    rules.sort_by(|a, b| a.0.cmp(&b.0));
    rules.into_iter().map(|(_, rule)| rule).collect()
}

struct Compiler<'a> {
    domains: &'a Domains,
    layer: Layer,
    /// What cannot be asked on this layer is left out; otherwise the whole rule is.
    lenient: bool,
}

/// The rule asks for something that this layer does not have.
struct NotOnThisLayer;

type Checks = Result<Vec<Check>, NotOnThisLayer>;

impl Compiler<'_> {
    fn rule(&self, id: RuleId, rule: &Rule) -> Option<CompiledRule> {
        let (mut on_source, mut on_operation) = (Vec::new(), Vec::new());
        for condition in &rule.conditions {
            let half = if is_about_the_source(&condition.key) { &mut on_source } else { &mut on_operation };
            half.extend(self.condition(condition).ok()?);
        }
        let sources = alternatives(&rule.sources, on_source, |s| self.source(s))?;
        let operations = alternatives(&rule.operations, on_operation, |o| self.operation(o))?;
        Some(CompiledRule { id, operations, sources })
    }

    fn source(&self, source: &Source) -> Checks {
        let mut checks = Vec::new();
        self.add(&mut checks, &source.principals, |v| Test::Identity(self.principals(v)));
        self.add_http(&mut checks, &source.request_principals, |v| Test::TokenPrincipal(token_principals(v)))?;
        self.add(&mut checks, &source.service_accounts, |v| Test::Identity(v.iter().map(account).collect()));
        self.add(&mut checks, &source.namespaces, |v| Test::Identity(v.iter().map(namespace).collect()));
        self.add(&mut checks, &source.trust_domains, |v| Test::Identity(self.trust_domains(v)));
        self.add(&mut checks, &source.remote_ip_blocks, |v| Test::RemoteIp(v.to_vec()));
        self.add(&mut checks, &source.ip_blocks, |v| Test::SourceIp(v.to_vec()));
        Ok(checks)
    }

    fn operation(&self, operation: &Operation) -> Checks {
        let mut checks = Vec::new();
        self.add_http(&mut checks, &operation.hosts, |v| Test::Host(v.to_vec()))?;
        self.add_http(&mut checks, &operation.methods, |v| Test::Method(v.to_vec()))?;
        self.add_http(&mut checks, &operation.paths, |v| Test::Path(v.to_vec()))?;
        self.add(&mut checks, &operation.ports, |v| Test::Port(v.to_vec()));
        Ok(checks)
    }

    fn condition(&self, condition: &Condition) -> Checks {
        let mut checks = Vec::new();
        let values = &condition.values;
        match &condition.key {
            Attribute::SourceIp => self.add(&mut checks, values, |v| Test::SourceIp(pick(v, block))),
            Attribute::RemoteIp => self.add(&mut checks, values, |v| Test::RemoteIp(pick(v, block))),
            Attribute::DestinationIp => self.add(&mut checks, values, |v| Test::DestinationIp(pick(v, block))),
            Attribute::DestinationPort => self.add(&mut checks, values, |v| Test::Port(pick(v, port))),
            Attribute::ConnectionSni => self.add(&mut checks, values, |v| Test::Sni(pick(v, text))),
            Attribute::SourcePrincipal => {
                self.add(&mut checks, values, |v| Test::Identity(self.principals(&pick(v, text))));
            }
            Attribute::SourceNamespace => {
                self.add(&mut checks, values, |v| Test::Identity(pick(v, text).iter().map(namespace).collect()));
            }
            Attribute::SourceServiceAccount => {
                self.add(&mut checks, values, |v| Test::Identity(pick(v, |v| account_value(v).map(account))));
            }
            Attribute::SourceTrustDomain => {
                self.add(&mut checks, values, |v| Test::Identity(self.trust_domains(&pick(v, text))));
            }
            Attribute::FilterMetadata { filter, path } => self.add(&mut checks, values, |v| Test::Metadata {
                filter: filter.clone(),
                path: path.clone(),
                texts: pick(v, text),
                elements: pick(v, element),
            }),
            Attribute::RequestHeader(name) => {
                self.add_http(&mut checks, values, |v| Test::Header(name.clone(), pick(v, text)))?;
            }
            Attribute::RequestPrincipal => {
                self.add_http(&mut checks, values, |v| Test::TokenPrincipal(token_principals(&pick(v, text))))?;
            }
            Attribute::RequestAudiences => self.add_http(&mut checks, values, |v| claim(&["aud".into()], v))?,
            Attribute::RequestPresenter => self.add_http(&mut checks, values, |v| claim(&["azp".into()], v))?,
            Attribute::RequestClaim(path) => self.add_http(&mut checks, values, |v| claim(path, v))?,
        }
        Ok(checks)
    }

    fn add<T>(&self, checks: &mut Vec<Check>, values: &Values<T>, test: impl Fn(&[T]) -> Test) {
        for (list, negated) in [(&values.any_of, false), (&values.none_of, true)] {
            if !list.is_empty() {
                checks.push(Check { test: test(list), negated });
            }
        }
    }

    fn add_http<T>(
        &self,
        checks: &mut Vec<Check>,
        values: &Values<T>,
        test: impl Fn(&[T]) -> Test,
    ) -> Result<(), NotOnThisLayer> {
        match (self.layer, self.lenient) {
            (Layer::Http, _) => self.add(checks, values, test),
            (Layer::Tcp, true) => {}
            (Layer::Tcp, false) if values.is_empty() => {}
            (Layer::Tcp, false) => return Err(NotOnThisLayer),
        }
        Ok(())
    }

    fn principals(&self, values: &[StringMatch]) -> Vec<IdentityMatch> {
        values.iter().flat_map(|v| self.domains.expand(&written(v))).map(|text| principal(&text)).collect()
    }

    fn trust_domains(&self, values: &[StringMatch]) -> Vec<IdentityMatch> {
        let mut matches = Vec::new();
        for value in values {
            match value {
                StringMatch::Exact(domain) => {
                    let expanded = self.domains.expand_domain(domain).into_iter();
                    matches.extend(expanded.map(|d| IdentityMatch::UriPrefix(format!("spiffe://{d}/").into())));
                }
                pattern => matches.push(IdentityMatch::TrustDomain(pattern.clone())),
            }
        }
        matches
    }
}

fn is_about_the_source(key: &Attribute) -> bool {
    !matches!(
        key,
        Attribute::DestinationIp
            | Attribute::DestinationPort
            | Attribute::ConnectionSni
            | Attribute::FilterMetadata { .. }
    )
}

/// No alternative written: one that asks nothing but the conditions.
fn alternatives<T>(written: &[T], conditions: Vec<Check>, compile: impl Fn(&T) -> Checks) -> Option<Vec<Vec<Check>>> {
    if written.is_empty() {
        return Some(vec![conditions]);
    }
    let with_conditions = |one: &T| {
        let mut checks = compile(one).ok()?;
        checks.extend_from_slice(&conditions);
        Some(checks)
    };
    written.iter().map(with_conditions).collect()
}

/// A text match as it was written in the policy.
fn written(value: &StringMatch) -> String {
    match value {
        StringMatch::Exact(text) => text.to_string(),
        StringMatch::Prefix(text) => format!("{text}*"),
        StringMatch::Suffix(text) => format!("*{text}"),
        StringMatch::Regex(pattern) => pattern.as_str().to_owned(),
        StringMatch::Present => "*".to_owned(),
    }
}

fn principal(text: &str) -> IdentityMatch {
    if text == "*" {
        return IdentityMatch::Any;
    }
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(suffix), _) => IdentityMatch::SpiffeSuffix(suffix.into()),
        (None, Some(prefix)) => IdentityMatch::UriPrefix(format!("spiffe://{prefix}").into()),
        (None, None) => IdentityMatch::Uri(format!("spiffe://{text}").into()),
    }
}

fn namespace(value: &StringMatch) -> IdentityMatch {
    IdentityMatch::Namespace(match value {
        StringMatch::Present => NamespaceMatch::Any,
        StringMatch::Exact(name) => NamespaceMatch::Exact(format!("/ns/{name}/").into()),
        StringMatch::Prefix(prefix) => NamespaceMatch::Prefix(format!("/ns/{prefix}").into()),
        StringMatch::Suffix(suffix) => NamespaceMatch::Suffix(format!("{suffix}/").into()),
        StringMatch::Regex(pattern) => match Pattern::new(&format!(".*/ns/(?:{})/.*", pattern.as_str())) {
            Ok(whole) => NamespaceMatch::Pattern(whole),
            // Too long with what is put around it: no identity is as long.
            Err(_) => NamespaceMatch::Exact("\0".into()),
        },
    })
}

fn account(name: &NamespacedName) -> IdentityMatch {
    IdentityMatch::Account {
        namespace: format!("/ns/{}/", name.namespace).into(),
        account: format!("sa/{}", name.name).into(),
    }
}

/// The issuer may be a URL, so the last slash divides. A text without one is an issuer, but a suffix alone is one of
/// subjects.
fn token_principals(values: &[StringMatch]) -> Vec<TokenPrincipal> {
    let exact = |text: &str| StringMatch::Exact(text.into());
    let suffix = |text: &str| if text.is_empty() { StringMatch::Present } else { StringMatch::Suffix(text.into()) };
    let prefix = |text: &str| if text.is_empty() { StringMatch::Present } else { StringMatch::Prefix(text.into()) };
    let one = |value: &StringMatch| {
        let (issuer, subject) = match value {
            StringMatch::Present => (StringMatch::Present, StringMatch::Present),
            StringMatch::Suffix(text) => match text.rsplit_once('/') {
                Some((issuer, subject)) => (suffix(issuer), exact(subject)),
                None => (StringMatch::Present, suffix(text)),
            },
            StringMatch::Prefix(text) => match text.rsplit_once('/') {
                Some((issuer, subject)) => (exact(issuer), prefix(subject)),
                None => (prefix(text), StringMatch::Present),
            },
            StringMatch::Exact(text) => {
                let (issuer, subject) = text.rsplit_once('/').unwrap_or((text, ""));
                (exact(issuer), exact(subject))
            }
            StringMatch::Regex(_) => (value.clone(), StringMatch::Present),
        };
        TokenPrincipal { issuer, subject }
    };
    values.iter().map(one).collect()
}

fn claim(path: &[Arc<str>], values: &[ConditionValue]) -> Test {
    Test::Claim(path.to_vec(), pick(values, |v| text(v).or_else(|| element(v))))
}

fn pick<T>(values: &[ConditionValue], of: impl Fn(&ConditionValue) -> Option<T>) -> Vec<T> {
    values.iter().filter_map(of).collect()
}

fn text(value: &ConditionValue) -> Option<StringMatch> {
    match value {
        ConditionValue::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn element(value: &ConditionValue) -> Option<StringMatch> {
    match value {
        ConditionValue::ListElement(text) => Some(text.clone()),
        _ => None,
    }
}

fn block(value: &ConditionValue) -> Option<ipnet::IpNet> {
    match value {
        ConditionValue::Block(block) => Some(*block),
        _ => None,
    }
}

fn port(value: &ConditionValue) -> Option<u16> {
    match value {
        ConditionValue::Port(port) => Some(*port),
        _ => None,
    }
}

fn account_value(value: &ConditionValue) -> Option<&NamespacedName> {
    match value {
        ConditionValue::ServiceAccount(name) => Some(name),
        _ => None,
    }
}
