//! Key and request to a selection: find the virtual host, take its first rule that matches, pick a backend.

use super::{Answer, MatchedPath, RequestView, RouteMeta, Routed, Selection, matching, redirect, split};
use crate::snapshot::{
    Snapshot,
    cluster::Cluster,
    listener::DestinationKey,
    outbound::{Beyond, Egress},
    virtual_host::{Action, Resolved, RouteEntry, RuleEntry, VirtualHost, table::HostTable},
};
use mesh_config::{
    model::{
        IndexEntry, ServiceKey,
        route::{RetryPolicy, RouteAction},
    },
    name::{Port, host_of_authority},
};
use std::sync::Arc;

/// Nothing answers to the host.
const NOWHERE: Selection = Selection::Answer(Answer::NotFound { meta: None });

/// What `snapshot` says about a request of a connection with this key. `draw` is a random number that decides
/// between weighted backends; a request that is selected again after [`Selection::Pending`] brings the same one.
pub fn select(snapshot: &Snapshot, key: &DestinationKey, request: &RequestView<'_>, draw: u64) -> Selection {
    match key {
        DestinationKey::HttpPort(port) => on_port(snapshot, *port, request, draw),
        DestinationKey::Service(service, port) => to_service(snapshot, service, *port, request, draw),
        DestinationKey::Egress(name) => match snapshot.outbound.egress(name) {
            Some(egress) => through_listener(snapshot, egress, request, draw),
            None => NOWHERE,
        },
        DestinationKey::Gateway(port) => match snapshot.outbound.gateway(*port).and_then(|g| g.requests()) {
            Some(table) => at_gateway(table, request, draw),
            None => NOWHERE,
        },
        DestinationKey::GatewayTls { port, server } => {
            let servers = snapshot.outbound.gateway(*port).map_or(&[][..], |gateway| gateway.tls());
            match servers.iter().find(|s| s.route_config == *server).and_then(|s| s.then.table()) {
                Some(table) => at_gateway(table, request, draw),
                None => NOWHERE,
            }
        }
        DestinationKey::Inbound(port) => inbound(snapshot, *port),
        DestinationKey::Unknown(_) => beyond(snapshot.outbound.unknown_address()),
    }
}

/// A captured connection on a port that carries HTTP: the host chooses among all services with that port.
fn on_port(snapshot: &Snapshot, port: Port, request: &RequestView<'_>, draw: u64) -> Selection {
    let host = host_of_authority(request.authority);
    let outbound = &snapshot.outbound;
    let reachable = |entry: &IndexEntry| outbound.serves(entry, port);
    match known(snapshot, outbound.port(port).map(|p| &p.table), &host, reachable) {
        Known::Here(found) => within(found, request, draw),
        Known::NotYet(entry) => Selection::Pending { service: entry.key.clone() },
        Known::Not => beyond(&outbound.unknown_host(port)),
    }
}

/// A connection whose protocol was detected: any host reaches the service. Should the service have declared its port
/// as HTTP since, its rules there hold.
fn to_service(snapshot: &Snapshot, key: &ServiceKey, port: Port, request: &RequestView<'_>, draw: u64) -> Selection {
    let outbound = &snapshot.outbound;
    let declared = || outbound.port(port)?.table.claimed(key.host.as_str());
    match outbound.sniffed(key, port).or_else(declared) {
        Some(host) => within(host, request, draw),
        None if outbound.service(key).is_none() && snapshot.index.get(key).is_some() => {
            Selection::Pending { service: key.clone() }
        }
        None => NOWHERE,
    }
}

/// A connection to a listener of a `Sidecar`: the host chooses among the services that the listener names.
fn through_listener(snapshot: &Snapshot, egress: &Egress, request: &RequestView<'_>, draw: u64) -> Selection {
    let host = host_of_authority(request.authority);
    match known(snapshot, Some(&egress.table), &host, |entry| egress.serves(entry)) {
        Known::Here(found) => within(found, request, draw),
        Known::NotYet(entry) => Selection::Pending { service: entry.key.clone() },
        // There is no address that the client wanted, so there is nowhere to pass an unknown host on to.
        Known::Not => beyond(&egress.unknown),
    }
}

