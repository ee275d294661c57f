//! A request as the upstream gets it: limits, headers, path, host, the form of the upstream's protocol.

use super::{Call, grpc, head, headers, server::Served};
use crate::{
    attempt::Outgoing,
    conn::Direction,
    error::Error,
    exchange::Exchange,
    route::{self, Routed},
    snapshot::Snapshot,
    upstream::WorkerCluster,
};
use http::{HeaderValue, Version, header, request::Parts};
use mesh_config::{
    model::{Protocol, destination::H2Upgrade},
    name::host_of_authority,
};
use std::{sync::Arc, time::Duration};

/// The limit of the whole request: the route's, or for gRPC the client's if it is shorter. Both are told upstream.
pub(super) fn timeouts(routed: &Routed, direction: Direction, call: &Call, head: &mut Parts) -> Option<Duration> {
    let route = routed.timeout.filter(|limit| !limit.is_zero());
    let asked = if call.facts.is_grpc { grpc::timeout(&head.headers) } else { None };
    let limit = match (route, asked) {
        (Some(route), Some(asked)) => Some(route.min(asked)),
        (route, asked) => route.or(asked),
    }?;
    let per_try = routed.retries.as_ref().and_then(|r| r.per_try_timeout).filter(|t| !t.is_zero() && *t < limit);
    let told = per_try.unwrap_or(limit);
    if direction != Direction::Inbound {
        let millis = u64::try_from(told.as_millis()).unwrap_or(u64::MAX);
        head.headers.insert(headers::EXPECTED_TIMEOUT, HeaderValue::from(millis));
    }
    if asked.is_some() {
        head.headers.insert("grpc-timeout", grpc::timeout_value(told));
    }
    Some(limit)
}

/// The request as the upstream gets it.
pub(super) fn outgoing<'a>(
    served: &Served,
    snapshot: &Snapshot,
    exchange: &mut Exchange,
    call: &Call,
    routed: &Routed,
    live: &WorkerCluster,
    head: &'a mut Parts,
) -> Result<Outgoing<'a>, Error> {
    let conn = &served.conn;
    let http2 = speaks_http2(snapshot, routed, head.version);
    if call.facts.upgrade && http2 {
        return Err(Error::UpgradeRefused);
    }
    if conn.direction.is_client_side() && !routed.meta.operation.is_empty() {
        let operation = served.operation(&routed.meta.operation);
        head.headers.insert(headers::DECORATOR, operation);
    }
    if let Some(ops) = &call.ops {
        ops.on_request(&mut head.headers, exchange);
    }
    if let Some(rule) = &routed.rule {
        rewrite(rule, routed, head);
    }
    let server_name = live.wants_server_name().then(|| server_name(head::authority_of(head)));
    let secured = live.wants_tls();
    protocol(head, http2, secured)?;
    if !http2 && exchange.body.is_some() && !head.headers.contains_key(header::CONTENT_LENGTH) {
        // Said here because the codec takes it for granted that GET and HEAD have no body, and would drop it.
        head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(Outgoing {
        head,
        body: exchange.body.clone(),
        http2,
        counts_attempts: conn.direction.is_client_side(),
        upgrade: call.facts.upgrade,
        server_name,
        original: conn.key.wanted(conn.local),
    })
}

/// What is spoken to the upstream: what its port declares, else what the client speaks. A rule that upgrades vouches for
/// the port, whatever it declares; the mesh's default is for ports that declare HTTP.
fn speaks_http2(snapshot: &Snapshot, routed: &Routed, client: Version) -> bool {
    let (cluster, pool) = (&routed.cluster, &routed.cluster.policy.connection_pool);
    if pool.use_client_protocol {
        return client >= Version::HTTP_2;
    }
    if pool.h2_upgrade == Some(H2Upgrade::Upgrade) {
        return true;
    }
    match cluster.protocol {
        Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => true,
        Protocol::Http => pool.h2_upgrade.unwrap_or(snapshot.settings.h2_upgrade) == H2Upgrade::Upgrade,
        Protocol::Auto | Protocol::Tcp | Protocol::Tls | Protocol::Https | Protocol::Udp => client >= Version::HTTP_2,
    }
}

/// Path and host changes of a rule.
fn rewrite(rule: &Arc<route::RuleEntry>, routed: &Routed, head: &mut Parts) {
    if let Some(matched) = &routed.matched {
        let old = head.uri.path_and_query().map_or("/", |path| path.as_str());
        if let Some(new) = route::rewrite::path(rule, matched, old) {
            let original = HeaderValue::from_str(old);
            if head::set_path(&mut head.uri, new).is_ok()
                && let Ok(original) = original
            {
                head.headers.insert("x-envoy-original-path", original);
            }
        }
    }
    if let Some(host) = route::rewrite::authority(rule, routed.backend)
        && let Ok(value) = HeaderValue::from_str(host)
    {
        if let Ok(original) = HeaderValue::from_str(head::authority_of(head)) {
            head.headers.insert("x-envoy-original-host", original);
        }
        if head.uri.authority().is_some() {
            let path = head.uri.path_and_query().cloned();
            head.uri = head::origin_form(path);
        }
        head.headers.insert(header::HOST, value);
    }
}

/// Brings the head into the form of the upstream's protocol: the host in `Host` or in the URI.
fn protocol(head: &mut Parts, http2: bool, secured: bool) -> Result<(), Error> {
    let placed = match http2 {
        false => head::into_host_field(head),
        true => head::into_uri(head, secured),
    };
    head.version = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    placed.map_err(Error::Bad)
}

/// The host as TLS to the upstream knows it: a name, or an address without brackets.
fn server_name(authority: &str) -> Arc<str> {
    host_of_authority(authority).into()
}
