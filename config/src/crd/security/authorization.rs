//! AuthorizationPolicy: who may call what.

mod form;

pub(in crate::crd) use form::AUTHORIZATION_POLICY;

use super::{condition, selector, values};
use crate::{
    crd::{
        Object,
        object::ObjectMeta,
        reader::{Fields, Item},
        target,
    },
    go,
    model::{
        Authorization,
        authorization::{Action, Operation, Rule, Source, Values},
    },
};
use std::sync::Arc;

/// Most rules of a policy, and most sources or operations of a rule.
const MAX_ENTRIES: usize = 512;
/// Most service accounts in one list.
const MAX_SERVICE_ACCOUNTS: usize = 16;

pub(super) fn parse(object: &Object, f: &mut Fields<'_>) -> Option<Authorization> {
    let for_workloads = target::is_for_workloads(f, &AUTHORIZATION_POLICY);
    let namespace = object.meta.namespace.clone();
    let policy = Authorization {
        name: object.name(),
        selector: selector(f),
        action: action(f)?,
        dry_run: dry_run(object, f),
        rules: bounded(f, "rules", |item| item.object(|f| rule(f, &namespace))),
    };
    if policy.rules.is_empty() && policy.action != Action::Allow {
        f.warn("never-matches", "a policy without rules matches nothing, so this one has no effect");
        if policy.action != Action::Audit {
            f.refuse("rules are required: without them nothing is refused");
        }
    }
    if object.meta.annotations.get("istio.io/dry-run").is_some()
        && !matches!(policy.action, Action::Allow | Action::Deny)
    {
        f.refuse("annotation istio.io/dry-run is for actions ALLOW and DENY alone");
    }
    for_workloads.then_some(policy)
}

fn action(f: &mut Fields<'_>) -> Option<Action> {
    let plain = [
        ("ALLOW", Some(Action::Allow)),
        ("DENY", Some(Action::Deny)),
        ("AUDIT", Some(Action::Audit)),
        ("CUSTOM", None),
    ];
    let action = match f.item("action") {
        Some(item) => item.enum_of(&plain)?,
        None => Some(Action::Allow),
    };
    let provider = f.item("provider");
    match (action, provider) {
        (None, Some(item)) => item.object(|f| f.required("name")?.non_empty()).map(Action::Custom),
        (None, None) => {
            f.one_is_required(&["provider"], "action CUSTOM needs provider.name: which extension provider to ask")
        }
        (Some(_), Some(item)) => item.invalid("provider is for action CUSTOM only"),
        (Some(action), None) => Some(action),
    }
}

fn dry_run(object: &Object, f: &Fields<'_>) -> bool {
    is_dry_run(&object.meta).unwrap_or_else(|other| {
        let message =
            format!("annotation istio.io/dry-run is {other:.20?}, neither true nor false: the policy is enforced");
        f.warn("invalid-annotation", message);
        false
    })
}

/// Whether a policy refuses nobody and only reports, by annotation `istio.io/dry-run`.
///
/// # Errors
/// Its text, where that is neither true nor false.
pub fn is_dry_run(meta: &ObjectMeta) -> Result<bool, &str> {
    match meta.annotations.get("istio.io/dry-run").map(|text| &**text) {
        None => Ok(false),
        Some(text) => go::boolean(text).ok_or(text),
    }
}

fn bounded<'a, T>(f: &mut Fields<'a>, name: &'static str, mut read: impl FnMut(Item<'a>) -> Option<T>) -> Vec<T> {
    let Some(item) = f.item(name) else { return Vec::new() };
    let mut count = 0;
    let read = item.list(|entry| {
        count += 1;
        read(entry)
    });
    // Istio's validation asks this of sources and operations alone; no condition is no condition.
    if count == 0 && ["from", "to"].contains(&name) {
        item.refuse("must not be empty; leave it out to mean any");
    }
    if read.len() > MAX_ENTRIES {
        item.invalid::<()>(format!("has {} entries, more than {MAX_ENTRIES}", read.len()));
    }
    read
}

fn rule(f: &mut Fields<'_>, namespace: &Arc<str>) -> Option<Rule> {
    Some(Rule {
        sources: bounded(f, "from", |item| item.object(|f| f.required("source")?.object(|f| source(f, namespace)))),
        operations: bounded(f, "to", |item| item.object(|f| f.required("operation")?.object(operation))),
        conditions: bounded(f, "when", |item| item.object(|f| condition::parse(f, namespace))),
    })
}

fn source(f: &mut Fields<'_>, namespace: &Arc<str>) -> Option<Source> {
    let accounts = |item: Item<'_>| values::service_account(&item, namespace);
    let source = Source {
        principals: both(f, "principals", "notPrincipals", |i| values::text_item(&i)),
        request_principals: both(f, "requestPrincipals", "notRequestPrincipals", |i| values::text_item(&i)),
        namespaces: both(f, "namespaces", "notNamespaces", |i| values::namespace(&i)),
        service_accounts: both(f, "serviceAccounts", "notServiceAccounts", accounts),
        trust_domains: both(f, "trustDomains", "notTrustDomains", |i| values::text_item(&i)),
        ip_blocks: both(f, "ipBlocks", "notIpBlocks", |i| values::block(&i)),
        remote_ip_blocks: both(f, "remoteIpBlocks", "notRemoteIpBlocks", |i| values::block(&i)),
    };
    f.finish();
    if source == Source::default() && f.errors() == 0 {
        return f.invalid("a source must not be empty; omit `from` to match any source");
    }
    let accounts = &source.service_accounts;
    let others = !source.principals.is_empty() || !source.namespaces.is_empty();
    if others && !accounts.is_empty() {
        return f.invalid("serviceAccounts cannot be combined with principals or namespaces in one source");
    }
    if accounts.any_of.len().max(accounts.none_of.len()) > MAX_SERVICE_ACCOUNTS {
        return f.invalid(format!("at most {MAX_SERVICE_ACCOUNTS} service accounts are allowed in one list"));
    }
    Some(source)
}

fn operation(f: &mut Fields<'_>) -> Option<Operation> {
    let operation = Operation {
        hosts: both(f, "hosts", "notHosts", |i| values::text_item(&i)),
        ports: both(f, "ports", "notPorts", |i| values::port(&i)),
        methods: both(f, "methods", "notMethods", |i| values::text_item(&i)),
        paths: both(f, "paths", "notPaths", |i| values::path(&i)),
    };
    f.finish();
    if operation == Operation::default() && f.errors() == 0 {
        return f.invalid("an operation must not be empty; omit `to` to match any operation");
    }
    Some(operation)
}

/// The list of values that match, and the one of values that must not.
pub(super) fn both<'a, T>(
    f: &mut Fields<'a>,
    any_of: &'static str,
    none_of: &'static str,
    mut read: impl FnMut(Item<'a>) -> Option<T>,
) -> Values<T> {
    Values { any_of: f.list(any_of, &mut read), none_of: f.list(none_of, &mut read) }
}