enum Known<'a> {
    Here(&'a Arc<VirtualHost>),
    NotYet(&'a IndexEntry),
    Not,
}

/// The virtual host for `host` among those in use and those that could be.
fn known<'a>(
    snapshot: &'a Snapshot,
    table: Option<&'a HostTable>,
    host: &str,
    reachable: impl Fn(&IndexEntry) -> bool,
) -> Known<'a> {
    if let Some(found) = table.and_then(|t| t.exact(host)) {
        return Known::Here(found);
    }
    let missing = |entry: &IndexEntry| !snapshot.outbound.is_loaded(entry) && reachable(entry);
    if let Some(entry) = snapshot.index.find_exact(host, missing) {
        return Known::NotYet(entry);
    }
    let here = table.and_then(|t| t.wildcard(host));
    let longer = |entry: &IndexEntry| here.is_none_or(|(_, length)| entry.key.host.as_str().len() > length + 1);
    match snapshot.index.find_wildcard(host, |entry| longer(entry) && missing(entry)) {
        Some(entry) => Known::NotYet(entry),
        None => here.map_or(Known::Not, |(found, _)| Known::Here(found)),
    }
}

fn at_gateway(table: &HostTable, request: &RequestView<'_>, draw: u64) -> Selection {
    match table.find(&host_of_authority(request.authority)) {
        Some(found) => within(found, request, draw),
        None => NOWHERE,
    }
}

fn inbound(snapshot: &Snapshot, port: Port) -> Selection {
    let Some(local) = snapshot.local() else { return NOWHERE };
    let policy = local.inbound.policy(port);
    let cluster = policy.cluster.clone();
    forward(policy.meta.clone(), None, 0, cluster, policy.retries.clone(), None)
}

/// The first entry that matches; a miss is final, no other virtual host is asked.
fn within(host: &VirtualHost, request: &RequestView<'_>, draw: u64) -> Selection {
    if host.https_redirect && request.scheme != "https" {
        let location = redirect::to_https(request);
        return Selection::Answer(Answer::Redirect { meta: host.meta.clone(), rule: None, status: 301, location });
    }
    for entry in &host.entries {
        let matched = match entry.conditions() {
            None => Some(MatchedPath::Prefix(usize::from(request.path.starts_with('/')))),
            Some(conditions) => matching::matches(conditions, request),
        };
        if let Some(matched) = matched {
            return act(entry, matched, request, draw);
        }
    }
    Selection::Answer(Answer::NotFound { meta: Some(host.meta.clone()) })
}

fn act(entry: &RouteEntry, matched: MatchedPath, request: &RequestView<'_>, draw: u64) -> Selection {
    let meta = entry.meta.clone();
    let rule = match &entry.action {
        Action::Service { to, retries } => return to_resolved(meta, None, 0, to, retries.clone(), matched),
        Action::Rule(rule) => rule,
    };
    match &rule.rule().action {
        RouteAction::Redirect(to) => Selection::Answer(Answer::Redirect {
            meta,
            rule: Some(rule.clone()),
            status: to.code,
            location: redirect::location(to, matched, request),
        }),
        RouteAction::Respond(answer) => {
            let (status, body) = (answer.status, answer.body.clone());
            Selection::Answer(Answer::Respond { meta, rule: rule.clone(), status, body })
        }
        RouteAction::Forward(backends) => {
            let backend = split::pick(backends.iter().map(|b| b.weight), rule.total_weight, draw);
            to_resolved(meta, Some(rule), backend, &rule.backends[backend], rule.retries.clone(), matched)
        }
    }
}

fn to_resolved(
    meta: Arc<RouteMeta>,
    rule: Option<&Arc<RuleEntry>>,
    backend: usize,
    to: &Resolved,
    retries: Option<Arc<RetryPolicy>>,
    matched: MatchedPath,
) -> Selection {
    match to {
        Resolved::Ready(cluster) => forward(meta, rule.cloned(), backend, cluster.clone(), retries, Some(matched)),
        Resolved::Pending(service) => Selection::Pending { service: service.clone() },
        Resolved::Missing(cluster) => {
            Selection::Answer(Answer::ClusterNotFound { meta, rule: rule.cloned(), cluster: cluster.clone() })
        }
    }
}

fn forward(
    meta: Arc<RouteMeta>,
    rule: Option<Arc<RuleEntry>>,
    backend: usize,
    cluster: Arc<Cluster>,
    retries: Option<Arc<RetryPolicy>>,
    matched: Option<MatchedPath>,
) -> Selection {
    let timeout = rule.as_ref().and_then(|r| r.timeout);
    Selection::Forward(Routed { meta, rule, backend, cluster, timeout, retries, matched })
}

/// A host that nothing in the index answers to.
fn beyond(way: &Beyond) -> Selection {
    match way {
        Beyond::Blocked { meta } => Selection::Answer(Answer::Blocked { meta: meta.clone() }),
        Beyond::To { meta, to } => to_resolved(meta.clone(), None, 0, to, None, MatchedPath::Prefix(0)),
    }
}

#[cfg(test)]
mod tests;
