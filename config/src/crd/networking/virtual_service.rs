//! VirtualService: routing rules of requests and of opaque connections.

use super::{forms, http_action, matching, names, opaque_rule, retry};
use crate::kind::ObjectKind;
use crate::{
    crd::{
        Object, ParseContext,
        form::is_of_whole_millis,
        node::Value,
        reader::{Fields, Item},
    },
    model::route::{Parent, Route, RouteRule},
    name::Host,
};
use std::{collections::HashSet, time::Duration};

/// The rules of `http`, `tls` and `tcp`; `None` without an error where there are only rules that are not served yet:
/// without a route, requests go where they would without the object.
pub(in crate::crd) fn virtual_service(object: &Object, f: &mut Fields<'_>, context: &ParseContext) -> Option<Route> {
    if is_delegate(f) {
        return delegate(f, object, context);
    }
    let parents = parents(f, object);
    let hosts = hosts(f, object, context, &parents);
    let visibility = names::visibility(f, object, &context.default_virtual_service_export_to);
    let before = f.errors();
    let named = opaque_rule::Hosts::of(hosts.as_deref().unwrap_or_default());
    let of = opaque_rule::Of { object, context, parents: &parents, hosts: &named };
    let mut given = false;
    let rules = f.objects_apart("http", |f| {
        given = true;
        rule(f, object, context, &parents)
    });
    let tls = f.objects_apart("tls", |f| opaque_rule::tls(f, of));
    let tcp = f.objects_apart("tcp", |f| opaque_rule::tcp(f, of));
    if !given && tls.is_empty() && tcp.is_empty() && f.errors() == before {
        return f.one_is_required(&["http", "tls", "tcp"], "one of http, tls and tcp is required");
    }
    let rules: Vec<_> = rules.into_iter().flatten().collect();
    if rules.is_empty() && tls.is_empty() && tcp.is_empty() {
        f.finish();
        return None;
    }
    Some(Route {
        object: ObjectKind::VirtualService,
        name: object.name(),
        hosts: hosts?,
        parents,
        precedence: object.precedence(),
        visibility: visibility?,
        rules,
        tls,
        tcp,
    })
}

/// Without hosts and gateways, rules are for other VirtualServices to delegate to.
fn is_delegate(f: &mut Fields<'_>) -> bool {
    let lists = |f: &mut Fields<'_>, name| f.item(name).is_some_and(|item| item.node().value != Value::Seq(Vec::new()));
    f.has("http") && !["hosts", "gateways", "tls", "tcp"].map(|name| lists(f, name)).contains(&true)
}

/// Its rules are read for what is wrong with them.
fn delegate<T>(f: &mut Fields<'_>, object: &Object, context: &ParseContext) -> Option<T> {
    names::visibility(f, object, &context.default_virtual_service_export_to);
    f.objects("http", |f| {
        if let Some(item) = f.item("delegate") {
            item.invalid::<()>("a VirtualService that others delegate to must not delegate itself");
        }
        rule(f, object, context, &[Parent::Mesh])
    });
    f.warn("field-not-acted-on", "has no hosts, so others may delegate to it, which is not acted on yet");
    f.finish();
    None
}

fn parents(f: &mut Fields<'_>, object: &Object) -> Vec<Parent> {
    let parents = f.list("gateways", |item| names::parent(&item, object));
    if parents.is_empty() { vec![Parent::Mesh] } else { parents }
}

/// So many hosts are held against each other: more are not written by hand, and each pair costs.
const COMPARED: usize = 1000;

fn hosts(f: &mut Fields<'_>, object: &Object, context: &ParseContext, parents: &[Parent]) -> Option<Vec<Host>> {
    let item = f.required("hosts")?;
    let (mut hosts, mut wildcards, mut known): (Vec<Host>, Vec<Host>, HashSet<Host>) = Default::default();
    let before = f.errors();
    let mut read = |entry: &Item<'_>| {
        let host = names::service_host(entry, object, context)?;
        if host.as_str() == "*" && parents.contains(&Parent::Mesh) {
            return entry
                .invalid::<()>("the host * is only allowed on gateways, and this VirtualService is bound to the mesh");
        }
        if !known.insert(host.clone()) {
            return entry.invalid(format!("{host} is listed twice"));
        }
        // Two names differ, as they are not listed twice: only wildcards overlap.
        let others = if host.is_wildcard() { &hosts } else { &wildcards };
        if let Some(other) = others.iter().take(COMPARED).find(|other| other.overlaps(&host)) {
            entry.refuse(format!("{host} and {other} have hosts in common"));
        }
        if host.is_wildcard() {
            wildcards.push(host.clone());
        }
        hosts.push(host);
        Some(())
    };
    item.list(|entry| entry.apart(&mut read));
    match hosts.is_empty() {
        true if f.errors() == before => item.invalid("at least one host is required"),
        // Each of them is said already.
        true => None,
        false => Some(hosts),
    }
}

/// One entry of `http`. Inner `None`: it is well-formed and left out, which has been reported.
fn rule(f: &mut Fields<'_>, object: &Object, context: &ParseContext, parents: &[Parent]) -> Option<Option<RouteRule>> {
    let name = f.opt_string("name").unwrap_or_default();
    let matches = f.objects("match", |f| matching::route_match(f, object, parents));
    forms::HTTP_RULE.read_inert(f);
    if f.has("mirror") && f.has("mirrors") {
        f.refuse("mirror and mirrors are mutually exclusive");
    }
    let timeout = f.item("timeout").and_then(|item| {
        let timeout = item.duration()?;
        if timeout < Duration::from_millis(1) {
            item.refuse("must be at least 1ms; leave it out for no limit");
        } else if !is_of_whole_millis(timeout) {
            item.refuse("must be of whole milliseconds");
        }
        Some(timeout)
    });
    let retries = f.item("retries").and_then(|item: Item<'_>| retry::retries(&item));
    let outcome = http_action::outcome(f, object, context, &matches)?;
    Some(outcome.map(|o| RouteRule {
        name,
        matches,
        action: o.action,
        rewrite: o.rewrite,
        timeout,
        retries,
        headers: o.headers,
    }))
}
